"""The bundle as an MLflow model: `mlflow.pyfunc.load_model("models:/NAME@champion")` loads it through here.

It knows pandas on both sides and the Predictor between; MLflow calls it and is not imported. The model's file says
`loader_module: raymill.pyfunc` and where the bundle lies: nothing is unpickled and no code comes with the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from raymill.answers import answer_columns
from raymill.errors import DataError
from raymill.schema import Schema
from raymill.task import Task

if TYPE_CHECKING:
    import pandas as pd


class RowPredictor(Protocol):
    """What is asked of a Predictor here."""

    @property
    def schema(self) -> Schema: ...

    @property
    def task(self) -> Task: ...

    def predict(self, table: pa.Table) -> np.ndarray: ...


class TableModel:
    """A Predictor in MLflow's terms: a DataFrame of raw rows in, a DataFrame with the same index out."""

    def __init__(self, predictor: RowPredictor) -> None:
        self._predictor = predictor

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predicts `prediction` (a class label or a value in the target's units) and `p_<class>` per class.

        Columns that are no features are ignored. Raises DataError naming a column that is absent, or a cell that
        doesn't fit its column. `params` is MLflow's; this model has none.
        """
        import pandas as pd

        scores = self._predictor.predict(_raw_table(self._predictor.schema, model_input))
        return pd.DataFrame(answer_columns(self._predictor.task, scores), index=model_input.index)


def _raw_table(schema: Schema, frame: pd.DataFrame) -> pa.Table:
    features = [column.name for column in schema.columns if column.name in frame.columns]
    try:
        return pa.Table.from_pandas(frame[features], preserve_index=False)
    except pa.ArrowException as error:
        raise DataError(
            f"The rows can't be read: {' '.join(str(part) for part in error.args)}.",
            "Give every column one type, with None or NaN where a cell is missing.",
        ) from error


def _load_pyfunc(path: str) -> TableModel:
    """MLflow's entry point: the model of the bundle in a local folder."""
    from raymill.predictor import Predictor

    return TableModel(Predictor.load(path))
