"""Every way in which apps sign in to Azure OpenAI: which one applies here, which do not, which are refused, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from shared.settings import KEY_VARIABLES, Settings


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to sign in. `state` is for programs; `verdict` and `why` are for people."""

    name: str
    state: Literal["applies", "not_here", "refused"]
    verdict: str
    why: str

    def told(self) -> dict[str, str]:
        """The scenario as JSON says it."""
        return asdict(self)


def scenarios(settings: Settings, environ: Mapping[str, str]) -> list[Scenario]:
    """All of them, the applying one among them; `environ` says which key variables are set (never their values)."""
    kind, client_id = settings.credential_kind, settings.client_id
    return [
        _refused("API key", "AZURE_OPENAI_API_KEY AZURE_OPENAI_KEY AZURE_API_KEY OPENAI_API_KEY", settings, environ),
        _refused("a token given as a setting", "AZURE_OPENAI_AD_TOKEN AZURE_AD_TOKEN", settings, environ),
        _refused("service principal with a secret", "AZURE_CLIENT_SECRET", settings, environ),
        Scenario(
            "user name and password",
            "refused",
            "never",
            "It knows no second factor, and Microsoft is retiring it. There is no setting for it.",
        ),
        _way(
            "workload identity (AKS and other federated hosts)",
            kind == "workload",
            "AZURE_FEDERATED_TOKEN_FILE is set, which wins over everything else.",
            "AZURE_FEDERATED_TOKEN_FILE is not set; the cluster sets it in pods with the label"
            " azure.workload.identity/use (docs/aks.md).",
        ),
        _way(
            "system-assigned managed identity",
            kind == "managed" and not client_id,
            f"{_managed_because(settings)}, and AZURE_CLIENT_ID is not set.",
            "AZURE_CLIENT_ID names a user-assigned one."
            if kind == "managed"
            else "It is for an app in Azure; here another way comes first.",
        ),
        _way(
            "user-assigned managed identity",
            kind == "managed" and bool(client_id),
            f"{_managed_because(settings)}, and AZURE_CLIENT_ID names it.",
            "AZURE_CLIENT_ID is not set."
            if kind == "managed"
            else "It is for an app in Azure; here another way comes first.",
        ),
        _way(
            "a developer's sign-in (az login, azd auth login, VS Code)",
            kind == "developer",
            "This is a development host (AZURE_FUNCTIONS_ENVIRONMENT=Development), and IDENTITY_ENDPOINT is not set.",
            "IDENTITY_ENDPOINT is set: remove it, and IDENTITY_HEADER, to sign in as yourself."
            if settings.development and kind == "managed"
            else "It is for a development host alone, and never in Azure.",
        ),
        Scenario(
            "several, one after another (DefaultAzureCredential)",
            "refused",
            "never",
            "It would take a secret from the environment before the identity. There is one way, told by where the app"
            " runs; this page says which.",
        ),
    ]


def _way(name: str, applies: bool, because: str, otherwise: str) -> Scenario:
    if applies:
        return Scenario(name, "applies", "this one", because)
    return Scenario(name, "not_here", "not here", otherwise)


def _managed_because(settings: Settings) -> str:
    if settings.development:
        return "IDENTITY_ENDPOINT is set (on this machine that is the emulator's)"
    return "This is no development host"


def _refused(name: str, variables: str, settings: Settings, environ: Mapping[str, str]) -> Scenario:
    found = [variable for variable in variables.split() if variable in KEY_VARIABLES and environ.get(variable)]
    if not found:
        why = "This app reaches Azure OpenAI by an identity alone; nothing of the kind is set."
    elif settings.development:
        why = f"{', '.join(found)} is set here, and ignored; in Azure the app would refuse to serve."
    else:
        why = f"{', '.join(found)} is set: the app refuses to serve until it is deleted."
    return Scenario(name, "refused", "never", why)
