"""GIF: its blocks up to the end of the first frame.

Source: CompuServe Graphics Interchange Format, version 89a; the ICC's "Embedding ICC profiles in GIF" for
ICCRGBG1012.
"""

from __future__ import annotations

import struct

from shared.pictures.picture import PictureLimits
from shared.pictures.survey import Broken, Oversized, Survey, check_frames, check_size

MAGIC = (b"GIF87a", b"GIF89a")
EXTENSION, IMAGE, TRAILER = 0x21, 0x2C, 0x3B
CONTROL, APPLICATION = 0xF9, 0xFF
# The colour profile, and how often an animation is repeated.
HARMLESS = (b"ICCRGBG1012", b"NETSCAPE2.0", b"ANIMEXTS1.0")


def survey(data: bytes, limits: PictureLimits) -> Survey:
    """Walk all blocks to the trailer, and drop what follows the first frame, comments and application data.

    The compressed pixels are not decoded.

    Raises:
        Broken, Oversized: As in `survey.py`.
        IndexError, struct.error: The file ends too early.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    check_size(width, height, limits)
    at = 13 + _palette(flags)
    if at > len(data):
        raise Broken
    # Encoders fill their sub-blocks of up to 255 bytes: a file of many tiny ones only costs time.
    blocks_left = 4 * limits.max_frames + len(data) // 32
    kept = [data[:at]]
    frames, metadata, dropped = 0, False, False
    while data[at] != TRAILER:
        start = at
        if data[at] == IMAGE:
            left, top, across, down, flags = struct.unpack_from("<HHHHB", data, at + 1)
            if not across or not down or left + across > width or top + down > height:
                raise Broken
            frames += 1
            check_frames(frames, limits)
            at += 11 + _palette(flags)
            keep = frames == 1
        elif data[at] == EXTENSION:
            label, name = data[at + 1], data[at + 3 : at + 14]
            picture = label == CONTROL or (label == APPLICATION and name in HARMLESS)
            keep = picture and not frames
            metadata = metadata or not picture
            at += 2
        else:
            raise Broken
        while data[at]:
            at += 1 + data[at]
            blocks_left -= 1
            if blocks_left < 0:
                raise Oversized("has too many blocks; save it anew as a GIF or PNG.")
        at += 1
        if keep:
            kept.append(data[start:at])
        dropped = dropped or not keep
    if not frames:
        raise Broken
    trailing = at + 1 != len(data)
    return Survey(
        kind="GIF",
        media_type="image/gif",
        width=width,
        height=height,
        clean=b"".join([*kept, b";"]) if dropped or trailing else data,
        frames=frames,
        metadata=metadata or trailing or (dropped and frames == 1),
    )


def _palette(flags: int) -> int:
    """The bytes of the colour table that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
