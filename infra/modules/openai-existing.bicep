// Which models answer? An Azure OpenAI account that somebody else made: read, never changed.

@description('Name of the account.')
param name string

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: name
}

@description('Resource id of the account.')
output id string = account.id

@description('Endpoint of the account.')
output endpoint string = account.properties.endpoint
