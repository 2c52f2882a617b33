"""BMP: its header. It is always converted, so nothing else of the structure matters.

Source: Microsoft, BITMAPFILEHEADER, BITMAPCOREHEADER and BITMAPINFOHEADER.
"""

from __future__ import annotations

import struct

from shared.pictures.picture import PictureLimits
from shared.pictures.survey import Broken, Survey, Unsupported, check_size

MAGIC = b"BM"
UNCOMPRESSED = (0, 3, 6)


def survey(data: bytes, limits: PictureLimits) -> Survey:
    """Read the header and check that all rows are there. Run-length encoding is not taken: it decodes slowly.

    Raises:
        Broken, Oversized, Unsupported: As in `survey.py`.
        struct.error: The file ends too early.
    """
    pixels_at, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif 40 <= header <= 124:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
        height = abs(height)
    else:
        raise Broken
    if compression not in UNCOMPRESSED:
        raise Unsupported("is a compressed BMP; save it as PNG or JPEG.")
    if depth not in (1, 4, 8, 16, 24, 32):
        raise Broken
    check_size(width, height, limits)
    if pixels_at + (width * depth + 31) // 32 * 4 * height > len(data):
        raise Broken
    return Survey(kind="BMP", media_type="image/bmp", width=width, height=height, clean=data, sendable=False)
