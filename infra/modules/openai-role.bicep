// May this principal call the models? In the resource group of the account, which may be another one.

@description('Name of the Azure OpenAI account.')
param accountName string

@description('Object id of the identity, user or group.')
param principalId string

@allowed(['User', 'Group', 'ServicePrincipal'])
@description('What principalId is.')
param principalType string

// Cognitive Services OpenAI User: calls models, cannot change anything. The Reader role allows no inference.
var openAiUser = '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd'

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: accountName
}

resource callsModels 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, principalId, openAiUser)
  scope: account
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', openAiUser)
  }
}
