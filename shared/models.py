"""Which models are offered, and which deployments answer for each?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from shared.endpoint import base_url, resource
from shared.errors import ModelNotFound
from shared.model_settings import LIMITS, NAME, DeploymentSettings, Family, ModelSettings, ReasoningEffort

if TYPE_CHECKING:
    from shared.settings import Settings

EFFORTS: tuple[ReasoningEffort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh")
"""From the least to the most."""

OWN_TEMPERATURE = 1.0
OWN_EFFORT: ReasoningEffort = "medium"
"""What a model takes at most when nobody says."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a model. `endpoint` is its resource's address, in one form whichever the settings have."""

    name: str
    endpoint: str
    priority: int = 1
    weight: float = 1
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None
    kind: Literal["standard", "provisioned"] = "standard"
    concurrency: int | None = None

    @property
    def base_url(self) -> str:
        """The v1 API of the resource that it is in."""
        return base_url(self.endpoint)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that callers may name, the deployments that may answer for it, and its caps and defaults for one answer.

    `most_temperature` and `most_effort` are caps, as `max_output_tokens` is; the other values are defaults.
    """

    name: str
    deployments: tuple[Deployment, ...]
    family: Family = "chat"
    base_model: str | None = None
    max_output_tokens: int = 16384
    default_max_output_tokens: int = 4096
    temperature: float | None = None
    reasoning_effort: ReasoningEffort | None = None
    most_temperature: float | None = None
    most_effort: ReasoningEffort | None = None

    def tokens_for(self, asked: int | None) -> int:
        """The most output tokens of an answer for which a request wants so many."""
        return min(asked or self.default_max_output_tokens, self.max_output_tokens)

    def temperature_for(self, asked: float | None) -> float | None:
        """The temperature of an answer; None leaves it to the model."""
        wanted = self.temperature if asked is None else asked
        if self.most_temperature is None:
            return wanted
        if wanted is None and self.most_temperature >= OWN_TEMPERATURE:
            return None
        return min(OWN_TEMPERATURE if wanted is None else wanted, self.most_temperature)

    def effort_for(self, asked: ReasoningEffort | None) -> ReasoningEffort | None:
        """The effort of an answer; None leaves it to the model."""
        wanted = asked or self.reasoning_effort
        if self.most_effort is None:
            return wanted
        most = EFFORTS.index(self.most_effort)
        if wanted is None and most >= EFFORTS.index(OWN_EFFORT):
            return None
        return EFFORTS[min(EFFORTS.index(wanted or OWN_EFFORT), most)]


def guess_family(*names: str | None) -> Family:
    """The family that the names tell: o1, o3, o4-mini, gpt-5 and later reason; gpt-5-chat and the rest do not."""
    for name in names:
        plain = (name or "").lower().removeprefix("azure/")
        if plain.startswith(("o1", "o3", "o4")) or (plain.startswith("gpt-5") and "chat" not in plain):
            return "reasoning"
    return "chat"


@dataclass(frozen=True, slots=True)
class ModelMap:
    """The models that are offered. `default` is the name used when a request names none."""

    models: Mapping[str, Model]
    default: str
    pass_through: Settings | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The map of `MODELS`, or of the one deployment in the simple case."""
        entries = settings.models or {settings.deployment: ModelSettings()}
        models = _with_known_limits({name: _model(name, entry, settings) for name, entry in entries.items()})
        default = settings.default_model if settings.default_model in models else next(iter(models))
        return cls(models, default, settings if settings.model_pass_through else None)

    def choose(self, name: str | None) -> Model:
        """The model of this name, or the default one.

        Raises:
            ModelNotFound: no model has this name. The message lists the names that are offered.
        """
        if not name:
            return self.models[self.default]
        if name in self.models:
            return self.models[name]
        # Clients of other gateways put these before a model's name.
        plain = name.removeprefix("azure/").removeprefix("o_series/")
        if plain in self.models:
            return self.models[plain]
        if self.pass_through is not None and re.fullmatch(NAME, plain):
            return _model(plain, ModelSettings(), self.pass_through)
        raise ModelNotFound(f"There is no model of this name. Use one of: {', '.join(self.models)}.")


def _model(name: str, entry: ModelSettings, settings: Settings) -> Model:
    listed = entry.listed(name)
    cap = min(entry.max_output_tokens or settings.max_output_tokens, settings.max_output_tokens)
    return Model(
        name=name,
        deployments=tuple(_deployment(one, entry.endpoint or settings.endpoint) for one in listed),
        family=entry.family or guess_family(entry.base_model, *(one.deployment for one in listed), name),
        base_model=entry.base_model,
        max_output_tokens=cap,
        default_max_output_tokens=min(entry.default_max_output_tokens or settings.default_max_output_tokens, cap),
        temperature=settings.default_temperature if entry.temperature is None else entry.temperature,
        reasoning_effort=entry.reasoning_effort,
        most_temperature=entry.max_temperature,
        most_effort=entry.max_reasoning_effort,
    )


def _with_known_limits(models: Mapping[str, Model]) -> dict[str, Model]:
    """The same models; what one of them says of a deployment's limits holds wherever that deployment is named."""
    limits: dict[tuple[str, str], dict[str, Any]] = {}
    for one in (one for model in models.values() for one in model.deployments):
        said = {limit: getattr(one, limit) for limit in LIMITS}
        known = limits.setdefault((one.endpoint, one.name), {})
        known |= {limit: value for limit, value in said.items() if value not in (None, "standard")}
    return {
        name: replace(
            model, deployments=tuple(replace(one, **limits[one.endpoint, one.name]) for one in model.deployments)
        )
        for name, model in models.items()
    }


def _deployment(entry: DeploymentSettings, endpoint: str) -> Deployment:
    return Deployment(
        name=entry.deployment,
        endpoint=resource(entry.endpoint or endpoint),
        priority=entry.priority,
        weight=entry.weight,
        tokens_per_minute=entry.tokens_per_minute,
        requests_per_minute=entry.requests_per_minute,
        kind=entry.kind,
        concurrency=entry.concurrency,
    )
