"""A function that runs as one Ray task beside the rest of a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from cluster.failures import unwrap
from cluster.waiting import waiting
from raymill.train_spec import CPUS_ASKED


@dataclass(frozen=True, slots=True)
class Background:
    """A started task. Its function and arguments must be picklable; it is retried when its process or node dies."""

    ref: ray.ObjectRef

    @classmethod
    def start(cls, function: Callable[..., Any], *args: Any) -> Background:
        return cls(ray.remote(num_cpus=CPUS_ASKED, max_retries=2)(function).remote(*args))

    @property
    def is_done(self) -> bool:
        return bool(ray.wait([self.ref], timeout=0)[0])

    def wait(self) -> Any:
        """The function's result. Raises what it raised."""
        try:
            with waiting({"CPU": CPUS_ASKED}):
                return ray.get(self.ref)
        except ray.exceptions.RayError as error:
            raise unwrap(error) from error

    def __enter__(self) -> Background:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """A task that nobody has waited for is ended."""
        if not self.is_done:
            ray.cancel(self.ref, force=True)
