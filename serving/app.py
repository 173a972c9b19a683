"""The Ray Serve application: how a model becomes replicas. `serving.app:build` is named by string elsewhere.

A plain Starlette request rather than FastAPI, which costs a third of the throughput.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from starlette.requests import Request
from starlette.responses import Response

from raymill.drift import Drift
from raymill.store import Store
from serving.arguments import EndpointArgs
from serving.drift_watch import DriftWatch
from serving.feedback import Feedback
from serving.guard import Guard
from serving.hourly_writer import HourlyWriter
from serving.meters import Meters
from serving.model import Model, load_model
from serving.request_log import RequestLog
from serving.service import Service
from serving.tokens import admission_at
from serving.v2_grpc import V2Grpc, V2Methods

_START_TRIES = 2
_QUEUE_DEPTH = 4
_RETRY_AFTER_S = 1


class Replica(V2Methods):
    """One process with one model. It is ready once the model is loaded, verified and has scored a row."""

    def __init__(self, args: EndpointArgs, load: Callable[[str, str], Model] = load_model) -> None:
        import torch

        self._log = self._feedback = None
        torch.set_num_threads(max(1, int(args.cpus)))
        admission = None if args.tokens is None else admission_at(args.tokens)
        self._meters, self._waiting = Meters(args.name, args.version), 0
        model = load(args.bundle_uri, args.digest)
        if args.store_uri is not None:
            store, replica = Store(args.store_uri), serve.get_replica_context().replica_id.unique_id
            self._feedback = Feedback(store, args.name, replica, model.predictor.task)
            if args.log is not None:
                self._log = RequestLog(store, args.name, replica, sample=args.log.sample, every_s=args.log.every_s)
        self._drift = None if model.drift is None else DriftWatch(model.predictor.schema, model.drift)
        service = Service(
            args, model, log=self._log, feedback=self._feedback, drift=self._drift, told=self._meters.scored
        )
        service.warm_up()
        if args.store_uri is not None:
            service.follow_releases(store, replica, load)
        for writer in self._writers.values():
            writer.start()
        if self._drift is not None:
            self._drift.start()
        self._meters.watch(lambda: self._waiting, lambda: service.candidate, self._writers, lambda: self._drifting)
        answered = self._meters.answered
        self.v2 = V2Grpc(args, model, service.score_table, service.apart, admission=admission, answered=answered)
        self._guard = Guard(service.answer, route=args.route, deadline_s=args.deadline_s, admission=admission)
        gc.collect()
        gc.freeze()  # what is here stays: no collection of a request's garbage walks through it any more

    async def __call__(self, request: Request) -> Response:
        started_s = time.perf_counter()
        self._waiting += 1
        try:
            response = await self._guard.answer(request)
        finally:
            self._waiting -= 1
        self._meters.answered(response.status_code, time.perf_counter() - started_s)
        return response

    @property
    def _writers(self) -> dict[str, HourlyWriter[Any]]:
        sources = {"requests": self._log, "feedback": self._feedback}
        return {name: source.writer for name, source in sources.items() if source is not None}

    @property
    def _drifting(self) -> Drift | None:
        return None if self._drift is None else self._drift.found

    def __del__(self) -> None:
        """Serve calls it when a replica has drained: what was logged and not yet written is written."""
        for writer in self._writers.values():
            writer.close()


def build(args: EndpointArgs | Mapping[str, Any]) -> Application:
    """The application for one model version; equal arguments build an equal one, which replaces no replica.

    New replicas start before old ones stop, and where they fail to start the old ones stay. Raises pydantic's
    ValidationError for arguments that are none.
    """
    valid = args if isinstance(args, EndpointArgs) else EndpointArgs.model_validate(dict(args))
    ongoing = max(valid.max_batch_size, 2 * valid.target_ongoing_requests)
    deployment = serve.deployment(
        Replica,
        name="model",
        ray_actor_options={"num_cpus": valid.cpus},
        max_ongoing_requests=ongoing,
        max_queued_requests=_QUEUE_DEPTH * ongoing,
        backpressure_config=BackpressureConfig(retry_after_s=_RETRY_AFTER_S),
        autoscaling_config=AutoscalingConfig(
            min_replicas=valid.min_replicas,
            initial_replicas=max(valid.min_replicas, 1),
            max_replicas=valid.max_replicas,
            target_ongoing_requests=valid.target_ongoing_requests,
            upscale_delay_s=valid.up_delay_s,
            downscale_delay_s=valid.down_delay_s,
        ),
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        max_constructor_retry_count=_START_TRIES,
        max_surge_percent=100,
        max_replicas_per_node=valid.max_replicas_per_node,
    )
    # Serve would restart every replica at each deploy; its own code version is what tells it not to.
    return deployment.options(version=valid.fingerprint, _internal=True).bind(valid)
