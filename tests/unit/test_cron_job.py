"""The CronJob of a schedule."""

from __future__ import annotations

import pytest

from cluster.cron_job import schedule_objects
from cluster.grammar import parse
from raymill.errors import SpecError
from tests.ray_clusters import settings, spec_in_a_bucket, template


def rendered(schedule: str = "0 3 * * *") -> list[dict]:
    return schedule_objects(spec_in_a_bucket(), "run", ["--no-serve"], schedule, template(), settings())


def test_a_pod_types_the_command_by_the_clock_one_at_a_time() -> None:
    files, cron_job = rendered()
    spec = cron_job["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"], spec["timeZone"]) == ("0 3 * * *", "Forbid", "Etc/UTC")
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 7200 + 600  # of its job, once that has room
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    arguments = parse(container["command"][1:])
    assert (arguments.command, arguments.spec, arguments.on, arguments.no_serve) == ("run", "spec.yaml", "k8s", True)
    assert container["workingDir"] == "/job"
    assert files["metadata"]["name"] == cron_job["metadata"]["name"] == "far-run"
    assert "immutable" not in files  # typed again, `render` changes the spec of a schedule


def test_a_launcher_waits_for_its_job_as_long_as_a_queue_lets_that_wait() -> None:
    queued = settings(queue="raymill")
    _, cron_job = schedule_objects(spec_in_a_bucket(), "run", [], "@daily", template(), queued)
    assert "activeDeadlineSeconds" not in cron_job["spec"]["jobTemplate"]["spec"]


def test_only_the_launcher_has_a_token_and_it_reads_the_store() -> None:
    pod = rendered()[1]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("raymill-launcher", True)
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "raymill-store"}}]
    assert pod["securityContext"] == {"runAsNonRoot": True}


@pytest.mark.parametrize(
    "schedule", ["*/15 * * * *", "0 3 * * MON-FRI", "30 2,14 1 */2 ?", "5/10 * * jan SUN", "@daily"]
)
def test_a_schedule_is_five_fields_or_a_word(schedule: str) -> None:
    assert rendered(schedule)[1]["spec"]["schedule"] == schedule


@pytest.mark.parametrize(
    "schedule",
    [
        *("", "daily", "0 3 * *", "0 3 * * * *", "@reboot", "0 3 * * *\n", "0 3  * *", "60 3 * * *", "0 24 * * *"),
        *("0 3 0 * *", "0 3 * 13 *", "0 3 * * 7", "0 3 * * FRI-MON", "0 3 * MON *", "*/0 3 * * *", "0 3-1 * * *"),
        *("a b c d e", "0, 3 * * *", "-1 3 * * *", "0 3 * * *-FRI"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(SpecError, match="is no schedule"):
        rendered(schedule)
