"""A store is known by an id that stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from raymill.store import Store
from raymill.store_id import store_id


def test_everybody_who_asks_gets_the_same_id_and_another_store_has_another(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: store_id(Store(str(tmp_path / "one"))), range(16)))
    assert len(found) == 1 and len(next(iter(found))) == 32
    assert store_id(Store(str(tmp_path / "two"))) not in found
