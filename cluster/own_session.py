"""The session of a command that is carried out here: an embedded Ray, or that on which its endpoint is live."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Iterator
from typing import Any

from cluster.by_name import by_name
from raymill.console import Console
from raymill.errors import RaymillError
from raymill.spec import Spec

WALK = "jobs.run:walk"


@contextlib.contextmanager
def own_session(spec: Spec, console: Console, *, needs_serve: bool, debug: bool) -> Iterator[Any]:
    """An embedded Ray; where this spec's endpoint is live already, the Ray that it runs on.

    The record of an endpoint that ends with an embedded Ray goes before it.
    """
    from cluster.endpoint import find, forget
    from cluster.front import check_port
    from cluster.scratch import sweep
    from cluster.session import choose_address, open_session
    from raymill.store import Store

    store = Store(spec.store)
    live = find(store, spec.name)
    join = live.ray_address if live is not None else None
    if choose_address(join, os.environ) is None:
        if needs_serve:
            sweep()  # of a session that was killed the proxy may have the port still
            check_port(spec.serve.host, spec.serve.port)
        console.say("ray       is starting on this machine")
    with open_session(
        console,
        needs_serve=needs_serve,
        debug=debug,
        join=join,
        tls=needs_serve and spec.serve.tls is not None,
        beside=functools.partial(_import, spec),
    ) as session:
        try:
            yield session
        finally:
            if needs_serve and not session.joined:
                forget(store, spec.name, ray_address=session.address)


def _import(spec: Spec) -> None:
    """Imports what every job needs; an import that fails is met again by its job."""
    from raymill.tracking import connect

    assert spec.tracking is not None
    with contextlib.suppress(ImportError, RaymillError):
        by_name(WALK)
        connect(spec.tracking)
        if spec.train.most_workers > 1:
            importlib.import_module("ray.train.torch")
