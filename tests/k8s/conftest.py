"""Looking at manifests starts no Ray, and asks no cluster."""

from __future__ import annotations

import pytest

from tests.k8s import builds, crds
from tests.unit.conftest import _no_ray

__all__ = ["_no_ray"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "build" in metafunc.fixturenames:
        metafunc.parametrize("build", builds.names(), indirect=True)


@pytest.fixture
def build(request: pytest.FixtureRequest) -> builds.Build:
    """Each overlay, each component on base, and all that was rendered, in turn."""
    return builds.build(request.param)


@pytest.fixture(scope="session")
def known(request: pytest.FixtureRequest) -> crds.Crds:
    """The CRDs, or the test is skipped with how to get them."""
    place = crds.folder()
    if place is None:
        pytest.skip(crds.how_to_get_them())
    return crds.Crds(place, request.config.cache.mkdir("crds"))
