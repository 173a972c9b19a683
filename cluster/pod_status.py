"""The status of a pod: whether it has a process, and if not, why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STARTED = ("Running", "Succeeded", "Failed")
_ON_ITS_WAY = ("ContainerCreating", "PodInitializing")


def has_started(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has, or had, a process, so that there may be a log."""
    return (pod.get("status") or {}).get("phase") in _STARTED


def in_the_way_of(pod: Mapping[str, Any]) -> str:
    """Why a pod doesn't start, in Kubernetes' words; nothing where it does, or is about to."""
    status = pod.get("status") or {}
    if status.get("phase") != "Pending":
        return ""
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, *_ON_ITS_WAY):
            return f"{waiting['reason']}: {waiting.get('message') or 'no more is said'}"
    conditions = status.get("conditions") or ()
    unplaced = (c.get("message", "") for c in conditions if (c["type"], c["status"]) == ("PodScheduled", "False"))
    return next(unplaced, "")
