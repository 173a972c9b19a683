"""The service: an HTTP request to one model's endpoint in, an answer out.

It knows routes, statuses and request ids; Ray Serve starts it, and scoring is the versions'.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from raymill.errors import DataError
from raymill.release import Candidate
from raymill.schema import RowsError
from raymill.store import Store
from serving.answered import Answered
from serving.apart import apart
from serving.arguments import EndpointArgs
from serving.arrow_predict import arrow_handler, is_arrow
from serving.body import read_body, rows_of
from serving.docs_page import docs_handler
from serving.drift_watch import DriftWatch
from serving.feedback import Feedback
from serving.guarded_document import guarded
from serving.handler import Handler, constant_json
from serving.live_release import LiveRelease
from serving.model import Model, load_model
from serving.openapi import openapi
from serving.protocols_document import with_protocols
from serving.refusal import Refusal
from serving.release_watch import ReleaseWatch
from serving.request_id import request_id_of
from serving.request_log import RequestLog
from serving.scored import Scored
from serving.v2 import v2_routes
from serving.version import MOST_ROWS_INLINE, Rows, Told, Version

logger = logging.getLogger("ray.serve")
# As Ray and nginx count a request whose client left; nobody reads the answer.
_GONE = 499


class Service:
    """Answers below its route: `/v1/NAME...`, Open Inference Protocol's `/v2...`, `/healthz`, `/openapi.json`, `/docs`.

    With `feedback` also `POST /v1/NAME/feedback`; `log` hears of all answers, `drift` of the rows that the stable
    version has answered, whose train rows it knows, and `told` of all that is scored.
    """

    def __init__(
        self,
        args: EndpointArgs,
        model: Model,
        *,
        log: RequestLog | None = None,
        feedback: Feedback | None = None,
        drift: DriftWatch | None = None,
        told: Told | None = None,
    ) -> None:
        self._args, self._log, self._drift, self._told = args, log, drift, told
        self._watch: ReleaseWatch | None = None
        self.apart = ThreadPoolExecutor(1, "large-bodies")
        self._stable = self._version(args.version, model)
        self._prefix = args.route.rstrip("/")
        self._predict_arrow = arrow_handler(model, self.score_table, self.apart)
        self._routes = self._own_routes(model, feedback) | v2_routes(args, model, self.score_table, self.apart)

    def _own_routes(self, model: Model, feedback: Feedback | None) -> dict[str, tuple[str, Handler]]:
        args, predictor = self._args, model.predictor
        document = openapi(
            args.name, args.version, args.route, predictor.schema, predictor.task, feedback=feedback is not None
        )
        document = guarded(with_protocols(document, args, model), takes_tokens=args.tokens is not None)
        told = args.model_dump(include={"name", "version", "configuration"})
        health = {"status": "ok", "id": args.endpoint_id} | told
        routes: dict[str, tuple[str, Handler]] = {
            f"/v1/{args.name}/predict": ("POST", self._predict),
            f"/v1/{args.name}": ("GET", constant_json(_card(args, model))),
            "/healthz": ("GET", constant_json(health)),
            "/openapi.json": ("GET", constant_json(document)),
            "/docs": ("GET", docs_handler(document, predictor.schema.kinds)),
        }
        return routes if feedback is None else routes | {f"/v1/{args.name}/feedback": ("POST", feedback.take)}

    def warm_up(self) -> None:
        self._stable.warm_up()

    def follow_releases(self, store: Store, replica: str, load: Callable[[str, str], Model] = load_model) -> None:
        """From now on takes part in what the store says of releases, under the name of a replica."""

        def loaded(candidate: Candidate) -> Version:
            version = self._version(candidate.version, load(candidate.bundle_uri, candidate.digest))
            version.warm_up()
            return version

        self._watch = ReleaseWatch(store, self._args.name, self._stable, loaded, replica)
        self._watch.start()

    @property
    def candidate(self) -> str | None:
        """The version that is being released here, or None."""
        live = self._live  # which its own thread may take away at any time
        return None if live is None else live.candidate.label

    @property
    def _live(self) -> LiveRelease | None:
        return None if self._watch is None else self._watch.live

    def _version(self, label: str, model: Model) -> Version:
        if self._log is not None:
            self._log.learn(label, model.predictor.schema, model.predictor.task, self._args.private)
        return Version(self._args.name, label, model, self._args.max_batch_size, self.apart, self._told)

    async def answer(self, request: Request) -> Response:
        """The answer to any request; nothing is raised, and what is our fault shows its request id only."""
        request_id = request_id_of(request)
        try:
            return await self._handler(request)(request, request_id)
        except Refusal as refusal:
            return refusal.response(request_id)
        except RowsError as error:
            return Refusal(422, f"{error.what} {error.fix}", errors=error.problems).response(request_id)
        except DataError as error:
            return Refusal(422, f"{error.what} {error.fix}").response(request_id)
        except ClientDisconnect:  # before its body was here
            return Response(status_code=_GONE)
        except Exception:
            logger.exception("request %s failed", request_id)
            return Refusal(500, "This is our fault; the log names it by the request id.").response(request_id)

    def _handler(self, request: Request) -> Handler:
        path = request.scope["path"].removeprefix(self._prefix)
        method, handler = self._routes.get(path, ("", None))
        if handler is None:
            raise Refusal(404, f"There is no {path or '/'} here; there are {self._known()}.")
        if request.method != method and (request.method, method) != ("HEAD", "GET"):
            raise Refusal(405, f"{path} takes {method}; there are {self._known()}.", headers={"allow": method})
        return handler

    def _known(self) -> str:
        return ", ".join(f"{method} {self._prefix}{path}" for path, (method, _) in self._routes.items())

    async def _predict(self, request: Request, request_id: str) -> Response:
        if is_arrow(request):
            return await self._predict_arrow(request, request_id)
        body = await read_body(request)
        rows = await apart(self.apart, len(body), lambda: rows_of(body))
        version, scores = await self._scored(rows, request_id)
        size = max(len(body), scores.nbytes)  # `{}` is a row, and may have a thousand classes
        text = await apart(self.apart, size, lambda: version.answer(scores, request_id))
        return Response(text, media_type="application/json")

    async def score_table(self, table: pa.Table, request_id: str) -> Scored:
        """The scores of a raw table's rows, and whose they are. Raises DataError for what doesn't fit the schema."""
        return Scored(*await self._scored(table, request_id))

    async def _scored(self, rows: Rows, request_id: str) -> tuple[Version, Any]:
        live, started_s = self._live, time.perf_counter()
        if live is not None:
            version, scores = await live.score(rows, request_id)
        else:
            version, scores = self._stable, await self._stable.score(rows)
        seconds = time.perf_counter() - started_s
        if len(rows) <= MOST_ROWS_INLINE:
            self._tell(version, rows, scores, request_id, seconds)
        else:
            tell = functools.partial(self._tell, version, rows, scores, request_id, seconds)
            await asyncio.get_running_loop().run_in_executor(self.apart, tell)
        return version, scores

    def _tell(self, version: Version, rows: Any, scores: np.ndarray, request_id: str, seconds: float) -> None:
        """Lets the observers know of what was answered."""
        if self._drift is not None and version is self._stable:
            self._drift.saw(rows)
        if self._log is not None:
            self._log.saw(Answered(request_id, version.label, rows, scores, seconds, time.time()))


def _card(args: EndpointArgs, model: Model) -> dict[str, Any]:
    task = model.predictor.task
    return {
        "name": args.name,
        "version": args.version,
        "digest": model.predictor.digest,
        "task": {"type": task.kind, "target": task.target}
        | ({} if task.at_least is None else {"at_least": task.at_least}),
        "classes": list(task.classes),
        "input": model.predictor.schema.json_schema(),
        "lineage": model.lineage | {"run_id": args.run_id or model.lineage.get("run_id")},
    }
