"""The prepare job: a source's rows become a prepared dataset, by two passes over its pieces.

A split by time takes a pass more, over its time column. What is merged is merged in the order of the pieces. The last
pass leaves a note beside each piece's shards, so that a prepare that died is continued by the same command.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from cluster.pieces import each, enough
from raymill.cells import has_text, is_supported
from raymill.console import Console
from raymill.drift_reference import DriftReference
from raymill.errors import DataError, StoreError, UserError
from raymill.gate import why_never
from raymill.lease import Lease, lease, patient
from raymill.piece import Piece, in_turn, placed
from raymill.preparation import (
    DONE,
    MOST_IDENTITIES,
    RAW_TEST,
    Recipe,
    Scan,
    Written,
    count_times,
    identities,
    scan,
    write_once,
)
from raymill.prepared import FORMAT, MANIFEST, PROFILE, Prepared, SplitInfo
from raymill.profile import profile
from raymill.schema import absent_column, infer_schema, nearly_numbers
from raymill.source import Source
from raymill.spec import Spec
from raymill.split import SPLITS, Census, Split
from raymill.store import Store
from raymill.target import fit_task
from raymill.task import Task
from raymill.transform import Transform

Answer = TypeVar("Answer")
_FINGERPRINT_LETTERS = 12
_LEASE = "lease.json"
_READ_ROLES = ("task.target", "data.split.column")
_MOST_CLASSES_SHOWN = 20
_TEXT_ROLES = ("data.key", "evaluate.slices")


def prepare(spec: Spec, console: Console) -> Prepared:
    """The prepared dataset of a spec, made now unless the same inputs have been prepared before. Ray must be up.

    While another process prepares them it is waited for.
    Raises DataError for what the data can't give: an absent column, an empty split, a target of one class.
    """
    source = Source.open(spec.data.source, Store(spec.store))
    _require_columns(spec, source)
    fingerprint = _fingerprint(spec, source)
    store = Store(f"{spec.store}/datasets/{spec.name}-{fingerprint[:_FINGERPRINT_LETTERS]}")
    prepared = _found(store, console)
    if prepared is None:
        wait = patient(lambda text: console.say(f"prepare   waiting: {text}"))
        with lease(store, _LEASE, f"The dataset {store.uri}", when_busy=wait) as held:
            prepared = _found(store, console) or _make(spec, source, fingerprint, store, held, console)
    _doubt_gate(spec, prepared, console)
    return prepared


def _found(store: Store, console: Console) -> Prepared | None:
    """The dataset that is there already, or that another process has finished meanwhile."""
    if not store.exists(MANIFEST):
        return None
    console.say(f"prepare   already done: {store.uri}")
    with suppress(StoreError):  # what a process that died at its end has left; whoever comes next tidies it too
        store.delete(DONE)
    return Prepared.open(store.uri)


def _make(spec: Spec, source: Source, fingerprint: str, store: Store, held: Lease, console: Console) -> Prepared:
    """Prepares under the dataset's lease; whoever has lost that writes no manifest, and deletes nothing."""
    split = _freeze_split(spec, source, held, console)
    seen = _scan(spec, source, split, held, console)
    with placed(source.pieces, seen.piece_rows):
        recipe = _fit(spec, split, seen)
    written = _write(source, recipe, store, held, console)
    prepared = _account(spec, fingerprint, store, recipe, seen, written)
    _require_unchanged(spec, source, store)
    store.write_json(PROFILE, profile(seen.summary, recipe.schema))
    held.require()
    prepared.write_manifest()
    store.delete(DONE)
    _report(prepared, source, console)
    _doubt(spec, seen, prepared, console)
    return prepared


def _fingerprint(spec: Spec, source: Source) -> str:
    """Of everything that decides a prepared dataset's bytes but raymill's own version."""
    sections = {"task": spec.task, "split": spec.data.split}
    inputs: dict[str, Any] = {name: section.model_dump(mode="json") for name, section in sections.items()}
    types = {name: {"type": kind} for name, kind in spec.features.types.items()}
    inputs["features"] = {"ignore": list(spec.features.ignore)} | types
    inputs |= {"format": FORMAT, "source": source.fingerprint, "key": list(spec.data.key)}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _require_columns(spec: Spec, source: Source) -> None:
    """Refuses, before any row is read, a spec that names columns that the source doesn't have."""
    split = spec.data.split
    roles: dict[str, Iterable[str]] = {
        "task.target": [spec.task.column],
        "data.key": spec.data.key,
        "data.split.column": [] if split.column is None else [split.column],
        "features": spec.features.types,
        "features.ignore": spec.features.ignore,
        "evaluate.slices": spec.evaluate.slices,
    }
    roles |= {f"features.{name}.private": [name] for name in spec.features.private}
    for role, names in roles.items():
        for name in names:
            if name not in source.columns:
                raise absent_column(role, name, source.columns)
            kind = source.schema.field(name).type
            if role in _READ_ROLES and not is_supported(kind):
                raise DataError(
                    f"{role} names the column {name!r}, whose type {kind} holds no numbers, texts or times.",
                    "Name another column.",
                )
            if role in _TEXT_ROLES and not has_text(kind):
                raise DataError(
                    f"{role} names the column {name!r}, whose type {kind} has no text.", "Name another column."
                )


def _freeze_split(spec: Spec, source: Source, held: Lease, console: Console) -> Split:
    asked = spec.data.split
    if asked.by != "time" or asked.column is None:
        return Split.of(spec.data)
    name = asked.column
    counted = functools.partial(count_times, task=spec.task, column=name)
    answers = _pass(counted, source, "times", held, console)
    times = functools.reduce(lambda sofar, piece: sofar.merge(piece, name), answers)
    return Split.of(spec.data, times.cut(asked.train, asked.validation, name))


def _scan(spec: Spec, source: Source, split: Split, held: Lease, console: Console) -> Scan:
    """Scans every piece; DataError where a split has no rows."""
    look = functools.partial(scan, task=spec.task, split=split)
    seen = functools.reduce(Scan.merge, _pass(look, source, "scanning", held, console, _rows_scanned))
    known = sum(seen.census.rows)
    if not known:
        raise DataError(
            f"Column {spec.task.column!r}, the target, has no value in any of {seen.summary.rows} rows.",
            "Name another column in task.target.",
        )
    for name, rows in zip(SPLITS, seen.census.rows, strict=True):
        if not rows:
            cause = _sameness(spec, source, split, known, held, console)
            raise DataError(
                f"The {name} split has no rows: {seen.summary.rows} rows were read, {known} of them with a target "
                f"in column {spec.task.column!r}, and split by {split.by}{cause}.",
                "Give it more rows or groups, a larger share, or another data.split or data.key.",
            )
    return seen


def _sameness(spec: Spec, source: Source, split: Split, rows: int, held: Lease, console: Console) -> str:
    """Where it may be why a split is empty: how few different rows, keys or groups there are."""
    if split.cuts is not None or not rows:
        return ""
    look = functools.partial(identities, task=spec.task, split=split)
    distinct = len(functools.reduce(np.union1d, _pass(look, source, "distinct", held, console)))
    if distinct >= min(rows, MOST_IDENTITIES):
        return ""
    what = f"{split.column!r}" if split.column else f"the key {', '.join(split.key)}" if split.key else "whole rows"
    return f"; equal values of {what} stay together, and only {distinct} are distinct"


def _fit(spec: Spec, split: Split, seen: Scan) -> Recipe:
    """Fits target, schema and transform on the train rows."""
    task = fit_task(spec.task, seen.summary)
    seen.classes.require_in_train(spec.task.column)
    schema = infer_schema(seen.summary, spec.features.types, spec.no_features, spec.task.column)
    return Recipe(task=task, split=split, schema=schema, transform=Transform.fit(schema, seen.summary))


def _write(source: Source, recipe: Recipe, store: Store, held: Lease, console: Console) -> list[Written]:
    """Writes every piece's shards; leaves none behind where the data is at fault."""
    work = functools.partial(write_once, recipe=recipe, store=store)
    try:
        return list(_pass(work, source, "writing", held, console, _rows_written))
    except UserError:
        held.require()
        for folder in (*SPLITS, RAW_TEST, DONE):
            store.delete(folder)
        raise


def _pass(
    work: Callable[[Piece], Answer],
    source: Source,
    label: str,
    held: Lease,
    console: Console,
    rows: Callable[[Answer], int] = lambda answer: 0,
) -> Iterator[Answer]:
    """Works on every piece; `rows` says how many of the source an answer stands for, where they are counted."""
    runs = source.runs(enough())
    answers = itertools.chain.from_iterable(each(functools.partial(_work_in_turn, work), runs))
    with console.progress(f"prepare   {label}", len(source.pieces)) as bar:
        for done, answer in enumerate(answers, start=1):
            held.require()
            console.meter.worked(rows(answer))
            bar.reach(done)
            yield answer


def _work_in_turn(work: Callable[[Piece], Answer], run: Sequence[Piece]) -> list[Answer]:
    with in_turn(run) as pieces:
        return [work(piece) for piece in pieces]


def _rows_scanned(seen: Scan) -> int:
    return seen.summary.rows


def _rows_written(written: Written) -> int:
    return sum(written.census.rows)


def _infos(written: Sequence[Written], task: Task) -> dict[str, SplitInfo]:
    """The splits that the pieces' shards make up, in piece order."""
    infos = {}
    for folder in (*SPLITS, RAW_TEST):
        shards = tuple(piece.shards[folder] for piece in written if folder in piece.shards)
        counts = np.sum([piece.classes[folder] for piece in written], axis=0).tolist()
        infos[folder] = SplitInfo(
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            classes=dict(zip(task.classes, counts, strict=True)),
        )
    return infos


def _account(
    spec: Spec, fingerprint: str, store: Store, recipe: Recipe, seen: Scan, written: Sequence[Written]
) -> Prepared:
    """The manifest of what was written; StoreError where that isn't what was scanned."""
    infos = _infos(written, recipe.task)
    found = functools.reduce(Census.merge, (piece.census for piece in written))
    if found != seen.census:
        store.delete(DONE)
        raise StoreError(
            f"{spec.data.source} changed while it was prepared: {seen.census.rows} rows by split were read first, "
            f"then {found.rows}{' with other content' if found.rows == seen.census.rows else ''}.",
            "Type the command again when nothing writes to it.",
        )
    return Prepared(
        uri=store.uri,
        name=spec.name,
        fingerprint=fingerprint,
        task=recipe.task,
        schema=recipe.schema,
        transform=recipe.transform,
        layout=recipe.transform.layout,
        splits={name: infos[name] for name in SPLITS},
        raw_test=infos[RAW_TEST],
        split=recipe.split.to_json() | {"fingerprint": seen.census.fingerprint},
        source=spec.data.source,
        rows_read=seen.summary.rows,
        rows_without_target=seen.summary.rows - sum(seen.census.rows),
        drift_reference=DriftReference.of(recipe.transform, seen.summary),
    )


def _require_unchanged(spec: Spec, source: Source, store: Store) -> None:
    """Raises StoreError where a file is not the one that the fingerprint names: it may have changed before any pass."""
    if changed := source.changed(spec.data.source):
        store.delete(DONE)
        raise StoreError(
            f"{spec.data.source} changed while it was prepared: {changed[0]} is another file by now, or gone.",
            "Type the command again when nothing writes to it.",
        )


def _report(prepared: Prepared, source: Source, console: Console) -> None:
    rows = ", ".join(f"{name} {prepared.splits[name].rows:,}" for name in SPLITS)
    without = f"; {prepared.rows_without_target:,} without a target" if prepared.rows_without_target else ""
    console.say(f"prepare   {prepared.rows_read:,} rows{without}: {rows} -> {prepared.uri}")
    for label in prepared.task.classes[:_MOST_CLASSES_SHOWN]:
        shares = (prepared.splits[name].classes[label] / prepared.splits[name].rows for name in SPLITS)
        console.say(f"prepare   {label}: {', '.join(f'{share:.1%}' for share in shares)} of each")
    if (more := len(prepared.task.classes) - _MOST_CLASSES_SHOWN) > 0:
        console.say(f"prepare   and {more:,} more classes: see {prepared.uri}/{MANIFEST}")
    for name, reason in prepared.schema.left_out:
        console.say(f"prepare   left out {name}: {reason}")
    for name in source.folder_columns:
        console.say(f"prepare   left out {name}: it is in names of folders ({name}=...), which are not read")


def _doubt(spec: Spec, seen: Scan, prepared: Prepared, console: Console) -> None:
    """Says which columns a few odd cells have kept from being numbers."""
    for name, cell in nearly_numbers(seen.summary, prepared.schema, spec.features.types).items():
        fate = "a category" if name in prepared.schema.kinds else "left out"
        console.say(f"prepare   WARNING: {name} is {fate}, though most of its cells are numbers: one holds {cell!r}.")
        console.say(f"                   Empty such cells to make it a number, or set features.{name}.type.")


def _doubt_gate(spec: Spec, prepared: Prepared, console: Console) -> None:
    """Says, before anything is trained, that the gate could promote no model."""
    why = why_never(spec.gate_metric, prepared.splits["test"].classes)
    if why:
        console.say(f"prepare   WARNING: {why}.")
        console.say(
            "                   Give it more rows, change data.split (its seed, shares or column), or set another "
            "evaluate.gate.metric, such as log_loss."
        )


def main() -> None:
    """`python -m jobs.prepare SPEC [key=value ...]`."""
    from cluster.cli import main as command

    sys.exit(command(["prepare", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
