"""The text of a first spec: readable YAML, with what was seen of each column beside it as comments.

It decides what is an identifier and what else is left out; every other setting is a default or a suggestion in a
comment. A pure function of what a glimpse showed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import yaml

from raymill.first_target import FirstTarget
from raymill.glimpse import Glimpse, examples, is_all_different, is_id_name, is_row_number, short
from raymill.schema import Schema, infer_schema
from raymill.statistics import ColumnSummary

_COLUMN_LETTERS = 32
_MOST_CLASSES_SHOWN = 5
_SHARES = "train: 0.8, validation: 0.1, test: 0.1"
# Rows up to which, and settings that keep the first training to minutes.
_EFFORT = (
    (100_000, "{epochs: 100, batch_size: 256}"),
    (1_000_000, "{epochs: 20, batch_size: 1024}"),
    (float("inf"), "{epochs: 10, batch_size: 4096}"),
)


def first_text(name: str, data: str, glimpse: Glimpse, target: FirstTarget) -> str:
    """The YAML of a spec that reads a table at `data` and predicts a target."""
    schema = infer_schema(glimpse.summary, {}, (), target.task.column)
    columns = {name: c for name, c in glimpse.summary.columns.items() if name != target.task.column}
    keys, ignored = _no_features(columns, schema)
    lines = [
        f"# A first spec for {_one_line(data)}, written by `raymill init` after a look at {glimpse.seen}.",
        f"# Read it and correct it, then: raymill run {name}.yaml",
        "# `raymill spec schema` prints every key, `raymill spec show` this spec with every default.",
        f"name: {name}",
        *_task(target, glimpse),
        *_data(data, keys, columns, schema),
        *_features(ignored),
        "model: {type: mlp}",
        f"train: {next(settings for rows, settings in _EFFORT if glimpse.total_rows <= rows)}",
        "",
        *_columns(columns, schema, {**dict.fromkeys(keys, "key"), **dict.fromkeys(ignored, "ignored")}),
    ]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A text as a YAML scalar on one line, with quotes only where block or flow style need them."""
    style = None if text.isprintable() else '"'
    listed: str = yaml.dump(
        [text],
        Dumper=yaml.SafeDumper,
        default_flow_style=True,
        default_style=style,
        allow_unicode=True,
        width=float("inf"),
    )
    return listed[1:-2]


def _no_features(columns: Mapping[str, ColumnSummary], schema: Schema) -> tuple[list[str], dict[str, str]]:
    """The column that names a row, if there is one, and others that tell rows apart and nothing else, with reasons."""
    different = {name: column for name, column in columns.items() if is_all_different(column)}
    keys = [name for name in different if is_id_name(name)][:1]
    ignored = {}
    for name, column in different.items():
        if name in keys:
            continue
        if is_row_number(column):
            ignored[name] = "counts the rows"
        elif is_id_name(name) or schema.kinds.get(name) == "category":
            ignored[name] = "different in every row"
    return keys, ignored


def _task(target: FirstTarget, glimpse: Glimpse) -> Iterator[str]:
    name, column = target.task.column, glimpse.summary.columns[target.task.column]
    yield "task:"
    yield f"  target: {quoted(name)}  # {target.reason}"
    if target.task.type == "regression":
        assert column.numbers is not None
        yield f"  type: regression  # {examples(column.numbers)}"
        yield "  # To predict whether it reaches a value instead:"
        yield f"  # target: {{column: {quoted(name)}, at_least: {column.numbers.quantiles.at(0.5):.6g}}}"
        yield "  # type: classification"
        return
    counts = column.categories.sorted()
    shown = [f"{short(text)} {count / column.categories.count:.1%}" for text, count in counts[:_MOST_CLASSES_SHOWN]]
    more = f", {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    yield f"  type: classification  # {len(counts)} classes: {', '.join(shown)}{more}"
    if column.numbers is not None and len(counts) > 2:
        yield "  # type: regression  # to predict it as a number"


def _data(data: str, keys: list[str], columns: Mapping[str, ColumnSummary], schema: Schema) -> Iterator[str]:
    yield "data:"
    yield f"  source: {quoted(data)}"
    for key in keys:
        yield f"  key: [{quoted(key)}]  # different in every row: it names the row, and is no feature"
    yield f"  split: {{by: random, {_SHARES}, seed: 0}}"
    times = [name for name, kind in schema.kinds.items() if kind == "timestamp"]
    if times:
        yield "  # If the model will score rows later than these, split forward in time instead:"
    for name in times:
        yield f"  # split: {{by: time, column: {quoted(name)}, {_SHARES}}}"
    for name in (name for name in columns if is_id_name(name) and name in schema.kinds and name not in keys):
        if not is_all_different(columns[name]):
            yield f"  # If rows with the same {_one_line(name)} belong together, keep them in one split:"
            yield f"  # split: {{by: group, column: {quoted(name)}, {_SHARES}, seed: 0}}"


def _features(ignored: Mapping[str, str]) -> Iterator[str]:
    yield "features:"
    yield "  # Add every column that isn't known yet when a prediction is wanted: it would give the answer away."
    if not ignored:
        yield "  ignore: []"
        return
    yield "  ignore:"
    for name, reason in ignored.items():
        yield f"    - {quoted(name)}  # {reason}"


def _columns(columns: Mapping[str, ColumnSummary], schema: Schema, roles: Mapping[str, str]) -> Iterator[str]:
    kept = [name for name in schema.kinds if name not in roles]
    reasons = {name: reason for name, reason in schema.left_out if name not in roles}
    yield "# The features in the rows seen. Another kind is set below `features:`, as NAME: {type: category}."
    yield from _table((quoted(name), schema.kinds[name], _facts(columns[name], schema, name)) for name in kept)
    if reasons:
        yield "# Left out, because nothing can be learnt from them:"
        yield from _table((quoted(name), "", reason) for name, reason in reasons.items())


def _facts(column: ColumnSummary, schema: Schema, name: str) -> str:
    statistics = column.statistics(schema.kinds[name])
    assert statistics is not None
    missing = 1 - statistics.count / column.train_rows
    return f"{examples(statistics)}" + (f"; {missing:.1%} missing" if missing else "")


def _table(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    rows = list(rows)
    width = min(max((len(name) for name, _, _ in rows), default=0), _COLUMN_LETTERS)
    for name, kind, facts in rows:
        yield f"#   {name:{width}}  {f'{kind:9}  ' if kind else ''}{facts}"


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
