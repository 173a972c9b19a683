"""The Open Inference Protocol v2 over gRPC: the methods that Ray Serve calls on a replica by their published names.

Sources: the protocol's grpc_service.proto; for how Serve calls them and takes statuses, ray/serve/_private/replica.py
and ray/serve/grpc_util.py of 2.60. A refusal is a status that is set and an empty message, because Serve logs what is
raised with a traceback, and a caller's mistake is no line in our log.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, Protocol

import grpc

from serving import open_inference as messages
from serving.apart import apart
from serving.arguments import EndpointArgs
from serving.body import MOST_BYTES
from serving.deadline import Deadline
from serving.grpc_guard import Caller, GrpcGuard
from serving.infer import infer
from serving.model import Model
from serving.refusal import Refusal
from serving.scored import Score
from serving.tokens import Admission
from serving.v2_message import request_of, response_of
from serving.v2_metadata import model_metadata, server_metadata

logger = logging.getLogger("ray.serve")
_STATUSES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_MOST_ID = 128
# Details travel in a header, in which a byte may take three, and clients refuse headers over 8 KB.
_MOST_DETAILS = 2_000
Call = Callable[[Any, str], Awaitable[Any]]


class Context(Caller, Protocol):
    """What is asked of Serve's RayServegRPCContext."""

    def set_code(self, code: grpc.StatusCode) -> None: ...
    def set_details(self, details: str) -> None: ...


class V2Grpc:
    """Answers the calls for one model, within the deadline, to whom the guard lets through.

    `answered` hears of every call the status that it would have over HTTP, and its seconds.
    """

    def __init__(
        self,
        args: EndpointArgs,
        model: Model,
        score: Score,
        pool: Executor,
        *,
        admission: Admission | None = None,
        answered: Callable[[int, float], None] = lambda status, seconds: None,
    ) -> None:
        self._name, self._version, self._deadline_s = args.name, args.version, args.deadline_s
        self._predictor, self._score, self._pool, self._answered = model.predictor, score, pool, answered
        self._guard = GrpcGuard(loopback_only=args.grpc_loopback_only, admission=admission)
        metadata = model_metadata(args.name, args.version, model.predictor.schema, model.predictor.task)
        self._metadata = messages.ModelMetadataResponse(**metadata)
        self._calls: dict[str, Call] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }

    async def answer(self, method: str, request: Any, context: Context) -> Any:
        """The answer to any call; nothing is raised, and what is our fault shows its request id only."""
        started_s, refusal = time.perf_counter(), None
        try:
            message = await self._message(method, request, context)
        except Refusal as found:
            message, refusal = getattr(messages, f"{method}Response")(), found
            context.set_code(_STATUSES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT))
            context.set_details(refusal.error.encode(errors="replace")[:_MOST_DETAILS].decode(errors="ignore"))
        self._answered(200 if refusal is None else refusal.status, time.perf_counter() - started_s)
        return message

    async def _message(self, method: str, request: Any, context: Context) -> Any:
        """Raises Refusal, and nothing else."""
        request_id = _request_id(context)
        try:
            self._guard.check(method, context)
            return await Deadline(self._deadline_s).bounds(self._calls[method](request, request_id))
        except Refusal:
            raise
        except TimeoutError as error:
            said = f"No answer within {self._deadline_s:g} seconds; send fewer rows, or ask later."
            raise Refusal(504, said) from error
        except Exception as error:
            logger.exception("request %s failed", request_id)
            raise Refusal(500, f"This is our fault; the log names it by {request_id}.") from error

    async def _live(self, request: Any, request_id: str) -> Any:
        return messages.ServerLiveResponse(live=True)

    async def _ready(self, request: Any, request_id: str) -> Any:
        return messages.ServerReadyResponse(ready=True)

    async def _model_ready(self, request: Any, request_id: str) -> Any:
        self._check_model(request.name, request.version)
        return messages.ModelReadyResponse(ready=True)

    async def _server_metadata(self, request: Any, request_id: str) -> Any:
        return messages.ServerMetadataResponse(**server_metadata())

    async def _model_metadata(self, request: Any, request_id: str) -> Any:
        self._check_model(request.name, request.version)
        return self._metadata

    async def _infer(self, request: Any, request_id: str) -> Any:
        size = request.ByteSize()
        if size > MOST_BYTES:
            raise Refusal(413, f"The message is larger than {MOST_BYTES} bytes; send fewer rows at a time.")
        self._check_model(request.model_name, request.model_version)
        asked = await apart(self._pool, size, lambda: request_of(request))
        found = await infer(asked, self._predictor, self._score, request_id)
        return await apart(
            self._pool, max(size, found.size), lambda: response_of(request, found.version, found.outputs)
        )

    def _check_model(self, name: str, version: str) -> None:
        if (name, version or self._version) != (self._name, self._version):
            asked = f"{name[:80]!r}" + (f" version {version[:80]!r}" if version else "")
            raise Refusal(404, f"There is no model {asked} here; there is {self._name!r} version {self._version!r}.")


class V2Methods:
    """What a replica inherits, so that Serve finds the calls on it."""

    v2: V2Grpc

    async def ServerLive(self, request: Any, grpc_context: Context) -> Any:
        return await self.v2.answer("ServerLive", request, grpc_context)

    async def ServerReady(self, request: Any, grpc_context: Context) -> Any:
        return await self.v2.answer("ServerReady", request, grpc_context)

    async def ModelReady(self, request: Any, grpc_context: Context) -> Any:
        return await self.v2.answer("ModelReady", request, grpc_context)

    async def ServerMetadata(self, request: Any, grpc_context: Context) -> Any:
        return await self.v2.answer("ServerMetadata", request, grpc_context)

    async def ModelMetadata(self, request: Any, grpc_context: Context) -> Any:
        return await self.v2.answer("ModelMetadata", request, grpc_context)

    async def ModelInfer(self, request: Any, grpc_context: Context) -> Any:
        return await self.v2.answer("ModelInfer", request, grpc_context)


def _request_id(context: Context) -> str:
    found = next((value for key, value in context.invocation_metadata() if key == "x-request-id"), "")
    return str(found)[:_MOST_ID] or uuid.uuid4().hex
