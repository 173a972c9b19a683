"""The Ray session: an embedded one that starts quietly and leaves nothing running, or one that is joined.

It knows no job and no endpoint.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cluster.capacity import Capacity, NodeType
from cluster.jobs_api import JobsApi
from cluster.loopback import on_loopback
from cluster.outages_elsewhere import OutagesElsewhere
from cluster.ray_settings import HAPROXY, PLAIN_PROXY, in_environment, own_settings, read_data_logging, settings
from cluster.scratch import scratch_folder
from cluster.stopping import sigterm_as_ctrl_c, take_sigterm
from cluster.worker_lines import worker_lines
from raymill.console import Console
from raymill.errors import MachineError, ResourceError

_DASHBOARD_WITHIN_S = 3.0
_INSIDE_A_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_TOO_SLOW = "timed out during startup"  # of a bare Exception: Ray waits 30 s for its node, and no setting changes that


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A connected Ray; `address` is what another process joins it by."""

    address: str
    joined: bool


@contextlib.contextmanager
def open_session(
    console: Console,
    *,
    needs_serve: bool,
    debug: bool = False,
    join: str | None = None,
    tls: bool = False,
    beside: Callable[[], None] | None = None,
) -> Iterator[Session]:
    """Starts an embedded Ray, or joins the one at `join`; ends or leaves it with the block, whatever ends the block.

    `beside` is done by a thread while an embedded Ray's processes start, and not while another Ray is joined, which
    waits for nothing: two threads that import parts of Ray at the same time can wait for each other, so that it begins
    when Ray is imported. With `tls` Serve gets a proxy that carries it. SIGTERM ends the block as Ctrl-C does. Raises
    ResourceError when RAY_ADDRESS contradicts `join`, when nobody answers there, or when its nodes have another proxy.
    """
    address = choose_address(join, os.environ)
    if tls:
        _require_plain_proxy(os.environ)
    with scratch_folder() as scratch, contextlib.ExitStack() as closing:
        closing.callback(_close)
        own = own_settings(scratch, debug) | (PLAIN_PROXY if tls else {})
        with sigterm_as_ctrl_c(), in_environment(settings(needs_serve, debug), own), on_loopback(address):
            if join is not None:
                _authenticate()
            if beside is not None and address is None:
                threading.Thread(target=beside, name="beside", daemon=True).start()
            found = _connect(address, debug)
            take_sigterm()  # from Ray, whose own handler ends the process with exit code 15 and not a word
            if "ray.data" in sys.modules:
                read_data_logging()
            if needs_serve and not debug:
                _quieten_serve()
            if address is not None:
                console.say(f"joined the Ray session at {found}")
            with _workers_heard(console):
                yield Session(address=found, joined=address is not None)


def choose_address(join: str | None, environ: Mapping[str, str]) -> str | None:
    """The address to join, or None for an embedded Ray; inside a submitted Ray job, its cluster."""
    named = environ.get("RAY_ADDRESS") or None
    if named is None or named == join or (named == "local" and join is None):
        return join
    if join is None and cluster_of(environ) is not None:
        return named
    raise ResourceError(
        f"RAY_ADDRESS is {named}, but this command is to run on {join or 'an embedded Ray'}.",
        "Unset RAY_ADDRESS and type the command again.",
    )


def check_resources(cpus: float, gpus: float, count: int = 1, what: str = "process") -> None:
    """Raises ResourceError when the connected Ray could never give `count` processes this much each."""
    here = Capacity(nodes=nodes_here())
    if not here.holds(cpus, gpus, count):
        replace(here, types=types_here()).require(cpus, gpus, count, what)


def nodes_here() -> list[dict[str, float]]:
    """The resources of each node of the connected Ray that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def types_here() -> Sequence[NodeType] | None:
    """The types of nodes that may come to the connected Ray, None where that isn't known.

    Only its dashboard tells them, and a Ray without one, as the embedded, has no autoscaler.
    """
    from ray._private.worker import get_dashboard_url

    dashboard = get_dashboard_url()
    if not dashboard:
        return ()
    try:
        return JobsApi(f"http://{dashboard}", patience_s=_DASHBOARD_WITHIN_S).capacity().types
    except (ResourceError, MachineError):
        return None  # it may listen on the head's loopback alone, and this be another node


def cluster_of(environ: Mapping[str, str]) -> str | None:
    """The address of the cluster whose submitted job this process is, or None."""
    return environ.get("RAY_ADDRESS") if _INSIDE_A_RAY_JOB in environ else None


def _require_plain_proxy(environ: Mapping[str, str]) -> None:
    """Raises ResourceError on a cluster whose nodes start HAProxy, which was settled when they were started."""
    if cluster_of(environ) is not None and environ.get(HAPROXY) == "1":
        raise ResourceError(
            "serve.tls is set, and this cluster's nodes put HAProxy in front of Ray Serve, which carries no TLS.",
            f"Start its nodes with {' '.join(f'{k}={v}' for k, v in PLAIN_PROXY.items())}, or leave serve.tls out and "
            "let a gateway speak TLS.",
        )


def _workers_heard(console: Console) -> contextlib.AbstractContextManager[None]:
    """Notes what workers print, where somebody listens, and says of it that a store is away.

    Ray itself would show all of it on the terminal.
    """
    if not console.is_heard:
        return contextlib.nullcontext()
    elsewhere = OutagesElsewhere(console.say)

    def hear(line: str) -> None:
        console.note("worker", line)
        elsewhere.hear(line)

    return worker_lines(hear)


def _authenticate() -> None:
    """Lets this process show its token: Ray asks for one by default, but sends one only where it starts itself."""
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    ray_says = logging.getLogger("ray._private.authentication")
    before = ray_says.level
    ray_says.setLevel(logging.ERROR)
    try:
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    finally:
        ray_says.setLevel(before)


def _connect(address: str | None, debug: bool) -> str:
    import ray

    quiet = {"log_to_driver": debug, "logging_level": "INFO" if debug else "ERROR"}
    try:
        if address is None:
            ray.init(address="local", include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except ray.exceptions.AuthenticationError as error:
        raise ResourceError(
            f"The Ray at {address or 'this machine'} doesn't take this user's token.",
            "Set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds the one of who started it.",
        ) from error
    except OSError as error:
        raise _unconnected(address, error) from error
    except SystemExit as error:
        raise KeyboardInterrupt from error  # a SIGTERM while Ray starts, which takes it for itself
    except Exception as error:
        if _TOO_SLOW not in str(error):
            raise
        raise _not_started() from error
    return str(ray.get_runtime_context().gcs_address)


def _unconnected(address: str | None, error: OSError) -> ResourceError | MachineError:
    """Why there is no session: nobody at an address, or no place to start one."""
    if address is not None:
        return ResourceError(
            f"There is no Ray at {address}: {error}.", "Check the address, and that its head node is up."
        )
    return MachineError(
        f"Ray can't start here: {error}.",
        "It writes to /tmp/ray and, a token, to ~/.ray: set HOME to a folder that you may write to.",
    )


def _not_started() -> MachineError:
    return MachineError(
        "Ray's processes did not start within 30 seconds on this machine.",
        "End what else takes its CPUs or memory, and type the command again.",
    )


def _quieten_serve() -> None:
    """Serve sets its logger up at import, to write to the terminal whatever Ray's level is."""
    import ray.serve  # noqa: F401

    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)


def _close() -> None:
    import ray

    ray.shutdown()
