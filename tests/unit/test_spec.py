"""The spec as values: frozen, strict, and complete once it is resolved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from raymill.metrics import measure
from raymill.model_spec import ImportedSpec, LinearSpec, MlpSpec, ModelSpec
from raymill.spec import LOWER_IS_BETTER, METRICS, Spec
from raymill.task import Task
from tests.recipes import spec_of

MODELS = [LinearSpec(type="linear"), MlpSpec(hidden=(3,)), ImportedSpec.model_validate({"import": "a.b"})]


@pytest.mark.parametrize("model", MODELS)
def test_a_resolved_spec_reads_back_as_itself(model: Any) -> None:
    spec = spec_of().model_copy(update={"model": model})
    assert Spec.model_validate(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize("model", MODELS)
def test_a_model_section_reads_back_as_itself(model: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ModelSpec)
    assert adapter.validate_python(model.model_dump(mode="json", by_alias=True)) == model
    assert adapter.validate_python(model) == model


def test_a_spec_is_frozen_all_the_way_down() -> None:
    spec = spec_of()
    for section, key in ((spec, "name"), (spec.train, "epochs"), (spec.train.optimizer, "lr"), (spec.data.split, "by")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, None)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_metrics_that_may_be_named_are_those_that_are_measured(kind: str) -> None:
    classes = ("a", "b") if kind == "classification" else ()
    task = Task(kind=kind, target="y", classes=classes)
    assert tuple(measure(task, [], [])) == METRICS[kind]
    assert set().union(*METRICS.values()) >= LOWER_IS_BETTER


def test_the_gate_has_a_metric_for_each_kind_of_task() -> None:
    assert spec_of(kind="classification").gate_metric == "roc_auc"
    assert spec_of(kind="regression").gate_metric == "r2"


def test_the_json_schema_describes_every_section() -> None:
    schema = Spec.model_json_schema(by_alias=True)
    assert set(schema["properties"]) == set(Spec.model_fields)
    assert schema["additionalProperties"] is False


def test_what_identifies_a_row_or_its_group_is_a_feature_only_when_it_is_given_a_type() -> None:
    def left_out(data: dict[str, Any], features: dict[str, Any]) -> frozenset[str]:
        task = {"type": "regression", "target": "y"}
        named = {"name": "n", "task": task, "data": {"source": "a.csv"} | data, "features": features}
        return Spec.model_validate(named).no_features

    shops = {"key": ["id", "day"], "split": {"by": "group", "column": "shop"}}
    assert left_out(shops, {"ignore": ["note"]}) == {"id", "day", "shop", "note"}
    assert left_out(shops, {"shop": {"type": "category"}}) == {"id", "day"}
    assert left_out({"split": {"by": "time", "column": "day"}}, {}) == set()


def test_a_private_column_keeps_its_type_or_has_it_inferred_and_is_in_no_other_part() -> None:
    named = {"name": "n", "task": {"type": "regression", "target": "y"}, "data": {"source": "a.csv"}}

    def with_features(features: dict[str, Any]) -> Spec:
        return Spec.model_validate(named | {"features": features})

    spec = with_features({"b": {"private": True}, "a": {"type": "number", "private": True}, "c": {"type": "number"}})
    assert (spec.features.private, spec.features.types) == (("a", "b"), {"a": "number", "c": "number"})
    assert Spec.model_validate(json.loads(json.dumps(spec.to_json()))) == spec
    for features, said in (
        ({"a": {}}, "give it a type, or private: true"),
        ({"a": {"private": False}}, "give it a type, or private: true"),
        ({"ignore": ["a"], "a": {"private": True}}, "features.ignore, so that no request has it"),
        ({"y": {"private": True}}, "this column is the target"),
    ):
        with pytest.raises(ValidationError, match=said):
            with_features(features)


def test_nothing_is_logged_of_requests_unless_it_is_asked_for() -> None:
    assert spec_of().serve.log.sample == 0
    for log in ({"sample": 1.1}, {"sample": -0.1}, {"sample": True}, {"every_s": 0}):
        with pytest.raises(ValidationError):
            Spec.model_validate(spec_of().to_json() | {"serve": {"log": log}})


def test_training_that_asks_for_more_than_the_limits_is_refused_with_the_numbers() -> None:
    named = {"name": "n", "task": {"type": "regression", "target": "y"}, "data": {"source": "a.csv"}}

    def limited(train: dict[str, Any], limits: dict[str, Any]) -> Spec:
        return Spec.model_validate(named | {"train": train, "limits": limits})

    limited({"workers": 3}, {"cpus": 2})
    limited({"workers": {"min": 1, "max": 2}, "gpus_per_worker": 1}, {"gpus": 2})
    with pytest.raises(ValidationError, match=r"4 training workers with 0\.5 CPUs each and 0\.5 .* 2\.5, more than 2"):
        limited({"workers": {"min": 1, "max": 4}}, {"cpus": 2})
    with pytest.raises(ValidationError, match="2 training workers ask for 2, 1 each, more than 1"):
        limited({"workers": 2, "gpus_per_worker": 1}, {"gpus": 1})


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("train", "epochs", True, "a number is wanted, found true"),
        ("data", "source", "", "at least 1 character"),
        ("data", "key", ["id", "id"], "'id' is named twice"),
        ("serve", "host", "", "at least 1 character"),
    ],
)
def test_what_is_probably_a_mistake_is_refused(section: str, key: str, value: Any, said: str) -> None:
    named = {"name": "n", "task": {"type": "regression", "target": "y"}, "data": {"source": "a.csv"}}
    with pytest.raises(ValidationError, match=said):
        Spec.model_validate(named | {section: {**named.get(section, {}), key: value}})  # type: ignore[dict-item]


@pytest.mark.parametrize("priority", ["", "High", "-high", "high-", "a..b", "a" * 64, "team high"])
def test_a_priority_is_the_name_of_an_object_in_kubernetes(priority: str) -> None:
    assert spec_of().priority is None
    assert Spec.model_validate(spec_of().to_json() | {"priority": "team-a.high"}).priority == "team-a.high"
    with pytest.raises(ValidationError, match="priority"):
        Spec.model_validate(spec_of().to_json() | {"priority": priority})
