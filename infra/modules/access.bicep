// What may this principal do? The same roles for either kind of identity, and fewer for a developer.
targetScope = 'subscription'

@description('Object id of the identity, user or group.')
param principalId string

@allowed(['User', 'Group', 'ServicePrincipal'])
@description('What principalId is.')
param principalType string

@description('Resource group of storage, key vault and monitoring.')
param resourceGroupName string

@description('Name of the Azure OpenAI account.')
param openAiName string

@description('Resource group of the Azure OpenAI account.')
param openAiResourceGroupName string

@description('Subscription of the Azure OpenAI account.')
param openAiSubscriptionId string

@description('Name of the storage account.')
param storageName string

@description('Name of the key vault.')
param keyVaultName string

@description('Name of the Application Insights component.')
param appInsightsName string

@description('True for the app\'s identity, which also runs the host and writes telemetry.')
param runsTheApp bool

@description('The app keeps tables of its own.')
param tableStorage bool

module openAiRole 'openai-role.bicep' = {
  name: 'openai-role-${uniqueString(openAiName, principalId)}'
  scope: resourceGroup(openAiSubscriptionId, openAiResourceGroupName)
  params: {
    accountName: openAiName
    principalId: principalId
    principalType: principalType
  }
}

module roles 'roles.bicep' = {
  name: 'roles-${uniqueString(principalId)}'
  scope: resourceGroup(resourceGroupName)
  params: {
    principalId: principalId
    principalType: principalType
    storageName: storageName
    keyVaultName: keyVaultName
    appInsightsName: appInsightsName
    runsTheApp: runsTheApp
    tableStorage: tableStorage
  }
}
