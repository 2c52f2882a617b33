"""HEIC and HEIF: the boxes around the picture. It is always converted, from its primary image.

Source: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (image items and their properties).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from shared.pictures.picture import PictureLimits
from shared.pictures.survey import Broken, Oversized, Survey, Unsupported, check_size

BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
# One HEVC picture, tiles of them, or one of these turned: what phones write. Decoders' flaws are elsewhere.
PICTURES = frozenset({b"hvc1", b"grid", b"iden"})
REFUSED = frozenset({b"unci", b"av01", b"iovl"})
NEEDED = [b"iinf", b"iprp", b"pitm"]
METADATA = frozenset({b"Exif", b"mime"})
MAX_BOXES = 4_096


class Box(NamedTuple):
    """One box: where it starts, where its content starts, and where it ends."""

    name: bytes
    at: int
    start: int
    end: int


def recognises(data: bytes) -> bool:
    """Whether the first bytes are HEIF's."""
    return data[4:8] == b"ftyp" and data[8:12] in BRANDS


def survey(data: bytes, limits: PictureLimits) -> Survey:
    """Check that the boxes fill the file exactly, and the size of every image item in it.

    A truncated file must be told here: the decoder paints what is missing. Sequences of frames are blanked
    out, so that the decoder never sees them.

    Raises:
        Broken, Oversized, Unsupported: As in `survey.py`.
        IndexError, struct.error: The file ends too early.
    """
    boxes = list(_boxes(data, 0, len(data)))
    metas = [box for box in boxes if box.name == b"meta"]
    if not metas:
        raise Unsupported("is a HEIF file without a still picture; send a photo.")
    parts = [box for box in _boxes(data, metas[0].start + 4, metas[0].end) if box.name in NEEDED]
    # Of two alike, the decoder might read the other one.
    if len(metas) > 1 or sorted(box.name for box in parts) != NEEDED:
        raise Broken
    items, properties, primary = sorted(parts)
    kinds = _item_kinds(data, items)
    if kinds.get(_primary_item(data, primary)) not in PICTURES or REFUSED.intersection(kinds.values()):
        raise Unsupported("is a kind of HEIF that is not taken; save it as JPEG or PNG.")
    width, height = _largest(data, properties, limits)
    sequences = [box for box in boxes if box.name == b"moov"]
    return Survey(
        kind="HEIF",
        media_type="image/heic",
        width=width,
        height=height,
        clean=_blanked(data, sequences),
        sendable=False,
        frames=1 + len(sequences),
        metadata=not METADATA.isdisjoint(kinds.values()),
        buffered=2 * width * height,
    )


def _boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """The boxes from `at` to `end`, one after another."""
    for _ in range(MAX_BOXES):
        if at == end:
            return
        length, name = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        elif length == 0:
            length = end - at
        if not start <= at + length <= end:
            raise Broken
        yield Box(name, at, start, at + length)
        at += length
    raise Oversized("has too many parts; save it as JPEG or PNG.")


def _item_kinds(data: bytes, box: Box) -> dict[int, bytes]:
    """The type of each item, by its number."""
    kinds = {}
    for entry in _boxes(data, box.start + (8 if data[box.start] else 6), box.end):
        version = data[entry.start]
        if entry.name == b"infe" and version >= 2:
            number, kind = struct.unpack_from(">H2x4s" if version == 2 else ">I2x4s", data, entry.start + 4)
            kinds[number] = kind
    return kinds


def _primary_item(data: bytes, box: Box) -> int:
    """The number of the item to show."""
    number: int = struct.unpack_from(">I" if data[box.start] else ">H", data, box.start + 4)[0]
    return number


def _largest(data: bytes, properties: Box, limits: PictureLimits) -> tuple[int, int]:
    """Width and height of the largest image item, every one having been held against the limits."""
    largest = (0, 0)
    for group in _boxes(data, properties.start, properties.end):
        for box in _boxes(data, group.start, group.end) if group.name == b"ipco" else ():
            if box.name == b"ispe":
                width, height = struct.unpack_from(">II", data, box.start + 4)
                check_size(width, height, limits)
                largest = max(largest, (width, height), key=lambda size: size[0] * size[1])
    check_size(*largest, limits)
    return largest


def _blanked(data: bytes, boxes: list[Box]) -> bytes:
    """The same file, with these boxes renamed to "free", so that they are skipped and no offset moves."""
    if not boxes:
        return data
    blanked = bytearray(data)
    for box in boxes:
        blanked[box.at + 4 : box.at + 8] = b"free"
    return bytes(blanked)
