"""The CronJob of a schedule: by the clock, a pod types the command that a user would type, `raymill ... --on k8s`.

It isn't KubeRay's RayCronJob, which is an alpha, and which would neither ask what is in the way of a job nor change the
endpoint after it.
"""

from __future__ import annotations

import re
from typing import Any

from cluster.grammar import KUBERNETES
from cluster.job_files import JobFiles
from cluster.job_settings import JobSettings
from cluster.object_names import COMMAND, labels, schedule_name
from cluster.ray_template import RayTemplate
from cluster.side_pod import side_pod
from cluster.submission import SPEC_FILE
from raymill.errors import SpecError
from raymill.spec import Spec

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Of each field the least number, the most, and names for them from the least on.
_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_PART = re.compile(r"(?:[*?]|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?", re.ASCII)
_NAMED = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_LATE_S = 3600  # a start that was missed for longer waits for the next
_BEYOND_S = 1800  # for the endpoint that follows the job
_KEPT = 3


def _is_schedule(text: str) -> bool:
    """Whether Kubernetes' own parser (robfig/cron) takes it, which says so only when an object is applied."""
    fields = text.split(" ")
    return text in _NAMED or (len(fields) == len(_FIELDS) and all(map(_is_field, fields, _FIELDS)))


def _is_field(text: str, bounds: tuple[int, int, tuple[str, ...]]) -> bool:
    return all(_is_part(part, *bounds) for part in text.split(","))


def _is_part(text: str, least: int, most: int, names: tuple[str, ...]) -> bool:
    found = _PART.fullmatch(text)
    if found is None or (found["step"] is not None and int(found["step"]) == 0):
        return False
    numbers = [_number(each, least, names) for each in (found["first"], found["last"]) if each is not None]
    return all(least <= number <= most for number in numbers) and numbers == sorted(numbers)


def _number(text: str, least: int, names: tuple[str, ...]) -> int:
    """Of a number or a name; below every least one for what is neither."""
    if text.lower() in names:
        return least + names.index(text.lower())
    return int(text) if text.isdecimal() else -1


def schedule_objects(
    spec: Spec, command: str, options: list[str], schedule: str, template: RayTemplate, settings: JobSettings
) -> list[dict[str, Any]]:
    """The ConfigMap with the spec, and the CronJob. Raises SpecError for a schedule that is none."""
    if not _is_schedule(schedule):
        raise SpecError(f"{schedule!r} is no schedule.", 'Write five fields, as "0 3 * * *" for every night at three.')
    own = labels("schedule", spec.name) | {COMMAND: command}
    files = JobFiles.of(spec, schedule_name(spec.name, command))
    cron_job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": files.name, "namespace": template.namespace, "labels": own},
        "spec": {
            "schedule": schedule,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": _LATE_S,
            "successfulJobsHistoryLimit": _KEPT,
            "failedJobsHistoryLimit": _KEPT,
            "jobTemplate": {
                "metadata": {"labels": own},
                "spec": {
                    "backoffLimit": 0,  # a second launcher would start a second job beside one that goes on
                    **_deadline(settings),
                    "template": _launcher(spec, command, options, template, settings, files),
                },
            },
        },
    }
    return [files.config_map(template.namespace, own, fixed=False), cron_job]


def _deadline(settings: JobSettings) -> dict[str, int]:
    """A launcher's own, beyond its job's; none where that may wait in a queue for as long as the queue likes."""
    if settings.queue:
        return {}
    return {"activeDeadlineSeconds": settings.wait_s + settings.deadline_s + _BEYOND_S}


def _launcher(
    spec: Spec, command: str, options: list[str], template: RayTemplate, settings: JobSettings, files: JobFiles
) -> dict[str, Any]:
    typed = ["raymill", command, SPEC_FILE, *options, "--on", KUBERNETES]
    head = template.head["spec"]["containers"][0]
    store = {"envFrom": head["envFrom"]} if "envFrom" in head else {}  # to read what the job has left
    pod = side_pod("launcher", spec.name, template, files, {"command": typed, **store})
    pod["spec"] |= {
        "serviceAccountName": settings.launcher_service_account,
        "automountServiceAccountToken": True,  # it talks to the API server
    }
    return pod
