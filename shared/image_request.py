"""What did the caller ask about which pictures?  Raw bytes, a form or JSON in, one frozen request out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from pydantic_core import from_json

from shared.errors import InvalidRequest, UnsupportedMediaType
from shared.multipart import read_form
from shared.requests import Incoming, Options, check, check_format, read_json, settle

if TYPE_CHECKING:
    from shared.settings import Settings

Detail = Literal["auto", "low", "high"]

RAW = "application/octet-stream"
FORM = "multipart/form-data"
IMAGE_FIELDS = frozenset({"image", "images", "images[]", "file", "files", "files[]"})
"""Names that clients give to the files of a form. Whatever its name, a part with a file name is a picture too."""


class ImageOptions(Options):
    """What is asked beside the pictures themselves."""

    instructions: str = Field(min_length=1, description="What to tell of the pictures.")
    detail: Detail = Field(default="auto", description="How closely the model looks.")


class JsonImages(ImageOptions):
    """The request as JSON."""

    images: list[str] = Field(min_length=1, description="Data URLs: data:image/png;base64,…")


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Pictures, each as its bytes or as the address that came, and what is asked about them."""

    options: ImageOptions
    images: list[bytes | str]
    plain: bool = False

    @property
    def stream(self) -> bool:
        """Whether the answer is to be streamed."""
        return self.options.stream

    @property
    def timeout(self) -> float | None:
        """Seconds until the answer must be complete."""
        return self.options.timeout

    def hand_over(self) -> list[bytes | str]:
        """The pictures, once: the request forgets them, as it lives as long as its answer."""
        images = self.images.copy()
        self.images.clear()
        return images


def parse_images(incoming: Incoming, settings: Settings) -> ImageRequest:
    """Reads a request for an analysis in each of its three forms.

    The type that a header names only tells the form; what a picture is, its bytes say later.

    Raises:
        UnsupportedMediaType: the body is declared as none of them.
        InvalidJson, InvalidRequest: as for chat; instructions or pictures are missing.
        FeatureRetired: the body asks for what Azure OpenAI no longer has.
    """
    kind = incoming.media_type
    images: list[bytes | str]
    options: ImageOptions
    if kind == "application/json":
        options = asked = check(JsonImages, settle(read_json(incoming), incoming))
        images = [*asked.images]
        asked.images.clear()
    elif kind == FORM:
        options, images = _form(incoming)
    elif kind == RAW or kind.startswith("image/"):
        options = _texts(incoming, dict(incoming.query))
        images = [incoming.body]
    else:
        raise UnsupportedMediaType(
            "Send a picture as the body (Content-Type: image/… or application/octet-stream, ?instructions=…),"
            " a multipart/form-data form, or application/json."
        )
    check_format(options, (options.instructions, settings.default_instructions))
    return ImageRequest(options, images, plain=incoming.accepts("text/plain") and not options.stream)


def _form(incoming: Incoming) -> tuple[ImageOptions, list[bytes | str]]:
    images: list[bytes | str] = []
    texts: dict[str, str] = {}
    for part in read_form(incoming.body, incoming.headers.get("content-type", "")):
        if part.is_file or part.name in IMAGE_FIELDS:
            images.append(bytes(part.data))
            part.data.clear()
        elif part.name in texts:
            raise InvalidRequest(f"{part.name[:40]}: is in the form twice.")
        else:
            texts[part.name] = part.text()
    if not images:
        raise InvalidRequest("images: the form has no file. Send one or more, as curl -F image=@photo.jpg does.")
    return _texts(incoming, texts), images


def _texts(incoming: Incoming, texts: dict[str, str]) -> ImageOptions:
    """The options of a form or a query, where every value is text."""
    body: dict[str, Any] = {}
    for name, text in texts.items():
        # A function key may be in the query; the host has checked it.
        if name != "code":
            body[name] = _value(name, text)
    return check(ImageOptions, settle(body, incoming))


def _value(name: str, text: str) -> Any:
    """The value that a text stands for: numbers, booleans and objects are written as in JSON."""
    if name in ("instructions", "model", "detail", "reasoning_effort"):
        return text
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        # The check says what should be here instead of this text.
        return text
