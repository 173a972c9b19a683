"""A cluster's Jobs API over HTTP, each call with a timeout and, where trying again can mend it, a bounded retry.

Ray's own client has neither. It knows jobs by their submission ids, and nothing of what they do.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cluster.capacity import Capacity, types_in
from raymill.errors import MachineError, ResourceError

_TIMEOUT_S = 30.0
_AWAY_S = 30.0
_NO_AGENT_S = 60.0
_BEGINNING_BYTES = 1 << 16
_NO_AGENT = "No available agent"
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_TOKEN = "Set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds it."
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A submitted job as the cluster tells it; times are seconds since 1970."""

    id: str
    status: str
    message: str
    exit_code: int | None
    started_s: float | None
    ended_s: float | None
    metadata: dict[str, str]

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Job:
        started, ended = data.get("start_time"), data.get("end_time")
        return cls(
            id=data["submission_id"],
            status=data["status"],
            message=data.get("message") or "",
            exit_code=data.get("driver_exit_code"),
            started_s=started / 1000 if started else None,
            ended_s=ended / 1000 if ended else None,
            metadata=dict(data.get("metadata") or {}),
        )


@dataclass(frozen=True, slots=True)
class JobsApi:
    """The API at `address`, as `http://HOST:8265`.

    Raises ResourceError where it refuses, MachineError where it fails.
    Nobody answering for `patience_s` is a ResourceError too: most often the address is wrong.
    """

    address: str
    patience_s: float = _AWAY_S

    def answers(self) -> bool:
        """Whether somebody is there, whatever the answer is."""
        try:
            self._found("GET", "/api/version")
        except ResourceError as error:
            return isinstance(error.__cause__, urllib.error.HTTPError)
        except MachineError:
            return True
        return True

    def versions(self) -> tuple[str, str]:
        """The versions of the cluster's Ray and Python."""
        return self._json(
            "GET",
            "/api/v0/cluster_metadata",
            lambda said: (str(said["data"]["rayVersion"]), str(said["data"]["pythonVersion"])),
        )

    def capacity(self) -> Capacity:
        """What the nodes that are alive have, and what the autoscaler may add, which only its own log tells."""
        alive = "limit=10000&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
        nodes, head = self._json("GET", f"/api/v0/nodes?{alive}", _nodes_and_head)
        log = "" if head is None else self._beginning(f"/api/v0/logs/file?node_id={head}&filename=monitor.log&lines=-1")
        return Capacity(nodes=nodes, types=types_in(log))

    def upload(self, package: bytes) -> str:
        """The URI of a zipped folder, which is sent unless the cluster has it."""
        name = f"_ray_pkg_{hashlib.sha256(package).hexdigest()[:32]}.zip"
        if self._found("GET", f"/api/packages/gcs/{name}") is None:
            self._call("PUT", f"/api/packages/gcs/{name}", package)
        return f"gcs://{name}"

    def submit(
        self, entrypoint: str, *, id: str, package: str, metadata: Mapping[str, str], env: Mapping[str, str]
    ) -> None:
        """Starts a command, once, in an unpacked package. A cluster that has just started has a minute to be ready."""
        body = {
            "entrypoint": entrypoint,
            "submission_id": id,
            "metadata": dict(metadata),
            "runtime_env": {"working_dir": package, "env_vars": dict(env)},
        }
        deadline_s = time.monotonic() + _NO_AGENT_S
        while True:
            try:
                self._call("POST", "/api/jobs/", json.dumps(body).encode())
                return
            except (MachineError, ResourceError) as error:
                if f"submission_id {id} already exists" in error.what or self._knows(id):
                    return  # it was carried out, though its answer was lost or an error: nobody else gives that id
                if _NO_AGENT not in error.what or time.monotonic() >= deadline_s:
                    raise

    def job(self, id: str) -> Job | None:
        found = self._found("GET", f"/api/jobs/{_quoted(id)}")
        return None if found is None else self._taken(found, Job.of)

    def jobs(self) -> list[Job]:
        """Every job that was submitted, the oldest first."""
        found = self._json(
            "GET", "/api/jobs/", lambda said: [Job.of(data) for data in said if data.get("submission_id")]
        )
        return sorted(found, key=lambda job: job.started_s or 0)

    def log(self, id: str) -> str:
        """All that a job's driver has printed so far."""
        return self._json("GET", f"/api/jobs/{_quoted(id)}/logs", lambda said: str(said["logs"] or ""))

    def stop(self, id: str) -> None:
        """Asks a job to end, by SIGTERM; absent or ended is fine."""
        self._found("POST", f"/api/jobs/{_quoted(id)}/stop", b"")

    def _knows(self, id: str) -> bool:
        """Whether a job is there; one that can't be asked for is taken for absent."""
        with contextlib.suppress(MachineError, ResourceError):
            return self.job(id) is not None
        return False

    def _beginning(self, path: str) -> str:
        """The first bytes of what a call answers; nothing where it is refused, as for a file that isn't there."""
        try:
            return self._patient("GET", path, None, _BEGINNING_BYTES).decode(errors="replace")
        except urllib.error.HTTPError:
            return ""

    def _json(self, method: str, path: str, take: Callable[[Any], _T]) -> _T:
        return self._taken(self._call(method, path), take)

    def _taken(self, said: bytes, take: Callable[[Any], _T]) -> _T:
        """What is taken from an answer. Raises ResourceError for one that no Ray cluster gives."""
        try:
            return take(json.loads(said))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ResourceError(
                f"What answers at {self.address} is no Ray cluster: it says {said[:40]!r}.", "Check the address."
            ) from error

    def _found(self, method: str, path: str, body: bytes | None = None) -> bytes | None:
        """What a call answers, or None for 404."""
        try:
            return self._patient(method, path, body)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise self._refused(error) from error

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            return self._patient(method, path, body)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error

    def _patient(self, method: str, path: str, body: bytes | None, most: int | None = None) -> bytes:
        """One call, repeated for as long as the patience lasts while nobody answers."""
        deadline_s = time.monotonic() + self.patience_s
        pause_s = 0.5
        while True:
            try:
                return self._once(method, path, body, most)
            except urllib.error.HTTPError:
                raise
            except (OSError, ValueError, http.client.HTTPException) as error:
                if time.monotonic() + pause_s >= deadline_s or not _may_mend(error):
                    raise self._away(error) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 5)

    def _once(self, method: str, path: str, body: bytes | None, most: int | None) -> bytes:
        headers = {"content-type": "application/json"} | _authorization()
        request = urllib.request.Request(f"{self.address.rstrip('/')}{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            data: bytes = answer.read(most)
            return data

    def _refused(self, error: urllib.error.HTTPError) -> ResourceError | MachineError:
        said = " ".join(error.read().decode(errors="replace").split())[-300:] or error.reason
        if error.code in (401, 403):
            return ResourceError(f"The cluster at {self.address} doesn't take this token ({error.code}).", _TOKEN)
        if error.code < 500:
            return ResourceError(f"The cluster at {self.address} refuses: {said}.", "Check the address and the job.")
        return MachineError(f"The cluster at {self.address} failed: {said}.", "Type the same command again.")

    def _away(self, error: Exception) -> ResourceError:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        return ResourceError(
            f"Nobody answers as a Ray cluster at {self.address}: {reason}.",
            "Check the address, that the head node is up, and that its port 8265 can be reached from here.",
        )


def _may_mend(error: Exception) -> bool:
    """Whether nobody listened or answered whole, as while a head starts; a name that doesn't resolve stays wrong."""
    reason = getattr(error, "reason", error)
    return isinstance(reason, ConnectionError | TimeoutError | http.client.IncompleteRead)


def _authorization() -> dict[str, str]:
    """The token that Ray itself would send: from the environment, a file that it names, or the user's own.

    Raises ResourceError for one that no header can hold, since the error of the library that sends it would show it.
    """
    token = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path("~/.ray/auth_token").expanduser())
    if not token and path.is_file():
        try:
            token = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ResourceError(f"The cluster's token can't be read from {path}.", _TOKEN) from error
    if not (token.isascii() and token.isprintable()):
        raise ResourceError("The cluster's token holds more than letters, digits and signs.", _TOKEN)
    return {"authorization": f"Bearer {token}"} if token else {}


def _nodes_and_head(said: Any) -> tuple[list[dict[str, float]], str | None]:
    """The resources of each node, and the id of the head's."""
    nodes = said["data"]["result"]["result"]
    head = next((str(node["node_id"]) for node in nodes if node["is_head_node"]), None)
    return [node["resources_total"] for node in nodes], head


def _quoted(id: str) -> str:
    return urllib.parse.quote(id, safe="")
