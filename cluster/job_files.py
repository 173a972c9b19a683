"""The files that a job takes along to Kubernetes, in a ConfigMap, and how a pod gets them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.submission import SPEC_FILE, files_of
from raymill.errors import SpecError
from raymill.spec import Spec

_VOLUME = "files"
# `kubectl apply` keeps a second copy of an object in an annotation, and those may have 256 KiB together.
_MOST_BYTES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """Texts by path, and the name of the ConfigMap that holds them."""

    name: str
    texts: Mapping[str, str]

    @classmethod
    def of(cls, spec: Spec, name: str) -> JobFiles:
        """The resolved spec and the module that it names. Raises SpecError for what no ConfigMap can hold."""
        files = files_of(spec)
        if (size := sum(map(len, files.values()))) > _MOST_BYTES:
            raise SpecError(
                f"model.import: the files that would travel have {size:,} bytes, more than {_MOST_BYTES:,}.",
                "Install the package into the image instead.",
            )
        try:
            return cls(name=name, texts={path: data.decode() for path, data in files.items()})
        except UnicodeDecodeError as error:
            raise SpecError("model.import: a file that would travel is no UTF-8 text.", "Save it as UTF-8.") from error

    @property
    def _keys(self) -> dict[str, str]:
        """The ConfigMap's key of each path: keys take no slashes."""
        others = sorted(path for path in self.texts if path != SPEC_FILE)
        return {SPEC_FILE: SPEC_FILE} | {path: f"module-{place}.py" for place, path in enumerate(others)}

    def config_map(self, namespace: str, labels: Mapping[str, str], *, fixed: bool) -> dict[str, Any]:
        """The object; a `fixed` one can't be changed under a job that reads it."""
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": namespace, "labels": dict(labels)},
            **({"immutable": True} if fixed else {}),
            "data": {key: self.texts[path] for path, key in self._keys.items()},
        }

    def volume(self) -> dict[str, Any]:
        return {"name": _VOLUME, "configMap": {"name": self.name}}

    def mounts(self, folder: str) -> list[dict[str, Any]]:
        """Each file by itself: a whole ConfigMap is mounted as links, which Ray's upload of a folder doubles."""
        return [
            {"name": _VOLUME, "mountPath": f"{folder}/{path}", "subPath": key, "readOnly": True}
            for path, key in self._keys.items()
        ]
