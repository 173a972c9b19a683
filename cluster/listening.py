"""Where Ray Serve listens: address, port, and the files of its TLS, as a spec asks for it and as it is.

It knows Serve's own options, no model.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from cluster.session import KEEP_ALIVE_S
from raymill.safety_spec import TlsSpec
from raymill.spec import ServeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    host: str
    port: int
    tls: TlsSpec | None

    @classmethod
    def wanted(cls, spec: ServeSpec) -> Listening:
        return cls(host=spec.host, port=spec.port, tls=spec.tls)

    @classmethod
    def now(cls) -> Listening | None:
        """As the Serve of the connected Ray does, if one runs."""
        from ray.serve.context import _get_global_client

        client = _get_global_client(raise_if_no_controller_running=False)
        if client is None:
            return None
        options = client.http_config
        has_tls = options.ssl_certfile and options.ssl_keyfile
        tls = TlsSpec(certificate=options.ssl_certfile, key=options.ssl_keyfile) if has_tls else None
        return cls(host=str(options.host), port=int(options.port), tls=tls)

    def options(self) -> dict[str, Any]:
        """The fields of Serve's HTTPOptions."""
        files = {} if self.tls is None else {"ssl_certfile": self.tls.certificate, "ssl_keyfile": self.tls.key}
        return {"host": self.host, "port": self.port, "keep_alive_timeout_s": KEEP_ALIVE_S, **files}

    def __str__(self) -> str:
        return f"{self.host}:{self.port}{f' with {self.tls.certificate}' if self.tls else ''}"

    def overrides(self) -> str:
        """What a spec is told by to ask for this, on a command line."""
        tls = f"{{certificate: {self.tls.certificate}, key: {self.tls.key}}}" if self.tls else "null"
        return f"serve.host={self.host} serve.port={self.port} {shlex.quote(f'serve.tls={tls}')}"
