"""Where each rule's line runs: one step inside it is fine, one step outside is a finding, and the fix undoes it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline_processing.deployment import parse
from pipeline_processing.safety import RULES, prove
from pipeline_processing.safety.lanes import growing

if TYPE_CHECKING:
    from collections.abc import Sequence

Change = tuple[str, str, object]

SAFE: dict[str, Any] = {
    "settings": {"PIPELINE_DATABASE_CONNECTIONS": "2", "PIPELINE_DRAIN": "130s"},
    "lanes": {"live": {"queueUrl": "https://sqs/live"}},
    "pools": [{"name": "p", "lane": "live"}],
    "schedules": [{"name": "s", "job": "get_s3_files", "cron": "0 2 * * *"}],
}
POOL, LANE, SCHEDULE = "pool p", "lane live", "schedule s"
TWO_LANES: list[Change] = [("lane other", "queueUrl", "https://sqs/other"), ("pool q", "lane", "other")]
MANY: list[Change] = [
    (POOL, "typicalItem", "30m"),
    (POOL, "longestItem", "30m"),
    (POOL, "PIPELINE_DRAIN", "31m"),
    (POOL, "terminationGracePeriodSeconds", 3600),
    ("limits", "postgresConnections", 0),
]
JOBS: list[Change] = [(POOL, "scaling.kind", "job"), (LANE, "largestBacklog", 10_000)]
TURNS_OF_AN_HOUR: list[Change] = [
    *JOBS,
    (POOL, "processors", {"silver": 1}),
    (POOL, "longestItem", "1h"),
    (POOL, "scaling.queueLength", 20),
    (POOL, "scaling.job.activeDeadlineSeconds", 10**6),
    (LANE, "largestBacklog", 1),
    (LANE, "retention", "10d"),
    (SCHEDULE, "activeDeadlineSeconds", 10**6),
]
JOBS_OF_SIXTEEN: list[Change] = [*JOBS, (POOL, "scaling.queueLength", 16)]
NO_ONE_CHANGE = {
    "lanes-have-workers",
    "small-backlogs-wake-a-pool",
    "lanes-are-apart",
    "in-flight-fits-queue",
    "s3-writes-within-rate",
    "turns-are-short",
}
"""What can be mended in several places, none of them nearer than the others."""


def _document(*changes: Change) -> dict[str, Any]:
    document = deepcopy(SAFE)
    for where, key, value in changes:
        _change(document, where, key, value)
    return document


def _change(document: dict[str, Any], where: str, key: str, value: object) -> None:
    """Apply a finding's ``change``, or a test's own, at the place that it names."""
    kind, _, name = where.partition(" ")
    part: dict[str, Any]
    match kind:
        case "pool" | "schedule":
            parts = document[f"{kind}s"]
            if name not in [one["name"] for one in parts]:
                parts.append({"name": name, "scaling": {"max": 1}})
            part = next(one for one in parts if one["name"] == name)
        case "lane":
            part = document["lanes"].setdefault(name, {})
        case _:
            part = document.setdefault(kind, {})
    path = ["settings", key] if key.startswith("PIPELINE_") else key.split(".")
    for step in path[:-1]:
        part = part.setdefault(step, {})
    part[path[-1]] = value


def _found(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(finding.where, finding.rule) for finding in prove(parse(document))]


@dataclass(frozen=True)
class Line:
    """``fine`` is the last value of the key that is, ``bad`` the first that is not; ``others`` make the rule apply."""

    rule: str
    others: Sequence[Change]
    where: str
    key: str
    fine: object
    bad: object

    def document(self, value: object) -> dict[str, Any]:
        return _document(*self.others, (self.where, self.key, value))


LINES = [
    Line("lease-covers-heartbeats", [], POOL, "PIPELINE_LEASE", "3m", "179s"),
    Line("drain-within-grace", [(POOL, "longestItem", "1m")], POOL, "PIPELINE_GRACE", "140s", "130s"),
    Line("receive-and-drain-within-grace", [], POOL, "PIPELINE_GRACE", "140s", "139s"),
    Line("grace-within-termination", [(POOL, "PIPELINE_GRACE", "170s")], POOL, "preStopSeconds", 10, 11),
    Line("items-end-within-drain", [], POOL, "longestItem", "130s", "131s"),
    Line(
        "items-survive-rollouts",
        [(POOL, "scaling.kind", "fixed"), (POOL, "scaling.min", 20)],
        POOL,
        "longestItem",
        "130s",
        "131s",
    ),
    Line(
        "items-fit-visibility",
        [
            *JOBS,
            (POOL, "scaling.job.activeDeadlineSeconds", 10**6),
            (LANE, "largestBacklog", 1),
            (LANE, "retention", "10d"),
            (SCHEDULE, "activeDeadlineSeconds", 10**6),
        ],
        POOL,
        "longestItem",
        "42900s",
        "42901s",
    ),
    # Two rounds of eight items of two minutes, sixteen polls of ten seconds, and five minutes to start.
    Line("jobs-outlive-items", JOBS_OF_SIXTEEN, POOL, "scaling.job.activeDeadlineSeconds", 700, 699),
    Line(
        "jobs-survive-rollouts",
        JOBS,
        POOL,
        "scaling.job.rolloutStrategy",
        "gradual",
        "immediate",
    ),
    Line("has-dead-letters", [], LANE, "maxReceiveCount", 7, None),
    Line("receives-exceed-attempts", [], LANE, "maxReceiveCount", 7, 6),
    Line("receives-exceed-attempts", [], POOL, "PIPELINE_MAX_ATTEMPTS", "5", "6"),
    Line("dead-letters-are-kept", [], LANE, "deadLetterRetention", "14d", "13d"),
    # Five attempts of two minutes and a wait of fifteen; two deaths of two minutes and a lease of five; seven starts.
    Line("retries-within-retention", [(LANE, "largestBacklog", 1)], LANE, "retention", "7074s", "6604s"),
    Line("operators-have-time", [], LANE, "retention", "11d", "1000000s"),
    Line("lanes-have-workers", [(SCHEDULE, "activeDeadlineSeconds", 10**6)], POOL, "scaling.max", 1, 0),
    Line("small-backlogs-wake-a-pool", [], POOL, "scaling.activationQueueLength", 0, 1),
    # 160 items at once, two seconds each: 80 a second for four days, but for 118 minutes.
    Line(
        "backlog-within-retention",
        [(SCHEDULE, "activeDeadlineSeconds", 10**6)],
        LANE,
        "largestBacklog",
        27_082_160,
        27_082_161,
    ),
    Line(
        "lanes-are-apart",
        TWO_LANES,
        "lane other",
        "queueUrl",
        "https://sqs/other",
        "https://sqs/live",
    ),
    Line("pools-agree", [("pool q", "lane", "live")], "pool q", "longestItem", "2m", "1m"),
    Line(
        "in-flight-fits-queue",
        [*MANY, (POOL, "concurrency", 1000), (POOL, "scaling.queueLength", 1000)],
        POOL,
        "scaling.max",
        120,
        121,
    ),
    Line("min-within-max", [], POOL, "scaling.min", 20, 21),
    # 40 pods while a rollout's old ones drain, eight items of two seconds each, three writes an item.
    Line("s3-writes-within-rate", [], "limits", "s3WritesPerSecond", 480, 479),
    # 40 pods of two connections, a schedule's two, one for the migration; ten are kept for others.
    Line("connections-within-limit", [], "limits", "postgresConnections", 93, 92),
    Line("scaling-counts-in-flight", [], POOL, "scaling.scaleOnInFlight", fine=True, bad=False),
    Line("turns-are-short", [(LANE, "largestBacklog", 1000)], POOL, "processors", {"silver": 8}, {"silver": 7}),
    Line("pods-are-filled", [], POOL, "scaling.queueLength", 8, 7),
    Line("stall-outlasts-lag", [], SCHEDULE, "PIPELINE_STALL_AFTER", "61s", "60s"),
    Line("runs-end-in-time", [], SCHEDULE, "activeDeadlineSeconds", 12_968, 12_967),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.rule} {line.key}")
def test_a_rules_line_runs_where_it_says(line: Line) -> None:
    assert [] == _found(line.document(line.fine))
    assert [line.rule] == [rule for _, rule in _found(line.document(line.bad))]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.rule} {line.key}")
def test_the_change_that_a_finding_names_undoes_it(line: Line) -> None:
    document = line.document(line.bad)
    (finding,) = prove(parse(document))
    if finding.change is None:
        assert line.rule in NO_ONE_CHANGE
        return
    _change(document, finding.where, *finding.change)
    assert line.rule not in [rule for _, rule in _found(document)]


@pytest.mark.parametrize(
    ("concurrency", "found"), [(11, ["turns-are-short"]), (12, ["items-fit-visibility", "turns-are-short"])]
)
def test_an_item_of_an_hour_may_wait_for_ten_others_of_its_processor(concurrency: int, found: list[str]) -> None:
    """With eleven before it, its last lease would pass the twelve hours that SQS holds a message."""
    document = _document(*TURNS_OF_AN_HOUR, (POOL, "concurrency", concurrency))
    assert found == [rule for _, rule in _found(document)]


@pytest.mark.parametrize(("seconds", "looks"), [(1, 1), (15, 1), (16, 2), (100, 7)])
def test_pods_are_added_at_a_look_of_the_autoscaler_every_fifteen_seconds(seconds: int, looks: int) -> None:
    growth = {"percent": 1, "pods": 1, "periodSeconds": seconds}
    (pool,) = parse(_document((POOL, "scaling.max", 5), (POOL, "scaling.scaleUp", growth))).pools
    assert timedelta(seconds=4 * looks * 15) == growing(pool)


def test_every_rule_has_a_line() -> None:
    assert {rule.name for rule in RULES} == {line.rule for line in LINES}


def test_the_safe_set_is_safe() -> None:
    assert [] == _found(SAFE)


def test_a_finding_says_where_why_and_what_to_do() -> None:
    document = _document((LANE, "maxReceiveCount", 3), (POOL, "scaling.min", 30))

    for finding in prove(parse(document)):
        assert finding.where in {POOL, LANE}
        assert all((finding.message, finding.reason, finding.fix))


def test_each_pool_and_lane_is_looked_at() -> None:
    document = deepcopy(SAFE)
    document["lanes"]["other"] = {"maxReceiveCount": 3}
    document["pools"].append({"name": "q", "lane": "other", "longestItem": "1h", "scaling": {"max": 1}})

    assert [("pool q", "items-end-within-drain"), ("lane other", "receives-exceed-attempts")] == [
        found for found in _found(document) if found[1] != "retries-within-retention"
    ]
