"""The house as text: its files, what each imports, and the strings by which the cluster names what it runs."""

from __future__ import annotations

import ast
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("raymill", "jobs", "cluster", "serving")
_NAMED = re.compile(rf"\b((?:{'|'.join(PACKAGES)})(?:\.\w+)+):(\w+)")
_RUN = re.compile(rf"-m[\"', ]+((?:{'|'.join(PACKAGES)})(?:\.\w+)+)")


@dataclass(frozen=True)
class Module:
    """One Python file of a package, parsed."""

    name: str
    path: Path

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def imports(self) -> set[str]:
        """The full names that it imports, also inside functions, also by a string given to import_module."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} imports relatively"
                found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
                found |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
        return found

    @property
    def imported_tops(self) -> set[str]:
        return {name.partition(".")[0] for name in self.imports}

    @property
    def calls(self) -> set[str]:
        """The names of all functions and methods that it calls; a builtin `open` is `open()`."""
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]
        builtins = {f"{node.func.id}()" for node in nodes if isinstance(node.func, ast.Name)}
        return builtins | {_called(node) for node in nodes if isinstance(node.func, ast.Attribute)}

    @property
    def called(self) -> set[str]:
        """All that it calls, as it is written: `store.read_bytes`."""
        return {ast.unparse(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def modules(package: str) -> list[Module]:
    """All modules of a package, by their dotted names."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return [Module(name=".".join(p.relative_to(ROOT).with_suffix("").parts), path=p) for p in paths]


def all_modules() -> list[Module]:
    return [module for package in PACKAGES for module in modules(package)]


def committed_files() -> list[Path]:
    """What git tracks; outside a checkout, all that lies here but what tools leave behind."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [p for p in ROOT.rglob("*") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file()]


def committed_texts() -> dict[str, str]:
    """Each committed text by its path from the root."""
    texts: dict[str, str] = {}
    for path in committed_files():
        try:
            texts[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return texts


def named_functions(text: str) -> set[tuple[str, str]]:
    """Every `module:function` in a text."""
    return set(_NAMED.findall(text))


def run_modules(text: str) -> set[str]:
    """Every module that a text runs as `-m module`."""
    return set(_RUN.findall(text))
