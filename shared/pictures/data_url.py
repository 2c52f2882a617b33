"""`data:` URLs of pictures, as RFC 2397 has them, in the one form that browsers and SDKs make."""

from __future__ import annotations

import binascii
import re

from shared.errors import ImageTooLarge, InvalidImage
from shared.pictures.picture import PictureLimits

PREFIX = re.compile(r"data:image/[a-z0-9][a-z0-9.+-]{0,63};base64,", re.IGNORECASE)


def decode_data_url(url: str, index: int = 0, limits: PictureLimits | None = None) -> bytes:
    """The bytes in a `data:image/...;base64,` URL; the type that it names is not trusted, nor returned.

    `index` counts from 0 and goes into messages as a number from 1. The size is checked before anything is
    decoded.

    Raises:
        InvalidImage: Another kind of URL, or base64 that is not strict.
        ImageTooLarge: More bytes than the limits allow.
    """
    limits = limits or PictureLimits()
    prefix = PREFIX.match(url)
    if prefix is None:
        raise InvalidImage(f"Image {index + 1} is not a data URL; send it as data:image/...;base64,...")
    length = len(url) - prefix.end()
    padding = 2 if url.endswith("==") else 1 if url.endswith("=") else 0
    size = length // 4 * 3 - padding
    if size > limits.max_bytes:
        raise ImageTooLarge(f"Image {index + 1} is larger than {limits.max_bytes / 2**20:g} MiB; send it smaller.")
    try:
        data = binascii.a2b_base64(url[prefix.end() :], strict_mode=True)
    except ValueError:  # binascii.Error is one, and so is the answer to a character beyond ASCII
        data = None
    if data is None or len(data) != size:  # Python 3.11 lets superfluous padding pass
        raise InvalidImage(f"Image {index + 1} is not valid base64; send its bytes in the standard alphabet.")
    return data
