"""JPEG: its segments, without those that are not the picture.

Source: ITU-T T.81 (markers), JFIF 1.02, ICC.1:2010 annex B.4, Adobe Technical Note 5116 (APP14), CIPA
DC-007 (MPO).
"""

from __future__ import annotations

import re
import struct

from shared.pictures.picture import PictureLimits
from shared.pictures.survey import Broken, Oversized, Survey, Unsupported, check_size, orientation_of

MAGIC = b"\xff\xd8\xff"
MAX_SEGMENTS = 2_000
# A progressive file may hold any number of almost empty scans, and each one costs a pass over the whole
# picture.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 1_000_000_000

EOI, SOS, DQT, DHT, DRI, COM = 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xFE
APP0, APP1, APP2, APP14, APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2
OTHER_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})

END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def survey(data: bytes, limits: PictureLimits) -> Survey:
    """Walk all segments and scans up to the end of the first image, and drop later images and trailing bytes.

    A file without its end marker is refused. The entropy-coded data is not decoded: a scan that was damaged
    inside, between intact markers, is for the decoder to judge.

    Raises:
        Broken, Oversized, Unsupported: As in `survey.py`.
        IndexError, struct.error: The file ends too early.
    """
    frame: tuple[int, int, int, int] | None = None
    orientation, scans, dropped = 1, 0, False
    kept: list[bytes] = [data[:2]]
    at = 2
    for _ in range(MAX_SEGMENTS):
        marker, start, end = _segment(data, at)
        if marker == EOI:
            break
        segment = data[start:end]
        if marker in (BASELINE, EXTENDED, PROGRESSIVE):
            if frame is not None:
                raise Broken
            frame = _frame(marker, segment)
            check_size(frame[1], frame[2], limits)
        elif marker in OTHER_FRAMES:
            raise Unsupported("is a kind of JPEG that is not taken; save it as an ordinary JPEG or PNG.")
        elif marker == SOS:
            scans += 1
            if frame is None:
                raise Broken
            if scans > MAX_SCANS or scans * frame[1] * frame[2] > MAX_SCANNED_PIXELS:
                raise Oversized("has too many scans; save it as an ordinary JPEG.")
            found = END_OF_SCAN.search(data, end)
            if found is None:
                raise Broken
            end = found.start()
            segment = data[start:end]
        elif marker == APP1 and segment[4:10] == b"Exif\0\0" and orientation == 1:
            orientation = orientation_of(segment[10:])
        elif marker not in (DQT, DHT, DRI, COM) and not APP0 <= marker <= APP15:
            raise Broken
        keep = _without_metadata(marker, segment)
        dropped = dropped or keep != segment
        kept.append(keep)
        at = end
    else:
        raise Oversized("has too many segments; save it as an ordinary JPEG.")
    if frame is None or not scans:
        raise Broken
    dropped = dropped or end != len(data)
    kept.append(b"\xff\xd9")
    marker, width, height, components = frame
    return Survey(
        kind="JPEG",
        media_type="image/jpeg",
        width=width,
        height=height,
        clean=b"".join(kept) if dropped else data,
        sendable=components != 4,
        orientation=orientation,
        metadata=dropped,
        buffered=2 * components * width * height if marker == PROGRESSIVE or scans > 1 else 0,
    )


def _segment(data: bytes, at: int) -> tuple[int, int, int]:
    """The marker at `at`, where it starts, and where its segment ends."""
    if data[at] != 0xFF:
        raise Broken
    while data[at + 1] == 0xFF:
        at += 1
    marker = data[at + 1]
    if marker == EOI:
        return marker, at, at + 2
    (length,) = struct.unpack_from(">H", data, at + 2)
    end = at + 2 + length
    if length < 2 or end > len(data):
        raise Broken
    return marker, at, end


def _frame(marker: int, segment: bytes) -> tuple[int, int, int, int]:
    """Marker, width, height and number of components."""
    precision, height, width, components = struct.unpack_from(">BHHB", segment, 4)
    if precision != 8 or components not in (1, 3, 4):
        raise Unsupported("is a kind of JPEG that is not taken; save it as an ordinary JPEG or PNG.")
    if len(segment) != 10 + 3 * components:
        raise Broken
    return marker, width, height, components


def _without_metadata(marker: int, segment: bytes) -> bytes:
    """What stays of a segment. Colours depend on the ICC profile, on JFIF and on Adobe's marker."""
    if marker == COM:
        return b""
    if not APP0 <= marker <= APP15:
        return segment
    body = segment[4:]
    if marker == APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        # The embedded thumbnail can show what was later cropped away.
        return segment if len(body) == 14 else b"\xff\xe0\x00\x10" + body[:12] + b"\0\0"
    if marker == APP2 and body.startswith(b"ICC_PROFILE\0"):
        return segment
    if marker == APP14 and body.startswith(b"Adobe"):
        return b"\xff\xee\x00\x0e" + body[:12] if len(body) > 12 else segment
    return b""
