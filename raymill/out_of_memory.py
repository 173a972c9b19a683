"""Running out of memory: what it looks like, on a machine and on an accelerator."""

from __future__ import annotations

# torch tells of an accelerator by a class of its own, and of the machine's memory in words only.
_WORDS = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory", "CUDA out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy, Arrow, torch or Ray says that memory has run out."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or any(word in str(error) for word in _WORDS)
