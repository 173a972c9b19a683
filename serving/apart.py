"""Apart: what takes long for a large body or answer is done beside the event loop, which goes on answering others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

Result = TypeVar("Result")
# Up to here it takes milliseconds, and less than a change of threads costs the requests beside it.
MOST_BYTES_INLINE = 128 << 10


async def apart(pool: Executor, size: int, work: Callable[[], Result]) -> Result:
    """What `work` gives or raises, done in the pool where it is about more than 128 KiB."""
    if size <= MOST_BYTES_INLINE:
        return work()
    return await asyncio.get_running_loop().run_in_executor(pool, work)
