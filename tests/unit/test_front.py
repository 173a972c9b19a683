"""The front while it starts: what is its end, and what isn't."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from ray.exceptions import ActorDiedError, RayTaskError, TaskCancelledError

from cluster.front import Front
from raymill.errors import MachineError


def _front(error: Exception) -> Front:
    started: Future[None] = Future()
    started.set_exception(error)
    return Front(started)


def _as_ray_raises(cause: Exception) -> Exception:
    return RayTaskError("ready", "traceback", cause).as_instanceof_cause()


@pytest.mark.parametrize("ended", [ActorDiedError(), TaskCancelledError(), _as_ray_raises(TaskCancelledError())])
def test_a_proxy_that_serve_ends_since_it_starts_slowly_is_waited_for(ended: Exception) -> None:
    _front(ended).check()


def test_a_proxy_that_can_not_start_is_said_in_its_own_words() -> None:
    with pytest.raises(MachineError, match="no room for a socket"):
        _front(_as_ray_raises(RuntimeError("[ALERT] no room for a socket"))).check()
