"""The spec: what a user asks for, as frozen pydantic models that refuse an unknown key.

Text becomes a `Spec` once, in `raymill.spec_text`; everything after works on the values here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from raymill.model_spec import MlpSpec, ModelSpec
from raymill.release_rules import ReleaseRules
from raymill.safety_spec import TlsSpec, Tokens
from raymill.section import Count, Mistake, Place, Section
from raymill.train_spec import CPUS_ASKED, TrainSpec

FeatureType = Literal["number", "category", "boolean", "timestamp"]
METRICS = {
    "classification": (
        "roc_auc",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "precision_macro",
        "recall_macro",
        "f1_macro",
        "log_loss",
    ),
    "regression": ("r2", "rmse", "mae"),
}
LOWER_IS_BETTER = frozenset({"log_loss", "rmse", "mae"})


class Threshold(Section):
    """A two-class target: true where the column reaches a value."""

    column: str
    at_least: float


def _target_form(value: Any) -> str:
    return "<threshold>" if isinstance(value, dict | Threshold) else "<column>"


class TaskSpec(Section):
    type: Literal["classification", "regression"]
    target: Annotated[
        Annotated[str, Tag("<column>")] | Annotated[Threshold, Tag("<threshold>")], Discriminator(_target_form)
    ] = Field(description="a column, or {column, at_least} for a threshold on one")

    @property
    def column(self) -> str:
        return self.target if isinstance(self.target, str) else self.target.column

    @model_validator(mode="after")
    def _threshold_needs_classes(self) -> TaskSpec:
        if self.type == "regression" and isinstance(self.target, Threshold):
            raise Mistake(("target",), "a threshold (at_least) makes two classes; use type: classification")
        return self


class SplitSpec(Section):
    by: Literal["random", "group", "time"] = "random"
    column: str | None = Field(None, description="the group or time column; none for random. A group is no feature")
    train: float = Field(0.8, gt=0, lt=1)
    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _consistent(self) -> SplitSpec:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, validation and test must add up to 1, not {total:g}")
        if self.by == "random" and self.column is not None:
            raise Mistake(("column",), "a random split takes no column; use by: group or by: time, or data.key")
        if self.by != "random" and self.column is None:
            raise Mistake(("by",), f"a split by {self.by} needs a column")
        return self


class DataSpec(Section):
    source: Place = Field(
        min_length=1, description="csv or parquet: a file, a glob or a folder, local or s3://; or bundled:NAME"
    )
    key: tuple[str, ...] = Field((), description="columns that identify a row; default: its content")
    split: SplitSpec = SplitSpec()

    @field_validator("key")
    @classmethod
    def _once_each(cls, key: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(key):
            if name in key[:index]:
                raise Mistake((index,), f"{name!r} is named twice")
        return key


class FeatureSpec(Section):
    type: FeatureType | None = Field(None, description="default: inferred from the data")
    private: bool = Field(False, description="whether its cells are left out of the endpoint's request log and page")

    @model_validator(mode="after")
    def _says_something(self) -> FeatureSpec:
        if self.type is None and not self.private:
            raise ValueError("give it a type, or private: true")
        return self


class FeaturesSpec(BaseModel):
    """`ignore` lists columns to leave out; any other key is a column with its type, or marked private."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, FeatureSpec] = Field(init=False)
    ignore: tuple[str, ...] = ()

    @property
    def types(self) -> dict[str, FeatureType]:
        return {name: feature.type for name, feature in self.columns.items() if feature.type is not None}

    @property
    def private(self) -> tuple[str, ...]:
        """The columns whose cells are nobody's to read in a log, in the order of their names."""
        return tuple(sorted(name for name, feature in self.columns.items() if feature.private))

    @property
    def columns(self) -> dict[str, FeatureSpec]:
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _said_or_ignored(self) -> FeaturesSpec:
        for name in self.ignore:
            if name in self.types:
                raise Mistake((name,), "this column has a type and is in features.ignore too; keep one of them")
            if name in self.columns:
                raise Mistake((name,), "this column is in features.ignore, so that no request has it; keep one of them")
        return self


class GateSpec(Section):
    metric: str | None = Field(None, description="default: roc_auc, or r2 for regression")
    min_gain: float = 0.0
    must_beat: tuple[Literal["linear", "gradient_boosting"], ...] = ()


class EvaluateSpec(Section):
    metrics: tuple[str, ...] | None = Field(None, description="shown at the end; all are always measured")
    slices: tuple[str, ...] = Field((), description="columns whose values get metrics of their own")
    gate: GateSpec = GateSpec()


class ReplicasSpec(Section):
    min: int = Field(1, ge=0, description="with 0 the first request after a quiet time waits for a replica to start")
    max: Count = 2
    up_delay_s: float = Field(10, ge=0, description="how long more must be wanted before replicas start")
    down_delay_s: float = Field(300, ge=0, description="how long fewer must be enough before replicas stop")

    @model_validator(mode="after")
    def _ordered(self) -> ReplicasSpec:
        if self.max < self.min:
            raise Mistake(("max",), f"{self.max} is less than min, {self.min}")
        return self


class LogSpec(Section):
    """What is kept of requests to the endpoint: nothing, unless it is asked for, since rows may be about people."""

    sample: float = Field(0.0, ge=0, le=1, description="the share of requests that is kept with rows and answers")
    every_s: float = Field(60.0, ge=1, le=3600, description="the seconds between two files of one replica")


class ServeSpec(Section):
    route: str = Field("/", pattern=r"^/([\w.-]+(/[\w.-]+)*)?$", description="a path as / or /models/flights")
    host: str = Field("127.0.0.1", min_length=1, description="the address it listens on")
    port: int = Field(8000, ge=1, le=65535)
    grpc_port: int | None = Field(
        None, ge=1, le=65535, description="for the Open Inference Protocol over gRPC too; default: not served"
    )
    replicas: ReplicasSpec = ReplicasSpec()
    cpus: float = Field(0.5, gt=0)
    target_ongoing_requests: Count = 16
    max_batch_size: Count = 256
    deadline_s: float = Field(30.0, gt=0, le=3600, description="how long a request may take, its body included")
    tokens: Tokens = Field(
        "none", description="{file} or {env}; none on loopback; gateway in Kubernetes, where others say who may ask"
    )
    tls: TlsSpec | None = None
    log: LogSpec = LogSpec()
    release: ReleaseRules = ReleaseRules()

    @model_validator(mode="after")
    def _grpc_can_be_served(self) -> ServeSpec:
        if self.grpc_port == self.port:
            raise Mistake(("grpc_port",), f"{self.grpc_port} is serve.port, which is HTTP's")
        if self.grpc_port is not None and self.tls is not None:
            raise Mistake(("grpc_port",), "Ray Serve's gRPC carries no TLS: leave it or serve.tls out")
        return self


class LimitsSpec(Section):
    """The most that one job of the spec asks Ray for at a time, so that others have room beside it.

    The endpoint is no job: its bound is `serve.replicas`.
    """

    cpus: float | None = Field(None, ge=CPUS_ASKED, description="default: as many as there are")
    gpus: float | None = Field(None, ge=0, description="default: as many as there are")


class Spec(Section):
    """One YAML file: from a table to an endpoint."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="up to 40 lower-case letters, digits and inner hyphens",
    )
    task: TaskSpec
    data: DataSpec
    features: FeaturesSpec = FeaturesSpec()
    model: ModelSpec = MlpSpec()
    train: TrainSpec = TrainSpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    serve: ServeSpec = ServeSpec()
    limits: LimitsSpec = LimitsSpec()
    priority: str | None = Field(
        None,
        max_length=63,
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        description="the Kueue priority class that its jobs on Kubernetes wait with; default: the queue's",
    )
    store: Place = Field(
        ".raymill", min_length=1, description="a folder or s3:// prefix; default: .raymill beside the spec"
    )
    tracking: str | None = Field(None, min_length=1, description="an MLflow tracking URI; default: SQLite in the store")

    @property
    def gate_metric(self) -> str:
        default = "roc_auc" if self.task.type == "classification" else "r2"
        return self.evaluate.gate.metric or default

    @property
    def no_features(self) -> frozenset[str]:
        """Columns left out: the ignored, and what only says which row or group a row is, unless it is given a type."""
        split = self.data.split
        identities = {*self.data.key, *([split.column] if split.by == "group" and split.column else [])}
        return frozenset({*self.features.ignore, *(identities - self.features.types.keys())})

    @model_validator(mode="after")
    def _metrics_fit_the_task(self) -> Spec:
        known = METRICS[self.task.type]
        shown = self.evaluate.metrics or ()
        named: list[tuple[tuple[str | int, ...], str]] = [(("metrics", i), name) for i, name in enumerate(shown)]
        for key, name in (*named, (("gate", "metric"), self.gate_metric)):
            if name not in known:
                raise Mistake(
                    ("evaluate", *key), f"{name!r} is no metric of {self.task.type}; choose from {', '.join(known)}"
                )
        return self

    @model_validator(mode="after")
    def _target_has_no_other_part(self) -> Spec:
        """A row's place may not hang on what is to be predicted, and the target is no feature."""
        target = self.task.column
        if target in self.features.columns:
            raise Mistake(("features", target), "this column is the target")
        if target in self.data.key:
            index = self.data.key.index(target)
            raise Mistake(("data", "key", index), f"{target!r} is the target; a key is of other columns")
        if target == self.data.split.column:
            raise Mistake(("data", "split", "column"), f"{target!r} is the target; split by another column")
        return self

    @model_validator(mode="after")
    def _training_fits_the_limits(self) -> Spec:
        """All workers train at once, and beside them the baselines are fitted."""
        train, limits = self.train, self.limits
        workers = train.most_workers
        cpus, gpus = workers * train.cpus_asked + CPUS_ASKED, workers * train.gpus_per_worker
        if limits.cpus is not None and cpus > limits.cpus:
            raise Mistake(
                ("limits", "cpus"),
                f"{workers} training workers with {train.cpus_asked:g} CPUs each and {CPUS_ASKED:g} for the baselines "
                f"beside them ask for {cpus:g}, more than {limits.cpus:g}",
            )
        if limits.gpus is not None and gpus > limits.gpus:
            raise Mistake(
                ("limits", "gpus"),
                f"{workers} training workers ask for {gpus:g}, {train.gpus_per_worker:g} each, more than "
                f"{limits.gpus:g}",
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """The resolved spec, every default written out; `Spec.model_validate` reads it back."""
        return self.model_dump(mode="json", by_alias=True)
