"""Looking at manifests starts no Ray, and asks no cluster."""

from __future__ import annotations

import pytest

from tests.k8s import crds
from tests.unit.conftest import _no_ray

__all__ = ["_no_ray"]


@pytest.fixture(scope="session")
def known(request: pytest.FixtureRequest) -> crds.Crds:
    """The CRDs, or the test is skipped with how to get them."""
    place = crds.folder()
    if place is None:
        pytest.skip(crds.how_to_get_them())
    return crds.Crds(place, request.config.cache.mkdir("crds"))
