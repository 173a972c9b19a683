"""Quantities: what `500m` and `4Gi` are in numbers."""

from __future__ import annotations

import re

_SUFFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SUFFIXES |= {f"{letter}i": 1024.0 ** (power + 1) for power, letter in enumerate("KMGTPE")}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)")


def number(quantity: object) -> float:
    """A quantity in its base unit. Raises ValueError where the API server would refuse it."""
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None or found[2] not in _SUFFIXES:
        raise ValueError(f"{quantity!r} is no quantity")
    return float(found[1]) * _SUFFIXES[found[2]]
