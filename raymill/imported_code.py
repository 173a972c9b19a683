"""The code of a network of the user's own: the files that `model.import` names, found without running any of them.

A network is more than its weights: with another `forward` the same weights mean something else. So the code has a
fingerprint, which a run's name and a bundle hold. It covers the module and what it imports of its own top package;
other packages are the environment's.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from raymill.errors import SpecError
from raymill.model_spec import ImportedSpec, ModelSpec


def fingerprint_of(model: ModelSpec) -> str | None:
    """The fingerprint of an imported network's code; None for a network of raymill's, which has a version."""
    return fingerprint(model.import_) if isinstance(model, ImportedSpec) else None


def fingerprint(dotted: str) -> str:
    """SHA-256 of the code behind `package.module.function`, by the files' names in the package and their bytes.

    Raises SpecError where there is no such module, or a file of it is no Python.
    """
    root = _root(dotted)
    digest = hashlib.sha256()
    for name, file in sorted(_reached(dotted.rpartition(".")[0], root).items()):
        digest.update(f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def files_to_travel(dotted: str) -> dict[str, bytes]:
    """All Python files of the top package, by their paths in it; none of one that is installed. Raises SpecError."""
    root = _root(dotted)
    if "site-packages" in root.parts:
        return {}
    files = sorted(root.rglob("*.py")) if root.is_dir() else [root]
    return {str(file.relative_to(root.parent)): file.read_bytes() for file in files}


def _root(dotted: str) -> Path:
    """The folder of the top package, or the file of a module that is in none."""
    top = dotted.partition(".")[0]
    found = importlib.util.find_spec(top)
    if found is None:
        raise SpecError(
            f"model.import: there is no module {top!r} here.",
            "Type the command in its folder, or put it on PYTHONPATH; it must be on every node too.",
        )
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations)))
    return Path(found.origin or top)


def _reached(module: str, root: Path) -> dict[str, Path]:
    """The files of a module, of its parents, and of all that they import of the same package, by dotted names."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file(name, root)
        if name in found or file is None:
            continue
        found[name] = file
        waiting += [name.rpartition(".")[0], *_imports(file, name)]
    return found


def _file(name: str, root: Path) -> Path | None:
    """The file of a module of the package; None for another package's, or for no module at all."""
    top, *inner = name.split(".")
    if top != root.stem:
        return None
    if not root.is_dir():
        return root if not inner and root.suffix == ".py" else None
    place = root.joinpath(*inner)
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _imports(file: Path, name: str) -> Iterator[str]:
    """Every name that a file imports, absolute, with those that are no module."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise SpecError(f"model.import: {file} is no Python: {error}.", "Correct it.") from error
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
