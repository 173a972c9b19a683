"""The budget of an endpoint's workers: a node that is drained, or taken away to save it, leaves one that answers.

KubeRay's pods belong to what has no scale subresource, so that only `minAvailable` as a number counts. Source:
`getExpectedPodCount` of Kubernetes' `pkg/controller/disruption/disruption.go`, which counts the pods themselves then.
"""

from __future__ import annotations

from typing import Any

from cluster.object_names import COMPONENT, SPEC, budget_name, labels

_STAYS = 1


def disruption_budget(spec_name: str, namespace: str) -> dict[str, Any]:
    """The object. It knows pods by the labels of their template: clusters get another name with each upgrade.

    A worker is ready while its proxy knows a replica; one that isn't keeps no node.
    """
    own = labels("endpoint", spec_name)
    chosen = {SPEC: spec_name, COMPONENT: own[COMPONENT], "ray.io/node-type": "worker"}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": budget_name(spec_name), "namespace": namespace, "labels": own},
        "spec": {
            "minAvailable": _STAYS,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": chosen},
        },
    }
