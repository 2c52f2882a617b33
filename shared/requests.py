"""What did the caller ask?  What the requests of all endpoints share: bytes in, checked values out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

from shared.errors import FeatureRetired, InvalidJson, InvalidRequest, UnsupportedMediaType
from shared.model_settings import ReasoningEffort
from shared.strict_schema import strict_problem

Checked = TypeVar("Checked", bound=BaseModel)

OLDER_TOKEN_NAMES = ("max_tokens", "max_completion_tokens")

MOST_COMMAS = 1_000_000
MOST_ITEMS = 10_000
MOST_FIELDS = 1_000
LONGEST_SCHEMA = 100_000
"""Bounds on a body's structure: checking costs time for every value, and a mistake memory."""

RETIRED = frozenset({"enhancements", "dataSources", "data_sources"})
"""What the retired `/extensions` API took."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came, read to its end. Header names are in lower case."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def accepts(self, media_type: str) -> bool:
        """Whether the caller names this media type in `Accept` (a wildcard does not count)."""
        ranges = self.headers.get("accept", "").lower().split(",")
        return media_type in (one.partition(";")[0].strip() for one in ranges)


class Strict(BaseModel):
    """What the caller sends is taken as it is: no unknown fields, no conversion, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def type_of(value: Any) -> str | None:
    """The kind that an object names in its `type`: what tells the members of a union apart."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) else None


def _small_and_finite(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except ValueError:
        raise ValueError("must hold no number that is not finite") from None
    if size > LONGEST_SCHEMA:
        raise ValueError(f"must be at most {LONGEST_SCHEMA} characters of JSON")
    return schema


class JsonSchema(Strict):
    """A JSON schema that the answer's text must fit."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    schema_: Annotated[dict[str, Any], AfterValidator(_small_and_finite)] = Field(alias="schema")
    strict: bool = True
    description: str | None = None

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        if self.strict and (problem := strict_problem(self.schema_)):
            raise ValueError(problem)
        return self


class TextFormat(Strict):
    """Plain text: the default."""

    type: Literal["text"]


class JsonObjectFormat(Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(Strict):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("text")]
    | Annotated[JsonObjectFormat, Tag("json_object")]
    | Annotated[JsonSchemaFormat, Tag("json_schema")],
    Discriminator(
        type_of,
        custom_error_type="format",
        custom_error_message="must be an object of type text, json_object or json_schema",
    ),
]


class Options(Strict):
    """What every request may say of its answer. `stream` tells whether the answer is a stream."""

    model: str | None = Field(
        default=None, max_length=200, description="One of the app's models; default: its default."
    )
    max_output_tokens: int | None = Field(
        default=None,
        ge=16,
        description="Lowered to the app's own cap.",
        # So that a mistake is told under the name that was sent.
        validation_alias=AliasChoices("max_output_tokens", *OLDER_TOKEN_NAMES),
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="Left out for models that take none.")
    reasoning_effort: ReasoningEffort | None = Field(default=None, description="For models that reason.")
    response_format: ResponseFormat | None = None
    timeout: float | None = Field(
        default=None, gt=0, description="Seconds until the answer must be complete; it can only lower the app's own."
    )
    stream: bool = False


def read_json(incoming: Incoming) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        UnsupportedMediaType, InvalidJson.
        FeatureRetired: it asks for what Azure OpenAI no longer has.
    """
    if incoming.media_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with the header 'Content-Type: application/json'.")
    # Every value of a list or an object but one has its comma: what costs seconds to read is refused unread.
    if incoming.body.count(b",") > MOST_COMMAS:
        raise InvalidRequest("The body has too many values. Send a shorter conversation.")
    try:
        body = from_json(incoming.body, allow_inf_nan=False)
    except ValueError:
        raise InvalidJson(
            "The body is not valid JSON in UTF-8, or holds what is refused: NaN, lone surrogates, very deep nesting."
        ) from None
    if not isinstance(body, dict):
        raise InvalidJson("The body must be a JSON object.")
    _check_size(body)
    if retired := RETIRED & body.keys():
        raise FeatureRetired(
            f"{', '.join(sorted(retired))}: Azure OpenAI has retired this. Send the pictures to /api/images/analyze:"
            " today's models read text in pictures and find objects by themselves."
        )
    return body


def _check_size(value: Any) -> None:
    """Refuses objects and lists that no request needs."""
    inside: list[Any] = [value]
    while inside:
        one = inside.pop()
        if len(one) > (MOST_FIELDS if isinstance(one, dict) else MOST_ITEMS):
            raise InvalidRequest(
                f"The body has an object of over {MOST_FIELDS} fields, or a list of over {MOST_ITEMS} items."
            )
        inside += [each for each in (one.values() if isinstance(one, dict) else one) if isinstance(each, dict | list)]


def check(kind: type[Checked], body: dict[str, Any]) -> Checked:
    """`body` as a checked request.

    Raises:
        InvalidRequest: names the first five fields that are wrong, and how; never their values.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        lines = [f"{_place(problem['loc'])}: {_plain(problem['msg'])}" for problem in problems[:5]]
        raise InvalidRequest("; ".join(lines) + ".") from None


def _place(loc: tuple[int | str, ...]) -> str:
    names: list[str] = []
    before: int | str = ""
    for part in loc:
        # Behind a union pydantic names the kind that was taken, which is no field of the caller's.
        is_kind = part in KINDS and (isinstance(before, int) or before in ("content", "response_format"))
        if not is_kind:
            # A name that the caller made up may be of any length.
            names.append(str(part)[:40])
        before = part
    return ".".join(names) or "body"


KINDS = frozenset({"parts", "text", "image_url", "json_object", "json_schema"})


def _plain(message: str) -> str:
    return {
        "Extra inputs are not permitted": "is not a field of this request",
        "Field required": "is missing",
        "List should have at least 1 item after validation, not 0": "must not be empty",
        "String should have at least 1 character": "must not be empty",
    }.get(message, message[:1].lower() + message[1:]).removeprefix("value error, ")


def settle(body: dict[str, Any], incoming: Incoming) -> dict[str, Any]:
    """Puts what a request says in several ways into one: no names of the token limit but one, a stream by `Accept`.

    Raises:
        InvalidRequest: two names of the token limit at once.
    """
    names = ("max_output_tokens", *OLDER_TOKEN_NAMES)
    given = [name for name in names if body.get(name) is not None]
    if len(given) > 1:
        raise InvalidRequest(f"{' and '.join(given)}: these are names of one setting; send only max_output_tokens.")
    body = {name: value for name, value in body.items() if name not in names or name in given}
    if incoming.accepts("text/event-stream") and body.get("stream") is None:
        body["stream"] = True
    return body


def check_format(asked: Options, said: Iterable[str | None]) -> None:
    """Holds `json_object` to what Azure OpenAI wants of it. `said` is all the text that the model will read.

    Raises:
        InvalidRequest: nothing of it mentions JSON.
    """
    if isinstance(asked.response_format, JsonObjectFormat) and not any("json" in (one or "").lower() for one in said):
        raise InvalidRequest("response_format: for json_object, the instructions or a message must say the word JSON.")
