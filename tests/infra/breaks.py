"""Ways to spoil infra/, each with the code that must notice it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Break:
    """One way to spoil infra/: what to replace where, and which code must notice.

    None where one of the two cannot: the rules know no resource types, the checker knows no policy.
    """

    name: str
    file: str
    old: str
    new: str
    policy: str | None
    checker: str | None = None


MAIN = "main.bicep"
APP = "modules/app.bicep"
OPENAI = "modules/openai.bicep"
STORAGE = "modules/storage.bicep"
VAULT = "modules/key-vault.bicep"

LINK = "target: keyVault.outputs.id"
CALLER = "  CALLER_AUTH: callerAuth\n"
PUBLIC = "publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'"
NAMED_ORIGINS = "filter(corsOrigins, origin => !contains(origin, '*'))"
BREAKS = [
    Break("a wrong symbol", MAIN, LINK, "target: keyVolt.outputs.id", "symbol", "symbol"),
    Break("a wrong output", MAIN, LINK, "target: keyVault.outputs.ident", "output", "output"),
    Break("a missing parameter", MAIN, "    publicAccess: !closedApp\n", "", "param-missing", "param-missing"),
    Break("an unknown parameter", MAIN, "publicIngestion:", "openToAll:", "param-unknown", "param-unknown"),
    Break(
        "a wrong module path",
        MAIN,
        "'modules/storage.bicep'",
        "'modules/store.bicep'",
        "module",
        "module-path",
    ),
    Break("a wrong property", STORAGE, "allowSharedKeyAccess:", "allowSharedKeysAccess:", "lock", "prop"),
    Break("a wrong type", VAULT, "enableSoftDelete: true", "enableSoftDelete: 'yes'", None, "valtype"),
    Break("a broken line", STORAGE, "kind: 'StorageV2'", "kind: 'StorageV2", "syntax", "syntax"),
    Break(
        "the Reader role",
        "modules/openai-role.bicep",
        "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd",
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "role",
    ),
    Break(
        "the right role in the wrong place",
        "modules/roles.bicep",
        "scope: vault\n",
        "scope: storage\n",
        "role",
    ),
    Break("keys on the models", OPENAI, "disableLocalAuth: true", "disableLocalAuth: false", "lock"),
    Break("shared keys on", STORAGE, "SharedKeyAccess: false", "SharedKeyAccess: true", "lock"),
    Break("a lock left out", "modules/monitoring.bicep", "    DisableLocalAuth: true\n", "", "lock"),
    Break("secrets without roles", VAULT, "Authorization: true", "Authorization: false", "lock"),
    Break("a publishing password", APP, "allow: false", "allow: true", "lock"),
    Break(
        "a forbidden setting",
        APP,
        CALLER,
        "  CALLER_AUTH: callerAuth\n  FUNCTIONS_WORKER_RUNTIME: 'python'\n",
        "flex",
    ),
    Break(
        "a plain storage setting",
        APP,
        "AzureWebJobsStorage__accountName: storageName",
        "AzureWebJobsStorage: storageName",
        "flex",
    ),
    Break(
        "a forbidden site property",
        APP,
        "minTlsVersion: '1.2'",
        "minTlsVersion: '1.2'\n      ftpsState: 'Disabled'",
        "flex",
    ),
    Break(
        "a key as a setting",
        APP,
        CALLER,
        "  CALLER_AUTH: callerAuth\n  AZURE_OPENAI_API_KEY: openAiDeployment\n",
        "key-setting",
    ),
    Break(
        "listKeys",
        STORAGE,
        "output id string = account.id",
        "output id string = account.listKeys().keys[0].value",
        "key-read",
        "secret",
    ),
    Break(
        "a secret as an output",
        "modules/monitoring.bicep",
        "output appInsightsId string = appInsights.id",
        "output appInsightsId string = appInsights.properties.ConnectionString",
        "secret-output",
    ),
    Break("a setting left out", APP, "  KEY_VAULT_URL: keyVaultUrl\n", "", "setting", "unused"),
    Break("a setting that nobody reads", APP, "CALLER_AUTH:", "CALLER_AUTHORITY:", "setting"),
    Break(
        "a setting for one Python only",
        APP,
        "contains(['3.11', '3.12'], pythonVersion)",
        "pythonVersion == '3.11'",
        "setting",
    ),
    Break(
        "settings that an operator can override",
        APP,
        "union(\n  extraSettings,\n",
        "union(\n",
        "setting",
        "unused",
    ),
    Break(
        "no client id for host storage",
        APP,
        "      AzureWebJobsStorage__clientId: identityClientId\n",
        "",
        "setting",
    ),
    Break("one kind of identity", APP, "{ type: 'SystemAssigned' }", "{ type: 'None' }", "identity"),
    Break(
        "a package that no system-assigned identity can read",
        APP,
        "{ type: 'SystemAssignedIdentity' }",
        "{}",
        "identity",
    ),
    Break(
        "roles after the app",
        MAIN,
        "[monitoring, identityAccess, privateLinks]",
        "[monitoring, privateLinks]",
        "order",
    ),
    Break("roles for one kind only", MAIN, "if (!userAssigned && assignRoles)", "if (assignRoles)", "order"),
    Break("every website", APP, NAMED_ORIGINS, "['*']", "cors", "unused"),
    Break("every website by default", MAIN, "corsOrigins string[] = []", "corsOrigins string[] = ['*']", "cors"),
    Break("models all at once", OPENAI, "@batchSize(1)\n", "", "batch"),
    Break(
        "a model account that stays open",
        OPENAI,
        PUBLIC,
        "publicNetworkAccess: 'Enabled'",
        "network",
    ),
    Break("no private endpoint", MAIN, "subresource: 'vault'", "subresource: 'account'", "network"),
    Break(
        "a skipped module that is read",
        MAIN,
        "var networkId = privateNetwork ? network!.outputs.id : ''",
        "var networkId = network!.outputs.id",
        "guard",
    ),
    Break(
        "a skipped module read behind another switch",
        MAIN,
        "      closedTelemetry\n        ? [",
        "      privateTelemetry\n        ? [",
        "guard",
    ),
    Break(
        "a parameter without a description",
        "modules/identity.bicep",
        "@description('Region.')\n",
        "",
        "description",
    ),
]
