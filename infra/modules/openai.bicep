// Which models answer? A new Azure OpenAI account that knows no keys, and its deployments.

@description('Name of the account and first label of its host name: unique in all of Azure.')
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Reachable from the internet (with an Entra token). False: by private endpoint only.')
param publicAccess bool

@description('Model deployments: name, model, version, sku, capacity.')
param deployments array

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'OpenAI'
  sku: { name: 'S0' }
  properties: {
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: { defaultAction: publicAccess ? 'Allow' : 'Deny' }
  }
}

// The account takes one change at a time.
@batchSize(1)
resource models 'Microsoft.CognitiveServices/accounts/deployments@2025-06-01' = [
  for deployment in deployments: {
    parent: account
    name: deployment.name
    sku: { name: deployment.sku, capacity: deployment.capacity }
    properties: {
      model: { format: 'OpenAI', name: deployment.model, version: deployment.version }
      // Stays on its version for as long as that version lives.
      versionUpgradeOption: 'OnceCurrentVersionExpired'
    }
  }
]

@description('Resource id of the account.')
output id string = account.id

@description('Endpoint of the account.')
output endpoint string = account.properties.endpoint
