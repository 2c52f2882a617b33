// Who is calling? The platform checks the caller's Entra token (Easy Auth), without a client secret.

@description('Name of the function app.')
param appName string

@description('Client id of the app registration that tokens are made for.')
param clientId string

@description('Tenant whose tokens are taken.')
param tenantId string

@description('Audiences that a token may have.')
param audiences array

@description('Client ids of the applications that may call. Empty: all of the tenant.')
param clientApplications array

@description('Paths that need no sign-in.')
param anonymousPaths array

@description('The app has a user-assigned identity that proves the app registration (a federated credential), so a browser can sign in too. Without one, tokens are checked but nobody is sent to a sign-in page.')
param identityProvesTheApp bool

var proof = identityProvesTheApp ? { clientSecretSettingName: 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID' } : {}

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: appName
}

resource signIn 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'Return401'
      excludedPaths: anonymousPaths
    }
    httpSettings: { requireHttps: true }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: union(
          {
            clientId: clientId
            openIdIssuer: '${environment().authentication.loginEndpoint}${tenantId}/v2.0'
          },
          proof
        )
        validation: {
          allowedAudiences: audiences
          defaultAuthorizationPolicy: empty(clientApplications) ? {} : { allowedApplications: clientApplications }
        }
      }
    }
    // The app wants a token with each request and keeps none.
    login: { tokenStore: { enabled: false } }
  }
}
