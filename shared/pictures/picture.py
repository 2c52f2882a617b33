"""A picture that is ready to be sent, and the limits it was held to."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What one request may bring: bytes and pixels are of one picture, before anything is changed.

    A picture needs at most eight bytes of memory for each of `max_pixels` while it is decoded.
    """

    max_images: int = 10
    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000
    max_frames: int = 1_000
    long_side: int = 2048


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as the model gets it: PNG, JPEG, GIF or WEBP, upright, without metadata.

    `width` and `height` are in pixels, as sent. `changed` says what was done, in this order: "converted"
    (another format or colour model), "resized", "rotated", "metadata_removed" (also whatever else in the
    file was not the picture), "first_frame". It is empty when `data` is, byte for byte, what the caller
    sent.
    """

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    changed: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The picture as a base64 `data:` URL. Made anew at each call: it is a third larger than `data`."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class RemotePicture:
    """An address that is passed on to Azure OpenAI as it came. This app never fetches it."""

    url: str
