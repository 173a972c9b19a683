"""The arguments of an endpoint, as its Serve application takes them: which model, and how many replicas of it.

The application is named by string only. Ray is not needed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raymill.spec import Spec

APPLICATION = "serving.app:build"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One registered version, by where its bundle is and what that has to be."""

    version: str
    bundle_uri: str
    digest: str
    run_id: str | None = None


def endpoint_arguments(spec: Spec, model: ServedModel, endpoint_id: str) -> dict[str, Any]:
    """What `serving.app:build` takes to serve a model under the spec's name."""
    return {
        "name": spec.name,
        "version": model.version,
        "bundle_uri": model.bundle_uri,
        "digest": model.digest,
        "run_id": model.run_id,
        "store_uri": spec.store,
        "endpoint_id": endpoint_id,
        "route": spec.serve.route,
        "min_replicas": spec.serve.replicas.min,
        "max_replicas": spec.serve.replicas.max,
        "up_delay_s": spec.serve.replicas.up_delay_s,
        "down_delay_s": spec.serve.replicas.down_delay_s,
        "cpus": spec.serve.cpus,
        "target_ongoing_requests": spec.serve.target_ongoing_requests,
        "max_batch_size": spec.serve.max_batch_size,
    }
