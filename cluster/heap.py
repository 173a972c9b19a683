"""The heap of a worker: what a piece of work frees stays at hand while the piece lasts, and goes back when it ends.

By default the C library gives each large array back at once, and each page of the next one is asked for anew: a fifth
of the time of a scan, whose arrays live for microseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import pyarrow as pa

# Of glibc's malloc.h: how much may be free before it gives some back, and from which size on it asks for an array by
# itself. Between pieces of work both are what glibc goes up to on its own.
_TRIM_THRESHOLD, _KEPT_BYTES, _USUAL_BYTES = -1, 1 << 30, 64 << 20
_MMAP_THRESHOLD, _SINGLE_BYTES = -3, 32 << 20


@contextlib.contextmanager
def kept_heap() -> Iterator[None]:
    """Keeps what the block frees until it ends; then an idle process holds none of it, NumPy's or Arrow's."""
    libc = ctypes.CDLL(None)
    known = hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")  # glibc's own, that other C libraries lack
    if known:
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _SINGLE_BYTES)
    try:
        yield
    finally:
        pa.default_memory_pool().release_unused()
        if known:
            libc.mallopt(_TRIM_THRESHOLD, _USUAL_BYTES)
            libc.malloc_trim(0)
