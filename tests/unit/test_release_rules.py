"""A spec's serve.release is as strict as the rest, and each of its limits may be left out but that on errors."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from raymill.release_rules import ReleaseRules
from raymill.spec import Spec
from raymill.spec_text import load_spec

SPEC = """
name: n
task: {type: regression, target: y}
data: {source: a.csv}
"""


def test_a_spec_has_rules_of_its_own_or_the_defaults(tmp_path: Any) -> None:
    path = tmp_path / "n.yaml"
    path.write_text(SPEC)
    assert load_spec(path).serve.release == ReleaseRules()
    path.write_text(SPEC + "serve: {release: {max_disagreement: 0.2, max_slow_rise: null}}\n")
    spec = load_spec(path, ["serve.release.alpha=0.05"])
    assert spec.serve.release == ReleaseRules(alpha=0.05, max_disagreement=0.2, max_slow_rise=None)
    assert Spec.model_validate(spec.to_json()).serve.release == spec.serve.release


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0},
        {"alpha": True},
        {"max_error_rise": None},
        {"max_slow_rise": 1.0},
        {"min_requests": 0},
        {"min_duration_s": -1},
        {"max_errors": 0.1},
    ],
)
def test_rules_are_strict(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReleaseRules(**wrong)


def test_the_json_schema_says_what_each_rule_is() -> None:
    rules = Spec.model_json_schema(by_alias=True)["$defs"]["ReleaseRules"]
    assert set(rules["properties"]) == set(ReleaseRules.model_fields)
    assert rules["additionalProperties"] is False
    assert all(each["description"] and "default" in each for each in rules["properties"].values())
