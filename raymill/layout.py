"""The layout of a prepared row: which number and category features it has, in which order."""

from __future__ import annotations

from dataclasses import dataclass

TARGET = "__target__"
"""The last column of a prepared shard: class index int32, or standardised value float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryFeature:
    """A column of indices in `[0, size)` that wants an embedding; index 0 is `unknown`."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Feature names in column order; what a `build_model(layout, task)` needs to know of its input.

    A model's forward takes `numbers (batch, len(numbers)) float` and `categories (batch, len(categories)) int64`.
    """

    numbers: tuple[str, ...]
    categories: tuple[CategoryFeature, ...]

    @property
    def words(self) -> int:
        """Four-byte words in one row of a row matrix: numbers, category indices, then the target."""
        return len(self.numbers) + len(self.categories) + 1

    def to_json(self) -> dict[str, object]:
        return {
            "numbers": list(self.numbers),
            "categories": [{"name": c.name, "size": c.size} for c in self.categories],
        }

    @classmethod
    def from_json(cls, data: dict[str, object]) -> Layout:
        categories = data["categories"]
        numbers = data["numbers"]
        assert isinstance(categories, list) and isinstance(numbers, list)
        return cls(
            numbers=tuple(numbers),
            categories=tuple(CategoryFeature(name=c["name"], size=c["size"]) for c in categories),
        )
