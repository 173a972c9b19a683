from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from serving.app import Replica, build
from serving.arguments import EndpointArgs
from serving.model import Model
from tests.unit.test_service import Fake

ARGS: dict[str, Any] = {"name": "demo", "version": "1", "bundle_uri": "u", "digest": "d"}


@pytest.mark.parametrize("change", [{"colour": 1}, {"version": 1}, {"cpus": 0}, {"max_replicas": "2"}, {"name": ""}])
def test_arguments_are_strict(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(ARGS | change)


def test_equal_arguments_have_one_fingerprint_and_any_change_another() -> None:
    same = EndpointArgs(**ARGS).fingerprint
    assert EndpointArgs(**ARGS).fingerprint == same
    assert len({EndpointArgs(**(ARGS | change)).fingerprint for change in ({}, {"digest": "e"}, {"cpus": 1.0})}) == 3


def test_a_replica_loads_the_bundle_by_uri_and_digest_and_warms_up() -> None:
    asked: list[tuple[str, str]] = []
    fake = Fake()

    def load(uri: str, digest: str) -> Model:
        asked.append((uri, digest))
        return Model(predictor=fake, lineage={})

    Replica(EndpointArgs(**ARGS), load)
    assert asked == [("u", "d")]
    assert fake.rows == 1
