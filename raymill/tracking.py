"""Tracking: experiments, runs, metrics and files in MLflow; the only module besides `registry` that imports it.

It knows MLflow's clients, not its fluent interface, so nothing here depends on a process-wide active run or URI.
Every failure of MLflow becomes a TrackerError. Each call here may be repeated, also when the server has carried one
out and its answer was lost: it asks first what is there already, or sends what the server knows to be the same. MLflow
is imported on first use (it takes a second or two) and with its telemetry off.
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from raymill.bucket import Unanswered
from raymill.errors import SpecError, TrackerError
from raymill.history import EpochRecord
from raymill.loggable import flat_params, key_of, scrubbed, tag_value, without_userinfo
from raymill.mlflow_failure import gist, is_refused, may_pass
from raymill.mlflow_settings import be_impatient, be_quiet
from raymill.outage import patiently
from raymill.swapped_file import put_new
from raymill.temporary import temporary_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["TrackedRun", "Tracker", "ask", "connect", "place_of"]

_RUN_TAG = "raymill.run"
_STORE_TAG = "raymill.store"
_EPOCH_METRICS = ("train_loss", "validation_loss", "lr", "rows_per_s")
_EPOCHS_PER_BATCH = 200  # MLflow takes at most 1,000 metrics at once
_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_CONNECTING = threading.Lock()
_CHECK = "Check that it runs, that `tracking` in the spec names it and that you may write to it"
_RENEW = (
    "Where the command runs, set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, of a "
    "user who may"
)
_T = TypeVar("_T")


class Tracker:
    """One experiment on one MLflow, reached when it was opened; one that goes away is waited for `waits_s` seconds.

    Its runs are those of one store, by its id: two stores may hold runs of the same name.
    """

    def __init__(
        self, client: MlflowClient, uri: str, experiment_id: str, store_id: str = "", waits_s: float = 0.0
    ) -> None:
        self._client, self._uri, self._experiment_id = client, uri, experiment_id
        self._store_id, self._waits_s = store_id, waits_s

    @classmethod
    def open(
        cls, uri: str, experiment: str, artifact_root: str, store_id: str = "", *, waits_s: float = 0.0
    ) -> Tracker:
        """Reaches MLflow and finds or creates the experiment.

        `artifact_root` is where a new experiment in a database keeps its files; a server keeps them where it was
        told to when it was started. Raises TrackerError, within 15 s for a server that can't be reached.
        """
        client = connect(uri)
        found = ask(
            uri, f"open experiment {experiment}", lambda: _experiment(client, uri, experiment, artifact_root), waits_s
        )
        if found.lifecycle_stage != "active":
            raise TrackerError(
                f"The MLflow experiment {experiment} at {without_userinfo(uri)} has been deleted.",
                f"Restore it (mlflow experiments restore --experiment-id {found.experiment_id}) "
                "or give the spec another name.",
            )
        return cls(client, uri, str(found.experiment_id), store_id, waits_s)

    def find(self, name: str) -> TrackedRun | None:
        """The experiment's run of that name; None if there is none."""
        found = ask(self._uri, f"find run {name}", lambda: self._found(name), self._waits_s)
        return self._tracked(found) if found is not None else None

    def run(
        self, name: str, *, params: Mapping[str, Any], tags: Mapping[str, str], began_ms: int | None = None
    ) -> TrackedRun:
        """The experiment's run of that name, created if there is none, so that a command continues its own run.

        Params are flattened and logged once, as MLflow refuses to change one; a value that has changed since
        (more epochs, other workers) goes to the tag `now.<param>`. `began_ms` is since 1970.
        """

        def start() -> Any:
            run = self._found(name) or self._created(name, began_ms)
            self._log_params(run, flat_params(params))
            return run

        tracked = self._tracked(ask(self._uri, f"start run {name}", start, self._waits_s))
        tracked.set_tags(tags)
        return tracked

    def _tracked(self, run: Any) -> TrackedRun:
        return TrackedRun(self._client, self._uri, run.info.run_id, self._waits_s)

    def _found(self, name: str) -> Any:
        """The first run of that name, of those that are not deleted."""
        order = ["attributes.start_time ASC"]
        mine = " and ".join(f"tags.`{key}` = '{value}'" for key, value in self._tags(name).items())
        found = self._client.search_runs([self._experiment_id], mine, order_by=order)
        return found[0] if found else None

    def _created(self, name: str, began_ms: int | None) -> Any:
        """A new run, unless one turns up that an earlier request made whose answer was lost."""
        made = self._client.create_run(self._experiment_id, began_ms, run_name=name, tags=self._tags(name))
        first = self._found(name)
        if first.info.run_id != made.info.run_id:
            self._client.delete_run(made.info.run_id)
        return first

    def _tags(self, name: str) -> dict[str, str]:
        """The tags by which a run is found again."""
        return {_RUN_TAG: name, _STORE_TAG: self._store_id}

    def _log_params(self, run: Any, params: dict[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        logged = run.data.params
        absent = [Param(key, value) for key, value in params.items() if key not in logged]
        changed = [
            RunTag(key_of(f"now.{key}"), value)
            for key, value in params.items()
            if run.data.tags.get(key_of(f"now.{key}"), logged.get(key, value)) != value
        ]
        for entities in _chunks(absent, _PARAMS_PER_BATCH):
            self._client.log_batch(run.info.run_id, params=entities)
        for entities in _chunks(changed, _PARAMS_PER_BATCH):
            self._client.log_batch(run.info.run_id, tags=entities)


class TrackedRun:
    """One MLflow run; its methods may be called from any thread, and again after a TrackerError."""

    def __init__(self, client: MlflowClient, uri: str, run_id: str, waits_s: float = 0.0) -> None:
        self._client, self._uri, self.id, self._waits_s = client, uri, run_id, waits_s
        self._last_epoch: int | None = None

    def log_history(self, records: Sequence[EpochRecord]) -> None:
        """Logs the epochs that MLflow doesn't have yet, at step = epoch and the time they ended.

        Epochs go up and each goes whole, so after a failure the last one logged says where to go on. The first
        record of an epoch stays, whatever is sent for it later.
        """
        self._ask("log epochs", lambda: self._log_fresh(records))

    def log_metrics(
        self,
        values: Mapping[str, float | None],
        prefix: str,
        at_ms: int,
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        """Logs values as `prefix/name`; an undefined one (None) becomes the tag `prefix/name` with its reason.

        `at_ms`, since 1970, is when they were measured: MLflow takes a value of the same time once.
        """
        from mlflow.entities import Metric

        keys = {name: _path_of(prefix, name) for name in values}
        metrics = [Metric(keys[name], v, at_ms, 0) for name, v in values.items() if v is not None]
        undefined = {
            keys[name]: f"undefined: {(reasons or {}).get(name, 'no reason given')}"
            for name, v in values.items()
            if v is None
        }
        for entities in _chunks(metrics, _METRICS_PER_BATCH):
            self._ask(f"log {prefix} metrics", partial(self._client.log_batch, self.id, metrics=entities))
        self._set_tags(f"log {prefix} metrics", undefined)

    def log_bytes(self, path: str, data: bytes) -> None:
        """Stores a file with the run, under a relative path with forward slashes."""
        folder, _, name = path.rpartition("/")
        with _translated(self._uri, f"store {path}"), temporary_folder() as scratch:  # on a disk that may be full
            local = scratch / name
            local.write_bytes(data)
            self._ask(f"store {path}", lambda: self._client.log_artifact(self.id, str(local), folder or None))

    def log_json(self, path: str, value: Any) -> None:
        """Stores a JSON document with the run, its URIs without `user:password@`."""
        self.log_bytes(path, (json.dumps(scrubbed(value), indent=1, sort_keys=True) + "\n").encode())

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self._set_tags("set tags", {key_of(name): value for name, value in tags.items()})

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"], at_ms: int | None = None) -> None:
        """Ends the run, at a time since 1970 or now."""
        self._ask("end the run", lambda: self._client.set_terminated(self.id, status, at_ms))

    def resume(self) -> None:
        """Marks the run as running again."""
        self._ask("resume the run", lambda: self._client.update_run(self.id, status="RUNNING"))

    def _set_tags(self, what: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        entities = [RunTag(key, tag_value(value)) for key, value in tags.items()]
        for chunk in _chunks(entities, _PARAMS_PER_BATCH):
            self._ask(what, partial(self._client.log_batch, self.id, tags=chunk))

    def _log_fresh(self, records: Sequence[EpochRecord]) -> None:
        if self._last_epoch is None:
            self._last_epoch = self._logged_epoch()
        last = self._last_epoch
        self._last_epoch = None  # unknown, should the next lines raise
        fresh = [record for record in records if record.epoch > last]
        for batch in _chunks(fresh, _EPOCHS_PER_BATCH):
            self._client.log_batch(self.id, metrics=[m for record in batch for m in _metrics(record)])
        self._last_epoch = max([last, *(record.epoch for record in fresh)])

    def _ask(self, what: str, action: Callable[[], _T]) -> _T:
        return ask(self._uri, what, action, self._waits_s)

    def _logged_epoch(self) -> int:
        """The last epoch that is whole in MLflow; 0 if there is none."""
        logged = self._client.get_metric_history(self.id, _EPOCH_METRICS[0])
        return max((metric.step for metric in logged), default=0)


def connect(uri: str) -> MlflowClient:
    """A client of the MLflow at a URI (http://, sqlite:///, postgresql://...). Raises TrackerError."""
    with _CONNECTING, _translated(uri, "connect"):
        be_impatient()
        from mlflow import MlflowClient

        be_quiet()  # after the import, which sets its loggers up
        path = _sqlite_path(uri)
        if path is not None and path.is_dir():
            raise SpecError(f"tracking is {uri}, which is a folder.", "Name a file in it, as sqlite:///mlflow.db.")
        if path is not None and not path.exists():
            _create_database(path)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def ask(uri: str, what: str, action: Callable[[], _T], waits_s: float = 0.0) -> _T:
    """What a repeatable use of MLflow returns, repeated while MLflow is away for so many seconds.

    Raises TrackerError saying that `what` could not be done.
    """

    def answered() -> _T:
        try:
            return action()
        except _foreign_errors() as error:
            if may_pass(error):
                raise Unanswered(gist(error)) from error
            raise

    with _translated(uri, what):
        return patiently(answered, place_of(uri), waits_s)


def place_of(uri: str) -> str:
    """What an MLflow is called where it is said to be away."""
    return f"MLflow at {without_userinfo(uri)}"


@contextlib.contextmanager
def _translated(uri: str, what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise SpecError(
            f"{place_of(uri)} needs the Python package {error.name!r}.",
            "Install it, or set tracking to the http:// address of an MLflow server.",
        ) from error
    except _foreign_errors() as error:
        remedy = _RENEW if is_refused(error) else _CHECK
        raise TrackerError(
            f"{place_of(uri)} could not {what}: {gist(error)}.",
            f"{remedy}; then type the command again, which continues.",
        ) from error


def _sqlite_path(uri: str) -> Path | None:
    path = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if uri.startswith("sqlite:///") and path != ":memory:" else None


def _create_database(path: Path) -> None:
    """Creates MLflow's SQLite database under a temporary name and gives it its own when it is whole.

    Its fifty migrations take a second or two; a process killed among them, or two at once, would leave a database
    that no later one can open.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.touch()  # an OSError now, and not after the minute that SQLAlchemy tries
    try:
        store = SqlAlchemyStore(f"sqlite:///{partial}", str(path.parent / "artifacts"))
        store.engine.dispose()
        put_new(partial, path)  # where another process was faster, its database is as good
    finally:
        partial.unlink(missing_ok=True)


def _experiment(client: MlflowClient, uri: str, name: str, artifact_root: str) -> Any:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if uri.startswith("http") else without_userinfo(artifact_root)
        try:
            client.create_experiment(name, artifact_location=location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # as when another process was faster
                raise
        experiment = client.get_experiment_by_name(name)
    return experiment


def _path_of(prefix: str, name: str) -> str:
    return "/".join(key_of(part) for part in (*prefix.split("/"), name))


def _metrics(record: EpochRecord) -> list[Any]:
    from mlflow.entities import Metric

    at_ms = int(record.at_s * 1000)
    return [Metric(name, getattr(record, name), at_ms, record.epoch) for name in _EPOCH_METRICS]


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _foreign_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises, or lets through from the network, a database or a bucket."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, OSError, SQLAlchemyError, Boto3Error, BotoCoreError, ClientError)
