"""A pass: one function over many pieces of work, on the whole cluster, through Ray Data.

A piece of work is one read task, so that neither Ray's blocks nor the number of CPUs decide what a function sees,
and answers come back in the order of the pieces whatever order they finish in: those that are early wait in Ray's
object store, and where they fill their share of it no further piece is begun. No row of a table travels through Ray:
pieces say where rows are, answers what was found or written. Ray runs a piece again whose worker or node died,
a few times: a piece that needs more memory than there is kills every worker that takes it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import ray.data
from ray.data._internal.execution.resource_manager import ResourceManager
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from cluster.failures import unwrap
from cluster.heap import kept_heap
from cluster.session import nodes_here
from cluster.waiting import waiting
from raymill.train_spec import CPUS_ASKED

Piece = TypeVar("Piece")
Answer = TypeVar("Answer")
_RETRIES = 3
_ROUNDS = 2
_LIMITS_EVERY_S = 0.1
_MOST_CARRIED_BYTES = 256 << 10


def each(work: Callable[[Piece], Answer], pieces: Sequence[Piece]) -> Iterator[Answer]:
    """Yields `work(piece)` for every piece, in order; both must be picklable, safe to repeat, an answer small.

    Raises the RaymillError that `work` raised, and WorkerLost where a piece's worker died again and again.
    """
    _set_up()
    dataset = _dataset(_Work(_carried(work), pieces), len(pieces))
    try:
        with waiting({"CPU": CPUS_ASKED}):
            for index, row in enumerate(dataset.iter_rows()):
                assert row["piece"] == index, "Ray keeps the order"
                yield pickle.loads(row["answer"])
    except Exception as error:
        raise unwrap(error) from error


def enough() -> int:
    """How many pieces of work keep all of Ray's processors busy, and leave few idle while the last of them is done."""
    processors = sum(node.get("CPU", 0.0) for node in nodes_here())
    return max(1, int(_ROUNDS * processors / CPUS_ASKED))


@contextlib.contextmanager
def limited(cpus: float | None) -> Iterator[None]:
    """While the block runs, passes ask for no more than so many CPUs at a time; None for as many as there are."""
    options = ray.data.DataContext.get_current().execution_options
    before = options.resource_limits
    options.resource_limits = ray.data.ExecutionResources.for_limits(cpu=cpus)
    try:
        yield
    finally:
        options.resource_limits = before


def _dataset(work: Datasource, pieces: int) -> ray.data.Dataset:
    asked = {"num_cpus": CPUS_ASKED, "max_retries": _RETRIES}
    with warnings.catch_warnings():
        # Ray Data's named parameters have none for retries, which are endless otherwise.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        return ray.data.read_datasource(work, override_num_blocks=pieces, ray_remote_args=asked)


class _Work(Datasource):  # type: ignore[misc]
    """Read tasks that each do one piece of work and read back its pickled answer as one row."""

    def __init__(self, work: bytes | ray.ObjectRef, pieces: Sequence[Any]) -> None:
        self._work, self._pieces = work, pieces

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        about = BlockMetadata(num_rows=1, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(functools.partial(_answer, self._work, index, piece), about)
            for index, piece in enumerate(self._pieces)
        ]


def _carried(work: Callable[[Any], Any]) -> bytes | ray.ObjectRef:
    """How tasks get the function: with each, or, since Ray holds all tasks of a pass at once, a large one apart.

    A task that waits for an object gives its CPU away meanwhile, and Ray starts another worker for it.
    """
    packed: bytes = ray.cloudpickle.dumps(work)
    return packed if len(packed) <= _MOST_CARRIED_BYTES else ray.put(packed)


@functools.lru_cache(maxsize=1)
def _unpacked(work: bytes | ray.ObjectRef) -> Callable[[Any], Any]:
    """The function, made once in each process that does several pieces of a pass."""
    found: Callable[[Any], Any] = pickle.loads(work if isinstance(work, bytes) else ray.get(work))
    return found


def _answer(work: bytes | ray.ObjectRef, index: int, piece: Any) -> list[pa.Table]:
    with kept_heap():
        answer = pickle.dumps(_unpacked(work)(piece))
    return [pa.table({"piece": [index], "answer": [answer]})]


def _set_up() -> None:
    """Ray Data keeps the order, and speaks through its log file only: a job's own console tells what is done.

    It begins a pass with no processors, which its coordinator tells it of a moment later, and looks again after a
    second, in which pieces are done one by one: two seconds of each prepare, for a number that has no setting.
    """
    ResourceManager.GLOBAL_LIMITS_UPDATE_INTERVAL_S = _LIMITS_EVERY_S
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)
