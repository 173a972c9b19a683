"""Every error has an owner, two sentences, and survives a trip between processes."""

from __future__ import annotations

import pickle

import pytest

from raymill import errors
from raymill.errors import RaymillError

KINDS = [getattr(errors, name) for name in errors.__all__]
EXIT_CODES = {
    "RaymillError": 70,
    "UserError": 2,
    "SpecError": 2,
    "DataError": 2,
    "ResourceError": 2,
    "MachineError": 3,
    "StoreError": 3,
    "StoreRefused": 3,
    "TrackerError": 3,
    "OutOfMemory": 3,
    "WorkerLost": 3,
    "Interrupted": 130,
    "InternalError": 70,
}


def test_the_tree_is_what_is_exported() -> None:
    def below(kind: type[RaymillError]) -> set[str]:
        return {kind.__name__}.union(*(below(k) for k in kind.__subclasses__() if k.__module__ == "raymill.errors"))

    assert below(RaymillError) == set(errors.__all__) == set(EXIT_CODES)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exit_code_names_the_owner(kind: type[RaymillError]) -> None:
    assert kind("This happened.", "Do that.").exit_code == EXIT_CODES[kind.__name__]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_two_lines_and_comes_back_from_another_process(kind: type[RaymillError]) -> None:
    found = pickle.loads(pickle.dumps(kind("This happened.", "Do that.")))
    assert (type(found), found.what, found.fix) == (kind, "This happened.", "Do that.")
    assert str(found) == "This happened.\nDo that."
