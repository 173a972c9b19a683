"""The first spec: a YAML file for a table that nobody has described yet, named after it, where the user stands.

It knows what the file is called and what the user is told. What is in it is `raymill.first_text`'s business.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from raymill.bundled import PREFIX
from raymill.console import Console
from raymill.errors import DataError, SpecError
from raymill.first_target import FirstTarget, choose_target
from raymill.first_text import first_text
from raymill.glimpse import Glimpse
from raymill.schema import absent_column
from raymill.source import Source
from raymill.store import Store

_NAME_LETTERS = 40
_SUFFIX = re.compile(r"(\.(csv|tsv|parquet|pq|gz|zip))+$", re.IGNORECASE)
_WILDCARD = re.compile(r"\[[^\]]*\]|[*?]+")


def write_first_spec(data: str, target: str | None, console: Console) -> str:
    """Looks at a table and writes `<its name>.yaml` in the working directory; returns that path.

    Raises SpecError when the file is there already, DataError for a table that can't be read, that has no such target
    or none at all.
    """
    here, name, data = Store(str(Path.cwd())), spec_name(data), _beside_spec(data)
    path = f"{name}.yaml"
    if here.exists(path):
        raise SpecError(f"{path} is there already.", "Rename or delete it, or call the command in another folder.")
    source = Source.open(data, here.child(".raymill"))
    if target is not None and target not in source.columns:
        raise absent_column("--target", target, source.columns)
    glimpse = Glimpse.of(source)
    chosen = choose_target(glimpse, target)
    here.write_bytes(path, first_text(name, data, glimpse, chosen).encode())
    _tell(path, glimpse, chosen, console)
    return path


def spec_name(data: str) -> str:
    """A spec's name for a file, folder, glob or bundled table: its last part that has Latin letters or digits."""
    if data.startswith(PREFIX):
        parts = [data.removeprefix(PREFIX)]
    elif "://" in data:
        parts = data.partition("://")[2].split("/")
    else:
        parts = list(Path(data).absolute().parts)
    return next(filter(None, map(_slug, reversed(parts))), "table")


def _slug(part: str) -> str:
    plain = unicodedata.normalize("NFKD", _WILDCARD.sub("-", _SUFFIX.sub("", part))).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:_NAME_LETTERS].rstrip("-")


def _beside_spec(data: str) -> str:
    """A source as the spec says it: a local one relative to the working directory if it lies in there."""
    if data.startswith(PREFIX) or "://" in data:
        return data
    path, here = Path(data), Path.cwd()
    if path.is_dir() and here.resolve().is_relative_to(path.resolve()):
        raise DataError(
            f"The spec would lie in {data}, and a source's folder holds nothing but its tables.",
            "Name the tables with a glob, such as '*.csv', or call the command in another folder.",
        )
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else str(path)


def _tell(path: str, glimpse: Glimpse, target: FirstTarget, console: Console) -> None:
    console.say(f"init      looked at {glimpse.seen}, {len(glimpse.summary.columns)} columns")
    console.say(f"init      target: {target.task.column}, {target.reason}; {target.task.type}")
    if target.doubt is not None:
        console.say(f"init      WARNING: {target.doubt}")
    console.say(f"init      wrote {path}: read it before you run it")
