import pickle

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from cluster.failures import unwrap
from raymill.errors import DataError, WorkerLost


def _wrapped(cause: Exception) -> Exception:
    """As a task's error is raised by ray.get."""
    error: Exception = RayTaskError("work", "Traceback", cause).as_instanceof_cause()
    return error


def test_our_error_comes_out_of_ray_as_itself() -> None:
    inner = unwrap(_wrapped(DataError("Row 3 is bad.", "Correct it.")))
    assert type(inner) is DataError
    assert str(pickle.loads(pickle.dumps(inner))) == "Row 3 is bad.\nCorrect it."


def test_our_error_is_found_behind_the_error_that_it_caused() -> None:
    with pytest.raises(RuntimeError) as caught:
        try:
            raise _wrapped(DataError("Row 3 is bad.", "Correct it."))
        except Exception as error:
            raise RuntimeError("Ray Data failed") from error
    assert type(unwrap(caught.value)) is DataError


def test_any_other_error_stays_as_it_is() -> None:
    error = _wrapped(ValueError("x"))
    assert unwrap(error) is error


def test_a_worker_that_died_as_often_as_it_was_started_is_the_machines_affair() -> None:
    lost = unwrap(WorkerCrashedError())
    assert isinstance(lost, WorkerLost)
    assert "died, each time" in lost.what
    assert isinstance(unwrap(ActorDiedError()), WorkerLost)
    starved = unwrap(OutOfMemoryError("the node's memory monitor"))
    assert isinstance(starved, WorkerLost)
    assert "more memory than its node has" in starved.what
