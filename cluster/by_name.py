"""By name: what a string `MODULE:NAME` names, imported when it is called for.

So no arrow runs from the cluster to the jobs, and a command that needs neither Ray nor torch doesn't wait for them.
"""

from __future__ import annotations

import importlib
from typing import Any


def by_name(name: str) -> Any:
    module, _, found = name.partition(":")
    return getattr(importlib.import_module(module), found)
