"""What did the caller ask?  Bytes in, frozen and checked requests out."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import from_json

from shared.errors import InvalidJson, InvalidRequest, UnsupportedMediaType
from shared.models import ReasoningEffort
from shared.ui_messages import from_ui_messages, is_ui_body

if TYPE_CHECKING:
    from shared.settings import Settings

IMAGE_PREFIXES = tuple(f"data:image/{kind};base64," for kind in ("png", "jpeg", "gif", "webp"))

Checked = TypeVar("Checked", bound=BaseModel)

Role = Literal["user", "assistant", "system", "developer"]


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


class _Model(BaseModel):
    """What the caller sends is taken as it is: no unknown fields, no conversion, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(_Model):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(_Model):
    """An image in the request itself, as a data URL."""

    url: str = Field(description="data:image/png;base64,… (PNG, JPEG, GIF or WEBP)")
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(_Model):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _type_of(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) else None


def _content_kind(value: Any) -> str | None:
    return "text" if isinstance(value, str) else "parts" if isinstance(value, list) else None


Part = Annotated[
    Annotated[TextPart, Tag("text")] | Annotated[ImagePart, Tag("image_url")],
    Discriminator(
        _type_of, custom_error_type="part", custom_error_message="must be an object of type text or image_url"
    ),
]


Content = Annotated[
    Annotated[str, Tag("text"), Field(min_length=1)] | Annotated[list[Part], Tag("parts"), Field(min_length=1)],
    Discriminator(_content_kind, custom_error_type="content", custom_error_message="must be text or a list of parts"),
]


class Message(_Model):
    """One message of the conversation: who said it, and what."""

    role: Role
    content: Content

    @property
    def parts(self) -> list[TextPart | ImagePart]:
        """The content as parts, whichever form it has."""
        return [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class JsonSchema(_Model):
    """A JSON schema that the answer's text must fit."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool = True
    description: str | None = None


class TextFormat(_Model):
    """Plain text: the default."""

    type: Literal["text"]


class JsonObjectFormat(_Model):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(_Model):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("text")]
    | Annotated[JsonObjectFormat, Tag("json_object")]
    | Annotated[JsonSchemaFormat, Tag("json_schema")],
    Discriminator(
        _type_of,
        custom_error_type="format",
        custom_error_message="must be an object of type text, json_object or json_schema",
    ),
]


class ChatRequest(_Model):
    """A conversation, and how it should be answered. `stream` tells whether the answer is a stream."""

    messages: list[Message] = Field(min_length=1)
    model: str | None = Field(
        default=None, max_length=200, description="One of the app's models; default: its default."
    )
    instructions: str | None = Field(default=None, description="What the model should be, before the conversation.")
    max_output_tokens: int | None = Field(default=None, ge=16, description="Lowered to the app's own cap.")
    temperature: float | None = Field(default=None, ge=0, le=2, description="Left out for models that take none.")
    reasoning_effort: ReasoningEffort | None = Field(default=None, description="For models that reason.")
    response_format: ResponseFormat | None = None
    stream: bool = False


OLDER_TOKEN_NAMES = ("max_tokens", "max_completion_tokens")


def parse_chat(incoming: Incoming, settings: Settings) -> ChatRequest:
    """Reads a chat request, in this app's own shape or as the AI SDK's `useChat` sends it.

    Raises:
        UnsupportedMediaType: the body is not declared as JSON.
        InvalidJson: it is no JSON, or JSON that is refused: NaN, too deep, lone surrogates.
        InvalidRequest: a field is missing, unknown, of the wrong type or out of range.
    """
    body = read_json(incoming)
    from_ui = is_ui_body(body)
    if from_ui:
        body = from_ui_messages(body, known=ChatRequest.model_fields.keys() | set(OLDER_TOKEN_NAMES))
    if incoming.accepts("text/event-stream") and body.get("stream") is None:
        body["stream"] = True
    request = check(ChatRequest, _one_token_name(body))
    if len(request.messages) > settings.max_messages:
        raise InvalidRequest(f"messages: at most {settings.max_messages} are allowed. Send fewer, or a summary.")
    for index, message in enumerate(request.messages):
        for place, part in enumerate(message.parts):
            if isinstance(part, ImagePart):
                _check_image(part.image_url.url, f"messages.{index}.content.{place}")
    return request


def read_json(incoming: Incoming) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        UnsupportedMediaType, InvalidJson.
    """
    if incoming.media_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with the header 'Content-Type: application/json'.")
    try:
        body = from_json(incoming.body, allow_inf_nan=False)
    except ValueError:
        raise InvalidJson(
            "The body is not valid JSON in UTF-8, or holds what is refused: NaN, lone surrogates, very deep nesting."
        ) from None
    if not isinstance(body, dict):
        raise InvalidJson("The body must be a JSON object.")
    return body


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
    }.get(message, message[:1].lower() + message[1:])


def _one_token_name(body: dict[str, Any]) -> dict[str, Any]:
    """Puts the older names of `max_output_tokens` under the one that is used."""
    given = [name for name in ("max_output_tokens", *OLDER_TOKEN_NAMES) if body.get(name) is not None]
    if len(given) > 1:
        raise InvalidRequest(f"{' and '.join(given)}: these are names of one setting; send only max_output_tokens.")
    body = {name: value for name, value in body.items() if name not in OLDER_TOKEN_NAMES or name in given}
    if given:
        body["max_output_tokens"] = body.pop(given[0])
    return body


def _check_image(url: str, place: str) -> None:
    if not url.startswith(IMAGE_PREFIXES):
        raise InvalidRequest(
            f"{place}: send the image itself as a data URL, data:image/png;base64,… (PNG, JPEG, GIF or WEBP)."
        )
    try:
        binascii.a2b_base64(url.partition(",")[2], strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{place}: the data URL's base64 is not valid.") from None
