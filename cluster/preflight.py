"""Preflight: what a cluster is asked over HTTP before a job process starts there, so that what can't work is refused.

What only a process on the cluster can find out is `cluster.reach`'s to ask.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.exposure import require_guard
from cluster.jobs_api import JobsApi
from raymill.console import Console
from raymill.errors import ResourceError, SpecError, StoreError
from raymill.loggable import without_userinfo
from raymill.spec import Spec
from raymill.train_spec import CPUS_ASKED

_SERVING = ("deploy", "serve")
_TRAINING = ("train", "evaluate", "promote", "deploy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a job asks for at one time: so many processes of a kind, each with so much on one node."""

    what: str
    cpus: float
    gpus: float = 0
    count: int = 1


def asks_of(spec: Spec, last: str) -> tuple[Ask, ...]:
    """What the walk up to a step asks for, a prediction, or an endpoint alone (`serve`)."""
    asks = [Ask(what="piece of work", cpus=CPUS_ASKED)]
    if last in _TRAINING:
        recipe = spec.train
        asks.append(
            Ask(what="training worker", cpus=recipe.cpus_asked, gpus=recipe.gpus_per_worker, count=recipe.least_workers)
        )
    if last in _SERVING:
        asks.append(Ask(what="replica", cpus=spec.serve.cpus, count=max(spec.serve.replicas.min, 1)))
    return tuple(asks)


def preflight(spec: Spec, last: str, written: Sequence[str], api: JobsApi, console: Console) -> None:
    """Refuses what the cluster at `api` can't do, and places to be written to that can't be.

    Raises SpecError for an endpoint that others reach without tokens, ResourceError, StoreError, MachineError.
    """
    if last in _SERVING:
        require_guard(spec.serve)
    require_same_versions(*api.versions(), api.address)
    capacity = api.capacity()
    for ask in asks_of(spec, last):
        capacity.require(ask.cpus, ask.gpus, ask.count, ask.what)
    for uri in written:
        require_store(uri, console)


def require_remote(spec: Spec, address: str, places: Mapping[str, str]) -> None:
    """Raises SpecError for a path of this machine, by its key or by the option in `places` that holds it.

    So it does for a password in `tracking`: the cluster keeps what it is given.
    """
    named = {"data.source": spec.data.source, "store": spec.store, "tracking": spec.tracking or "", **places}
    for key, place in named.items():
        local = place.startswith("sqlite:") if key == "tracking" else not place.startswith(("s3://", "bundled:"))
        if local:
            raise SpecError(
                f"{key} is {place}, on this machine, but the job is to run at {address}.",
                "Name a place that the cluster reaches, as s3://BUCKET/PREFIX, or an MLflow server for tracking.",
            )
    if spec.tracking and without_userinfo(spec.tracking) != spec.tracking:
        raise SpecError(
            f"tracking holds a password, which the cluster at {address} would keep with the job.",
            "Take it out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD on the cluster's nodes.",
        )


def require_same_versions(ray: str, python: str, address: str) -> None:
    """Raises ResourceError where the cluster has another minor version of Ray or of Python than this machine."""
    ours = {"Ray": importlib.metadata.version("ray"), "Python": ".".join(map(str, sys.version_info[:3]))}
    for name, theirs in {"Ray": ray, "Python": python}.items():
        if theirs.split(".")[:2] != ours[name].split(".")[:2]:
            raise ResourceError(
                f"The cluster at {address} runs {name} {theirs}, and raymill here runs with {name} {ours[name]}.",
                f"Give the cluster an image with this raymill and its {name}, or type the command where {name} is "
                f"{theirs}.",
            )


def require_store(uri: str, console: Console) -> None:
    """Raises StoreError where the store answers this machine that it can't be written.

    One that this machine can't reach, or has no credentials for, may well be the cluster's to write.
    """
    from raymill.bucket import Unanswered
    from raymill.store import Store

    try:
        Store(uri).check()
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, Unanswered):
            raise StoreError(
                f"From here: {error.what}",
                f"{error.fix} Where the cluster alone may write it, take the AWS settings away here.",
            ) from error
        console.say(f"{uri} can't be checked from here, so the job does that first: {error.what}")
