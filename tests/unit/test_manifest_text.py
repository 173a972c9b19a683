"""Texts of manifests: what Kubernetes' own reader makes of them, which is written in Go."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster.endpoint_arguments import ServedModel
from cluster.manifest_text import as_text, as_yaml
from cluster.ray_service import endpoint_objects
from tests.ray_clusters import spec_in_a_bucket, template
from tests.unit.test_overlay import needs_kubectl

NO_TEXTS = ("1e5", "7e-3", "0o17", "y", "n", "Y", "444079e04123", "0.1", "true", "~", "")
NO_TEXTS += ("1_000", "0X1F", "0B11", "0O17", "1_0e5", "1e_5", "0_9")
TEXTS = ("9lives", "c0ffee", "10Gi", "1e5x", "yes-it-is", "0.1.0", "a\nb\n")


@needs_kubectl
@pytest.mark.parametrize("text", [*NO_TEXTS, *TEXTS])
def test_a_text_stays_one_for_kubectl(text: str, tmp_path: Path) -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": text}}
    (tmp_path / "x.yaml").write_text(as_yaml([made]))
    command = ["kubectl", "label", "--local", "--filename", str(tmp_path / "x.yaml"), "b=c", "--output=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"] == {"a": text}


@pytest.mark.parametrize("text", ["9lives", "10Gi", "0.1.0"])
def test_a_text_that_nobody_misreads_has_no_quotes(text: str) -> None:
    assert as_text({"a": text}) == f"a: {text}\n"


def test_what_an_endpoint_is_called_by_stays_a_text() -> None:
    """The id of one endpoint in two hundred is a number to KubeRay, as that of this name in raymill."""
    name = "endpoint-451"
    id = hashlib.sha256(f"raymill/{name}".encode()).hexdigest()[:12]
    assert re.fullmatch(r"\d+e\d+", id)
    model = ServedModel(version="3", bundle_uri="s3://b/x", digest="ab" * 32, run_id="cd" * 16)
    config = endpoint_objects(spec_in_a_bucket(name=name), model, template())[0]["spec"]["serveConfigV2"]
    assert f"endpoint_id: '{id}'" in config
    assert yaml.safe_load(config)["applications"][0]["args"]["endpoint_id"] == id
