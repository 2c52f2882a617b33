"""What did the operator configure?  The one place that reads the environment.

Every field is one app setting. The example file, docs/settings.md and the infrastructure name the same ones; a test
holds them together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.endpoint import endpoint_problem, is_loopback, redis_problem
from shared.model_settings import DeploymentSettings, Models, ModelSettings, problems, read_models

KEY_VARIABLES = (
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_KEY",
    "AZURE_API_KEY",
    "OPENAI_API_KEY",
    "AZURE_OPENAI_AD_TOKEN",
    "AZURE_AD_TOKEN",
    "AZURE_CLIENT_SECRET",
)
"""Keys, static tokens and secrets. In Azure the app refuses to serve while one is set; elsewhere it ignores them."""

OLDER_NAMES = {
    "AZURE_OPENAI_BASE_URL": "AZURE_OPENAI_ENDPOINT",
    "AZURE_MANAGED_IDENTITY_CLIENT_ID": "AZURE_CLIENT_ID",
    "GPT4V_ENDPOINT": "AZURE_OPENAI_ENDPOINT",
    "GPT4V_DEPLOYMENT": "AZURE_OPENAI_DEPLOYMENT",
}
"""Names that other tools use for a setting, understood when the setting itself is absent."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One setting that must be changed, and how. It never holds the setting's value."""

    variable: str
    problem: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.problem}"


def _setting(variable: str, meaning: str, default: Any = None, **constraints: Any) -> Any:
    return Field(default, validation_alias=variable, description=meaning, **constraints)


def _platform(variable: str, meaning: str, default: Any = None) -> Any:
    """A variable that the hosting platform sets, not the operator."""
    return Field(default, validation_alias=variable, description=meaning, json_schema_extra={"platform": True})


class Settings(BaseModel):
    """Everything that the operator and the platform configured. Made by `from_env`, never changed."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    endpoint: str = _setting(
        "AZURE_OPENAI_ENDPOINT", "The Azure OpenAI resource: `https://NAME.openai.azure.com`. Required.", ""
    )
    deployment: str = _setting(
        "AZURE_OPENAI_DEPLOYMENT",
        "The deployment that answers, in the simple case of one. Required unless `MODELS` is set.",
        "",
    )
    models: Models = _setting(
        "MODELS",
        "The models that callers may name: JSON, or the path of a JSON file. See docs/models.md.",
        {},
    )
    default_model: str = _setting(
        "DEFAULT_MODEL", "The model used when a request names none. Default: the first of `MODELS`.", ""
    )
    model_pass_through: bool = _setting(
        "MODEL_PASS_THROUGH",
        "Whether a model's name that is not in the map is tried as a deployment's name.",
        False,
    )
    api_version: str = _setting(
        "AZURE_OPENAI_API_VERSION", "Sent as `api-version` as it is. Leave it empty: the v1 API needs none.", ""
    )
    token_scope: str = _setting(
        "AZURE_OPENAI_TOKEN_SCOPE",
        "The scope of the token. Sovereign clouds have their own.",
        "https://cognitiveservices.azure.com/.default",
        pattern=r"^https://[A-Za-z0-9.-]+/\.default$",
    )
    client_id: str = _setting(
        "AZURE_CLIENT_ID", "A user-assigned identity's client id. Empty: the system-assigned identity.", ""
    )

    caller_auth: Literal["key", "entra"] = _setting(
        "CALLER_AUTH",
        "Who may call: `key` (a function key) or `entra` (the platform's authentication, Easy Auth).",
        "key",
    )
    enforce_caller_auth: bool = _setting(
        "ENFORCE_CALLER_AUTH",
        "Whether `entra` is enforced on a development host too. In Azure it always is.",
        False,
    )

    default_instructions: str = _setting(
        "DEFAULT_INSTRUCTIONS", "The instructions for the model when a request brings none.", ""
    )
    default_max_output_tokens: int = _setting(
        "DEFAULT_MAX_OUTPUT_TOKENS", "Output tokens when a request does not say.", 4096, ge=16
    )
    max_output_tokens: int = _setting(
        "MAX_OUTPUT_TOKENS",
        "The most output tokens of one answer; a request that asks for more gets this.",
        16384,
        ge=16,
    )
    default_temperature: float | None = _setting(
        "DEFAULT_TEMPERATURE",
        "Temperature when a request does not say. Empty: the model's own.",
        None,
        ge=0,
        le=2,
    )
    reasoning_summary: Literal["", "auto", "concise", "detailed"] = _setting(
        "REASONING_SUMMARY", "Whether reasoning models tell a summary of their reasoning. Empty: no.", ""
    )

    agent_max_steps: int = _setting(
        "AGENT_MAX_STEPS", "The most turns of the model in one run of the agent.", 8, ge=1, le=50
    )
    agent_max_tool_calls: int = _setting(
        "AGENT_MAX_TOOL_CALLS", "The most tool calls of one run of the agent.", 24, ge=0, le=500
    )
    agent_max_seconds: float = _setting(
        "AGENT_MAX_SECONDS", "After this long the agent takes no further step but answers.", 120.0, gt=0, le=220
    )
    agent_max_output_tokens: int = _setting(
        "AGENT_MAX_OUTPUT_TOKENS", "The most output tokens of one run of the agent, all turns together.", 32768, ge=16
    )
    weather_url: str = _setting(
        "WEATHER_URL", "The forecast API of the weather tool. Empty: no weather tool.", "https://api.open-meteo.com"
    )
    weather_geocoding_url: str = _setting(
        "WEATHER_GEOCODING_URL", "Where the weather tool looks up cities.", "https://geocoding-api.open-meteo.com"
    )
    weather_key_secret: str = _setting(
        "WEATHER_KEY_SECRET", "The name of the Key Vault secret with the weather provider's key, if it needs one.", ""
    )
    key_vault_url: str = _setting(
        "KEY_VAULT_URL", "The Key Vault with the tools' secrets: `https://NAME.vault.azure.net`.", ""
    )
    key_vault_ca_file: str = _setting(
        "KEY_VAULT_CA_FILE", "The authority of a loopback vault's certificate, on a development host alone.", ""
    )

    max_body_bytes: int = _setting(
        "MAX_BODY_BYTES", "The largest request body, in bytes.", 30_000_000, ge=1024, le=100_000_000
    )
    body_timeout: float = _setting("BODY_TIMEOUT_SECONDS", "How long a request's body may take to arrive.", 30.0, gt=0)
    max_images: int = _setting("MAX_IMAGES", "The most images of one request.", 10, ge=1, le=50)
    max_image_bytes: int = _setting("MAX_IMAGE_BYTES", "The largest image, in bytes.", 20_000_000, ge=1024)
    max_image_pixels: int = _setting(
        "MAX_IMAGE_PIXELS", "The most pixels of one image, width times height.", 50_000_000, ge=1024
    )
    image_long_side: int = _setting(
        "IMAGE_LONG_SIDE", "An image longer than this, in pixels, is made smaller.", 2048, ge=64, le=8192
    )
    allow_remote_images: bool = _setting(
        "ALLOW_REMOTE_IMAGES",
        "Whether https addresses of images are passed on to Azure OpenAI. The app itself never fetches one.",
        False,
    )
    max_messages: int = _setting("MAX_MESSAGES", "The most messages of one request.", 200, ge=1)
    request_timeout: float = _setting(
        "REQUEST_TIMEOUT_SECONDS",
        "The deadline of one request, from its arrival. Azure's front door cuts at about 230.",
        215.0,
        gt=0,
        le=225,
    )
    connect_timeout: float = _setting(
        "CONNECT_TIMEOUT_SECONDS", "How long a connection to Azure OpenAI may take.", 5.0, gt=0
    )
    idle_timeout: float = _setting(
        "IDLE_TIMEOUT_SECONDS",
        "How long Azure OpenAI may be silent, before its first byte and within a stream.",
        120.0,
        gt=0,
    )
    first_event_timeout: float = _setting(
        "FIRST_EVENT_SECONDS",
        "How long one call may take to its first event; then another deployment is tried.",
        30.0,
        gt=0,
        le=225,
    )
    max_attempts: int = _setting(
        "MAX_ATTEMPTS", "The most calls that one answer may cost, with all that failed before it.", 6, ge=1, le=20
    )
    max_concurrent_requests: int = _setting(
        "MAX_CONCURRENT_REQUESTS",
        "The most calls to Azure OpenAI at once, over all routes of one worker; what comes beyond them queues.",
        200,
        ge=1,
    )
    queue_size: int = _setting(
        "QUEUE_SIZE", "How many requests may queue; what comes beyond them gets 503 `overloaded`.", 100, ge=0
    )
    queue_seconds: float = _setting(
        "QUEUE_SECONDS", "How long a request may queue; then it gets 503 `overloaded`.", 10.0, ge=0
    )
    redis_url: str = _setting(
        "REDIS_URL",
        "A Redis server through which workers share cool-downs and counts: `rediss://HOST:PORT`, no password."
        " Optional; needs requirements-redis.txt. See docs/reliability.md.",
        "",
    )
    token_timeout: float = _setting(
        "TOKEN_TIMEOUT_SECONDS", "How long a caller waits for a token when there is no valid one.", 8.0, gt=0, le=60
    )
    heartbeat: float = _setting(
        "HEARTBEAT_SECONDS", "The longest silence of a stream; then a comment line is sent.", 15.0, ge=0.01, le=120
    )
    ready_cache: float = _setting(
        "READY_CACHE_SECONDS",
        "How long the answer of `/api/ready` is kept, so that it may be asked often.",
        5.0,
        ge=0,
        le=300,
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "LOG_LEVEL", "The level of the app's own log. One line a request is logged at INFO.", "INFO"
    )

    functions_environment: str = _platform(
        "AZURE_FUNCTIONS_ENVIRONMENT", "`Development` on a local host (Core Tools sets it).", ""
    )
    website_instance_id: str = _platform("WEBSITE_INSTANCE_ID", "Set in Azure on dedicated and premium plans.", "")
    website_pod_name: str = _platform("WEBSITE_POD_NAME", "Set in Azure on Flex Consumption.", "")
    container_name: str = _platform("CONTAINER_NAME", "Set in Azure on consumption plans.", "")
    website_sku: str = _platform("WEBSITE_SKU", "Set in Azure on every plan.", "")
    site_name: str = _platform("WEBSITE_SITE_NAME", "The app's name, set in Azure; for the commands that mend it.", "")
    website_auth_enabled: bool = _platform(
        "WEBSITE_AUTH_ENABLED", "True where the platform's authentication is on.", False
    )
    identity_endpoint: str = _platform("IDENTITY_ENDPOINT", "Where the platform hands out the identity's tokens.", "")
    federated_token_file: str = _platform(
        "AZURE_FEDERATED_TOKEN_FILE", "Set by AKS workload identity and other federated hosts.", ""
    )
    tenant_id: str = _platform("AZURE_TENANT_ID", "Set with `AZURE_FEDERATED_TOKEN_FILE`.", "")

    mistakes: tuple[Mistake, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def azure_markers(self) -> tuple[str, ...]:
        """The variables that are set and that a host outside Azure does not set."""
        marks = {
            "WEBSITE_INSTANCE_ID": self.website_instance_id,
            "WEBSITE_POD_NAME": self.website_pod_name,
            "CONTAINER_NAME": self.container_name,
            "WEBSITE_SKU": self.website_sku,
        }
        return tuple(name for name, value in marks.items() if value)

    @property
    def development(self) -> bool:
        """Whether this is a local development host, and certainly not Azure."""
        return self.functions_environment == "Development" and not self.azure_markers

    @property
    def credential_kind(self) -> Literal["workload", "developer", "managed"]:
        """Which one credential is used: there is never a chain of several kinds."""
        if self.federated_token_file:
            return "workload"
        if self.development and not self.identity_endpoint:
            return "developer"
        return "managed"

    @property
    def redis_takes_a_token(self) -> bool:
        """Whether the app signs in to Redis: everywhere but on a development host's own server."""
        return not (self.development and is_loopback(self.redis_url))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Reads the settings from `environ` (default: the process's). Never raises.

        A setting with a mistake keeps its default, and `mistakes` names every one of them at once; the app then
        answers 503 instead of serving. An empty value counts as absent.
        """
        environ = os.environ if environ is None else environ
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        warnings = []
        for older, name in OLDER_NAMES.items():
            if older in given and name not in given:
                given[name] = given[older]
                warnings.append(f"{older} is an older name of {name}; please use {name}.")
        values: dict[str, Any] = {name: given[name] for name in cls.variables() if name in given}
        mistakes: list[Mistake] = []
        entries: Mapping[str, Any] = {}
        if "MODELS" in values:
            try:
                values["MODELS"] = entries = read_models(values["MODELS"])
            except ValueError as error:
                mistakes.append(Mistake("MODELS", str(error)))
                del values["MODELS"]
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_url=False):
                name, *inside = (str(part) for part in problem["loc"])
                values.pop(name, None)
                where = f" (at {'.'.join(inside).removesuffix('.[key]')})" if inside else ""
                said = problem["msg"].removeprefix("Value error, ")
                if problem["type"] == "extra_forbidden":
                    entry = DeploymentSettings if "deployments" in inside else ModelSettings
                    said = f"has a key that is none of: {', '.join(entry.model_fields)}"
                mistakes.append(Mistake(name, said + where))
            settings = cls.model_validate(values)
        mistakes += settings.contradictions({mistake.variable for mistake in mistakes}, mapped=bool(entries))
        mistakes += [
            Mistake("MODELS", problem)
            for problem in problems(entries, settings.endpoint, development=settings.development)
        ]
        keys = [name for name in KEY_VARIABLES if name in given]
        if settings.development:
            if keys:
                warnings.append(
                    f"{', '.join(keys)}: ignored. This app reaches Azure OpenAI by its identity and never uses a key."
                )
        else:
            mistakes += [
                Mistake(
                    name,
                    "must not be set: this app uses its managed identity and no key, token or secret."
                    " Delete the app setting.",
                )
                for name in keys
            ]
        if settings.functions_environment == "Development" and settings.azure_markers:
            # A container on a laptop may have such a name: without this hint nobody would find the reason.
            why = f" Here {', '.join(settings.azure_markers)} is set, which only Azure does: unset it on a laptop."
            mistakes = [Mistake(mistake.variable, mistake.problem + why) for mistake in mistakes]
        return settings.model_copy(update={"mistakes": tuple(mistakes), "warnings": tuple(warnings)})

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """The names of all settings, in the order of their definition."""
        return tuple(str(field.validation_alias) for field in cls.model_fields.values() if field.validation_alias)

    def contradictions(self, known: set[str], *, mapped: bool) -> list[Mistake]:
        """What no single field can see. `known` are variables that have a mistake already; `mapped`: there is a map."""
        mistakes = []
        if not self.endpoint and (not mapped or self.model_pass_through):
            mistakes.append(Mistake("AZURE_OPENAI_ENDPOINT", "is not set. Set it to https://NAME.openai.azure.com."))
        if self.endpoint and (problem := endpoint_problem(self.endpoint, development=self.development)):
            mistakes.append(Mistake("AZURE_OPENAI_ENDPOINT", problem))
        if not self.deployment and not mapped and "MODELS" not in known:
            mistakes.append(
                Mistake("AZURE_OPENAI_DEPLOYMENT", "is not set. Set it to a deployment's name, or set MODELS.")
            )
        offered = tuple(self.models) or (self.deployment,)
        if self.default_model and self.default_model not in offered and "MODELS" not in known:
            mistakes.append(Mistake("DEFAULT_MODEL", f"is not one of the models, which are: {', '.join(offered)}."))
        if self.redis_url and (problem := redis_problem(self.redis_url, with_token=self.redis_takes_a_token)):
            mistakes.append(Mistake("REDIS_URL", problem))
        if self.redis_url and find_spec("redis") is None:
            mistakes.append(Mistake("REDIS_URL", "needs the package redis: install requirements-redis.txt too."))
        asked = "default_max_output_tokens" in self.model_fields_set
        if asked and self.default_max_output_tokens > self.max_output_tokens:
            mistakes.append(Mistake("DEFAULT_MAX_OUTPUT_TOKENS", "must not exceed MAX_OUTPUT_TOKENS."))
        if self.credential_kind == "workload" and not (self.client_id and self.tenant_id):
            mistakes.append(
                Mistake(
                    "AZURE_FEDERATED_TOKEN_FILE",
                    "needs AZURE_CLIENT_ID and AZURE_TENANT_ID too. On AKS, label the pod"
                    " azure.workload.identity/use=true and annotate its service account with the client id.",
                )
            )
        return [mistake for mistake in mistakes if mistake.variable not in known]
