"""What the function app must be told, and that both kinds of identity are told everything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.settings import Settings
from tests.infra.bicep import BicepFile, Declaration, Object, flat, text_of, walk
from tests.infra.policy import Files, Finding, Rule, at, resources

MAIN, APP = "main.bicep", "modules/app.bicep"

# What the platform and the telemetry ask for; every other setting that is given is one of the app's own.
PLATFORM = re.compile(r"APPLICATIONINSIGHTS_\w+|AzureWebJobsStorage__\w+|OVERRIDE_USE_MI_\w+|PYTHON_\w+")

# Every setting that a deployment must give, by the condition under which it is given ('' is always).
SETTINGS: dict[str, frozenset[str]] = {
    "": frozenset(
        {
            "AZURE_OPENAI_ENDPOINT",
            "AZURE_OPENAI_DEPLOYMENT",
            "CALLER_AUTH",
            "KEY_VAULT_URL",
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
            "AzureWebJobsStorage__accountName",
            "AzureWebJobsStorage__credential",
        }
    ),
    "userAssigned": frozenset({"AZURE_CLIENT_ID", "AzureWebJobsStorage__clientId"}),
    "userAssigned && callerAuth == 'entra'": frozenset({"OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID"}),
    "contains(['3.11', '3.12'], pythonVersion)": frozenset({"PYTHON_ENABLE_INIT_INDEXING"}),
}

# What each kind of identity needs to be said somewhere in the app: system-assigned, user-assigned.
TWO_WAYS = {
    "identity": ("type: 'SystemAssigned'", "type: 'UserAssigned', userAssignedIdentities:"),
    "properties.functionAppConfig.deployment.storage.authentication": (
        "type: 'SystemAssignedIdentity'",
        "type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId",
    ),
}


@dataclass(frozen=True)
class Given:
    """Settings that stand in one object, and when they are given."""

    condition: str
    names: frozenset[str]


def settings_given(file: BicepFile) -> list[Given]:
    """The objects that the app's settings are put together from, without what the operator adds."""
    whole = file.one("var", "settings")
    names = [text_of(node) for node in walk(whole.value) if node.type == "identifier"] if whole else []
    given = []
    for one in (file.one("var", name) for name in names):
        if one is None:
            continue
        value, condition = one.value, ""
        if value.type == "ternary_expression":
            condition = flat(text_of(value.child_by_field_name("condition") or value))
            when, otherwise = (value.child_by_field_name(arm) for arm in ("consequence", "alternative"))
            if when is None or otherwise is None:
                continue
            if text_of(when) == "{}":
                condition, when = f"!{condition}", otherwise
            value = when
        given.append(Given(condition, frozenset(Object(value).members)))
    return given


def the_app_is_told_everything(files: Files) -> Iterator[Finding]:
    app = files[APP]
    given: dict[str, frozenset[str]] = {}
    for part in settings_given(app):
        given[part.condition] = given.get(part.condition, frozenset()) | part.names
        for name in sorted(part.names - frozenset(Settings.variables())):
            if not PLATFORM.fullmatch(name):
                yield Finding("setting", APP, f"{name} is no setting of the app")
    for condition, names in SETTINGS.items():
        for name in sorted(names - given.get(condition, frozenset())):
            yield Finding("setting", APP, f"{name} is not given" + (f" when {condition}" if condition else ""))
    whole = app.one("var", "settings")
    if whole is None or not flat(text_of(whole.value)).startswith("union( extraSettings,"):
        yield Finding("setting", APP, "what the operator adds must come first, so that the template's own wins")
    for file, one in resources(files, "Microsoft.Web/sites"):
        if "items(settings)" not in one.body.text("properties.siteConfig.appSettings"):
            yield Finding("setting", at(file, one), "the app does not get its settings")


def either_identity_is_complete(files: Files) -> Iterator[Finding]:
    app, main = files[APP], files[MAIN]
    for file, one in resources(files, "Microsoft.Web/sites"):
        for path, ways in TWO_WAYS.items():
            for way in ways:
                if way not in one.body.text(path):
                    yield Finding("identity", at(file, one), f"{path} does not say {way}")
    for way in ("'ClientId=${identityClientId};Authorization=AAD'", "'Authorization=AAD'"):
        if way not in app.code:
            yield Finding("identity", APP, f"telemetry is never sent with {way}")
    allowed = main.one("param", "identityType")
    if allowed is None or "@allowed(['UserAssigned', 'SystemAssigned'])" not in allowed.decorators:
        yield Finding("identity", MAIN, "identityType must offer both kinds")
    yield from _roles_in_order(main)


def _roles_in_order(main: BicepFile) -> Iterator[Finding]:
    """The roles of a user-assigned identity before the app, those of a system-assigned one after it."""
    before, after, app = (main.one("module", name) for name in ("identityAccess", "appAccess", "app"))
    if before is None or after is None or app is None:
        yield Finding("order", MAIN, "identityAccess, app and appAccess are the three steps")
        return
    if before.condition != "userAssigned && assignRoles" or "identityAccess" not in app.body.text("dependsOn"):
        yield Finding("order", at(main, before), "a user-assigned identity gets its roles before the app starts")
    if after.condition != "!userAssigned && assignRoles" or _principal(after) != "app.outputs.systemPrincipalId":
        yield Finding("order", at(main, after), "a system-assigned identity gets its roles after the app")
    if _without_principal(before) != _without_principal(after):
        yield Finding("order", at(main, after), "both kinds of identity must get the same roles")


def _principal(module: Declaration) -> str:
    return module.body.text("params.principalId")


def _without_principal(module: Declaration) -> dict[str, str]:
    params = module.body.at("params")
    members = Object(params).members if params else {}
    return {name: flat(text_of(value)) for name, value in members.items() if name != "principalId"}


APP_RULES: tuple[Rule, ...] = (the_app_is_told_everything, either_identity_is_complete)
