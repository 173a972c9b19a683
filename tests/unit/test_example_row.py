"""The example row is one that the model takes."""

from __future__ import annotations

from pathlib import Path

from raymill.bundle import Bundle
from raymill.example_row import example_row
from raymill.predictor import Predictor
from tests.mixed_bundles import MODELS, write


def test_it_has_a_typical_cell_for_every_column_and_is_scored(tmp_path: Path) -> None:
    written = write(tmp_path / "bundle", MODELS[0], "two")
    bundle = Bundle.read(written.uri, written.digest)
    row = example_row(bundle.transform.columns)
    assert list(row) == list(bundle.schema.kinds)
    assert 40 < row["size"] < 60
    assert (row["sold"], row["at"]) == (True, "2026-01-31T12:00:00")
    assert row["colour"] in ("red", "green", "blue")
    predictor = Predictor.of(bundle)
    assert predictor.scores(predictor.encode([row])).shape == (1, 2)
