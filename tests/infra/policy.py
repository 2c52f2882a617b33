"""What infra/ must hold to, whatever else changes: one function a rule, each yielding what breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.settings import KEY_VARIABLES
from tests.infra.bicep import BicepFile, Declaration, flat, literal, read_folder, text_of, walk

# Built-in roles, each with the resource that it is assigned on. Nothing else may be assigned.
ROLES = {
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": (
        "Cognitive Services OpenAI User",
        "Microsoft.CognitiveServices/accounts",
    ),
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": ("Storage Blob Data Owner", "Microsoft.Storage/storageAccounts"),
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": (
        "Storage Table Data Contributor",
        "Microsoft.Storage/storageAccounts",
    ),
    "4633458b-17de-408a-b874-0445c86b69e6": ("Key Vault Secrets User", "Microsoft.KeyVault/vaults"),
    "3913510d-42f4-4e42-8a64-420c390055eb": ("Monitoring Metrics Publisher", "Microsoft.Insights/components"),
}

# What keeps keys and passwords out, by resource type.
LOCKS = {
    "Microsoft.CognitiveServices/accounts": {"disableLocalAuth": "true"},
    "Microsoft.Storage/storageAccounts": {"allowSharedKeyAccess": "false", "allowBlobPublicAccess": "false"},
    "Microsoft.KeyVault/vaults": {"enableRbacAuthorization": "true"},
    "Microsoft.Insights/components": {"DisableLocalAuth": "true"},
    "Microsoft.OperationalInsights/workspaces": {"features.disableLocalAuth": "true"},
    "Microsoft.Web/sites": {"httpsOnly": "true"},
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"allow": "false"},
}

# What a private network closes, by resource type, and the parts of it that then need a private endpoint.
CLOSED = {
    "Microsoft.CognitiveServices/accounts": ("account",),
    "Microsoft.Storage/storageAccounts": ("blob", "table"),
    "Microsoft.KeyVault/vaults": ("vault",),
    "Microsoft.Web/sites": ("sites",),
}

FORBIDDEN_SETTINGS = re.compile(
    r"FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|FUNCTIONS_WORKER_PROCESS_COUNT|WEBSITE_RUN_FROM_PACKAGE"
    r"|WEBSITE_CONTENT\w*|SCM_DO_BUILD_DURING_DEPLOYMENT|ENABLE_ORYX_BUILD|WEBSITE_TIME_ZONE|TZ|AzureWebJobsStorage"
)
FORBIDDEN_SITE_CONFIG = {
    "ftpsState",
    "linuxFxVersion",
    "netFrameworkVersion",
    "use32BitWorkerProcess",
    "preWarmedInstanceCount",
}
KEY_SETTINGS = re.compile("|".join(KEY_VARIABLES), re.IGNORECASE)
KEY_READ = re.compile(r"\blist[A-Za-z]*\s*\(")
SECRET_VALUE = re.compile(r"(?i)connectionstring|instrumentationkey|\.keys\b|primarykey|secretvalue|\bsas")
SECRET_NAME = re.compile(r"(?i)(password|secret|token|key|connection_?string)s?$")
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Finding:
    """One breach: its code, where it is, and what is wrong."""

    code: str
    where: str
    message: str


Files = dict[str, BicepFile]
Rule = Callable[[Files], Iterator[Finding]]


def findings(folder: Path, rules: Iterable[Rule]) -> list[Finding]:
    """Everything in a folder of Bicep files that breaks a rule; what cannot be read gets no further."""
    files = read_folder(folder)
    unread = [Finding("syntax", label, "cannot be read") for label, file in files.items() if file.root.has_error]
    return unread or [finding for rule in rules for finding in rule(files)]


def resources(files: Files, of: str, existing: bool = False) -> Iterator[tuple[BicepFile, Declaration]]:
    for file in files.values():
        for one in file.all("resource"):
            if one.of == of and one.existing == existing:
                yield file, one


def at(file: BicepFile, one: Declaration) -> str:
    return f"{file.label}:{one.line}"


def only_listed_roles(files: Files) -> Iterator[Finding]:
    assigned = set()
    for file, one in resources(files, "Microsoft.Authorization/roleAssignments"):
        role = _role_of(file, one)
        if role not in ROLES:
            yield Finding("role", at(file, one), f"assigns {role}, which is none of the listed roles")
            continue
        assigned.add(role)
        name, target = ROLES[role]
        scope = file.one("resource", one.body.text("scope"))
        if scope is None or scope.of != target:
            yield Finding("role", at(file, one), f"{name} belongs on a {target}")
    for role in ROLES.keys() - assigned:
        yield Finding("role", "infra", f"{ROLES[role][0]} is never assigned")
    for file in files.values():
        for guid in GUID.findall(file.code):
            if guid not in ROLES:
                yield Finding("role", file.label, f"{guid} is none of the listed roles")


def _role_of(file: BicepFile, one: Declaration) -> str:
    value = one.body.at("properties.roleDefinitionId")
    for node in reversed(list(walk(value)) if value else []):
        named = file.one("var", text_of(node)) if node.type == "identifier" else None
        role = literal(named.value) if named else literal(node)
        if role:
            return role
    return "an unknown role"


def no_keys_anywhere(files: Files) -> Iterator[Finding]:
    for of, locks in LOCKS.items():
        made = list(resources(files, of))
        if not made:
            yield Finding("lock", "infra", f"no {of}")
        for file, one in made:
            for path, value in locks.items():
                if one.body.text(f"properties.{path}") != value:
                    yield Finding("lock", at(file, one), f"{of}: {path} must be {value}")
            if one.body.at("properties.accessPolicies"):
                yield Finding("lock", at(file, one), "access policies go round the roles")
    passwords = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
    named = {one.body.text("name") for _, one in resources(files, passwords)}
    if named != {"'scm'", "'ftp'"}:
        yield Finding("lock", "infra", "publishing passwords must be off for scm and ftp")
    for file in files.values():
        for line, text in enumerate(file.code.splitlines(), 1):
            if KEY_READ.search(text):
                yield Finding("key-read", f"{file.label}:{line}", "reads a key; use an identity and a role")


def no_forbidden_setting(files: Files) -> Iterator[Finding]:
    for file in files.values():
        for node in walk(file.root):
            word = literal(node) if node.type == "string" else text_of(node) if node.type == "identifier" else None
            where = f"{file.label}:{node.start_point[0] + 1}"
            if word and FORBIDDEN_SETTINGS.fullmatch(word):
                yield Finding("flex", where, f"Flex Consumption refuses or ignores {word}")
            if word and KEY_SETTINGS.fullmatch(word):
                yield Finding("key-setting", where, f"{word} is a key")
            if word in FORBIDDEN_SITE_CONFIG and node.type == "identifier":
                yield Finding("flex", where, f"Flex Consumption refuses {word}")


def no_secret_output(files: Files) -> Iterator[Finding]:
    for file in files.values():
        for one in file.all("output"):
            value = flat(text_of(one.value))
            if SECRET_VALUE.search(value) or SECRET_NAME.search(one.name) or "@secure()" in one.decorators:
                yield Finding("secret-output", at(file, one), f"output {one.name} gives a secret away")


def everything_is_described(files: Files) -> Iterator[Finding]:
    for file in files.values():
        for one in file.all("param") + file.all("output"):
            if not any(decorator.startswith("@description(") for decorator in one.decorators):
                yield Finding("description", at(file, one), f"{one.kind} {one.name} has no description")


def origins_are_named(files: Files) -> Iterator[Finding]:
    for file, one in resources(files, "Microsoft.Web/sites"):
        origins = one.body.text("properties.siteConfig.cors.allowedOrigins")
        if not re.fullmatch(r"filter\(\w+, (\w+) => !contains\(\1, '\*'\)\)", origins):
            yield Finding("cors", at(file, one), "origins with a * must be left out")
    for file in files.values():
        for param in file.all("param"):
            if "origins" in param.name.lower() and "'*'" in text_of(param.node):
                yield Finding("cors", at(file, param), f"{param.name} lets every website in")


def models_come_one_after_another(files: Files) -> Iterator[Finding]:
    for file, one in resources(files, "Microsoft.CognitiveServices/accounts/deployments"):
        if "@batchSize(1)" not in one.decorators:
            yield Finding("batch", at(file, one), "an account takes one deployment at a time")


def private_means_closed(files: Files) -> Iterator[Finding]:
    linked = "".join(file.code for file in files.values())
    for of, subresources in CLOSED.items():
        for file, one in resources(files, of):
            if one.body.text("properties.publicNetworkAccess") != "publicAccess ? 'Enabled' : 'Disabled'":
                yield Finding("network", at(file, one), f"{of} stays open in a private network")
        for subresource in subresources:
            if f"subresource: '{subresource}'" not in linked:
                yield Finding("network", "infra", f"no private endpoint for {subresource}")
    for module in files["main.bicep"].all("module"):
        given = module.body.text("params.publicAccess")
        if given and given not in ("!privateNetwork", "!closedApp"):
            yield Finding("network", at(files["main.bicep"], module), f"{module.name}: publicAccess is {given}")


RULES: tuple[Rule, ...] = (
    only_listed_roles,
    no_keys_anywhere,
    no_forbidden_setting,
    no_secret_output,
    everything_is_described,
    origins_are_named,
    models_come_one_after_another,
    private_means_closed,
)
