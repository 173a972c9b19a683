"""The API server would take every object, strictly, at the oldest Kubernetes that we name and at the newest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.k8s import crds, schemas
from tests.k8s.builds import Build, problems


def test_kinds_of_kubernetes_itself_fit_their_schemas() -> None:
    assert problems(schemas.core_problems) == {}


def test_kinds_of_ray_kueue_gateway_and_prometheus_fit_their_crds(known: crds.Crds) -> None:
    assert problems(lambda build: schemas.custom_problems(build, known)) == {}


def queue(**spec: Any) -> Build:
    made = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ClusterQueue", "metadata": {"name": "q"}, "spec": spec}
    return Build(name="queue", objects=(made,))


GROUP = {"coveredResources": ["cpu"], "flavors": [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": 4}]}]}


def test_a_field_that_a_crd_does_not_list_is_an_error(known: crds.Crds) -> None:
    assert schemas.custom_problems(queue(resourceGroups=[GROUP]), known) == []
    assert "resourceGroup" in schemas.custom_problems(queue(resourceGroup=[GROUP]), known)[0]


def test_a_rule_of_a_crd_is_asked(known: crds.Crds) -> None:
    unequal = {**GROUP, "coveredResources": ["cpu", "memory"]}
    assert "same number of resources" in schemas.custom_problems(queue(resourceGroups=[unequal]), known)[0]


def test_a_kind_that_nobody_knows_is_a_problem(known: crds.Crds) -> None:
    made = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}
    assert schemas.custom_problems(Build(name="thing", objects=(made,)), known)
    assert schemas.core_problems(Build(name="thing", objects=({**made, "apiVersion": "v1"},)))


def test_what_has_a_default_is_not_required_and_rules_see_the_default() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": "integer", "default": 3}, "b": {"type": "string"}},
    }
    closed = crds.strict({"type": "object", "properties": {"spec": schema}})["properties"]["spec"]
    assert closed["required"] == ["b"]
    assert crds.defaulted(schema, {"b": "x"}) == {"a": 3, "b": "x"}


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob", "RayService"])
def test_the_pod_templates_inside_rays_kinds_are_closed(known: crds.Crds, kind: str) -> None:
    found = known.version("ray.io/v1", kind)
    assert found is not None
    spec = crds.strict(found["schema"])["properties"]["spec"]["properties"]
    cluster = spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or {"properties": spec}
    pod = cluster["properties"]["headGroupSpec"]["properties"]["template"]["properties"]["spec"]
    assert pod["additionalProperties"] is False
    assert pod["properties"]["containers"]["items"]["additionalProperties"] is False
