"""The service: an HTTP request to one model's endpoint in, an answer out.

It knows routes, statuses and request ids; Ray Serve starts it, and scoring is the model's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from raymill.errors import DataError
from raymill.release import Candidate
from raymill.schema import RowsError
from raymill.store import Store
from serving.answered import Answered
from serving.arguments import EndpointArgs
from serving.body import read_body, rows_of
from serving.feedback import Feedback
from serving.live_release import LiveRelease
from serving.model import Model, load_model
from serving.openapi import openapi
from serving.refusal import Refusal
from serving.release_watch import ReleaseWatch
from serving.request_log import RequestLog
from serving.version import MOST_ROWS_INLINE, Rows, Scored, Version

logger = logging.getLogger("ray.serve")
_MOST_ID = 128
# A larger body is parsed beside the event loop, which goes on answering: it may take a second.
_MOST_BYTES_INLINE = 128 << 10
Handler = Callable[[Request, str], Awaitable[Response]]


class Service:
    """Answers `POST /v1/NAME/predict`, `GET /v1/NAME`, `GET /healthz` and `GET /openapi.json` below its route.

    With `feedback` also `POST /v1/NAME/feedback`; `log` hears of all answers, `told` of all that is scored.
    """

    def __init__(
        self,
        args: EndpointArgs,
        model: Model,
        *,
        log: RequestLog | None = None,
        feedback: Feedback | None = None,
        told: Scored | None = None,
    ) -> None:
        self._args, self._log, self._told = args, log, told
        self._watch: ReleaseWatch | None = None
        self._apart = ThreadPoolExecutor(1, "large-bodies")
        self._stable = self._version(args.version, model)
        self._prefix = args.route.rstrip("/")
        predictor, takes_labels = model.predictor, feedback is not None
        document = openapi(args.name, args.version, args.route, predictor.schema, predictor.task, feedback=takes_labels)
        health = {"status": "ok", "name": args.name, "version": args.version, "id": args.endpoint_id}
        self._routes: dict[str, tuple[str, Handler]] = {
            f"/v1/{args.name}/predict": ("POST", self._predict),
            f"/v1/{args.name}": ("GET", _constant(_card(args, model))),
            "/healthz": ("GET", _constant(health)),
            "/openapi.json": ("GET", _constant(document)),
        }
        if feedback is not None:
            self._routes[f"/v1/{args.name}/feedback"] = ("POST", feedback.take)

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
        return None if self._live is None else self._live.candidate.label

    @property
    def _live(self) -> LiveRelease | None:
        return None if self._watch is None else self._watch.live

    def _version(self, label: str, model: Model) -> Version:
        if self._log is not None and self._args.log is not None:
            self._log.learn(label, model.predictor.schema, model.predictor.task, self._args.log.private)
        return Version(self._args.name, label, model, self._args.max_batch_size, self._apart, self._told)

    async def answer(self, request: Request) -> Response:
        """The answer to any request; nothing is raised, and what is our fault shows its request id only."""
        request_id = request.headers.get("x-request-id", "")[:_MOST_ID] or uuid.uuid4().hex
        try:
            return await self._handler(request)(request, request_id)
        except Refusal as refusal:
            errors = {"errors": refusal.errors} if refusal.errors else {}
            return _answer(refusal.status, {"error": refusal.error} | errors, request_id, refusal.headers)
        except RowsError as error:
            return _answer(422, {"error": f"{error.what} {error.fix}", "errors": error.problems}, request_id)
        except DataError as error:
            return _answer(422, {"error": f"{error.what} {error.fix}"}, request_id)
        except Exception:
            logger.exception("request %s failed", request_id)
            return _answer(500, {"error": "This is our fault; the log names it by the request id."}, request_id)

    def _handler(self, request: Request) -> Handler:
        path = request.scope["path"].removeprefix(self._prefix)
        method, handler = self._routes.get(path, ("", None))
        if handler is None:
            raise Refusal(404, f"There is no {path or '/'} here; there are {self._known()}.")
        if request.method != method:
            raise Refusal(405, f"{path} takes {method}; there are {self._known()}.", headers={"allow": method})
        return handler

    def _known(self) -> str:
        return ", ".join(f"{method} {self._prefix}{path}" for path, (method, _) in self._routes.items())

    async def _predict(self, request: Request, request_id: str) -> Response:
        rows = await self._rows(await read_body(request))
        version, scores = await self._scored(rows, request_id)
        return Response(await version.answer(scores, request_id), media_type="application/json")

    async def _rows(self, body: bytes) -> list[dict[str, Any]]:
        if len(body) <= _MOST_BYTES_INLINE:
            return rows_of(body)
        return await asyncio.get_running_loop().run_in_executor(self._apart, rows_of, body)

    async def _scored(self, rows: Rows, request_id: str) -> tuple[Version, np.ndarray]:
        live, started_s = self._live, time.perf_counter()
        if live is not None:
            version, scores = await live.score(rows, request_id)
        else:
            version, scores = self._stable, await self._stable.score(rows)
        if self._log is not None:
            seconds = time.perf_counter() - started_s
            answered = Answered(request_id, version.label, rows, scores, seconds, time.time())
            if len(rows) <= MOST_ROWS_INLINE:
                self._log.saw(answered)
            else:
                await asyncio.get_running_loop().run_in_executor(self._apart, self._log.saw, answered)
        return version, scores


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


def _constant(value: dict[str, Any]) -> Handler:
    body = json.dumps(value).encode()

    async def answer(request: Request, request_id: str) -> Response:
        return Response(body, media_type="application/json")

    return answer


def _answer(status: int, value: dict[str, Any], request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(value | {"request_id": request_id})
    return Response(body, status, dict(headers or {}), "application/json")
