"""Type and size from an image's header."""

from __future__ import annotations

import struct

import pytest

from dev.emulator.images import measure

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480)
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc4\x00\x04cd\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 480, 640)


def webp(kind: bytes, rest: bytes) -> bytes:
    """A WEBP of this kind."""
    return b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + rest


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (PNG, ("image/png", 640, 480)),
        (b"GIF87a\x80\x02\xe0\x01", ("image/gif", 640, 480)),
        (JPEG, ("image/jpeg", 640, 480)),
        (webp(b"VP8X", b"\0\0\0\0\x7f\x02\x00\xdf\x01\x00"), ("image/webp", 640, 480)),
        (webp(b"VP8L", b"\x2f" + struct.pack("<I", 639 | 479 << 14)), ("image/webp", 640, 480)),
        (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480)), ("image/webp", 640, 480)),
        (PNG[:18], None),
        (JPEG[:12], None),
        (b"GIF89a", None),
        (b"<svg/>", None),
    ],
)
def test_a_header_tells_type_and_size(content: bytes, found: tuple[str, int, int] | None) -> None:
    assert measure(content) == found
