// Where are the secrets of the agent's tools? Azure OpenAI has none.

@minLength(3)
@maxLength(24)
@description('Name of the key vault.')
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Reachable from the internet (with an Entra token). False: by private endpoint only.')
param publicAccess bool

@description('Forbid purging the deleted vault before its retention is over.')
param purgeProtection bool

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    // The service refuses an explicit false.
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      defaultAction: publicAccess ? 'Allow' : 'Deny'
      bypass: 'None'
    }
  }
}

@description('Resource id of the vault.')
output id string = vault.id

@description('Address of the vault.')
output url string = vault.properties.vaultUri
