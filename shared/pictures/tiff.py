"""TIFF: its directories. It is always converted, from its first page.

Source: Adobe TIFF 6.0.
"""

from __future__ import annotations

import struct

from shared.pictures.picture import PictureLimits
from shared.pictures.survey import Broken, Survey, Unsupported, check_frames, check_size

MAGIC = {b"II*\0": "<", b"MM\0*": ">"}
MAX_NUMBERS = 300_000
SHORT, LONG = 3, 4
OPAQUE = (1, 2, 6, 7)
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
ORIENTATION, SAMPLES, ROWS = 274, 277, 278
TILE_WIDTH, TILE_HEIGHT = 322, 323
STRIPS, STRIP_SIZES, TILES, TILE_SIZES = 273, 279, 324, 325
# Grey, RGB, palette, CMYK and YCbCr: not a camera's raw sensor data, nor Lab.
PHOTOMETRICS = (0, 1, 2, 3, 5, 6)
# None, LZW, JPEG, Deflate (two numbers), PackBits. For each bad row of a fax libtiff writes a line to stderr.
COMPRESSIONS = (1, 5, 7, 8, 32946, 32773)
# Description, maker, model, software, date, artist, host, XMP, copyright, IPTC, Photoshop, EXIF, GPS.
METADATA = frozenset({270, 271, 272, 305, 306, 315, 316, 700, 33432, 33723, 34377, 34665, 34853})

Entry = tuple[int, int, int]


def survey(data: bytes, limits: PictureLimits) -> Survey:
    """Read the first directory, check that its strips or tiles are there, and count the others.

    Raises:
        Broken, Oversized, Unsupported: As in `survey.py`.
        struct.error: The file ends too early.
    """
    order = MAGIC[data[:4]]
    (first,) = struct.unpack_from(order + "I", data, 4)
    entries = _entries(data, order, first)

    def numbers(tag: int, *otherwise: int) -> tuple[int, ...]:
        return _numbers(data, order, entries[tag]) if tag in entries else otherwise

    (width, *_), (height, *_) = numbers(WIDTH, 0), numbers(HEIGHT, 0)
    check_size(width, height, limits)
    pages = _pages(data, order, first, limits)
    check_frames(pages, limits)
    if numbers(PHOTOMETRIC, 2)[0] not in PHOTOMETRICS or numbers(COMPRESSION, 1)[0] not in COMPRESSIONS:
        raise Unsupported("is a kind of TIFF that is not taken; save it as PNG or JPEG.")
    if TILES in entries:
        across, down = numbers(TILE_WIDTH, 0)[0], numbers(TILE_HEIGHT, 0)[0]
        offsets, lengths = numbers(TILES), numbers(TILE_SIZES)
    else:
        across, down = width, min(numbers(ROWS, height)[0], height)
        offsets, lengths = numbers(STRIPS), numbers(STRIP_SIZES)
    check_size(across, down, limits)
    if not offsets or len(offsets) != len(lengths) or max(map(int.__add__, offsets, lengths)) > len(data):
        raise Broken
    (orientation, *_), (samples, *_), (bits, *_) = (
        numbers(ORIENTATION, 1),
        numbers(SAMPLES, 1),
        numbers(BITS, 1),
    )
    return Survey(
        kind="TIFF",
        media_type="image/tiff",
        width=width,
        height=height,
        clean=data,
        sendable=False,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        frames=pages,
        metadata=not METADATA.isdisjoint(entries),
        buffered=across * down * min(samples, 8) * min(bits, 64) // 8,
    )


def _entries(data: bytes, order: str, at: int) -> dict[int, Entry]:
    """The directory at `at`: by tag, the type, the count, and where the values are."""
    (count,) = struct.unpack_from(order + "H", data, at)
    entries = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", data, entry)
        if kind not in OPAQUE and values > MAX_NUMBERS:
            raise Broken
        size = values * {SHORT: 2, LONG: 4}.get(kind, 8)
        place = entry + 8 if size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
        entries[tag] = kind, values, place
    return entries


def _numbers(data: bytes, order: str, entry: Entry) -> tuple[int, ...]:
    kind, count, place = entry
    if kind not in (SHORT, LONG) or not count:
        raise Broken
    return struct.unpack_from(f"{order}{count}{'H' if kind == SHORT else 'I'}", data, place)


def _pages(data: bytes, order: str, at: int, limits: PictureLimits) -> int:
    """How many directories follow one another, counted to one more than is allowed."""
    seen: set[int] = set()
    while at:
        if at in seen:
            raise Broken
        seen.add(at)
        if len(seen) > limits.max_frames:
            break
        (count,) = struct.unpack_from(order + "H", data, at)
        (at,) = struct.unpack_from(order + "I", data, at + 2 + 12 * count)
    return len(seen)
