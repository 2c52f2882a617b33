// A keyless AI backend: one function app, the models it calls, and what both of them need.
// Nothing here is, holds or returns a key. docs/deploy.md says how to deploy it.
targetScope = 'subscription'

metadata description = 'Function app on Flex Consumption with Azure OpenAI, reached by managed identity alone.'

@description('One deployment of a model, as Azure OpenAI knows it.')
type modelDeployment = {
  @description('The name that callers and the app use.')
  name: string

  @description('The model, for example gpt-5.4-mini.')
  model: string

  @description('The model version. Versions retire: look them up with `az cognitiveservices model list`.')
  version: string

  @description('How it is billed and where it runs: GlobalStandard, DataZoneStandard, Standard, ProvisionedManaged.')
  sku: string

  @description('Thousands of tokens a minute (standard) or provisioned units.')
  capacity: int
}

// ---------------------------------------------------------------- where

@minLength(1)
@maxLength(64)
@description('Name of this environment, for example dev or prod. Every name below is derived from it.')
param environmentName string

@minLength(1)
@description('Region of everything but, if you choose so, the Azure OpenAI account. It must offer Flex Consumption.')
@metadata({ azd: { type: 'location' } })
param location string

@description('Resource group to create or to use. Empty: rg-<environmentName>.')
param resourceGroupName string = ''

@description('Tags for every resource, beside azd-env-name.')
param tags object = {}

// ---------------------------------------------------------------- identity and roles

@allowed(['UserAssigned', 'SystemAssigned'])
@description('The one identity that the app signs in with. UserAssigned gets its roles before the app starts and outlives it; SystemAssigned lives and dies with the app and gets its roles after it.')
param identityType string = 'UserAssigned'

@description('Let this deployment assign roles. Set it to false if you may not; docs/deploy.md lists the commands for somebody who may.')
param assignRoles bool = true

@description('Object id of a developer or a group that may call the models and read the tools\' secrets from a laptop. Empty: nobody. azd fills in whoever deploys.')
param principalId string = ''

@allowed(['User', 'Group', 'ServicePrincipal'])
@description('What principalId is. A pipeline signs in as a ServicePrincipal.')
param principalType string = 'User'

// ---------------------------------------------------------------- the app

@allowed(['3.11', '3.12', '3.13'])
@description('Python version of the function app.')
param pythonVersion string = '3.13'

@allowed([512, 2048, 4096])
@description('Memory of one instance in MB. Images need 2048 or more.')
param instanceMemoryMB int = 2048

@minValue(1)
@maxValue(1000)
@description('Most instances that the platform may start. The upper bound of what the app can cost.')
param maximumInstanceCount int = 40

@minValue(1)
@maxValue(1000)
@description('Requests that one instance serves at a time before another one is started. Streams mostly wait, so this is far above the platform\'s default for Python, which is 1.')
param httpConcurrency int = 64

@minValue(0)
@maxValue(100)
@description('Instances kept warm for HTTP. 0 costs nothing while idle and has a cold start.')
param alwaysReadyInstances int = 0

@description('Further settings of the app, name to value, as docs/settings.md lists them; a value that is no string is passed as JSON. What this template sets itself wins. Never a secret: those belong in the key vault.')
param extraAppSettings object = {}

@description('Origins of the browsers that may call the app, for example https://www.example.com. An origin with a * is left out: it would let every website in.')
param corsOrigins string[] = []

@description('Let the app keep tables in the storage account: the role to use them and, in a private network, their endpoint.')
param tableStorage bool = false

// ---------------------------------------------------------------- models

@description('Region of the Azure OpenAI account. Empty: the same as location.')
@metadata({ azd: { type: 'location' } })
param openAiLocation string = ''

@minLength(1)
@description('Model deployments to create in a new account, one after another. The first one is the default.')
param modelDeployments modelDeployment[] = [
  {
    name: 'chat'
    model: 'gpt-5.4-mini'
    version: '2026-03-17'
    sku: 'GlobalStandard'
    capacity: 50
  }
]

@description('Deployment that answers when the caller names no model. Empty: the first of modelDeployments.')
param defaultDeploymentName string = ''

@description('Name of an Azure OpenAI account that exists. It is then used as it is and no model is deployed. Empty: a new account.')
param existingOpenAiName string = ''

@description('Resource group of the existing account. Empty: the resource group of this deployment.')
param existingOpenAiResourceGroup string = ''

@description('Subscription id of the existing account. Empty: the subscription of this deployment.')
param existingOpenAiSubscriptionId string = ''

// ---------------------------------------------------------------- who may call (Easy Auth)

@description('Client id of the Entra app registration that callers get tokens for. Empty: callers use a function key. Set: the platform checks their tokens and no function key is asked for.')
param signInClientId string = ''

@description('Audiences that a caller\'s token may have. Empty: the client id and api://<client id>.')
param signInAudiences string[] = []

@description('Client ids of the applications that may call. Empty: every application of the tenant that gets a token for this one.')
param signInClientApplications string[] = []

@description('Paths that need no sign-in.')
param anonymousPaths string[] = ['/api/health']

// ---------------------------------------------------------------- network

@description('Put the app into a virtual network and reach models, storage and key vault by private endpoints only.')
param privateNetwork bool = false

@description('Close the app itself to the internet too: callers and deployments then come through a private endpoint. Needs privateNetwork.')
param privateApp bool = false

@description('Send telemetry through an Azure Monitor private link scope too. It changes how every network that shares these DNS zones reaches Azure Monitor, so it is a switch of its own. Needs privateNetwork.')
param privateTelemetry bool = false

@description('Address range of the virtual network, /24 or larger.')
param vnetAddressPrefix string = '10.20.0.0/24'

// ---------------------------------------------------------------- keeping

@minValue(-1)
@description('Most gigabytes of logs a day; -1: no cap. Logs are what an idle or a busy app is billed for unnoticed.')
param logDailyCapGb int = 1

@minValue(30)
@maxValue(730)
@description('Days that logs are kept.')
param logRetentionDays int = 30

@description('Forbid purging the deleted key vault before its retention is over. It cannot be switched off again.')
param keyVaultPurgeProtection bool = false

// ---------------------------------------------------------------- names

var token = uniqueString(subscription().id, environmentName, location)
var groupName = empty(resourceGroupName) ? 'rg-${environmentName}' : resourceGroupName
var allTags = union(tags, { 'azd-env-name': environmentName })

var appName = 'func-${token}'
var storageName = 'st${token}'
var keyVaultName = 'kv-${token}'
var appInsightsName = 'appi-${token}'
var workspaceName = 'log-${token}'

var userAssigned = identityType == 'UserAssigned'
var signIn = !empty(signInClientId)
var closedTelemetry = privateNetwork && privateTelemetry
var closedApp = privateNetwork && privateApp
var useExistingOpenAi = !empty(existingOpenAiName)
var openAiName = useExistingOpenAi ? existingOpenAiName : 'oai-${token}'
var openAiGroupName = useExistingOpenAi && !empty(existingOpenAiResourceGroup) ? existingOpenAiResourceGroup : groupName
var openAiSubscriptionId = useExistingOpenAi && !empty(existingOpenAiSubscriptionId)
  ? existingOpenAiSubscriptionId
  : subscription().subscriptionId
var defaultDeployment = empty(defaultDeploymentName) ? modelDeployments[0].name : defaultDeploymentName

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: groupName
  location: location
  tags: allTags
}

// ---------------------------------------------------------------- what the app uses

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: workspaceName
    appInsightsName: appInsightsName
    location: location
    tags: allTags
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
    publicIngestion: !closedTelemetry
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: storageName
    location: location
    tags: allTags
    publicAccess: !privateNetwork
  }
}

module keyVault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    name: keyVaultName
    location: location
    tags: allTags
    publicAccess: !privateNetwork
    purgeProtection: keyVaultPurgeProtection
  }
}

module openAi 'modules/openai.bicep' = if (!useExistingOpenAi) {
  name: 'openai'
  scope: group
  params: {
    name: openAiName
    location: empty(openAiLocation) ? location : openAiLocation
    tags: allTags
    publicAccess: !privateNetwork
    deployments: modelDeployments
  }
}

module existingOpenAi 'modules/openai-existing.bicep' = if (useExistingOpenAi) {
  name: 'openai-existing-${token}'
  scope: resourceGroup(openAiSubscriptionId, openAiGroupName)
  params: {
    name: openAiName
  }
}

// What a module gave back is read behind the very condition of that module: Azure evaluates it even for a
// module that it then skips.
var openAiId = useExistingOpenAi ? existingOpenAi!.outputs.id : openAi!.outputs.id
var openAiEndpoint = useExistingOpenAi ? existingOpenAi!.outputs.endpoint : openAi!.outputs.endpoint

// ---------------------------------------------------------------- network

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  scope: group
  params: {
    name: 'vnet-${token}'
    location: location
    tags: allTags
    addressPrefix: vnetAddressPrefix
  }
}

var networkId = privateNetwork ? network!.outputs.id : ''
var appSubnetId = privateNetwork ? network!.outputs.appSubnetId : ''
var endpointSubnetId = privateNetwork ? network!.outputs.endpointSubnetId : ''

module telemetryScope 'modules/telemetry-scope.bicep' = if (closedTelemetry) {
  name: 'telemetry-scope'
  scope: group
  params: {
    name: 'ampls-${token}'
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    appInsightsId: monitoring.outputs.appInsightsId
  }
}

var blobZone = 'privatelink.blob.${environment().suffixes.storage}'

module privateLinks 'modules/private-links.bicep' = if (privateNetwork) {
  name: 'private-links'
  scope: group
  params: {
    location: location
    tags: allTags
    networkId: networkId
    subnetId: endpointSubnetId
    links: concat(
      [
        {
          name: 'pe-${openAiName}'
          target: openAiId
          subresource: 'account'
          zones: [
            'privatelink.openai.azure.com'
            'privatelink.cognitiveservices.azure.com'
            'privatelink.services.ai.azure.com'
          ]
        }
        {
          name: 'pe-${storageName}-blob'
          target: storage.outputs.id
          subresource: 'blob'
          zones: [blobZone]
        }
        {
          name: 'pe-${keyVaultName}'
          target: keyVault.outputs.id
          subresource: 'vault'
          zones: ['privatelink.vaultcore.azure.net']
        }
      ],
      tableStorage
        ? [
            {
              name: 'pe-${storageName}-table'
              target: storage.outputs.id
              subresource: 'table'
              zones: ['privatelink.table.${environment().suffixes.storage}']
            }
          ]
        : [],
      closedTelemetry
        ? [
            {
              name: 'pe-ampls-${token}'
              target: telemetryScope!.outputs.id
              subresource: 'azuremonitor'
              zones: [
                'privatelink.monitor.azure.com'
                'privatelink.oms.opinsights.azure.com'
                'privatelink.ods.opinsights.azure.com'
                'privatelink.agentsvc.azure-automation.net'
                blobZone
              ]
            }
          ]
        : []
    )
  }
}

// ---------------------------------------------------------------- identity, app, roles

module identity 'modules/identity.bicep' = if (userAssigned) {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: allTags
  }
}

var identityId = userAssigned ? identity!.outputs.id : ''
var identityClientId = userAssigned ? identity!.outputs.clientId : ''
var identityPrincipalId = userAssigned ? identity!.outputs.principalId : ''

// A user-assigned identity exists without the app, so its roles come first and the app starts with them.
module identityAccess 'modules/access.bicep' = if (userAssigned && assignRoles) {
  name: 'identity-access-${token}'
  params: {
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
    resourceGroupName: group.name
    openAiName: openAiName
    openAiResourceGroupName: openAiGroupName
    openAiSubscriptionId: openAiSubscriptionId
    storageName: storageName
    keyVaultName: keyVaultName
    appInsightsName: appInsightsName
    runsTheApp: true
    tableStorage: tableStorage
  }
  dependsOn: [openAi, storage, keyVault, monitoring]
}

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: appName
    planName: 'plan-${token}'
    location: location
    tags: allTags
    identityId: identityId
    identityClientId: identityClientId
    storageName: storageName
    deploymentContainerUrl: storage.outputs.deploymentContainerUrl
    appInsightsName: appInsightsName
    keyVaultUrl: keyVault.outputs.url
    openAiEndpoint: openAiEndpoint
    openAiDeployment: defaultDeployment
    callerAuth: signIn ? 'entra' : 'key'
    extraSettings: extraAppSettings
    corsOrigins: corsOrigins
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    httpConcurrency: httpConcurrency
    alwaysReadyInstances: alwaysReadyInstances
    subnetId: appSubnetId
    publicAccess: !closedApp
  }
  dependsOn: [monitoring, identityAccess, privateLinks]
}

// A system-assigned identity comes into being with the app, so its roles can only follow.
module appAccess 'modules/access.bicep' = if (!userAssigned && assignRoles) {
  name: 'app-access-${token}'
  params: {
    principalId: app.outputs.systemPrincipalId
    principalType: 'ServicePrincipal'
    resourceGroupName: group.name
    openAiName: openAiName
    openAiResourceGroupName: openAiGroupName
    openAiSubscriptionId: openAiSubscriptionId
    storageName: storageName
    keyVaultName: keyVaultName
    appInsightsName: appInsightsName
    runsTheApp: true
    tableStorage: tableStorage
  }
  dependsOn: [openAi, storage, keyVault, monitoring]
}

module developerAccess 'modules/access.bicep' = if (!empty(principalId) && assignRoles) {
  name: 'developer-access-${token}'
  params: {
    principalId: principalId
    principalType: principalType
    resourceGroupName: group.name
    openAiName: openAiName
    openAiResourceGroupName: openAiGroupName
    openAiSubscriptionId: openAiSubscriptionId
    storageName: storageName
    keyVaultName: keyVaultName
    appInsightsName: appInsightsName
    runsTheApp: false
    tableStorage: tableStorage
  }
  dependsOn: [openAi, storage, keyVault, monitoring]
}

module callerSignIn 'modules/sign-in.bicep' = if (signIn) {
  name: 'sign-in'
  scope: group
  params: {
    appName: app.outputs.name
    clientId: signInClientId
    tenantId: tenant().tenantId
    audiences: empty(signInAudiences) ? [signInClientId, 'api://${signInClientId}'] : signInAudiences
    clientApplications: signInClientApplications
    anonymousPaths: anonymousPaths
    identityProvesTheApp: userAssigned
  }
}

module appPrivateLink 'modules/private-links.bicep' = if (closedApp) {
  name: 'app-private-link'
  scope: group
  params: {
    location: location
    tags: allTags
    networkId: networkId
    subnetId: endpointSubnetId
    links: [
      {
        name: 'pe-${appName}'
        target: app.outputs.id
        subresource: 'sites'
        zones: ['privatelink.azurewebsites.net']
      }
    ]
  }
}

// ---------------------------------------------------------------- outputs: azd keeps them in its environment

@description('Region of the app.')
output AZURE_LOCATION string = location

@description('Resource group of everything but an existing Azure OpenAI account.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Name of the function app, for az and func.')
output APP_NAME string = app.outputs.name

@description('Where the app answers.')
output APP_URL string = app.outputs.url

@description('Object id of the app\'s identity: what roles are assigned to.')
output APP_PRINCIPAL_ID string = userAssigned ? identityPrincipalId : app.outputs.systemPrincipalId

@description('Client id of a user-assigned identity; empty for a system-assigned one.')
output APP_CLIENT_ID string = identityClientId

@description('Endpoint of the Azure OpenAI account.')
output AZURE_OPENAI_ENDPOINT string = openAiEndpoint

@description('Deployment that answers by default.')
output AZURE_OPENAI_DEPLOYMENT string = defaultDeployment

@description('Resource id of the Azure OpenAI account: the scope of its role.')
output AZURE_OPENAI_ID string = openAiId

@description('Where the tools\' secrets are kept.')
output KEY_VAULT_URL string = keyVault.outputs.url

@description('Storage account of the app.')
output STORAGE_ACCOUNT_NAME string = storageName

@description('Application Insights of the app.')
output APPLICATION_INSIGHTS_NAME string = appInsightsName
