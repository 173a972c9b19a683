"""The names of checkpoints: the global step and a digest of the content, read and checked without torch."""

from __future__ import annotations

import hashlib
import re

_NAME = re.compile(r"step-(\d{10})-([0-9a-f]{16})\.safetensors$")


def name_of(step: int, data: bytes) -> str:
    """The file name of a checkpoint's bytes; in name order is in step order."""
    return f"step-{step:010d}-{_digest(data)}.safetensors"


def step_in(path: str) -> int | None:
    """The global step that a path names; None where it is no checkpoint's."""
    match = _NAME.search(path)
    return int(match.group(1)) if match else None


def is_whole(path: str, data: bytes) -> bool:
    """Whether these bytes are those that the path was named after."""
    match = _NAME.search(path)
    return match is not None and match.group(2) == _digest(data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
