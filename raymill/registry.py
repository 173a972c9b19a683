"""The registry: versions of a named model in MLflow, each one bundle, and the aliases that point to them.

It knows bundles as folders with a digest, and neither trains nor serves: a replica loads a bundle by the URI and
digest of a `Version`, without MLflow. A version is an MLflow pyfunc made of data only (see `raymill.pyfunc`).
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from raymill import __version__
from raymill.answers import PREDICTION, probability_columns
from raymill.errors import TrackerError
from raymill.loggable import without_userinfo
from raymill.outage import WAITS_S
from raymill.schema import Schema
from raymill.store import Store
from raymill.task import Task
from raymill.temporary import temporary_folder
from raymill.tracking import ask, connect

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_PYTHON_ENV = "python_env.yaml"
_MANIFEST = "bundle.json"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered bundle."""

    name: str
    number: int
    bundle_uri: str
    digest: str
    run_id: str | None


class Registry:
    """The model registry of one MLflow, which is waited for `waits_s` seconds where it is away.

    Every method raises TrackerError when MLflow can't be reached or refuses; repeated, it goes on from what is there.
    """

    def __init__(self, tracking_uri: str, waits_s: float = WAITS_S) -> None:
        self._uri, self._client, self._waits_s = tracking_uri, connect(tracking_uri), waits_s

    def register(
        self,
        name: str,
        bundle_folder: Path,
        *,
        bundle_uri: str,
        digest: str,
        run_id: str,
        description: str = "",
    ) -> Version:
        """Registers the bundle in a local folder as a version; the same digest again returns the version it has.

        The bundle's files are uploaded to MLflow with the run, `bundle_uri` is where the store keeps them.
        """

        def register() -> Version:
            known = self._version_with_digest(name, digest)
            if known is not None:
                return known
            model_id, location = self._upload(name, bundle_folder, digest, run_id)
            self._ensure_model(name)
            made = self._client.create_model_version(
                name,
                source=location,
                run_id=run_id,
                tags={"digest": digest, "bundle_uri": without_userinfo(bundle_uri)},
                description=description,
                await_creation_for=0,
                model_id=model_id,
            )
            return _version(made)

        return self._ask(f"register model {name}", register)

    def alias(self, name: str, alias: str) -> Version | None:
        """The version that an alias points to; None if there is no such model or alias."""

        def find() -> Version | None:
            model = self._model(name)
            number = model.aliases.get(alias) if model else None
            return None if number is None else _version(self._client.get_model_version(name, str(number)))

        return self._ask(f"find {name}@{alias}", find)

    def fetch(self, version: Version, into: Store) -> None:
        """Copies a version's bundle from MLflow into an empty folder of a store, bundle.json last."""
        from mlflow.artifacts import download_artifacts

        def download(folder: str) -> str:
            source = self._client.get_model_version(version.name, str(version.number)).source
            found: str = download_artifacts(f"{source}/data", dst_path=folder, tracking_uri=self._uri)
            return found

        with temporary_folder() as scratch:
            what = f"fetch version {version.number} of {version.name}"
            folder = Path(self._ask(what, lambda: download(str(scratch))))
            for file in sorted(folder.iterdir(), key=lambda file: file.name == _MANIFEST):
                into.write_bytes(file.name, file.read_bytes())

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Points an alias to a version, in one step for whoever reads it."""
        self._ask(
            f"set {name}@{alias} to version {number}",
            lambda: self._client.set_registered_model_alias(name, alias, str(number)),
        )

    def _version_with_digest(self, name: str, digest: str) -> Version | None:
        """The first version with this bundle."""
        found = self._client.search_model_versions(f"name = '{name}' and tags.digest = '{digest}'")
        versions = sorted((_version(each) for each in found), key=lambda version: version.number)
        return versions[0] if versions else None

    def _ask(self, what: str, action: Callable[[], _T]) -> _T:
        return ask(self._uri, what, action, self._waits_s)

    def _model(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _upload(self, name: str, bundle_folder: Path, digest: str, run_id: str) -> tuple[str, str]:
        """Stores the bundle as a logged model of the run; returns its id and where its files are.

        `mlflow.pyfunc.log_model` does the same with the process-wide tracking URI, warnings about a missing input
        example and a look at every installed package.
        """
        from mlflow.entities import LoggedModelOutput

        run = self._client.get_run(run_id)
        model = self._logged_model(run.info.experiment_id, run_id, digest) or self._client.create_logged_model(
            run.info.experiment_id, name=name, source_run_id=run_id, tags={"digest": digest}
        )
        if model.status != "READY":
            with temporary_folder() as scratch:
                folder = scratch / "model"
                write_model(folder, bundle_folder, model_id=model.model_id, run_id=run_id)
                self._client.log_model_artifacts(model.model_id, str(folder))
            if model.model_id not in {output.model_id for output in run.outputs.model_outputs}:
                self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
            self._client.finalize_logged_model(model.model_id, "READY")
        return model.model_id, model.artifact_location

    def _logged_model(self, experiment_id: str, run_id: str, digest: str) -> Any:
        """The run's logged model of this bundle, perhaps without all its files, that an earlier try made."""
        mine = f"source_run_id = '{run_id}' AND tags.digest = '{digest}'"
        found = self._client.search_logged_models([experiment_id], mine, max_results=1)
        return found[0] if found else None


def write_model(folder: Path, bundle_folder: Path, *, model_id: str, run_id: str) -> None:
    """Writes an MLflow model into a new folder: the bundle as its data, its loader, signature and requirements."""
    import mlflow.pyfunc
    from mlflow.models import Model

    shutil.copytree(bundle_folder, folder / "data")
    document = json.loads((bundle_folder / _MANIFEST).read_text())
    schema, task = Schema.from_json(document["schema"]), Task.from_json(document["task"])
    model = Model(
        model_id=model_id,
        run_id=run_id,
        signature=signature_of(schema, task),
        metadata={"kinds": schema.kinds},
    )
    mlflow.pyfunc.add_to_model(model, loader_module="raymill.pyfunc", data="data", python_env=_PYTHON_ENV)
    (folder / "requirements.txt").write_text(f"raymill=={__version__}\n")
    (folder / _PYTHON_ENV).write_text(
        f"python: {platform.python_version()}\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n"
    )
    model.save(str(folder / "MLmodel"))


def signature_of(schema: Schema, task: Task) -> ModelSignature:
    """The columns that go in and out.

    Inputs are of MLflow's type Any, since its check runs before ours and refuses what `Schema.conform` reads: an
    integer in a column of doubles, a number in a category, a date as text. Their kinds are in the metadata.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType
    from mlflow.types import Schema as Columns
    from mlflow.types.schema import AnyType

    prediction = DataType.string if task.kind == "classification" else DataType.double
    probabilities = [ColSpec(DataType.double, name) for name in probability_columns(task)]
    return ModelSignature(
        inputs=Columns([ColSpec(AnyType(), column.name) for column in schema.columns]),
        outputs=Columns([ColSpec(prediction, PREDICTION), *probabilities]),
    )


def _version(found: Any) -> Version:
    missing = [tag for tag in ("digest", "bundle_uri") if tag not in found.tags]
    if missing:
        raise TrackerError(
            f"Version {found.version} of model {found.name} in MLflow has no tag {' and no tag '.join(missing)}.",
            "It was not registered by raymill; point the alias to a version that was.",
        )
    return Version(
        name=found.name,
        number=int(found.version),
        bundle_uri=found.tags["bundle_uri"],
        digest=found.tags["digest"],
        run_id=found.run_id,
    )
