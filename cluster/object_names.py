"""What objects in Kubernetes are called, and the labels by which they are found again. It knows names, no objects."""

from __future__ import annotations

import hashlib
import re

from cluster.ray_template import CLUSTER

PART_OF = "app.kubernetes.io/part-of=raymill"  # a selector of all that is ours
SPEC = "raymill/spec"  # labels
COMMAND = "raymill/command"
COMPONENT = "app.kubernetes.io/component"
JOB_ID = "raymill/job-id"  # an annotation: ids are longer than labels may be
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_MOST_CLUSTER = 53
_MOST_JOB = 47  # of a RayJob, whose cluster's name is six longer; Kubernetes takes 63
_MOST_ENDPOINT = 40  # of a RayService: KubeRay cuts the name of its service at 50, and that ends in `-serve-svc`
_MOST_SCHEDULE = 52  # of a CronJob
_DIGITS = 8


def labels(component: str, spec_name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/part-of": "raymill",
        "app.kubernetes.io/name": f"raymill-{component}",
        COMPONENT: component,
        SPEC: spec_name,
    }


def is_cluster_name(text: str) -> bool:
    """Whether KubeRay takes it for a RayCluster."""
    return len(text) <= _MOST_CLUSTER and _DNS_LABEL.fullmatch(text) is not None


def job_name(id: str) -> str:
    """The RayJob of a job, and of the ConfigMap with its files."""
    return _fitted(id, _MOST_JOB)


def endpoint_name(spec_name: str) -> str:
    """The RayService that serves a spec's name; never that of the standing cluster.

    KubeRay calls the Service of a head NAME-head-svc for both kinds, and would point the cluster's at the endpoint.
    """
    return _fitted(spec_name, _MOST_ENDPOINT, but=CLUSTER)


def service_name(spec_name: str) -> str:
    """The Service that KubeRay puts before an endpoint."""
    return f"{endpoint_name(spec_name)}-serve-svc"


def grpc_service_name(spec_name: str) -> str:
    """The Service by which gRPC reaches an endpoint."""
    return f"{endpoint_name(spec_name)}-grpc"


def budget_name(spec_name: str) -> str:
    """The PodDisruptionBudget of an endpoint; no name of those in k8s/base ends so."""
    return f"{endpoint_name(spec_name)}-endpoint"


def tokens_name(spec_name: str) -> str:
    """The Secret with the lines of the tokens that an endpoint takes."""
    return f"{endpoint_name(spec_name)}-tokens"


def schedule_name(spec_name: str, command: str) -> str:
    return _fitted(f"{spec_name}-{command}", _MOST_SCHEDULE)


def _fitted(text: str, most: int, but: str = "") -> str:
    """The text where it is a DNS label that begins with a letter, else one that a digest tells from others."""
    if len(text) <= most and text[0].isalpha() and text != but:
        return text
    started = text if text[0].isalpha() else f"n{text}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return f"{started[: most - _DIGITS - 1].rstrip('-')}-{digest}"
