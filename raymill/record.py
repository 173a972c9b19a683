"""A record: a frozen value that a JSON file holds field by field, read back only where its fields are the ones known.

It knows neither what a record says nor where it lies; the file's name is passed in, for the error.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar

from raymill.errors import DataError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


def record_of(kind: type[Record], data: Any, path: str) -> Record:
    """The record that a file's JSON says. Raises DataError naming a field that is missing or not known here."""
    if not isinstance(data, dict):
        raise _foreign(path, f"holds {type(data).__name__}, not named fields")
    known = fields(kind)
    missing = [f.name for f in known if f.name not in data and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise _foreign(path, f"has no {missing[0]!r}")
    unknown = sorted(data.keys() - {f.name for f in known})
    if unknown:
        raise _foreign(path, f"has a field {unknown[0]!r}")
    return kind(**data)


def require_format(data: Any, wanted: int, path: str) -> dict[str, Any]:
    """A file's fields without their `format`. Raises DataError where that isn't the format wanted."""
    found = data.get("format") if isinstance(data, dict) else None
    if found != wanted:
        raise _foreign(path, f"has the format {found}, and this raymill reads format {wanted}")
    return {name: value for name, value in data.items() if name != "format"}


def _foreign(path: str, found: str) -> DataError:
    return DataError(
        f"{path} was written by another version of raymill: it {found}.",
        "Use that version, or delete the file and type the command again.",
    )
