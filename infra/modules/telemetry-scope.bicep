// How does telemetry leave a closed network? Through one private link scope for both stores.

@description('Name of the private link scope.')
param name string

@description('Tags.')
param tags object

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('Resource id of the Application Insights component.')
param appInsightsId string

resource linkScope 'Microsoft.Insights/privateLinkScopes@2021-09-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    // Open: other Azure Monitor resources that this network uses stay within reach.
    accessModeSettings: { ingestionAccessMode: 'Open', queryAccessMode: 'Open' }
  }
}

resource workspace 'Microsoft.Insights/privateLinkScopes/scopedResources@2021-09-01' = {
  parent: linkScope
  name: 'workspace'
  properties: { linkedResourceId: workspaceId }
}

resource appInsights 'Microsoft.Insights/privateLinkScopes/scopedResources@2021-09-01' = {
  parent: linkScope
  name: 'app-insights'
  properties: { linkedResourceId: appInsightsId }
  dependsOn: [workspace]
}

@description('Resource id of the private link scope, once both stores are in it.')
output id string = linkScope.id
