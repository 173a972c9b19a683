"""A tensor of the v2 protocol as a client sent it, and tensors as the raw table of a model's features.

It knows shapes and names, no protocol's text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa

from raymill.schema import Schema
from serving.body import MOST_ROWS
from serving.datatype import datatype
from serving.refusal import Refusal

_MOST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Cells:
    """A tensor as it was sent by values: `data` is flat, or a list per row."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: list[Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Cells in row-major order; `shape` is `(rows,)` or `(rows, columns)`."""

    name: str
    shape: tuple[int, ...]
    cells: pa.Array

    @classmethod
    def of_raw(cls, name: str, type_name: str, shape: Sequence[int], raw: memoryview) -> Tensor:
        """A tensor of raw cells, as Triton's binary extension and gRPC write them. Raises Refusal 400 or 413."""
        checked = _shape(name, shape)
        try:
            return cls(name, checked, datatype(type_name).of_raw(raw, _size(checked)))
        except ValueError as error:
            raise refused(name, str(error)) from error


def tensors_of(sent: Sequence[Cells]) -> list[Tensor]:
    """The tensors in their order. Raises Refusal 400 or 413, naming the tensor.

    Those of one datatype are read in one go, because a request of few rows pays by the call into Arrow.
    """
    shapes = [_shape(each.name, each.shape) for each in sent]
    flats = [_flat(each.name, shape, each.data) for each, shape in zip(sent, shapes, strict=True)]
    read: dict[int, pa.Array] = {}
    for type_name in dict.fromkeys(each.datatype for each in sent):
        alike = [index for index, each in enumerate(sent) if each.datatype == type_name]
        read |= zip(alike, _read(type_name, [sent[i].name for i in alike], [flats[i] for i in alike]), strict=True)
    return [Tensor(each.name, shapes[index], read[index]) for index, each in enumerate(sent)]


def _read(type_name: str, names: list[str], flats: list[list[Any]]) -> Iterator[pa.Array]:
    """The cells of tensors of one datatype."""
    try:
        together = datatype(type_name).of_cells(list(chain.from_iterable(flats)))
    except ValueError as error:
        raise _first_refused(type_name, names, flats) from error
    start = 0
    for flat in flats:
        yield together.slice(start, len(flat))
        start += len(flat)


def _first_refused(type_name: str, names: list[str], flats: list[list[Any]]) -> Refusal:
    """Why the first tensor that can't be read can't."""
    for name, flat in zip(names, flats, strict=True):
        try:
            datatype(type_name).of_cells(flat)
        except ValueError as error:
            return refused(name, str(error))
    raise AssertionError("each is read alone, and not all together")


def refused(name: str, why: str) -> Refusal:
    """The refusal of an input."""
    return Refusal(400, f"Input {name[:_MOST_SHOWN]!r}: {why}.")


def table_of(schema: Schema, tensors: Sequence[Tensor]) -> pa.Table:
    """The raw table of a tensor per feature, or of one matrix of all features in their order.

    Raises Refusal 400 for a name that is none, is twice or is absent, and for shapes that don't agree.
    """
    if len(tensors) == 1 and tensors[0].name not in schema.kinds:
        return _of_matrix(schema, tensors[0])
    given = {tensor.name: tensor for tensor in tensors}
    if len(given) < len(tensors):
        raise Refusal(400, "An input is there twice; send each once.")
    for tensor in tensors:
        _check_feature(schema, tensor, tensors[0])
    absent = [name for name in schema.kinds if name not in given]
    if absent:
        raise Refusal(400, f"There is no input {absent[0]!r}; send {', '.join(schema.kinds)}, with null for a gap.")
    return pa.table({name: given[name].cells for name in schema.kinds})


def _check_feature(schema: Schema, tensor: Tensor, first: Tensor) -> None:
    if tensor.name not in schema.kinds:
        near = difflib.get_close_matches(tensor.name[:_MOST_SHOWN], schema.kinds, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise refused(tensor.name, f"no feature; {hint}the model takes {', '.join(schema.kinds)}")
    if len(tensor.shape) == 2 and tensor.shape[1] != 1:
        raise refused(tensor.name, f"its shape is {list(tensor.shape)}; a feature's is [rows] or [rows, 1]")
    if tensor.shape[0] != first.shape[0]:
        raise refused(tensor.name, f"it has {tensor.shape[0]} rows, and {first.name!r} has {first.shape[0]}")


def _of_matrix(schema: Schema, tensor: Tensor) -> pa.Table:
    """A matrix `(rows, features)` of numbers as columns."""
    other = next((name for name, kind in schema.kinds.items() if kind != "number"), None)
    features, columns = len(schema.kinds), tensor.shape[-1] if len(tensor.shape) == 2 else 1
    if other is not None:
        raise refused(tensor.name, f"no feature, and {other!r} is no number; send an input per feature, by its name")
    if columns != features or pa.types.is_string(tensor.cells.type):
        raise refused(tensor.name, f"neither a feature nor a matrix of numbers with {features} columns")
    cells = tensor.cells.to_numpy(zero_copy_only=False).reshape(-1, features)
    return pa.table({name: cells[:, i].copy() for i, name in enumerate(schema.kinds)})


def _shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) not in (1, 2) or min(shape) < 1:
        raise refused(name, f"its shape is {list(shape[:8])}; it must be [rows] or [rows, columns], of 1 or more each")
    if shape[0] > MOST_ROWS:
        raise Refusal(413, f"Input {name[:_MOST_SHOWN]!r} has {shape[0]} rows; send at most {MOST_ROWS} at a time.")
    return tuple(shape)


def _size(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def _flat(name: str, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    """The cells of a list that is flat, or that holds a list per row."""
    if len(shape) == 2 and data and type(data[0]) is list:
        if set(map(type, data)) != {list} or set(map(len, data)) != {shape[1]}:
            raise refused(name, f"not every row of its data is an array of {shape[1]} cells")
        data = list(chain.from_iterable(data))
    if len(data) != _size(shape):
        raise refused(name, f"its data has {len(data)} cells, and its shape {_size(shape)}")
    return data
