"""A record is read back only where its fields are the ones that this version writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pytest

from raymill.errors import DataError
from raymill.record import record_of, require_format


@dataclass(frozen=True)
class Fact:
    name: str
    value: int = 0


def test_a_record_reads_back_and_a_default_may_be_left_out() -> None:
    assert record_of(Fact, asdict(Fact("a", 2)), "f.json") == Fact("a", 2)
    assert record_of(Fact, {"name": "a"}, "f.json") == Fact("a")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"value": 1}, "it has no 'name'"),
        ({"name": "a", "more": 1}, "it has a field 'more'"),
        ([1], "it holds list, not named fields"),
    ],
)
def test_other_fields_are_another_versions(data: Any, found: str) -> None:
    with pytest.raises(DataError, match=rf"runs/f\.json was written by another version.*{found}") as caught:
        record_of(Fact, data, "runs/f.json")
    assert "delete the file" in caught.value.fix


def test_another_format_is_another_versions() -> None:
    assert require_format({"format": 3, "name": "a"}, 3, "f.json") == {"name": "a"}
    for data in ({"format": 2}, {"name": "a"}, None):
        with pytest.raises(DataError, match=r"f\.json was written by another version.* reads format 3"):
            require_format(data, 3, "f.json")
