"""A pod beside Ray's: one that hands a job over, or that starts one by the clock. Both run no work of the user's.

Image and security are those of the head, so that what an overlay settles for it holds here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.job_files import JobFiles
from cluster.object_names import labels
from cluster.ray_template import RayTemplate

FILES_AT = "/job"
_OF_THE_POD = ("securityContext", "imagePullSecrets", "nodeSelector", "tolerations")
_OF_THE_CONTAINER = ("image", "imagePullPolicy", "securityContext")
_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "1Gi", "ephemeral-storage": "100Mi"},
    "limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
}


def side_pod(
    component: str, spec_name: str, template: RayTemplate, files: JobFiles, container: Mapping[str, Any]
) -> dict[str, Any]:
    """A pod template with a job's files at FILES_AT, and no token; `container` has what is special about its one."""
    head = template.head["spec"]
    common = {key: head["containers"][0][key] for key in _OF_THE_CONTAINER if key in head["containers"][0]}
    return {
        "metadata": {"labels": labels(component, spec_name)},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,  # of each Service they would make seven variables
            **{key: head[key] for key in _OF_THE_POD if key in head},
            "containers": [
                {
                    "name": component,
                    **common,
                    "workingDir": FILES_AT,
                    "env": [{"name": "HOME", "value": "/tmp"}, {"name": "PYTHONUNBUFFERED", "value": "1"}],
                    "resources": _RESOURCES,
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *files.mounts(FILES_AT)],
                    **container,
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}}, files.volume()],
        },
    }
