"""What Ray's processes print for this job, on any node: each line is handed on with its node and process.

Ray's own way would print it on the terminal.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_POLL_S = 5.0
# Ray's own: the redrawing of a progress bar, and what its cleaner says each second where it finds no dashboard.
_NOT_SAID = ("__ray_tqdm_magic_token__", "State API may be temporarily unavailable", "Found multiple active Ray inst")
_SILENCE_S, _STRAGGLERS_S = 0.4, 1.5


@contextlib.contextmanager
def worker_lines(hear: Callable[[str], None]) -> Iterator[None]:
    """Calls `hear` with each line while the block runs and Ray is up.

    A block that fails is given a moment for the last lines: those that say why are a few tenths of a second on the
    way.
    """
    listening = _Listening(hear)
    listening.start()
    try:
        yield
    except Exception:
        listening.wait_for_stragglers()
        raise
    finally:
        listening.stop()


class _Listening:
    """A subscription to the lines that the nodes publish, and the thread that takes them."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        import ray
        from ray._private.worker import global_worker
        from ray._raylet import GcsLogSubscriber  # type: ignore[attr-defined]

        self._hear, self._job = hear, ray.get_runtime_context().get_job_id()
        self._subscriber = GcsLogSubscriber(address=global_worker.gcs_client.address)
        self._stopped, self._heard_s = threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._listen, name="worker-lines", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._subscriber.close()
        self._thread.join(_POLL_S)

    def wait_for_stragglers(self) -> None:
        until_s = time.monotonic() + _STRAGGLERS_S
        self._heard_s = time.monotonic()
        while time.monotonic() < min(until_s, self._heard_s + _SILENCE_S):
            time.sleep(_SILENCE_S / 8)

    def _listen(self) -> None:
        import ray

        try:
            self._subscriber.subscribe()
            while not self._stopped.is_set():
                batch = self._subscriber.poll(timeout=_POLL_S)
                if batch is not None and _is_ours(batch, self._job):
                    self._heard_s = time.monotonic()
                    for line in lines_of(batch):
                        self._hear(line)
        except (OSError, ray.exceptions.RpcError) as error:
            if not self._stopped.is_set():
                self._hear(f"no more lines of workers are heard: {error}")


def _is_ours(batch: dict[str, Any], job: str) -> bool:
    """Whether a batch is of this job's processes, or of a node's raylet, which says what it killed and why."""
    return bool(batch["job"] == job if batch["job"] else batch["pid"] == "raylet")


def lines_of(batch: dict[str, Any]) -> Iterator[str]:
    """The lines of one process, as `10.0.0.5 pid 123 RayTrainWorker: text`."""
    process = "raylet" if batch["pid"] == "raylet" else f"pid {batch['pid']}"
    doing = batch.get("actor_name") or batch.get("task_name")
    source = f"{batch['ip']} {process}{f' {doing}' if doing else ''}"
    said = (line for line in batch["lines"] if line and not any(remark in line for remark in _NOT_SAID))
    yield from (f"{source}: {line}" for line in said)
