"""What does a broken rung mean, and which command mends it?"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared import errors
from shared.az import LIST_ACCOUNTS, Az, Mend
from shared.azure.claims import GUID
from shared.reach import Fault, Place

if TYPE_CHECKING:
    from shared.azure.identity import Passport
    from shared.models import Deployment
    from shared.settings import Settings

ROLE = "Cognitive Services OpenAI User"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What was found, what it means, and what mends it. `retry_after` is in seconds, where it may pass by itself."""

    found: str
    meaning: str
    mend: tuple[Mend, ...] = ()
    retry_after: float | None = None


class Remedies:
    """The remedies for an app with these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._az = Az(settings.site_name)

    def settings(self) -> Trouble:
        """The settings have mistakes."""
        mistakes = self._settings.mistakes
        found = " ".join(str(mistake) for mistake in mistakes)
        if self._settings.functions_environment == "Development":
            return Trouble(found, "Correct them in Values of local.settings.json, or in the environment.")
        delete = [mistake.variable for mistake in mistakes if mistake.problem.startswith("must not be set")]
        change = [mistake.variable for mistake in mistakes if mistake.variable not in delete]
        mend = []
        if change:
            values = " ".join(f"{name}=VALUE" for name in dict.fromkeys(change))
            mend.append(Mend(self._az.set(values), "sets them; the app starts anew by itself"))
        if delete:
            mend.append(Mend(self._az.delete(" ".join(delete)), "deletes what must not be set"))
        return Trouble(found, "Every route but /api/health answers 503 until they are mended.", tuple(mend))

    def identity(self, error: errors.AppError) -> Trouble:
        """There is no token."""
        fault = error.fault if isinstance(error, errors.IdentityUnavailable) else "unusable"
        meaning, mend = self._identity(fault)
        found = {
            "refused": "the token endpoint refuses a token",
            "failing": "the token endpoint fails (5xx)",
            "unreachable": "the token endpoint is not reached",
            "late": f"no token within {self._settings.token_timeout:g} seconds",
            "absent": "there is nobody to get a token for",
            "unusable": "what came is no token that can be used",
        }[fault]
        return Trouble(found, meaning, mend, error.retry_after)

    def token(self, passport: Passport, wanted: str) -> Trouble:
        """The token is for somebody else."""
        return Trouble(
            f"it is for {passport.audience}, not for {wanted}",
            "The token endpoint gave a token for another audience than the app asked for; Azure OpenAI would not"
            " take it.",
            (Mend(f"az functionapp restart {self._az.app}", "takes a new token"),),
            60,
        )

    def dns(self, fault: Fault) -> Trouble:
        """The name has no address."""
        zone = Mend(
            "az network private-dns zone list"
            " --query \"[?name=='privatelink.openai.azure.com'].{zone:name, group:resourceGroup}\" --output table",
            "where the app is in a private network: is there a zone, and is it linked to the network?",
        )
        if fault == "silent":
            return Trouble("no answer to the question for its address", "DNS does not answer.", (zone,), 10)
        return Trouble(
            "this name has no address",
            "The endpoint is misspelled, the resource is deleted or has no name of its own yet, or a private network"
            " lacks the DNS zone of its private endpoint.",
            (LIST_ACCOUNTS, zone),
            10,
        )

    def reach(self, place: Place, fault: Fault, within: float) -> Trouble:
        """It is not reached, or not to be trusted."""
        where = f"port {place.port}"
        found, meaning = {
            "refused": (f"{where} refuses the connection", "Nothing listens there, or a firewall refuses for it."),
            "silent": (
                f"no connection to {where} within {within:g} seconds",
                "A firewall drops what is sent, or the address is of a private endpoint in another network.",
            ),
            "no-route": (f"no way to {where}", "This network does not lead there."),
            "untrusted": (
                "its certificate is of nobody that is trusted here",
                "Something in between opens the connection (a proxy that inspects TLS), or it is another server."
                " Where such a proxy is meant to be, SSL_CERT_FILE names a file with its authority.",
            ),
            "expired": ("its certificate has expired", "Or the clock of this machine is wrong."),
            "misnamed": (
                "its certificate is of another name",
                "The address leads to another server: look at DNS, and at AZURE_OPENAI_ENDPOINT.",
            ),
            "no-tls": (
                f"what listens on {where} speaks no TLS",
                "The address leads to something else, or a proxy cuts it.",
            ),
        }.get(fault, ("it is not reached", "The network is at fault."))
        mend = [] if place.host.replace(".", "").isdigit() else [self._az.network_rules(place)]
        return Trouble(found, meaning, tuple(mend), 10)

    def role(self, place: Place, passport: Passport, error: errors.AppError) -> Trouble:
        """Azure OpenAI does not take the identity."""
        match error:
            case errors.UpstreamForbidden():
                return self._forbidden(place, passport, error, "Azure OpenAI says that the identity may not use it")
            case errors.UpstreamUnauthorized():
                told = f" The token is of tenant {passport.tenant_id}." if passport.tenant_id else ""
                return Trouble(
                    "Azure OpenAI refuses the token",
                    "The resource is in another tenant, or in a cloud with another audience"
                    f" (AZURE_OPENAI_TOKEN_SCOPE is {self._settings.token_scope})." + told,
                    (
                        Mend("az account show --query tenantId --output tsv", "the tenant of your subscription"),
                        Mend(
                            self._az.delete("AZURE_OPENAI_TOKEN_SCOPE"), "goes back to the audience of the public cloud"
                        ),
                    ),
                )
            case errors.DeploymentNotFound():
                return Trouble(
                    "there is no /openai/v1/ at this address",
                    "It is no Azure OpenAI resource, or one without a name of its own (a regional address).",
                    (
                        LIST_ACCOUNTS,
                        Mend(
                            self._az.set("AZURE_OPENAI_ENDPOINT=https://NAME.openai.azure.com"), "names the right one"
                        ),
                    ),
                )
            case errors.UpstreamRejected() if self._settings.api_version:
                return Trouble(
                    "Azure OpenAI refuses the request",
                    "It may not know the version that AZURE_OPENAI_API_VERSION names; none is needed.",
                    (Mend(self._az.delete("AZURE_OPENAI_API_VERSION"), "sends none"),),
                )
        return self.other(place, error)

    def deployment(self, place: Place, deployment: Deployment, passport: Passport, error: errors.AppError) -> Trouble:
        """A deployment does not answer."""
        match error:
            case errors.DeploymentNotFound():
                return Trouble(
                    "the resource has no deployment of this name",
                    "AZURE_OPENAI_DEPLOYMENT or MODELS names another one; a new one takes some minutes to appear.",
                    (
                        Mend(
                            f"az cognitiveservices account deployment list {self._az.account(place)} --query"
                            ' "[].{deployment:name, model:properties.model.name, version:properties.model.version}"'
                            " --output table",
                            "lists those that there are",
                        ),
                        Mend(self._az.set("AZURE_OPENAI_DEPLOYMENT=DEPLOYMENT"), "names one of them"),
                    ),
                )
            case errors.RateLimited():
                return Trouble(
                    "its quota is used up at the moment",
                    "The deployment is right; others use it, or its limit is low.",
                    (
                        Mend(
                            f"az cognitiveservices account deployment show {self._az.account(place)}"
                            f" --deployment-name {shlex.quote(deployment.name)}"
                            ' --query "{kind:sku.name, capacity:sku.capacity, limits:properties.rateLimits}"',
                            "shows its limits",
                        ),
                    ),
                    error.retry_after,
                )
            case errors.UpstreamForbidden():
                return self._forbidden(
                    place, passport, error, "the identity may look at the resource, and may not call its models"
                )
        return self.other(place, error)

    def _identity(self, fault: str) -> tuple[str, tuple[Mend, ...]]:
        match self._settings.credential_kind:
            case "managed":
                return self._managed(fault)
            case "workload":
                return self._workload(fault)
            case "developer":
                return (
                    "Nobody is signed in on this machine, or the sign-in has expired.",
                    (Mend("az login", "signs you in; `azd auth login` and VS Code do as well"),),
                )

    def _managed(self, fault: str) -> tuple[str, tuple[Mend, ...]]:
        client_id = self._settings.client_id
        show = Mend(f"az functionapp identity show {self._az.app}", "shows which identities the app has")
        if self._settings.development:
            return (
                "On this machine the identity endpoint is the emulator's. Without IDENTITY_ENDPOINT your own sign-in"
                " is used.",
                (Mend("make emulators", "runs it"),),
            )
        if fault in ("unreachable", "late", "failing") and self._settings.identity_endpoint:
            return (
                "The platform's identity endpoint is out of order, which passes by itself as a rule; the app serves on"
                " with the token that it has.",
                (Mend(f"az functionapp restart {self._az.app}", "if it lasts"),),
            )
        if client_id:
            identity = (
                f'"$(az identity list --query "[?clientId==\'{client_id}\'].id" --output tsv)"'
                if GUID.fullmatch(client_id)
                else "RESOURCE_ID"
            )
            return (
                "The app has no user-assigned identity with the client id in AZURE_CLIENT_ID.",
                (show, Mend(f"az functionapp identity assign {self._az.app} --identities {identity}", "assigns it")),
            )
        return (
            "The app has no system-assigned identity. If it has user-assigned ones, AZURE_CLIENT_ID must say which.",
            (
                show,
                Mend(f"az functionapp identity assign {self._az.app}", "gives it one of its own"),
                Mend(self._az.set("AZURE_CLIENT_ID=CLIENT_ID"), "or names a user-assigned one"),
            ),
        )

    def _workload(self, fault: str) -> tuple[str, tuple[Mend, ...]]:
        if fault == "absent":
            return (
                "The file that AZURE_FEDERATED_TOKEN_FILE names cannot be read: the cluster has not put it there.",
                (
                    Mend(
                        "kubectl get pods --selector azure.workload.identity/use=true --output wide",
                        "is the app's pod among these? Else it lacks the label",
                    ),
                ),
            )
        if fault in ("unreachable", "late", "failing"):
            return "Entra ID (login.microsoftonline.com) does not answer: is the way there open?", ()
        return (
            "Entra ID does not exchange the cluster's token: the federated credential has another issuer, subject or"
            " audience, or AZURE_CLIENT_ID and AZURE_TENANT_ID are another identity's.",
            (
                Mend(
                    "az identity federated-credential list --identity-name NAME --resource-group GROUP"
                    ' --query "[].{issuer:issuer, subject:subject, audiences:audiences}"',
                    "shows what it must be (docs/aks.md)",
                ),
            ),
        )

    def _forbidden(self, place: Place, passport: Passport, error: errors.AppError, found: str) -> Trouble:
        who, scope = passport.object_id or "OBJECT_ID", self._az.scope(place)
        return Trouble(
            found,
            f"Either the role '{ROLE}' is missing, or it was assigned some minutes ago and does not hold yet: Azure"
            " answers the same. (It may also be the resource's network rules.)",
            (
                Mend(
                    f"az role assignment list --assignee {who} --scope {scope} --include-inherited"
                    ' --query "[].{role:roleDefinitionName, since:createdOn}" --output table',
                    "tells them apart: where the role is listed, wait some minutes",
                ),
                Mend(
                    f'az role assignment create --role "{ROLE}" --assignee-object-id {who}'
                    f" --assignee-principal-type {passport.principal} --scope {scope}",
                    "assigns the role where it is missing",
                ),
                self._az.network_rules(place),
            ),
            error.retry_after,
        )

    def other(self, place: Place, error: errors.AppError) -> Trouble:
        """Azure OpenAI does not answer as it should, or cannot be asked."""
        if isinstance(error, errors.Misconfigured):
            return Trouble("no connection can be prepared", error.message)
        words: dict[type[errors.AppError], str] = {
            errors.RateLimited: "Azure OpenAI answers that there are too many requests",
            errors.UpstreamTimeout: "Azure OpenAI does not answer in time",
            errors.UpstreamRejected: "Azure OpenAI refuses the request",
        }
        return Trouble(
            words.get(type(error), "Azure OpenAI fails, or answers what makes no sense"),
            error.message,
            (
                Mend(
                    f"az cognitiveservices account show {self._az.account(place)} --query properties.provisioningState",
                    "is the resource itself all right? https://status.azure.com tells of the region",
                ),
            ),
            error.retry_after or 10,
        )
