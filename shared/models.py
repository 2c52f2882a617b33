"""Which models are offered, and which deployment answers for each?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from shared.endpoint import base_url
from shared.errors import ModelNotFound

if TYPE_CHECKING:
    from shared.settings import Settings

Family = Literal["chat", "reasoning"]
"""`reasoning` models take a reasoning effort and refuse a temperature; `chat` models the other way round."""

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$"
"""What a model or a deployment may be called."""


class ModelSettings(BaseModel):
    """One entry of the setting `MODELS`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    deployment: str | None = Field(
        default=None, pattern=NAME, description="The deployment's name; default: the entry's name."
    )
    endpoint: str | None = Field(
        default=None, min_length=1, description="Its resource; default: AZURE_OPENAI_ENDPOINT."
    )
    family: Family | None = Field(default=None, description="`chat` or `reasoning`; default: told from the names.")
    base_model: str | None = Field(
        default=None, min_length=1, description="The model behind the deployment, as gpt-5.4-mini."
    )
    max_output_tokens: int | None = Field(default=None, ge=16, description="The most output tokens of one answer.")
    default_max_output_tokens: int | None = Field(
        default=None, ge=16, description="Output tokens when a request does not say."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="Temperature when a request does not say.")
    reasoning_effort: ReasoningEffort | None = Field(default=None, description="Effort when a request does not say.")


def read_model_map(value: Any) -> Any:
    """Turns the text of `MODELS` into its entries: JSON, or the path of a file that holds it.

    Raises:
        ValueError: the text is no JSON object, or the file can't be read.
    """
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith(("{", "[")):
        try:
            value = Path(value).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ValueError("is neither a JSON object nor the path of a file that can be read.") from None
    try:
        entries = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}.") from None
    if not isinstance(entries, dict) or not entries:
        raise ValueError('must be a JSON object with at least one entry, as {"NAME": {"deployment": "…"}}.')
    if not all(re.match(NAME, name) for name in entries):
        raise ValueError("has an entry whose name is none: use letters, digits, dots, hyphens and underscores.")
    return entries


@dataclass(frozen=True, slots=True)
class Model:
    """A model that callers may name, with what applies to it. Token counts are caps and defaults of one answer."""

    name: str
    deployment: str
    endpoint: str
    family: Family
    max_output_tokens: int
    default_max_output_tokens: int
    temperature: float | None = None
    reasoning_effort: ReasoningEffort | None = None

    @property
    def base_url(self) -> str:
        """The v1 API of the resource that the deployment is in."""
        return base_url(self.endpoint)


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
        models = {name: _model(name, entry, settings) for name, entry in entries.items()}
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
        if self.pass_through is not None and plain:
            return _model(plain, ModelSettings(), self.pass_through)
        raise ModelNotFound(f"There is no model of this name. Use one of: {', '.join(self.models)}.")


def _model(name: str, entry: ModelSettings, settings: Settings) -> Model:
    deployment = entry.deployment or name
    cap = min(entry.max_output_tokens or settings.max_output_tokens, settings.max_output_tokens)
    temperature = settings.default_temperature if entry.temperature is None else entry.temperature
    return Model(
        name=name,
        deployment=deployment,
        endpoint=entry.endpoint or settings.endpoint,
        family=entry.family or guess_family(entry.base_model, deployment, name),
        max_output_tokens=cap,
        default_max_output_tokens=min(entry.default_max_output_tokens or settings.default_max_output_tokens, cap),
        temperature=temperature,
        reasoning_effort=entry.reasoning_effort,
    )
