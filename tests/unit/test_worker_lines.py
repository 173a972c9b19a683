"""Lines of workers, with where they come from."""

from __future__ import annotations

from cluster.worker_lines import lines_of

BATCH = {
    "ip": "10.0.0.5",
    "pid": 7,
    "job": "01",
    "actor_name": "RayTrainWorker",
    "task_name": None,
    "lines": ["a", "b"],
}


def test_a_line_names_its_node_process_and_what_that_does() -> None:
    assert list(lines_of(BATCH)) == ["10.0.0.5 pid 7 RayTrainWorker: a", "10.0.0.5 pid 7 RayTrainWorker: b"]
    task = BATCH | {"actor_name": None, "task_name": "summarise", "lines": ["c"]}
    assert list(lines_of(task)) == ["10.0.0.5 pid 7 summarise: c"]


def test_what_a_raylet_says_of_its_node_is_its_own() -> None:
    raylet = {"ip": "10.0.0.5", "pid": "raylet", "job": "", "lines": ["a worker was killed"]}
    assert list(lines_of(raylet)) == ["10.0.0.5 raylet: a worker was killed"]


def test_empty_lines_bars_and_remarks_are_left_out() -> None:
    remark = "Failed to query. State API may be temporarily unavailable. Continuing to monitor."
    assert list(lines_of(BATCH | {"lines": ["", '{"__ray_tqdm_magic_token__": 1}', remark]})) == []
