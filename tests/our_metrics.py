"""Our own metrics, as Prometheus finds them: of jobs and of endpoints, with the labels of each."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import cluster.meters
import serving.meters


@functools.cache
def labels_of_exported() -> Mapping[str, frozenset[str]]:
    """The labels of each series by its name; a histogram has three, of which buckets have one label more."""
    found = {f"ray_{metric.name}": frozenset(metric.labels) for metric in cluster.meters.METRICS}
    for metric in serving.meters.METRICS:
        name, labels = f"ray_{metric.name}", frozenset(metric.labels)
        if metric.kind == "histogram":
            found |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            found[name] = labels
    return found
