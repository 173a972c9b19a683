"""Kubernetes' API server, as far as jobs and endpoints need it: objects as plain dictionaries, in one namespace.

The only module that knows the `kubernetes` package, which it imports when it is asked for. Each call has a timeout and,
where the server is away or overloaded, is repeated for a while.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cluster.submitter_log import whole_lines
from raymill.errors import MachineError, RaymillError, ResourceError

_MANAGER = "raymill"  # of the fields that are applied
_PATHS = {
    "ConfigMap": ("/api/v1", "configmaps"),
    "Event": ("/api/v1", "events"),
    "Pod": ("/api/v1", "pods"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "RayCluster": ("/apis/ray.io/v1", "rayclusters"),
    "RayJob": ("/apis/ray.io/v1", "rayjobs"),
    "RayService": ("/apis/ray.io/v1", "rayservices"),
    "Service": ("/api/v1", "services"),
    "Workload": ("/apis/kueue.x-k8s.io/v1beta2", "workloads"),
}
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DEFAULT_NAMESPACE = "raymill"
_TIMEOUT_S = (5.0, 30.0)  # to connect, and between two parts of an answer
_AWAY_S = 120.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0
_OVERLOADED = (429, 500, 502, 503, 504)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """A namespace, by a client of the `kubernetes` package.

    Raises ResourceError where the server refuses, MachineError where it is away for `patience_s`.
    """

    client: Any
    namespace: str
    patience_s: float = _AWAY_S

    @classmethod
    def connect(cls) -> KubernetesApi:
        """The cluster of the user's kubeconfig, or of the pod that this runs in."""
        client = _package().client.ApiClient(configuration=_configuration())
        return cls(client, _namespace())

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object, or None where there is none of that name."""
        try:
            return self._json("GET", self._path(kind, name))
        except _Absent:
            return None

    def list(self, kind: str, *, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        """The objects that selectors choose."""
        query = [("labelSelector", labels), ("fieldSelector", fields)]
        found = self._json("GET", self._path(kind), query=[(name, value) for name, value in query if value])
        items: list[dict[str, Any]] = found["items"]
        return items

    def apply(self, object: Mapping[str, Any]) -> dict[str, Any]:
        """Makes an object, or changes it, to what is given; a field that its kind doesn't have is refused."""
        query = [("fieldManager", _MANAGER), ("fieldValidation", "Strict"), ("force", "true")]
        path = self._path(object["kind"], object["metadata"]["name"])
        return self._json("PATCH", path, query=query, body=dict(object), content="application/apply-patch+yaml")

    def delete(self, kind: str, name: str) -> None:
        """Asks for an object's end; absent is fine."""
        with contextlib.suppress(_Absent):
            self._json("DELETE", self._path(kind, name))

    def log(self, pod: str, container: str, *, follow: bool) -> Iterator[str]:
        """The lines of a container so far; followed, also those that come, until it ends, is silent, or is cut off."""
        import urllib3

        path, query = f"{self._path('Pod', pod)}/log", [("container", container)] + [("follow", "true")] * follow
        answer = self._patient(lambda: self._call("GET", path, query=query))
        try:
            yield from whole_lines(answer.stream(amt=None))
        except urllib3.exceptions.HTTPError:
            return  # the caller sees what there is to see, and asks again
        finally:
            answer.close()

    def execute(self, pod: str, container: str, command: Sequence[str], within_s: float) -> str:
        """What a command in a container printed. Raises ResourceError where it may not be run, or fails."""
        from kubernetes.stream import stream

        core = _package().client.CoreV1Api(_package().client.ApiClient(configuration=self.client.configuration))
        try:
            process = stream(
                core.connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                container=container,
                command=list(command),
                stdout=True,
                stderr=True,
                _preload_content=False,
            )
            process.run_forever(timeout=within_s)
            code = process.returncode  # first: reading all forgets it
            said = process.read_all()
        except Exception as error:  # the package raises what its WebSocket does, or fails on that
            raise ResourceError(
                _refusal(f"to run a command in {pod}", error), "Ask for `create` on pods/exec."
            ) from error
        if code != 0:
            why = f"with exit code {code}" if code is not None else f"not within {within_s:g} seconds"
            raise ResourceError(f"{command[0]} in {pod} ended {why}: {_last(said)}.", "See the pod's log.")
        return str(said)

    def _path(self, kind: str, name: str = "") -> str:
        root, plural = _PATHS[kind]
        return f"{root}/namespaces/{self.namespace}/{plural}" + (
            f"/{urllib.parse.quote(name, safe='')}" if name else ""
        )

    def _json(self, method: str, path: str, **rest: Any) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            answer: dict[str, Any] = json.loads(self._call(method, path, **rest).data)
            return answer

        return self._patient(ask)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> Any:
        return self.client.call_api(
            path,
            method,
            query_params=list(query),
            header_params={"Accept": "application/json, */*", "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=_TIMEOUT_S,
        )

    def _patient(self, ask: Callable[[], _T]) -> _T:
        """One question, repeated for as long as the patience lasts while the server is away or overloaded."""
        import urllib3
        from kubernetes.client import ApiException

        deadline_s, pause_s = time.monotonic() + self.patience_s, _PAUSE_S
        while True:
            try:
                return ask()
            except ApiException as error:
                if error.status not in _OVERLOADED:
                    raise self._refused(error) from error
                away: Exception = error
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                away = error
            if time.monotonic() + pause_s >= deadline_s:
                raise self._away(away) from away
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _refused(self, error: Any) -> RaymillError:
        said = _message(error)
        if error.status == 404:
            return _Absent(
                f"Kubernetes has no such thing: {said}.", "See that k8s/ and the KubeRay operator are applied."
            )
        if error.status in (401, 403):
            fix = "Choose another context or user in your kubeconfig, or ask for the permission."
            return ResourceError(f"Kubernetes refuses: {said}.", fix)
        return ResourceError(f"Kubernetes refuses: {said}.", "Correct the overlay or the spec.")

    def _away(self, error: Exception) -> MachineError:
        verb = "fails" if hasattr(error, "status") else "doesn't answer"
        return MachineError(
            f"Kubernetes at {self.client.configuration.host} {verb}: {_message(error)}.",
            "Check the context of your kubeconfig and the way there; what runs there goes on.",
        )


class _Absent(ResourceError):
    """There is no object of that name, or no kind of that name."""


def _package() -> Any:
    """The `kubernetes` package. Raises ResourceError where it isn't installed."""
    try:
        import kubernetes
    except ImportError as error:
        raise ResourceError(
            "`--on k8s` needs the package kubernetes, which isn't installed.",
            "Type pip install 'kubernetes>=31,<37', which is raymill's extra k8s.",
        ) from error
    return kubernetes


def _configuration() -> Any:
    """Where the cluster is and who the user is: in a pod its own account, else the current context."""
    package = _package()
    configuration = package.client.Configuration()
    try:
        if _OWN_NAMESPACE.exists():
            package.config.load_incluster_config(client_configuration=configuration)
        else:
            package.config.load_kube_config(client_configuration=configuration)
    except (package.config.ConfigException, OSError) as error:
        raise ResourceError(
            f"There is no Kubernetes cluster to ask: {' '.join(str(error).split()).rstrip('.')}.",
            "Set KUBECONFIG, and choose a context with `kubectl config use-context`.",
        ) from error
    return configuration


def _namespace() -> str:
    """The pod's own namespace, or that of the current context."""
    if _OWN_NAMESPACE.exists():
        return _OWN_NAMESPACE.read_text().strip()
    _, active = _package().config.list_kube_config_contexts()
    return str(active["context"].get("namespace") or _DEFAULT_NAMESPACE)


def _message(error: Any) -> str:
    """What the server says is wrong, or why there is no answer."""
    try:
        said = json.loads(error.body)["message"]
    except (AttributeError, ValueError, TypeError, KeyError):
        said = getattr(error, "reason", None) or error
    return _last(str(said))


def _refusal(what: str, error: BaseException) -> str:
    cause = error.__context__ if isinstance(error, AttributeError) and error.__context__ else error
    return f"Kubernetes refuses {what}: {_message(cause)}."


def _last(text: str) -> str:
    return " ".join(text.split())[-500:].rstrip(".")
