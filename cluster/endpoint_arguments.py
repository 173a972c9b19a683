"""The arguments of an endpoint, as its Serve application takes them: which model, and how many replicas of it.

The application is named by string only. Ray is not needed here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.loopback import is_loopback
from raymill.safety_spec import TokensSpec
from raymill.spec import ServeSpec, Spec
from raymill.store import Store

if TYPE_CHECKING:
    from raymill.registry import Version

APPLICATION = "serving.app:build"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One registered version, by where its bundle is and what that has to be."""

    version: str
    bundle_uri: str
    digest: str
    run_id: str | None = None

    @classmethod
    def of(cls, version: Version) -> ServedModel:
        return cls(
            version=str(version.number), bundle_uri=version.bundle_uri, digest=version.digest, run_id=version.run_id
        )


def endpoint_arguments(
    spec: Spec, model: ServedModel, endpoint_id: str, settled: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `serving.app:build` takes to serve a model under the spec's name; `settled` is what a place says otherwise.

    `configuration` tells replicas with other arguments apart from the outside, also those of one version.
    """
    arguments = {
        "name": spec.name,
        "version": model.version,
        "bundle_uri": model.bundle_uri,
        "digest": model.digest,
        "run_id": model.run_id,
        "store_uri": Store(spec.store).uri,
        "endpoint_id": endpoint_id,
        "route": spec.serve.route,
        "min_replicas": spec.serve.replicas.min,
        "max_replicas": spec.serve.replicas.max,
        "up_delay_s": spec.serve.replicas.up_delay_s,
        "down_delay_s": spec.serve.replicas.down_delay_s,
        "cpus": spec.serve.cpus,
        "target_ongoing_requests": spec.serve.target_ongoing_requests,
        "max_batch_size": spec.serve.max_batch_size,
        "deadline_s": spec.serve.deadline_s,
        "tokens": _tokens_at(spec.serve),
        "log": _log_arguments(spec),
        **({"grpc_loopback_only": True} if _is_grpc_bound_to_loopback(spec.serve) else {}),
        **(settled or {}),
    }
    content = json.dumps(arguments, sort_keys=True)
    return arguments | {"configuration": hashlib.sha256(content.encode()).hexdigest()[:16]}


def _is_grpc_bound_to_loopback(serve: ServeSpec) -> bool:
    """Whether replicas have to see to it themselves: Serve opens its gRPC to all, whatever the host."""
    return serve.grpc_port is not None and is_loopback(serve.host)


def _tokens_at(serve: ServeSpec) -> dict[str, str] | None:
    """Where the replicas find the hashes of tokens: what travels is never one of them."""
    return serve.tokens.model_dump(exclude_none=True) if isinstance(serve.tokens, TokensSpec) else None


def _log_arguments(spec: Spec) -> dict[str, Any] | None:
    """What is logged of requests, as a record's JSON says it; None for nothing."""
    log = spec.serve.log
    if log.sample == 0:
        return None
    # A column that is no feature is in no request, and no model knows it.
    private = [name for name in spec.features.private if name not in spec.no_features]
    return {"sample": log.sample, "every_s": log.every_s, "private": private}
