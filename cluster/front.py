"""The front: Ray Serve's controller and the proxy with the public port, which start beside other work.

It knows no model.
"""

from __future__ import annotations

import errno
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from cluster.listening import Listening
from raymill.errors import MachineError, ResourceError
from raymill.spec import ServeSpec

_CONTROLLER_WITHIN_S = 60.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Front:
    """Serve as it starts, or as it already runs."""

    started: Future[None]

    @classmethod
    def start(cls, spec: ServeSpec) -> Front:
        """Starts Serve in the connected Ray and returns before it is up; does nothing where it runs already.

        Raises ResourceError when the port is taken, or when the running Serve listens elsewhere.
        """
        started: Future[None] = Future()
        wanted, running = Listening.wanted(spec), Listening.now()
        if running is not None:
            if running != wanted:
                raise _elsewhere(wanted, running)
            started.set_result(None)
            return cls(started)
        check_port(spec.host, spec.port)
        if spec.grpc_port is not None:
            check_port(spec.host, spec.grpc_port, "serve.grpc_port")
        pool = ThreadPoolExecutor(1, thread_name_prefix="serve-front")
        started = pool.submit(_start, wanted)
        pool.shutdown(wait=False)
        return cls(started)

    def wait_for_controller(self) -> None:
        """Returns once applications can be handed over, while the proxy may still start."""
        import ray
        from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

        deadline_s = time.monotonic() + _CONTROLLER_WITHIN_S
        while time.monotonic() < deadline_s:
            self.check()
            try:
                ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
                return
            except ValueError:
                time.sleep(_POLL_S)
        raise MachineError(
            f"Ray Serve's controller did not start in {_CONTROLLER_WITHIN_S:g} seconds.",
            "See the load of this machine, and Ray's logs with --debug.",
        )

    def check(self) -> None:
        """Raises MachineError when the proxy could not start; says nothing while it still does, or another one."""
        import ray

        try:
            if self.started.done():
                self.started.result()
        except (ray.exceptions.RayActorError, ray.exceptions.TaskCancelledError):
            return  # Serve ends a proxy that starts too slowly, and starts another
        except (RuntimeError, TimeoutError) as error:
            raise MachineError(
                f"Ray Serve's proxy did not start: {_sentence(error)}.", "Try another serve.port, or see --debug."
            ) from error


def check_port(host: str, port: int, key: str = "serve.port") -> None:
    """Raises ResourceError when nobody could listen there; `key` is the spec's for it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            what = f"Port {port} of {host} can't be served on: {error.strerror}."
            raise ResourceError(what, _remedy(error, port, key)) from error


def _remedy(error: OSError, port: int, key: str) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "Set serve.host to an address of this machine, as 127.0.0.1, or 0.0.0.0 for all of them."
    if error.errno == errno.EACCES:
        return f"Ports below 1024 are the system's own: choose another {key}."
    return f"Stop what listens there, or choose another port, as in {key}={port + 1}."


def _sentence(error: Exception) -> str:
    """HAProxy's own complaint where it made one, else the last line of Ray's."""
    lines = str(getattr(error, "cause", error)).strip().splitlines()
    return next((line for line in lines if "[ALERT]" in line), lines[-1] if lines else type(error).__name__)


def _start(wanted: Listening) -> None:
    from ray import serve
    from ray.serve.config import HTTPOptions

    serve.start(http_options=HTTPOptions(**wanted.options()), grpc_options=wanted.grpc_options())


def _elsewhere(wanted: Listening, running: Listening) -> ResourceError:
    return ResourceError(
        f"The spec asks for {wanted}, but this Ray's Serve listens on {running}, for all models.",
        f"Set {running.overrides()}, and a serve.route of its own.",
    )
