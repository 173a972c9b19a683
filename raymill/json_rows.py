"""JSON rows: objects as an HTTP client sends them, checked strictly and turned into a canonical table.

| kind | JSON | missing |
|---|---|---|
| number | a finite number; no string, no boolean | null, no such key |
| category | a string, a finite number (7 and 7.0 are `7`), of booleans a boolean | the same, and `cells.MISSING` |
| boolean | true or false | null, no such key |
| timestamp | a string in ISO 8601; no zone means UTC | the same, and `cells.MISSING` |

The cells of all columns that are read alike are read in one go; those that fail are found by halving, to name them.
The module knows no HTTP.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raymill.cells import BadCell, read, texts
from raymill.errors import DataError
from raymill.native import Native, as_native
from raymill.spec import FeatureType

MOST_PROBLEMS = 100
_MOST_SHOWN = 80
_JSON = json.JSONEncoder(default=str)
_TEXT = frozenset[type]({str, type(None)})
_TAKES: dict[FeatureType, frozenset[type]] = {
    "number": frozenset({int, float, type(None)}),
    "category": frozenset({str, int, float, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "timestamp": _TEXT,
}
# Of values of these types the texts are those of such training cells already, and a request pays by the call.
_NONE = frozenset[type]({type(None)})
_KNOWN: dict[Native, frozenset[type]] = {
    "exact": _NONE | {int, float},
    "double": _NONE | {float},
    "boolean": _NONE | {bool},
}
_EXPECTED: dict[FeatureType, str] = {
    "number": "a finite number",
    "category": "a string",
    "boolean": "true or false",
    "timestamp": "an ISO 8601 date or date-time in a string",
}
_FIX = "Send every row as an object of the model's columns; null or no such key is a missing cell."

Problem = dict[str, Any]


class RowsError(DataError):
    """Rows that don't fit the schema; `problems` are `{"row", "column", "problem"}`, at most 100, in row order."""

    def __init__(self, what: str, fix: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(what, fix)
        self.problems = list(problems)

    def __reduce__(self) -> tuple[type[RowsError], tuple[str, str, list[Problem]]]:  # type: ignore[override]
        return type(self), (self.what, self.fix, self.problems)


def table_from_rows(
    kinds: Mapping[str, FeatureType], natives: Mapping[str, Native], rows: list[dict[str, Any]]
) -> pa.Table:
    """The canonical table of rows, a column per name in `kinds`, in that order; `natives` has those of categories.

    Raises RowsError naming row, column, expected type and found value of each problem.
    """
    if not rows:
        raise RowsError("There are no rows.", "Send at least one row.")
    if set(map(type, rows)) != {dict}:
        raise _error([problem(i, "", "expected an object", r) for i, r in enumerate(rows) if type(r) is not dict])
    problems = _unknown_keys(kinds, rows)
    columns: dict[str, pa.Array] = {}
    for (kind, native), names in _alike(kinds, natives).items():
        values = [row.get(name) for name in names for row in rows]
        known = _KNOWN.get(native, _NONE).issuperset(map(type, values))
        if native == "boolean":
            values = [str(value).lower() if isinstance(value, bool) else value for value in values]
        cells = _cells(values, kind)
        if cells is None:
            problems.extend(_misfits(names, values, kind))
        else:
            cells = cells if known else as_native(cells, native)
            columns |= {name: cells.slice(i * len(rows), len(rows)) for i, name in enumerate(names)}
    if problems:
        raise _error(problems)
    return pa.table({name: columns[name] for name in kinds})


def _alike(
    kinds: Mapping[str, FeatureType], natives: Mapping[str, Native]
) -> dict[tuple[FeatureType, Native], list[str]]:
    """The names of the columns that are read in one way."""
    alike: dict[tuple[FeatureType, Native], list[str]] = {}
    for name, kind in kinds.items():
        alike.setdefault((kind, natives.get(name, "text")), []).append(name)
    return alike


def _unknown_keys(kinds: Mapping[str, FeatureType], rows: list[dict[str, Any]]) -> list[Problem]:
    """The first 100 of them: the nearest name is looked for once per key, because that costs a millisecond."""
    known = kinds.keys()
    told = functools.cache(lambda key: _unknown(key, list(known)))
    unknown = (
        (index, str(key))
        for index, row in enumerate(rows)
        if not row.keys() <= known
        for key in row
        if key not in known
    )
    found = itertools.islice(unknown, MOST_PROBLEMS)
    return [{"row": index, "column": key[:_MOST_SHOWN], "problem": told(key)} for index, key in found]


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key[:_MOST_SHOWN], known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown column; {hint}the model takes {', '.join(known)}"


def _cells(values: list[Any], kind: FeatureType) -> pa.Array | None:
    """The values in the kind's canonical type, or None if any of them is refused."""
    if not _TAKES[kind].issuperset(map(type, values)):
        return None
    try:
        cells = read(_array(values, kind), kind)
    except (OverflowError, ValueError):
        return None
    return None if isinstance(cells, BadCell) else cells


def _array(values: list[Any], kind: FeatureType) -> pa.Array:
    """Raises OverflowError or ValueError: a number beyond float64 or not finite, a text that is no Unicode."""
    if kind == "boolean":
        return pa.array(values, pa.bool_())
    if kind == "timestamp" or (kind == "category" and _TEXT.issuperset(map(type, values))):
        return pa.array(values, pa.string())
    if kind == "category":
        return pa.array([_text(value) for value in values], pa.string())
    numbers = pa.array([None if value is None else float(value) for value in values], pa.float64())
    if pc.all(pc.is_finite(numbers)).as_py() is False:
        raise ValueError("not finite")
    return numbers


def _text(value: str | int | float | None) -> str | None:
    """The category that a JSON value names; numbers by the rule for columns of numbers."""
    if not isinstance(value, float):
        return None if value is None else str(value)
    if not math.isfinite(value):
        raise ValueError("not finite")
    text: str = texts(pa.array([value]))[0].as_py()
    return text


def _misfits(names: list[str], values: list[Any], kind: FeatureType) -> Iterator[Problem]:
    """The refused cells among values that lie column after column."""
    rows = len(values) // len(names)
    bad = _refused(values, kind, 0, len(values))
    for index in itertools.islice(bad, MOST_PROBLEMS):
        yield problem(index % rows, names[index // rows], f"expected {_EXPECTED[kind]}", values[index])


def _refused(values: list[Any], kind: FeatureType, start: int, stop: int) -> Iterator[int]:
    """Where the refused values lie, in order, found by halving, so that a few among many cost little."""
    if _cells(values[start:stop], kind) is not None:
        return
    if stop - start == 1:
        yield start
        return
    middle = (start + stop) // 2
    yield from _refused(values, kind, start, middle)
    yield from _refused(values, kind, middle, stop)


def problem(row: int, column: str, expected: str, value: Any) -> Problem:
    """What is wrong with the value of a column of a row; a long one is cut."""
    return {"row": row, "column": column, "problem": f"{expected}, found {_shown(value)}"}


def _shown(value: Any) -> str:
    """The value's JSON, which is written no further than it is shown: it may be deep, or megabytes long."""
    found = ""
    for part in _JSON.iterencode(value):
        found += part
        if len(found) > _MOST_SHOWN:
            return f"{found[:_MOST_SHOWN]}..."
    return found


def _error(problems: list[Problem]) -> RowsError:
    shown = sorted(problems, key=lambda problem: int(problem["row"]))[:MOST_PROBLEMS]
    first = shown[0]
    column = f", column {first['column']!r}" if first["column"] else ""
    more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
    return RowsError(f"Row {first['row']}{column}: {first['problem']}{more}.", _FIX, shown)
