"""The network that the servers of `serving.py` answer with: raymill's own, over the 30 numbers of breast cancer.

Its transform is fitted on the table and its weights are drawn by chance, as nothing of its speed depends on them. It is
written once as a raymill bundle, and once as a scikit-learn pipeline with the same weights for MLflow.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from served import sklearn_network
from served.sklearn_network import SeluClassifier

from raymill.bundle import Bundle
from raymill.bundled import PREFIX, materialise
from raymill.models import Mlp, build_model
from raymill.predictor import Predictor
from raymill.schema import infer_schema
from raymill.spec import Spec
from raymill.spec_text import load_spec
from raymill.statistics import TableSummary
from raymill.store import Store
from raymill.target import fit_task
from raymill.transform import Transform

_SEED = 20
_SPEC = """
name: breast-cancer
task: {type: classification, target: diagnosis}
data: {source: "bundled:breast_cancer"}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedNetwork:
    """Where the bundle and the pipeline lie, and rows with the probabilities that every server has to give them."""

    folder: Path
    digest: str
    rows: list[dict[str, float]]
    scores: np.ndarray

    @property
    def spec(self) -> Path:
        return self.folder / "spec.yaml"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def pipeline(self) -> Path:
        return self.folder / "pipeline"


def write(folder: Path) -> ServedNetwork:
    """Writes spec, bundle and pipeline into a folder."""
    (folder / "spec.yaml").write_text(_SPEC)
    spec = load_spec(str(folder / "spec.yaml"))
    store = Store(str(folder))
    source = materialise(spec.data.source.removeprefix(PREFIX), store)
    table = store.read_table(source.removeprefix(f"{store.uri}/"))
    digest = _write_bundle(store.child("bundle"), spec, table)
    predictor = Predictor.load(str(folder / "bundle"), digest)
    features = table.drop_columns([spec.task.column])
    scores = predictor.predict(features)
    _write_pipeline(folder / "pipeline", predictor, features, scores)
    return ServedNetwork(folder=folder, digest=digest, rows=features.to_pylist(), scores=scores)


def _write_bundle(store: Store, spec: Spec, table: pa.Table) -> str:
    summary = TableSummary.of(table, np.ones(table.num_rows, bool))
    schema = infer_schema(summary, {}, (), spec.task.column)
    transform, task = Transform.fit(schema, summary), fit_task(spec.task, summary)
    network, generator = build_model(spec.model, transform.layout, task), torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return Bundle.write(
        store,
        schema=schema,
        transform=transform,
        task=task,
        model=spec.model,
        spec={},
        lineage={"run": "benchmark"},
        network=network,
    )


def _write_pipeline(path: Path, predictor: Predictor, features: pa.Table, scores: np.ndarray) -> None:
    import cloudpickle
    import mlflow
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = predictor.network
    assert isinstance(network, Mlp)
    layers = [*network.layers, network.head]
    classifier = SeluClassifier([layer.weight.shape[0] for layer in network.layers], max_iter=1)
    pipeline = make_pipeline(StandardScaler(), classifier)
    with warnings.catch_warnings(action="ignore"):  # that one iteration doesn't converge
        pipeline.fit(features.to_pandas().to_numpy(), scores.argmax(axis=1))
    classifier.take(
        _floats(network.scale),
        [layer.factor * _floats(layer.weight).T for layer in layers],
        [_floats(layer.bias) for layer in layers],
    )
    cloudpickle.register_pickle_by_value(sklearn_network)
    mlflow.sklearn.save_model(
        pipeline,
        path,
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],  # else MLflow loads the model once more, to find them out
        pyfunc_predict_fn="predict_proba",
    )


def _floats(tensor: torch.Tensor) -> np.ndarray:
    """As float64, which scikit-learn scales rows to: other weights would be converted at every call."""
    return tensor.detach().double().numpy()
