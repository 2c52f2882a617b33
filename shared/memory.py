"""How the C library keeps the memory that this process has freed."""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD = -3
LARGE = 1024 * 1024


def give_back_large_blocks() -> None:
    """Has large blocks go back to the system as soon as they are freed; elsewhere than on glibc it does nothing.

    Left to itself glibc raises the size from which it does so with each block that is freed, up to 32 MB: a worker
    that has had pictures of 8 MB would keep most of the memory that they took at their busiest.

    Source: mallopt(3).
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGE)
