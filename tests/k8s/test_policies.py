"""Our admission policies refuse the manifests of `bad/`, each for the reason that it names, and none of our own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.k8s import builds, crds, policies, schemas
from tests.k8s.builds import Build, problems

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
_HEAD = re.compile(r"# refused by: (?P<policy>\S+)\n# message: (?P<message>.+)\n")


def test_nothing_of_ours_is_refused() -> None:
    assert problems(policies.refused) == {}


def test_every_policy_is_bound_and_says_what_to_do() -> None:
    assert problems(policies.toothless) == {}


def test_there_are_enough_bad_manifests_and_each_rule_of_a_policy_refuses_one() -> None:
    assert len(BAD) >= 10
    ours = [each for each in ours_of_all() if each["kind"] == "ValidatingAdmissionPolicy"]
    rules = {(each["metadata"]["name"], place) for each in ours for place, _ in enumerate(each["spec"]["validations"])}
    said = [refusal for path in BAD for refusal in policies.refusals(ours_of_all(), document(path))]
    assert {(refusal.policy, refusal.rule) for refusal in said} == rules


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_manifest_is_refused_for_the_reason_that_it_names(path: Path) -> None:
    found = policies.refusals(ours_of_all(), document(path))
    assert {refusal.policy for refusal in found} == {claim(path)["policy"]}
    assert any(claim(path)["message"] in refusal.message for refusal in found), found


def test_a_change_is_judged_as_well_but_for_what_is_leaving() -> None:
    for path in BAD:
        bad = document(path)
        assert policies.refusals(ours_of_all(), bad, "UPDATE"), path.stem
        leaving = {**bad, "metadata": {**bad["metadata"], "deletionTimestamp": "2026-11-26T12:00:00Z"}}
        assert not policies.refusals(ours_of_all(), leaving, "UPDATE"), path.stem


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_manifest_is_one_that_the_api_server_would_take(path: Path, known: crds.Crds) -> None:
    alone = Build(name=path.stem, objects=(document(path),))
    assert (schemas.core_problems(alone), schemas.custom_problems(alone, known)) == ([], [])


def document(path: Path) -> builds.Object:
    [found] = builds.documents(path.read_text(encoding="utf-8"))
    return found


def claim(path: Path) -> dict[str, str]:
    found = _HEAD.match(path.read_text(encoding="utf-8"))
    assert found, f"{path.name} doesn't begin with the policy that refuses it, and its message"
    return found.groupdict()


def ours_of_all() -> tuple[builds.Object, ...]:
    return builds.build(builds.ALL_COMPONENTS).objects
