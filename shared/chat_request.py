"""What did the caller ask in a conversation?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from shared.errors import InvalidRequest
from shared.requests import (
    OLDER_TOKEN_NAMES,
    Incoming,
    Options,
    Strict,
    check,
    check_format,
    read_json,
    settle,
    type_of,
)
from shared.ui_messages import from_ui_messages, is_ui_body

if TYPE_CHECKING:
    from shared.settings import Settings

MOST_PARTS = 100
"""Parts of one message."""

Role = Literal["user", "assistant", "system", "developer"]


class TextPart(Strict):
    """A piece of text."""

    type: Literal["text"]
    text: str = Field(min_length=1)


class ImageUrl(Strict):
    """An image in the request itself, as a data URL."""

    model_config = ConfigDict(frozen=False)

    url: str = Field(description="data:image/png;base64,… (PNG, JPEG, GIF or WEBP)")
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _content_kind(value: Any) -> str | None:
    return "text" if isinstance(value, str) else "parts" if isinstance(value, list) else None


Part = Annotated[
    Annotated[TextPart, Tag("text")] | Annotated[ImagePart, Tag("image_url")],
    Discriminator(
        type_of, custom_error_type="part", custom_error_message="must be an object of type text or image_url"
    ),
]


Content = Annotated[
    Annotated[str, Tag("text"), Field(min_length=1)]
    | Annotated[list[Part], Tag("parts"), Field(min_length=1, max_length=MOST_PARTS, fail_fast=True)],
    Discriminator(_content_kind, custom_error_type="content", custom_error_message="must be text or a list of parts"),
]


class Message(Strict):
    """One message of the conversation: who said it, and what."""

    role: Role
    content: Content

    @model_validator(mode="after")
    def _images_are_the_users(self) -> Self:
        if self.role != "user" and any(isinstance(part, ImagePart) for part in self.parts):
            raise ValueError("only a user's message may hold images")
        return self

    @property
    def parts(self) -> list[TextPart | ImagePart]:
        """The content as parts, whichever form it has."""
        return [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class ChatRequest(Options):
    """A conversation, and how it should be answered."""

    messages: list[Message] = Field(min_length=1, fail_fast=True)
    instructions: str | None = Field(default=None, description="What the model should be, before the conversation.")

    def hand_over_images(self) -> list[str]:
        """The URLs of all images, once: the request forgets them, as it lives as long as its answer."""
        parts = [part for message in self.messages for part in message.parts]
        images = [part.image_url for part in parts if isinstance(part, ImagePart)]
        urls = [image.url for image in images]
        for image in images:
            image.url = ""
        return urls


Conversation = TypeVar("Conversation", bound=ChatRequest)


def parse_chat(incoming: Incoming, settings: Settings) -> ChatRequest:
    """Reads a chat request, in this app's own shape or as the AI SDK's `useChat` sends it.

    Raises:
        UnsupportedMediaType: the body is not declared as JSON.
        InvalidJson: it is no JSON, or JSON that is refused: NaN, too deep, lone surrogates.
        InvalidRequest: a field is missing, unknown, of the wrong type or out of range.
        FeatureRetired: it asks for what Azure OpenAI no longer has.
    """
    return parse_conversation(ChatRequest, incoming, settings)


def parse_conversation(kind: type[Conversation], incoming: Incoming, settings: Settings) -> Conversation:
    """A conversation as a request of this kind. Raises as `parse_chat` does."""
    body = read_json(incoming)
    if is_ui_body(body):
        body = from_ui_messages(body, known={*kind.model_fields, *OLDER_TOKEN_NAMES})
    messages = body.get("messages")
    # Before the check, which costs time for each.
    if isinstance(messages, list) and len(messages) > settings.max_messages:
        raise InvalidRequest(f"messages: at most {settings.max_messages} are allowed. Send fewer, or a summary.")
    asked = check(kind, settle(body, incoming))
    texts = (part.text for message in asked.messages for part in message.parts if isinstance(part, TextPart))
    check_format(asked, (asked.instructions or settings.default_instructions, *texts))
    return asked
