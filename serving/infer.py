"""An inference by the v2 protocol, whether it came by HTTP or gRPC: what is asked, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass

from raymill.errors import DataError
from serving.model import Scores
from serving.outputs import Output, check_outputs, outputs_of
from serving.refusal import Refusal
from serving.scored import Score
from serving.tensor import Tensor, table_of


@dataclass(frozen=True, slots=True)
class InferRequest:
    """`wanted` names the outputs that are asked for, none of them meaning all."""

    id: str
    tensors: tuple[Tensor, ...]
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inferred:
    """The outputs, which version of the model they are by, and how many bytes its scores have."""

    version: str
    outputs: list[Output]
    size: int


async def infer(request: InferRequest, model: Scores, score: Score, request_id: str) -> Inferred:
    """Scores the tensors as every raw table is.

    Raises Refusal 400 for names, tensors or cells that don't fit the model.
    """
    check_outputs(model.task, request.wanted)
    try:
        found = await score(table_of(model.schema, request.tensors), request_id)
    except DataError as error:
        raise Refusal(400, f"{error.what} {error.fix}") from error
    outputs = outputs_of(model.task, found.scores, request.wanted)
    return Inferred(found.version.label, outputs, found.scores.nbytes)
