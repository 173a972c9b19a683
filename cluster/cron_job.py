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

_FIELD = r"[0-9A-Za-z*/,\-?]+"
_CRON = re.compile(rf"{_FIELD}( {_FIELD}){{4}}|@(hourly|daily|midnight|weekly|monthly|yearly|annually)")
_LATE_S = 3600  # a start that was missed for longer waits for the next
_BEYOND_S = 1800  # for the endpoint that follows the job
_KEPT = 3


def schedule_objects(
    spec: Spec, command: str, options: list[str], schedule: str, template: RayTemplate, settings: JobSettings
) -> list[dict[str, Any]]:
    """The ConfigMap with the spec, and the CronJob. Raises SpecError for a schedule that is none."""
    if _CRON.fullmatch(schedule) is None:
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
                    "activeDeadlineSeconds": settings.wait_s + settings.deadline_s + _BEYOND_S,
                    "template": _launcher(spec, command, options, template, settings, files),
                },
            },
        },
    }
    return [files.config_map(template.namespace, own, fixed=False), cron_job]


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
