"""Rendered: what `raymill k8s render` makes of the examples and of what is built, without a command line in between."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from cluster.cron_job import schedule_objects
from cluster.endpoint_arguments import ServedModel
from cluster.overlay import Overlay
from cluster.ray_job import JobOrder, job_objects
from cluster.ray_service import endpoint_objects
from cluster.ray_template import CLUSTER
from raymill.spec import Spec
from raymill.spec_text import load_spec
from tests.repo.house import ROOT

_ELSEWHERE = ["store=s3://raymill/store", "tracking=http://mlflow:5000", "serve={tokens: {file: t}, grpc_port: 9000}"]
_MODEL = ServedModel(version="3", bundle_uri="s3://raymill/store/bundles/3", digest="ab" * 32, run_id="cd" * 16)
_ENDING = "20261126-120000-36cc"
WAYS = ("run", "on the standing cluster", "predict", "service", "schedule")


def render(way: str, example: str, objects: Sequence[dict[str, Any]], place: str) -> list[dict[str, Any]]:
    """The objects of one way to run an example, where `objects` are what stands there."""
    spec, overlay = _spec(example), Overlay.of(objects, place)
    match way:
        case "service":
            return endpoint_objects(spec, _MODEL, overlay.template, overlay.settings.gateway_class)
        case "schedule":
            return schedule_objects(spec, "run", [], "0 3 * * *", overlay.template, overlay.settings)
        case "predict":
            options, command, standing = ["--input", "s3://lake/new/", "--output", "s3://lake/scores"], "predict", None
        case _:
            options, command, standing = ["--no-serve"], "run", None if way == "run" else CLUSTER
    id = f"{spec.name}-{command}-{_ENDING}"
    order = JobOrder(spec=spec, command=command, options=options, id=id, standing=standing)
    return job_objects(order, overlay.template, overlay.settings)


@functools.cache
def _spec(example: str) -> Spec:
    return load_spec(ROOT / "examples" / f"{example}.yaml", _ELSEWHERE)
