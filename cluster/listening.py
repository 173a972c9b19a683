"""Where Ray Serve listens: address, ports, and the files of its TLS, as a spec asks for it and as it is.

It knows Serve's own options, no model.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from cluster.ray_settings import KEEP_ALIVE_S
from raymill.safety_spec import TlsSpec
from raymill.spec import ServeSpec

GRPC_SERVICE = "serving.open_inference:add_service"


def grpc_options(port: int) -> dict[str, Any]:
    """How Serve speaks gRPC: without reflection, which would answer before a token is asked for."""
    return {"port": port, "grpc_servicer_functions": [GRPC_SERVICE], "enable_reflection": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    host: str
    port: int
    tls: TlsSpec | None
    grpc_port: int | None = None

    @classmethod
    def wanted(cls, spec: ServeSpec) -> Listening:
        return cls(host=spec.host, port=spec.port, tls=spec.tls, grpc_port=spec.grpc_port)

    @classmethod
    def now(cls) -> Listening | None:
        """As the Serve of the connected Ray does, if one runs."""
        import ray
        from ray.serve.context import _get_global_client

        client = _get_global_client(raise_if_no_controller_running=False)
        if client is None:
            return None
        options = client.http_config
        has_tls = options.ssl_certfile and options.ssl_keyfile
        tls = TlsSpec(certificate=options.ssl_certfile, key=options.ssl_keyfile) if has_tls else None
        grpc = ray.get(client._controller.get_grpc_config.remote())
        grpc_port = int(grpc.port) if grpc.grpc_servicer_functions else None
        return cls(host=str(options.host), port=int(options.port), tls=tls, grpc_port=grpc_port)

    def options(self) -> dict[str, Any]:
        """The fields of Serve's HTTPOptions."""
        files = {} if self.tls is None else {"ssl_certfile": self.tls.certificate, "ssl_keyfile": self.tls.key}
        return {"host": self.host, "port": self.port, "keep_alive_timeout_s": KEEP_ALIVE_S, **files}

    def grpc_options(self) -> dict[str, Any] | None:
        """The fields of Serve's gRPCOptions, which listens to the same host; None for no gRPC."""
        return None if self.grpc_port is None else grpc_options(self.grpc_port)

    def __str__(self) -> str:
        grpc = f", gRPC on {self.grpc_port}" if self.grpc_port else ""
        return f"{self.host}:{self.port}{f' with {self.tls.certificate}' if self.tls else ''}{grpc}"

    def overrides(self) -> str:
        """What a spec is told by to ask for this, on a command line."""
        tls = f"{{certificate: {self.tls.certificate}, key: {self.tls.key}}}" if self.tls else "null"
        grpc = self.grpc_port or "null"
        where = f"serve.host={self.host} serve.port={self.port} serve.grpc_port={grpc}"
        return f"{where} {shlex.quote(f'serve.tls={tls}')}"
