"""What the structure of a file tells before anything is decoded, and what may be wrong with it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from shared.pictures.picture import PictureLimits


class Flaw(Exception):
    """A file that is not taken. The text completes "Image 2 ..." and says what to do."""


class Broken(Flaw):
    """Not what it says it is: cut short, damaged or malformed."""

    def __init__(self, message: str = "is damaged or cut short; send the whole original file.") -> None:
        super().__init__(message)


class Unsupported(Flaw):
    """A kind of file, or a variant of one, that is not taken."""

    def __init__(
        self, message: str = "is not a PNG, JPEG, GIF, WEBP, HEIC, BMP or TIFF picture; send one of these."
    ) -> None:
        super().__init__(message)


class Oversized(Flaw):
    """More bytes, pixels or frames than the limits allow."""


@dataclass(frozen=True, slots=True)
class Survey:
    """One file, looked through from its header to its end.

    `clean` is the same picture without metadata, further frames and trailing bytes, and is the caller's
    very object when there was nothing to drop. `metadata` says that something other than frames was
    dropped. `orientation` is EXIF's, 1 to 8, 1 being upright. `sendable` means that a model reads `clean`
    as it is. `buffered` counts the bytes that a decoder holds besides the decoded pixels.
    """

    kind: str
    media_type: str
    width: int
    height: int
    clean: bytes = field(repr=False)
    sendable: bool = True
    orientation: int = 1
    frames: int = 1
    metadata: bool = False
    buffered: int = 0


def check_size(width: int, height: int, limits: PictureLimits) -> None:
    """Hold a declared size against the limits.

    Raises:
        Broken: A side is zero or negative.
        Oversized: There are more pixels than allowed.
    """
    if width < 1 or height < 1:
        raise Broken
    if width * height > limits.max_pixels:
        allowed = f"{limits.max_pixels / 1e6:g} megapixels"
        raise Oversized(f"is {width} x {height} pixels, and at most {allowed} are taken; send it smaller.")


def check_frames(frames: int, limits: PictureLimits) -> None:
    """Hold a number of frames or pages against the limits.

    Raises:
        Oversized: There are more than allowed.
    """
    if frames > limits.max_frames:
        raise Oversized(f"has more than {limits.max_frames} frames or pages; send only the one to look at.")


def orientation_of(exif: bytes) -> int:
    """The orientation, 1 to 8, that an EXIF block asks for from its TIFF header on; 1 when it can't be read.

    Source: EXIF 2.32, tag 0x0112 of the first directory.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(min(entries, 512)):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, directory + 2 + 12 * entry)
            if tag == 0x0112:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
