"""What of the log of the pod that hands a job over is the job's own."""

from __future__ import annotations

import pytest

from cluster.submitter_log import lines_of_the_job

ID = "far-train-20261126-120000-abcd"
STAMP = "2026-11-26 12:00:01,123\t"
BEFORE = [
    "Waiting for Ray Dashboard GCS to become healthy at http://far-head-svc:8265 ...",
    f"{STAMP}INFO cli.py:36 -- \x1b[37mJob submission server address\x1b[39m: \x1b[1mhttp://far-head-svc:8265\x1b[22m",
    f"{STAMP}INFO dashboard_sdk.py:341 -- Uploading package gcs://_ray_pkg_1.zip.",
    f"{STAMP}SUCC cli.py:64 -- \x1b[32m-----\x1b[39m",
    f"{STAMP}SUCC cli.py:65 -- \x1b[32mJob '{ID}' submitted successfully\x1b[39m",
    f"{STAMP}INFO cli.py:282 -- \x1b[1mray job logs {ID}\x1b[22m",
]
SAID = ["prepare   569 rows", '{"job": "train", "status": "failed"}', "2026-11-26 is no line of Ray's"]


@pytest.mark.parametrize(
    "verdict",
    [
        f"{STAMP}SUCC cli.py:65 -- \x1b[32mJob '{ID}' succeeded\x1b[39m",
        f"{STAMP}ERR cli.py:73 -- \x1b[31mJob '{ID}' failed\x1b[39m",
        f"{STAMP}WARN cli.py:84 -- \x1b[33mJob '{ID}' was stopped\x1b[39m",
    ],
)
def test_rays_own_lines_and_what_it_repeats_behind_its_verdict_are_left_out(verdict: str) -> None:
    repeated = [f"{STAMP}INFO cli.py:88 -- Status message: Job entrypoint command failed with exit code 2,", *SAID]
    assert list(lines_of_the_job([*BEFORE, *SAID, verdict, *repeated], ID)) == SAID


def test_a_log_that_is_not_whole_yet_has_what_there_is() -> None:
    assert list(lines_of_the_job([*BEFORE, SAID[0]], ID)) == SAID[:1]
    assert list(lines_of_the_job([], ID)) == []
