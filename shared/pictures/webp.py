"""WEBP: its chunks, without those that are not the picture.

Source: RFC 9649 (container), RFC 6386 section 9.1 (VP8 frame header).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from shared.pictures.picture import PictureLimits
from shared.pictures.survey import Broken, Oversized, Survey, check_frames, check_size, orientation_of

MAX_CHUNKS = 16_384
ANIMATED, XMP, EXIF = 0x02, 0x04, 0x08
KEPT = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM")


def recognises(data: bytes) -> bool:
    """Whether the first bytes are WEBP's."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def survey(data: bytes, limits: PictureLimits) -> Survey:
    """Walk all chunks; EXIF, XMP, unknown chunks and the frames after the first are dropped.

    The compressed pixels are not decoded, but their size must be the canvas's.

    Raises:
        Broken, Oversized: As in `survey.py`.
        IndexError, struct.error: The file ends too early.
    """
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size + (size & 1)
    if end - (size & 1) > len(data):
        raise Broken
    canvas: tuple[int, int] | None = None
    flags, frames, orientation, metadata, picture = 0, 0, 1, False, False
    kept: list[tuple[bytes, bytes]] = []
    for number, (name, body) in enumerate(_chunks(data, 12, 8 + size)):
        if number >= MAX_CHUNKS:
            raise Oversized("has too many chunks; save it anew as a WEBP or PNG.")
        if name == b"VP8X":
            if number:
                raise Broken
            flags = body[0]
            canvas = (1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little"))
            check_size(*canvas, limits)
            kept.append((name, bytes([flags & ~(EXIF | XMP)]) + body[1:10]))
            continue
        if name in (b"VP8 ", b"VP8L"):
            inside = _bitstream_size(name, body)
            if picture or (canvas or inside) != inside or flags & ANIMATED:
                raise Broken
            check_size(*inside, limits)
            canvas, picture = inside, True
        elif name == b"ANMF":
            if canvas is None or not flags & ANIMATED:
                raise Broken
            _check_frame(body, canvas)
            frames += 1
            check_frames(frames, limits)
        elif name == b"EXIF":
            orientation = orientation_of(body[6:] if body.startswith(b"Exif\0\0") else body)
        if name in KEPT or (name == b"ANMF" and frames == 1):
            kept.append((name, body))
        elif name != b"ANMF":
            metadata = True
    if canvas is None or not (picture or frames):
        raise Broken
    metadata = metadata or end < len(data)
    width, height = canvas
    return Survey(
        kind="WEBP",
        media_type="image/webp",
        width=width,
        height=height,
        clean=_riff(kept) if metadata or frames > 1 else data,
        sendable=not frames,
        orientation=orientation,
        frames=max(1, frames),
        metadata=metadata,
        buffered=8 * width * height,
    )


def _chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of each chunk between `at` and `end`."""
    while at < end:
        name, length = struct.unpack_from("<4sI", data, at)
        at += 8
        if at + length > end:
            raise Broken
        yield name, data[at : at + length]
        at += length + (length & 1)


def _bitstream_size(name: bytes, body: bytes) -> tuple[int, int]:
    """Width and height that the compressed picture itself declares."""
    if name == b"VP8L":
        signature, bits = struct.unpack_from("<BI", body)
        if signature != 0x2F:
            raise Broken
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    tag, start_code, width, height = struct.unpack_from("<B2x3sHH", body)
    if tag & 1 or start_code != b"\x9d\x01\x2a":
        raise Broken
    return width & 0x3FFF, height & 0x3FFF


def _check_frame(body: bytes, canvas: tuple[int, int]) -> None:
    """Refuse a frame that leaves the canvas, or whose compressed picture is of another size than it says."""
    left, top, across, down = (int.from_bytes(body[at : at + 3], "little") for at in (0, 3, 6, 9))
    if len(body) < 16 or 2 * left + across + 1 > canvas[0] or 2 * top + down + 1 > canvas[1]:
        raise Broken
    for name, inner in _chunks(body, 16, len(body)):
        if name in (b"VP8 ", b"VP8L"):
            if _bitstream_size(name, inner) != (across + 1, down + 1):
                raise Broken
            return
        if name != b"ALPH":
            break
    raise Broken


def _riff(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A WEBP file of these chunks."""
    body = b"".join(struct.pack("<4sI", name, len(part)) + part + b"\0" * (len(part) & 1) for name, part in chunks)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WEBP") + body
