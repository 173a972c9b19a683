"""A section of a spec: frozen, and strict about its keys and numbers. It knows no key of any section."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from raymill.s3_uri import SCHEME, parts_of

Count = Annotated[int, Field(gt=0)]


def _without_secrets(place: str) -> str:
    if place.startswith(SCHEME):
        parts_of(place)
    return place


Place = Annotated[str, AfterValidator(_without_secrets)]


class Mistake(ValueError):
    """What is wrong with a key below the section that notices it."""

    def __init__(self, key: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.key = key


def _takes_numbers(annotation: Any) -> bool:
    """Whether a type is int or float, or a union or tuple with one of them."""
    return annotation in (int, float) or any(_takes_numbers(arm) for arm in get_args(annotation))


class Section(BaseModel):
    """Frozen, and strict about its keys; its numbers are finite, and never true or false (Python's 1 and 0)."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        if _takes_numbers(cls.model_fields[info.field_name].annotation):
            items = enumerate(value) if isinstance(value, list | tuple) else [(None, value)]
            for index, item in items:
                if isinstance(item, bool):
                    key = () if index is None else (index,)
                    raise Mistake(key, f"a number is wanted, found {str(item).lower()}")
        return value
