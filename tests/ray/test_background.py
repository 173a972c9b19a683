"""A task beside a job: its result, its error and its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.background import Background
from raymill.errors import DataError

pytestmark = pytest.mark.usefixtures("ray_session")


def test_a_tasks_result_is_waited_for() -> None:
    with Background.start(lambda a, b: a + b, 2, 3) as task:
        assert task.wait() == 5
        assert task.is_done


def test_a_tasks_error_is_raised_as_it_was() -> None:
    def fail() -> None:
        raise DataError("Column 'a' is empty.", "Fill it.")

    with Background.start(fail) as task, pytest.raises(DataError) as caught:
        task.wait()
    assert type(caught.value) is DataError
    assert (caught.value.what, caught.value.fix) == ("Column 'a' is empty.", "Fill it.")


def test_a_task_that_nobody_waits_for_is_ended_with_its_block(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def dawdle(path: str) -> None:
        Path(path).touch()
        time.sleep(60)

    def wait_for(event: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 20
        while not event() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert event()

    with pytest.raises(ZeroDivisionError), Background.start(dawdle, str(begun)) as task:
        wait_for(begun.exists)
        raise ZeroDivisionError
    wait_for(lambda: task.is_done)
