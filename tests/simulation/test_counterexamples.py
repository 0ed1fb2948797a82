"""Each rule that refuses keeps something from being lost, buried or done again; without it, that happens."""

from __future__ import annotations

import pytest
from tests.simulation.counterexamples import CASES, EDGES, Case
from tests.simulation.documents import Change, deployment
from tests.simulation.lives import harms
from tests.simulation.simulate import run

from pipeline_processing.safety import RULES, prove

ALL = [*CASES.items(), *EDGES]
cases = pytest.mark.parametrize(("rule", "case"), ALL, ids=[rule for rule, _ in ALL])


def refused(*changes: Change) -> list[str]:
    return [finding.rule for finding in prove(deployment(*changes)) if finding.severity == "unsafe"]


def mended(rule: str, case: Case) -> tuple[Change, ...]:
    if case.mend is not None:
        return (*case.breaking, *case.mend)
    (finding,) = [one for one in prove(deployment(*case.breaking)) if one.rule == rule]
    assert finding.change is not None, f"{rule} names no change: the case must"
    return (*case.breaking, (finding.where, *finding.change))


def test_every_rule_that_refuses_has_its_counterexample_and_no_other_has() -> None:
    assert {rule.name for rule in RULES if rule.severity == "unsafe"} == set(CASES)


def test_the_deployment_that_the_cases_change_is_accepted() -> None:
    assert [] == refused()


@cases
def test_a_counterexample_breaks_its_rule_alone(rule: str, case: Case) -> None:
    assert [rule] == refused(*case.breaking)


@cases
def test_what_the_rule_refuses_does_harm(rule: str, case: Case) -> None:
    broken = deployment(*case.breaking)
    assert case.harm in harms(run(broken, case.world).lives, max_attempts=5)


@cases
def test_mended_as_the_rule_says_the_same_world_does_none(rule: str, case: Case) -> None:
    changes = mended(rule, case)
    assert [] == refused(*changes)
    assert {} == harms(run(deployment(*changes), case.other or case.world).lives, max_attempts=5)
