"""The study: its arithmetic, and that what the documentation says of it is what the code gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulation.measures import POD_HOUR, Figures, measure, percentile
from tests.simulation.study import (
    DEFAULTS,
    POLICIES,
    Policy,
    Table,
    asked_of,
    changed,
    from_json,
    run_policy,
    standings,
    to_json,
)
from tests.simulation.tables import by_trace, inserted, page, ranking
from tests.simulation.traces import TRACES, Trace
from tests.simulation.world import Fate, Item, World

from pipeline_processing.deployment import Scaling

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = DOCS / "autoscaling/figures.json"

PLAIN = Figures(
    drained=60,
    age_95=30,
    age_most=60,
    wait_95=30,
    quiet_95=30,
    pod_hours=1,
    starts=1,
    pods=1,
    requests=1,
    changes=2,
    turns=1,
    cut_short=0,
    harmed=0,
    buried=0,
)


def kept() -> Table:
    return from_json(FIGURES.read_text(encoding="utf-8"))


def small(*items: Item) -> Trace:
    world = World(items, until=1800, runs_on=True, needs_database=False, sampled_every=15, is_fair=True, lag=0)
    return Trace("small", "a few items", world)


# Measures


def test_a_percentile_is_one_of_the_values_and_of_none_nothing() -> None:
    assert [95, 100, 1, 0] == [
        percentile(*given) for given in ((range(1, 101), 0.95), (range(1, 101), 1), ([1], 0.5), ([], 0.9))
    ]


def test_one_item_costs_a_pod_from_its_wake_to_the_end_of_its_cooldown() -> None:
    figures, _ = measure(changed({"cooldownPeriod": 60, "pollingInterval": 15}), small(Item(at=1, seconds=10)))
    # Woken at 15, at work from 45 to 55; KEDA saw it last at 45, so the pod goes at 120, once its long poll is over.
    assert 44 == figures.wait_95
    assert 105 / 3600 < figures.pod_hours < 115 / 3600
    assert pytest.approx((figures.pod_hours + 120 / 3600) * POD_HOUR) == figures.pods
    assert (2, 1, 1, 0) == (figures.changes, figures.turns, figures.starts, figures.harmed)


def test_poison_is_buried_and_is_no_harm() -> None:
    figures, _ = measure(changed({}), small(Item(at=1), Item(at=1, always=Fate.FAILS)))
    assert (1, 0) == (figures.buried, figures.harmed)


def test_what_is_not_done_at_the_end_is_harm() -> None:
    figures, _ = measure(changed({}), small(Item(at=1), Item(at=1795)))
    assert 1 == figures.harmed


# Comparing


def test_half_the_waiting_is_worth_twice_the_money() -> None:
    table = {
        "quick": {"one": replace(PLAIN, wait_95=0, pods=2.0)},  # 30 s a pod's start
        "cheap": {"one": replace(PLAIN, wait_95=30, pods=1.0)},
        "neither": {"one": replace(PLAIN, wait_95=30, pods=2.0)},
    }
    assert {"quick": 2.0, "cheap": 2.0, "neither": 4.0} == {
        one.policy: pytest.approx(one.score) for one in standings(table)
    }


@pytest.mark.parametrize(
    ("name", "harm", "reason"),
    [
        ("cheap", {"harmed": 1}, "harms items"),
        ("cheap", {"cut_short": 1}, "cuts items short"),
        ("scale-down window 60 s", {}, "believes young counts"),
        ("cooldown 30 s", {}, "believes young counts"),
    ],
)
def test_a_policy_that_is_out_stands_behind_all_others(name: str, harm: dict[str, int], reason: str) -> None:
    table = {name: {"one": replace(PLAIN, pods=0.1, **harm)}, "dear": {"one": replace(PLAIN, pods=9.0)}}
    assert [("dear", ""), (name, reason)] == [(one.policy, one.out) for one in standings(table)]


def test_a_policy_changes_nothing_but_what_it_names() -> None:
    window = {"scaleDown": {"stabilizationWindowSeconds": 7}}
    before, after = (changed(values).pools[0].scaling for values in ({}, window))
    assert 7 == after.scale_down.stabilization_window_seconds
    assert before == after.model_copy(update={"scale_down": before.scale_down})


def test_figures_are_read_as_they_were_written() -> None:
    table = {DEFAULTS: {"steady": PLAIN, "burst": replace(PLAIN, pods=0.125)}}
    assert table == from_json(to_json(table))


def test_a_table_is_put_between_its_comments() -> None:
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nb\n" == inserted(page, "x", "new")


# What the documentation says


def test_the_chart_and_the_model_have_the_same_defaults() -> None:
    assert Scaling() == changed({}).pools[0].scaling


def test_the_figures_are_of_these_policies_and_of_the_present_defaults() -> None:
    document = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert changed({}).pools[0].scaling.model_dump(by_alias=True, mode="json") == document["defaults"]
    assert {policy.name: dict(policy.values) for policy in POLICIES} == document["policies"]
    assert {policy.name: asked_of(policy.name) for policy in POLICIES} == {
        name: list(row) for name, row in kept().items()
    }


def test_the_defaults_win() -> None:
    assert DEFAULTS == standings(kept())[0].policy


def test_no_policy_harms_an_item_or_cuts_one_short() -> None:
    assert {} == {
        (policy, trace): figures
        for policy, row in kept().items()
        for trace, figures in row.items()
        if figures.harmed or figures.cut_short
    }


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_the_code_gives_the_figures_that_are_kept(policy: Policy) -> None:
    assert kept()[policy.name]["uneven"] == run_policy(policy, TRACES["uneven"]())[0]


@pytest.mark.parametrize("trace", ["heavy", "poison"])
def test_the_code_gives_the_figures_of_the_defaults(trace: str) -> None:
    assert kept()[DEFAULTS][trace] == run_policy(Policy(DEFAULTS), TRACES[trace]())[0]


def test_the_pages_hold_the_figures() -> None:
    table = kept()
    text = (DOCS / "autoscaling.md").read_text(encoding="utf-8")
    assert inserted(inserted(text, "ranking", ranking(table)), "defaults", by_trace(table)) == text
    assert page(table) == (DOCS / "autoscaling/figures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("trace", TRACES)
def test_each_trace_has_a_small_picture(trace: str) -> None:
    picture = DOCS / f"autoscaling/{trace}.svg"
    assert f"autoscaling/{trace}.svg" in (DOCS / "autoscaling.md").read_text(encoding="utf-8")
    assert picture.stat().st_size < 60_000
