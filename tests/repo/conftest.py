"""Looking at the house starts no Ray either."""

from __future__ import annotations

from tests.unit.conftest import _no_ray

__all__ = ["_no_ray"]
