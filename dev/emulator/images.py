"""Pictures in a prompt: data URLs, decoded as far as their header tells type and size."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from dataclasses import dataclass

from dev.emulator.refusal import invalid

DATA_URL = re.compile(r"data:(image/[a-z+.-]+);base64,(.*)", re.DOTALL)
LIMIT = 50


@dataclass(frozen=True)
class Picture:
    """An image as sent: its type, size in pixels and in bytes; of an address only that (nothing is fetched)."""

    address: str | None = None
    media_type: str = ""
    width: int = 0
    height: int = 0
    length: int = 0

    def __str__(self) -> str:
        if self.address is not None:
            return f"one at {self.address}, not fetched"
        return f"{self.media_type} of {self.width} x {self.height} pixels, {self.length} bytes"


def read_picture(url: object, param: str) -> Picture:
    """Decode a data URL, or note an address.

    Raises:
        Refusal: neither of these, not base64, or not a PNG, JPEG, GIF or WEBP.
    """
    if not isinstance(url, str) or not url.startswith(("data:", "https://", "http://")):
        raise invalid(
            f"Invalid '{param}'. Expected a valid URL, but got a value with an invalid format.", param, "invalid_value"
        )
    if not url.startswith("data:"):
        return Picture(address=url)
    found = DATA_URL.fullmatch(url)
    try:
        content = base64.b64decode(found[2], validate=True) if found else b""
    except binascii.Error:
        content = b""
    if not found or not content:
        raise invalid(
            f"Invalid '{param}'. Expected a base64-encoded data URL with an image MIME type "
            "(e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU=').",
            param,
            "invalid_value",
        )
    measured = measure(content)
    if measured is None:
        raise invalid(
            "The image data you provided does not represent a valid image. Please check your input and try again with "
            "one of the supported image formats: ['image/jpeg', 'image/png', 'image/gif', 'image/webp'].",
            param,
            "invalid_image",
        )
    media_type, width, height = measured
    return Picture(None, media_type, width, height, len(content))


def measure(content: bytes) -> tuple[str, int, int] | None:
    """Media type, width and height from an image's header; None when it is none of the four formats."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
            return "image/png", *struct.unpack(">II", content[16:24])
        if content.startswith((b"GIF87a", b"GIF89a")):
            return "image/gif", *struct.unpack("<HH", content[6:10])
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return "image/webp", *_webp(content)
        if content.startswith(b"\xff\xd8\xff"):
            return "image/jpeg", *_jpeg(content)
    except (struct.error, IndexError):
        return None
    return None


def _webp(content: bytes) -> tuple[int, int]:
    match content[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
        case b"VP8L":
            (bits,) = struct.unpack("<I", content[21:25])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case _:
            width, height = struct.unpack("<HH", content[26:30])
            return width & 0x3FFF, height & 0x3FFF


def _jpeg(content: bytes) -> tuple[int, int]:
    at = 2
    while True:
        marker, length = struct.unpack(">xBH", content[at : at + 4])
        # The frame headers SOF0 to SOF15, but for the tables that share their numbers.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
