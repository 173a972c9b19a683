"""A whole endpoint without a server: guard, service, log and feedback over a real bundle, called as ASGI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from raymill.bearer_token import digest_of
from raymill.store import Store
from serving.arguments import EndpointArgs, LogArgs, TokensAt
from serving.feedback import Feedback
from serving.guard import Guard
from serving.model import Model, load_model
from serving.request_log import RequestLog
from serving.service import Service
from serving.tokens import Tokens
from tests.mixed_bundles import MODELS, write

TOKEN = "one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """It answers as `demo` version 7 who shows `TOKEN`; everything that is answered is logged."""

    guard: Guard
    model: Model
    log: RequestLog
    feedback: Feedback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.guard.answer(Request(scope, receive))
        await response(scope, receive, send)


@contextmanager
def endpoint(folder: Path, target: str) -> Iterator[Endpoint]:
    """An endpoint of one of the targets of `tests.mixed_bundles`."""
    written = write(folder / "bundle", MODELS[1], target)
    model, store = load_model(written.uri, written.digest), Store(str(folder / "store"))
    args = EndpointArgs(
        name="demo",
        version="7",
        bundle_uri=written.uri,
        digest=written.digest,
        store_uri=store.uri,
        tokens=TokensAt(env="TOKENS"),
        log=LogArgs(sample=1.0),
        private=("town",),
    )
    log = RequestLog(store, args.name, "r", sample=1.0, every_s=60)
    feedback = Feedback(store, args.name, "r", model.predictor.task)
    service = Service(args, model, log=log, feedback=feedback)
    service.warm_up()
    guard = Guard(service.answer, route=args.route, deadline_s=args.deadline_s, admission=_admission())
    try:
        yield Endpoint(guard=guard, model=model, log=log, feedback=feedback)
    finally:
        service.apart.shutdown()


def _admission() -> Any:
    return Tokens((digest_of(TOKEN.encode()),))
