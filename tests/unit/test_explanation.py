"""What a job did and why it ended so, in a few lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from raymill.explanation import Explanation
from raymill.job_record import JobRecord
from raymill.last_words import LastWords

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
RECORD = JobRecord(
    id="t-train-20261122-120000-abcd",
    name="t",
    command="train",
    words="train t.yaml train.epochs=5",
    where="embedded",
    host="here",
    pid=7,
    started="2026-11-22T12:00:00Z",
    alive="2026-11-22T12:03:20Z",
)
ENDED = replace(RECORD, ended="2026-11-22T12:03:20Z")


def explained(record: JobRecord, worker: LastWords | None = None, on: str | None = None) -> Explanation:
    later, last_line = NOON + timedelta(hours=1, minutes=2), "2026-11-22T12:03:00Z train     33%"
    return Explanation(
        record=record, now=later, last_line=last_line, worker=worker, metric="f1", spec="t.yaml train.epochs=5", on=on
    )


def lines(record: JobRecord, **more: Any) -> list[str]:
    return list(explained(record, **more).lines())


def test_a_failed_job_names_cause_fix_retries_and_the_worker_that_failed() -> None:
    events = tuple(
        {"at": f"2026-11-22T12:0{n}:00Z", "kind": "retry", "text": f"attempt {n}: rank 1 died"} for n in (1, 2)
    )
    error = {"what": "Training lost a worker 3 times.", "fix": "See its memory."}
    failed = replace(ENDED, state="failed", exit_code=3, error=error, runs=("t-01234567",), events=events)
    worker = LastWords(process="RayTrainWorker 5 on 10.0.0.2, rank 1", lines=("a", "b"))
    assert lines(failed, worker=worker) == [
        "job       t-train-20261122-120000-abcd",
        "command   raymill train t.yaml train.epochs=5, on here",
        "state     failed with exit code 3 after 3 min 20 s, at 2026-11-22T12:03:20Z",
        "run       t-01234567",
        "cause     Training lost a worker 3 times.",
        "fix       See its memory.",
        "retry     2 times, the last at 2026-11-22T12:02:00Z: attempt 2: rank 1 died",
        "worker    RayTrainWorker 5 on 10.0.0.2, rank 1 said last:",
        "          a",
        "          b",
        "next      raymill train t.yaml train.epochs=5",
    ]


def test_a_succeeded_job_names_its_result_its_metrics_and_the_next_step() -> None:
    report = {
        "dataset": {"uri": "s3://ml/d"},
        "model": {"uri": "s3://ml/b"},
        "metrics": {"test": {"accuracy": 0.9, "f1": 0.81234, "roc_auc": None}},
        "gate": {"decision": "promote", "reason": "the first"},
    }
    done = replace(ENDED, state="succeeded", exit_code=0, command="evaluate", where="10.0.0.5:6379", report=report)
    assert lines(done, on="http://h:8265")[1:] == [
        "command   raymill train t.yaml train.epochs=5, on the cluster 10.0.0.5:6379",
        "state     succeeded after 3 min 20 s, at 2026-11-22T12:03:20Z",
        "result    s3://ml/b",
        "metrics   test f1 0.8123, accuracy 0.9000, roc_auc undefined",
        "gate      promote: the first",
        "next      raymill promote t.yaml train.epochs=5 --on http://h:8265",
    ]


def test_of_a_prepare_the_dataset_is_the_result() -> None:
    done = replace(ENDED, state="succeeded", command="prepare", report={"dataset": {"uri": "d"}})
    assert "result    d" in lines(done)
    assert lines(done)[-1] == "next      raymill train t.yaml train.epochs=5"


def test_a_lost_job_says_since_when_and_what_it_said_last() -> None:
    assert lines(replace(RECORD, state="lost"))[2:] == [
        "state     lost; started 2026-11-22T12:00:00Z, last sign of life 2026-11-22T12:03:20Z",
        "cause     Its process 7 on here has shown no life since 2026-11-22T12:03:20Z: it, or its node, was killed, or "
        "it could no longer write to this store.",
        "said last 2026-11-22T12:03:00Z train     33%",
        "next      raymill train t.yaml train.epochs=5, which continues",
    ]


def test_what_is_to_be_typed_again_has_the_options_that_were_typed() -> None:
    words = "predict old.yaml --input 'a b.csv' --output c"
    lost = replace(RECORD, state="lost", command="predict", words=words)
    assert (
        lines(lost)[-1]
        == "next      raymill predict t.yaml train.epochs=5 --input 'a b.csv' --output c, which continues"
    )


def test_what_is_to_be_typed_has_the_overrides_that_the_job_had() -> None:
    lost = replace(RECORD, state="lost", words="train old.yaml train.seed=3 'task.target=a b'")
    typed = "t.yaml train.epochs=5 train.seed=3 'task.target=a b'"
    assert lines(lost)[-1] == f"next      raymill train {typed}, which continues"
    assert lines(replace(lost, state="succeeded", report={}))[-1] == f"next      raymill evaluate {typed}"


def test_a_running_job_says_for_how_long_and_how_to_follow_it() -> None:
    assert lines(RECORD)[2:] == [
        "state     running for 1 h 2 min, since 2026-11-22T12:00:00Z; said last: 2026-11-22T12:03:00Z train     33%",
        "next      raymill logs -f t.yaml train.epochs=5",
    ]


def test_as_json_it_is_the_record_with_what_was_found() -> None:
    found = explained(replace(RECORD, state="lost"), worker=LastWords(process="p", lines=("a",))).to_json()
    assert (found["id"], found["state"], found["worker"]["process"]) == (RECORD.id, "lost", "p")
    assert found["next"].startswith("raymill train")
