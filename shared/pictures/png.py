"""PNG: its chunks, without those that are not the picture.

Source: W3C Portable Network Graphics (PNG) Specification, third edition, which has APNG's and eXIf's chunks
too.
"""

from __future__ import annotations

import struct
import zlib

from shared.pictures.picture import PictureLimits
from shared.pictures.survey import Broken, Oversized, Survey, check_frames, check_size, orientation_of

MAGIC = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 32_768
MAX_INFLATED = 1024 * 1024

# Everything that a decoder needs, or that colours and density depend on. The rest is dropped.
KEPT = frozenset(
    {
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"iCCP",
        b"sRGB",
        b"gAMA",
        b"cHRM",
        b"cICP",
        b"mDCV",
        b"cLLI",
        b"sBIT",
    }
    | {b"bKGD", b"pHYs"}
)
ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def survey(data: bytes, limits: PictureLimits) -> Survey:
    """Walk all chunks, check each one's CRC, and inflate a picture that is to be sent as it is.

    An animated PNG is cut to its default image, losslessly. Text and profiles are inflated up to one
    mebibyte in all, to tell a bomb; nothing is kept of the text.

    Raises:
        Broken, Oversized: As in `survey.py`.
        IndexError, struct.error: The file ends too early.
    """
    view = memoryview(data)
    header: tuple[int, ...] = ()
    kept: list[memoryview] = [view[:8]]
    pixels: list[memoryview] = []
    orientation, frames, inflated = 1, 1, 0
    dropped, animated, palette = False, False, False
    at, previous = 8, b""
    for _ in range(MAX_CHUNKS):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or (name == b"IHDR") != (at == 8):
            raise Broken
        body = view[at + 8 : end - 4]
        if not header:  # before the checksum, so that a picture that is too large costs nothing
            header = _header(body, limits)
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise Broken
        if name == b"IDAT":
            if pixels and previous != b"IDAT":
                raise Broken
            pixels.append(body)
        elif name == b"acTL":
            animated, frames = True, max(1, *struct.unpack_from(">I", body))
            check_frames(frames, limits)
        elif name == b"eXIf":
            orientation = orientation_of(bytes(body))
        elif name in (b"iCCP", b"zTXt", b"iTXt"):
            inflated += _inflated(name, bytes(body), MAX_INFLATED - inflated)
        palette = palette or name == b"PLTE"
        if name in KEPT:
            kept.append(view[at:end])
        elif name in ANIMATION:
            animated = True
        elif name[0] & 0x20:  # ancillary
            dropped = True
        else:
            raise Broken
        at, previous = end, name
        if name == b"IEND":
            break
    else:
        raise Oversized("has too many chunks; save it anew as a PNG or JPEG.")
    if not pixels or length or (header[3] == 3 and not palette):
        raise Broken
    dropped = dropped or at != len(data)
    width, height = header[:2]
    if orientation == 1 and max(width, height) <= limits.long_side:
        _check_pixels(pixels, _raw_size(header))
    return Survey(
        kind="PNG",
        media_type="image/png",
        width=width,
        height=height,
        clean=b"".join(kept) if dropped or animated else data,
        orientation=orientation,
        frames=frames,
        metadata=dropped or (animated and frames == 1),
    )


def _header(body: memoryview, limits: PictureLimits) -> tuple[int, ...]:
    """Width, height, depth, colour type, and whether it is interlaced."""
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if depth not in DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise Broken
    check_size(width, height, limits)
    return width, height, depth, colour, interlace


def _inflated(name: bytes, body: bytes, allowed: int) -> int:
    """How many bytes a compressed text or profile unpacks to.

    Raises:
        Broken: More than `allowed`.
    """
    _, separator, rest = body.partition(b"\0")
    if name == b"iTXt":
        if rest[:1] != b"\1":
            return 0
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        rest = rest[1:]
    if not separator:
        raise Broken
    try:
        size = len(zlib.decompressobj().decompress(rest, allowed + 1))
    except zlib.error:
        raise Broken from None
    if size > allowed:
        raise Broken("holds compressed text or a colour profile that unpacks to too much; save it anew.")
    return size


def _raw_size(header: tuple[int, ...]) -> int:
    """The bytes of all rows with their filter bytes, over the seven passes of an interlaced picture."""
    width, height, depth, colour, interlace = header
    bits = depth * CHANNELS[colour]
    passes = [(0, 0, 1, 1)]
    if interlace:
        passes = [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ]
    size = 0
    for left, top, across, down in passes:
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            size += rows * (1 + (columns * bits + 7) // 8)
    return size


def _check_pixels(pixels: list[memoryview], expected: int) -> None:
    """Inflate the picture, piece by piece, keeping nothing.

    Raises:
        Broken: It is not `expected` bytes, or its checksum is wrong.
    """
    stream = zlib.decompressobj()
    size = 0
    try:
        for piece in pixels:
            rest: bytes | memoryview = piece
            while rest and not stream.eof:
                size += len(stream.decompress(rest, 256 * 1024))
                rest = stream.unconsumed_tail
                if size > expected:
                    raise Broken
        while not stream.eof:
            more = len(stream.decompress(b"", 256 * 1024))
            size += more
            if not more or size > expected:
                break
    except zlib.error:
        raise Broken from None
    if size != expected or not stream.eof:
        raise Broken
