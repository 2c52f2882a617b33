// The function app: Flex Consumption, one identity, everything it is told.

@description('Name of the app and first label of its host name.')
param name string

@description('Name of its plan: Flex Consumption takes one app a plan.')
param planName string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Resource id of the user-assigned identity. Empty: the app gets a system-assigned one.')
param identityId string

@description('Client id of the user-assigned identity. Empty with a system-assigned one.')
param identityClientId string

@description('Name of the storage account of host and app.')
param storageName string

@description('Blob container that holds the deployed package.')
param deploymentContainerUrl string

@description('Name of the Application Insights component.')
param appInsightsName string

@description('Address of the key vault with the tools\' secrets.')
param keyVaultUrl string

@description('Endpoint of the Azure OpenAI account.')
param openAiEndpoint string

@description('Deployment that answers by default.')
param openAiDeployment string

@allowed(['key', 'entra'])
@description('Who may call: holders of a function key, or those whom the platform has signed in.')
param callerAuth string

@description('Further settings, name to value.')
param extraSettings object

@description('Origins of the browsers that may call; those with a * are left out.')
param corsOrigins array

@description('Python version.')
param pythonVersion string

@description('Memory of one instance in MB.')
param instanceMemoryMB int

@description('Most instances.')
param maximumInstanceCount int

@description('Requests that one instance serves at a time.')
param httpConcurrency int

@description('Instances kept warm for HTTP.')
param alwaysReadyInstances int

@description('Subnet that the app joins. Empty: none.')
param subnetId string

@description('Callable from the internet.')
param publicAccess bool

var userAssigned = !empty(identityId)
var telemetryIdentity = userAssigned ? 'ClientId=${identityClientId};Authorization=AAD' : 'Authorization=AAD'

var baseSettings = {
  AZURE_OPENAI_ENDPOINT: openAiEndpoint
  AZURE_OPENAI_DEPLOYMENT: openAiDeployment
  CALLER_AUTH: callerAuth
  KEY_VAULT_URL: keyVaultUrl
  APPLICATIONINSIGHTS_CONNECTION_STRING: appInsights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: telemetryIdentity
  AzureWebJobsStorage__accountName: storageName
  AzureWebJobsStorage__credential: 'managedidentity'
}

var identitySettings = userAssigned
  ? {
      AZURE_CLIENT_ID: identityClientId
      AzureWebJobsStorage__clientId: identityClientId
    }
  : {}

// The name that the platform's sign-in asks for: the identity's client id instead of a client secret.
var signInSettings = userAssigned && callerAuth == 'entra'
  ? { OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID: identityClientId }
  : {}

// Streaming needs it up to 3.12; from 3.13 on the worker does so by itself.
var workerSettings = contains(['3.11', '3.12'], pythonVersion) ? { PYTHON_ENABLE_INIT_INDEXING: '1' } : {}

var settings = union(
  extraSettings,
  baseSettings,
  identitySettings,
  signInSettings,
  workerSettings
)

resource appInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: appInsightsName
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: userAssigned
    ? { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
    : { type: 'SystemAssigned' }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUrl
          authentication: userAssigned
            ? { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
            : { type: 'SystemAssignedIdentity' }
        }
      }
      runtime: { name: 'python', version: pythonVersion }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : []
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      cors: {
        allowedOrigins: filter(corsOrigins, origin => !contains(origin, '*'))
        supportCredentials: false
      }
      appSettings: map(items(settings), setting => { name: setting.key, value: string(setting.value) })
    }
  }
}

// Deployments sign in with Entra ID; there is no publishing password.
resource noScmPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

resource noFtpPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

@description('Resource id of the app.')
output id string = app.id

@description('Name of the app.')
output name string = app.name

@description('Where the app answers.')
output url string = 'https://${app.properties.defaultHostName}'

@description('Object id of the system-assigned identity; empty with a user-assigned one.')
output systemPrincipalId string = userAssigned ? '' : app.identity.principalId
