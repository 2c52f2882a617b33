// How does the network reach a service? A private endpoint each, and the DNS zones that lead to it.

@description('One service that gets a private endpoint.')
type privateLink = {
  @description('Name of the private endpoint.')
  name: string

  @description('Resource id of the service.')
  target: string

  @description('Which part of the service: account, blob, table, vault, sites, azuremonitor.')
  subresource: string

  @description('Private DNS zones of this part.')
  zones: string[]
}

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Network that is to resolve the zones.')
param networkId string

@description('Subnet of the endpoints.')
param subnetId string

@description('Services to link.')
param links privateLink[]

var zonesOfAll = flatten(map(links, link => link.zones))
var zoneNames = union(zonesOfAll, zonesOfAll) // each zone once, although services share some

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zoneNames: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource zoneLinks 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, index) in zoneNames: {
    parent: zones[index]
    name: uniqueString(networkId)
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: networkId }
    }
  }
]

resource endpoints 'Microsoft.Network/privateEndpoints@2024-07-01' = [
  for link in links: {
    name: link.name
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        {
          name: link.name
          properties: {
            privateLinkServiceId: link.target
            groupIds: [link.subresource]
          }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-07-01' = [
  for (link, index) in links: {
    parent: endpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: map(link.zones, zone => {
        name: replace(zone, '.', '-')
        properties: { privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zone) }
      })
    }
    dependsOn: [zones, zoneLinks]
  }
]
