"""What a failed worker said, found among all that workers printed."""

from __future__ import annotations

from raymill.last_words import last_words

AT = "2026-11-22T12:00:00Z"


def log(*lines: str) -> str:
    return "".join(f"{AT} {line}\n" for line in lines)


GROUP = (
    "10.0.0.1 pid 3 TrainController: Started training worker group of size 2: ",
    "10.0.0.1 pid 3 TrainController: - (ip=10.0.0.1, pid=4) world_rank=0, local_rank=0, node_rank=0",
    "10.0.0.1 pid 3 TrainController: - (ip=10.0.0.2, pid=5) world_rank=1, local_rank=0, node_rank=1",
)


def traceback_of(worker: str) -> tuple[str, ...]:
    return (
        f"{worker}: Traceback (most recent call last):",
        f'{worker}:   File "net.py", line 7, in forward',
        f'{worker}:     raise ValueError("mine")',
        f"{worker}:           ^^^^^^^^^^^^^^^^^^",
        f"{worker}: ValueError: mine",
        f"{worker}: The above exception was the direct cause of the following exception:",
        f"{worker}: Traceback (most recent call last):",
        f'{worker}:   File "training.py", line 9, in fit',
        f"{worker}: raymill.errors.SpecError: the network failed",
        f"{worker}: Correct it.",
    )


def test_the_error_that_the_others_were_raised_from_is_told_without_its_underlining() -> None:
    words = last_words(log(*GROUP, *traceback_of("10.0.0.2 pid 5 RayTrainWorker")), [])
    assert words is not None
    assert words.process == "RayTrainWorker 5 on 10.0.0.2, rank 1"
    assert words.lines == (
        '  File "net.py", line 7, in forward',
        '    raise ValueError("mine")',
        "ValueError: mine",
    )


def test_a_rank_that_is_named_as_the_failed_one_says_its_last_lines() -> None:
    lines = [f"10.0.0.1 pid 4 RayTrainWorker: step {step}" for step in range(9)]
    words = last_words(log(*GROUP, *lines, "10.0.0.2 pid 5 RayTrainWorker: here"), ["rank 1 died", "rank 0 died"])
    assert words is not None
    assert words.process == "RayTrainWorker 4 on 10.0.0.1, rank 0"
    assert words.lines == tuple(f"step {step}" for step in range(4, 9))


def test_the_ranks_of_the_last_group_count() -> None:
    again = GROUP[2].replace("pid=5", "pid=6")
    words = last_words(log(*GROUP, again, "10.0.0.2 pid 6 RayTrainWorker: here"), ["rank 1 died"])
    assert words is not None and words.process == "RayTrainWorker 6 on 10.0.0.2, rank 1"


def test_without_a_group_the_last_that_left_a_traceback_speaks() -> None:
    words = last_words(log("10.0.0.1 pid 8 summarise: fine", *traceback_of("10.0.0.1 pid 9 summarise")), [])
    assert words is not None and words.process == "summarise 9 on 10.0.0.1"


def test_where_nothing_failed_nobody_is_named() -> None:
    assert last_words(log(*GROUP, "10.0.0.1 raylet: remarks", "... 8 lines are left out here ..."), []) is None
    assert last_words("", ["rank 1 died"]) is None
