"""Where the pods of a Kubernetes cluster look for `s3://` URIs: the overlay's ConfigMap `raymill-store` says so.

This machine may look elsewhere for the same URI: at AWS, where a bucket of that name may be anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cluster.loopback import is_loopback
from raymill.errors import ResourceError, StoreError
from raymill.s3_uri import SCHEME

CONFIG_MAP = "raymill-store"
_KEY = "AWS_ENDPOINT_URL"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """The address of the S3 service for the cluster's pods and for this machine; "" is AWS itself."""

    there: str
    here: str

    @classmethod
    def of(cls, config_map: Mapping[str, Any] | None) -> StorePlace:
        """What the ConfigMap says, and what this machine's environment or profile.

        With AWS settings that can't be used nothing can be asked from here, which is said to whoever tries.
        """
        from raymill.s3_service import named_endpoint

        try:
            here = _service(named_endpoint())
        except StoreError:
            return cls(there="", here="")
        data = None if config_map is None else config_map.get("data") or {}
        return cls(there=here if data is None else _service(str(data.get(_KEY, ""))), here=here)

    def has(self, uri: str) -> bool:
        """Whether this machine reaches what the cluster means by a URI: at the same service, or by a port-forward."""
        forwarded = bool(self.there) and is_loopback(urlsplit(self.here).hostname or "")
        return not uri.startswith(SCHEME) or self.here == self.there or forwarded

    def difference(self, uri: str) -> str:
        return f"{uri} is at {self.there or 'AWS'} for the cluster, and this machine looks at {self.here or 'AWS'}"

    def require(self, uri: str, namespace: str) -> None:
        """Raises ResourceError where this machine would ask another service for a URI than the cluster."""
        if not self.has(uri):
            raise ResourceError(f"{self.difference(uri)}.", self._way(namespace))

    def _way(self, namespace: str) -> str:
        if not self.there:
            return f"Take {_KEY} away here, and use keys that may read it."
        url, keys = urlsplit(self.there), f"with the keys of the Secret {CONFIG_MAP}"
        service, *rest = (url.hostname or "").split(".")
        if rest and "svc" not in rest:
            return f"Set {_KEY}={self.there} here, {keys}."
        port = url.port or _DEFAULT_PORTS.get(url.scheme, 443)
        forward = f"kubectl -n {(rest or [namespace])[0]} port-forward service/{service} {port}"
        return f"Type `{forward}` beside it, and set {_KEY}={url.scheme}://127.0.0.1:{port} here, {keys}."


def _service(endpoint: str) -> str:
    from raymill.s3_service import is_of_aws

    return "" if is_of_aws(endpoint) else endpoint.rstrip("/")
