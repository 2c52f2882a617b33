"""What does the setting `MODELS` say?  Its entries, and every mistake in it at once, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import from_json

from shared.endpoint import endpoint_problem, resource

Family = Literal["chat", "reasoning"]
"""`reasoning` models take a reasoning effort and refuse a temperature; `chat` models the other way round."""

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$"
"""What a model or a deployment may be called."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DeploymentSettings(_Entry):
    """One of an entry's `deployments`."""

    deployment: str = Field(pattern=NAME, description="Its name.")
    endpoint: str | None = Field(default=None, min_length=1, description="Its resource; default: the entry's.")
    priority: int = Field(default=1, ge=1, description="The lowest number is called first.")
    weight: float = Field(default=1, gt=0, description="Its share among those of one priority.")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="Its quota.")
    requests_per_minute: int | None = Field(default=None, ge=1, description="Its quota.")
    kind: Literal["standard", "provisioned"] = Field(
        default="standard", description="Of one priority, `provisioned` ones are called first."
    )
    concurrency: int | None = Field(default=None, ge=1, description="The most calls at once.")


class ModelSettings(_Entry):
    """One entry of the setting `MODELS`: a deployment in the simple form, or a list of them."""

    deployment: str | None = Field(
        default=None, pattern=NAME, description="The deployment's name; default: the entry's name."
    )
    endpoint: str | None = Field(
        default=None, min_length=1, description="Its resource; default: AZURE_OPENAI_ENDPOINT."
    )
    deployments: list[DeploymentSettings] | None = Field(
        default=None, min_length=1, description="Several that answer alike, in place of `deployment`."
    )
    family: Family | None = Field(default=None, description="`chat` or `reasoning`; default: told from the names.")
    base_model: str | None = Field(
        default=None, min_length=1, description="The model behind all its deployments, as gpt-5.4-mini."
    )
    max_output_tokens: int | None = Field(default=None, ge=16, description="The most output tokens of one answer.")
    default_max_output_tokens: int | None = Field(
        default=None, ge=16, description="Output tokens when a request does not say."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="Temperature when a request does not say.")
    max_temperature: float | None = Field(default=None, ge=0, le=2, description="The highest temperature.")
    reasoning_effort: ReasoningEffort | None = Field(default=None, description="Effort when a request does not say.")
    max_reasoning_effort: ReasoningEffort | None = Field(default=None, description="The highest effort.")

    def listed(self, name: str) -> list[DeploymentSettings]:
        """Its deployments, whichever form it has. `name` is the entry's."""
        # The entry's name is checked where entries are; AZURE_OPENAI_DEPLOYMENT may be anything that Azure takes.
        return self.deployments or [DeploymentSettings.model_construct(deployment=self.deployment or name)]


def _name(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise ValueError("has an entry whose name is none: use letters, digits, dots, hyphens and underscores.")
    return name


Models = Mapping[Annotated[str, AfterValidator(_name)], ModelSettings]
"""The setting itself: the name that callers use, and what it is."""


def read_models(text: str) -> dict[str, Any]:
    """The entries that the text of `MODELS` holds: JSON, or the path of a file with it. They are not checked yet.

    Raises:
        ValueError: the text is no JSON object, or the file can't be read.
    """
    if not text.lstrip().startswith(("{", "[")):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ValueError("is neither a JSON object nor the path of a file that can be read.") from None
    try:
        entries = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}.") from None
    if not isinstance(entries, dict) or not entries:
        raise ValueError('must be a JSON object with at least one entry, as {"NAME": {"deployment": "…"}}.')
    return entries


LIMITS = ("tokens_per_minute", "requests_per_minute", "kind", "concurrency")
"""What is said of a deployment itself; its priority and weight are for one model."""


class _Named(NamedTuple):
    """A deployment as an entry names it. `place` is where; `said` is what is said of its limits."""

    place: str
    name: str
    endpoint: str
    said: Mapping[str, Any]


def problems(entries: Mapping[str, Any], endpoint: str, *, development: bool) -> Iterator[str]:
    """What no single field can see, of entries that may have other mistakes too.

    `endpoint` is the resource of those that name none; where that is empty too, the deployment is a problem.
    """
    described: dict[tuple[str, str, str], tuple[str, Any]] = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            continue
        if "deployments" in entry and entry.get("deployment") is not None:
            yield f"say deployment or deployments, not both (at {name})"
        yield from _limits(name, entry)
        own: set[tuple[str, str]] = set()
        for one in _deployments(name, entry):
            where = one.endpoint or endpoint
            if not where:
                yield f"needs an endpoint, as AZURE_OPENAI_ENDPOINT is not set (at {one.place})"
                continue
            problem = endpoint_problem(where, development=development)
            if problem and one.endpoint:
                yield f"endpoint {problem} (at {one.place})"
            if problem:
                continue
            key = (resource(where), one.name)
            if key in own:
                yield f"the same deployment is there twice (at {one.place})"
            own.add(key)
            for limit, value in one.said.items():
                place, other = described.setdefault((*key, limit), (one.place, value))
                if other != value:
                    yield f"{limit} differs from that of the same deployment at {place} (at {one.place})"


def _deployments(name: str, entry: Mapping[str, Any]) -> Iterator[_Named]:
    own = entry.get("endpoint")
    own = own if isinstance(own, str) else ""
    listed = entry.get("deployments")
    if not isinstance(listed, list):
        deployment = entry.get("deployment") or name
        if isinstance(deployment, str):
            yield _Named(name, deployment, own, {})
        return
    for number, one in enumerate(listed):
        if isinstance(one, dict) and isinstance(one.get("deployment"), str):
            where = one.get("endpoint")
            said = {limit: one[limit] for limit in LIMITS if one.get(limit) is not None}
            place = f"{name}.deployments.{number}"
            yield _Named(place, one["deployment"], where if isinstance(where, str) and where else own, said)


def _limits(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    default, most = entry.get("default_max_output_tokens"), entry.get("max_output_tokens")
    if isinstance(default, int) and isinstance(most, int) and default > most:
        yield f"default_max_output_tokens must not exceed max_output_tokens (at {name})"
