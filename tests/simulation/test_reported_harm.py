"""What strangers found to be accepted, and harmed: refused by now, or harmless; and harmless once mended as told."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest
from tests.simulation.documents import LANE, LIMITS, POOL, Change, deployment
from tests.simulation.lives import harms
from tests.simulation.simulate import run
from tests.simulation.world import Item, World

from pipeline_processing.safety import Finding, prove

ONE_HOUR: Final = (LANE, "retention", "1h")
MENDS: Final = 5
"""Findings that are mended one after the other, at most."""


class Case(NamedTuple):
    """``count`` items alike, all at once, right after KEDA has looked."""

    changes: tuple[Change, ...]
    count: int
    item: Item = Item(seconds=2)

    def all_changes(self) -> list[Change]:
        return [(LANE, "largestBacklog", self.count), *self.changes]


CASES: Final = {
    "a pool of jobs beside a fixed one": Case(
        # With the fixed pool's items in flight the queue is not empty, and jobs waited for that past their deadline.
        changes=(
            (LANE, "retention", "14d"),
            (POOL, "scaling.kind", "job"),
            (POOL, "longestItem", "1h"),
            (POOL, "typicalItem", "10m"),
            (POOL, "scaling.max", 20),
            (POOL, "scaling.job.activeDeadlineSeconds", 3900),
            ("pool fixed", "scaling.kind", "fixed"),
            ("pool fixed", "scaling.min", 10),
            ("pool fixed", "longestItem", "1h"),
            ("pool fixed", "typicalItem", "10m"),
            ("pool fixed", "PIPELINE_DRAIN", "1h"),
            ("pool fixed", "terminationGracePeriodSeconds", 4000),
        ),
        count=3600,
        item=Item(seconds=600),
    ),
    "KEDA looks every two hours": Case(changes=(ONE_HOUR, (POOL, "scaling.pollingInterval", 7200)), count=5),
    "a pod more every half an hour": Case(
        changes=(
            ONE_HOUR,
            (POOL, "scaling.max", 100),
            (POOL, "scaling.scaleUp", {"percent": 1, "pods": 1, "periodSeconds": 1800}),
            (LIMITS, "postgresConnections", 0),
        ),
        count=10_000,
    ),
    **{
        f"more pods every {seconds} s": Case(
            changes=(
                ONE_HOUR,
                (POOL, "scaling.max", 40),
                (POOL, "scaling.scaleUp", {"percent": 100, "pods": 4, "periodSeconds": seconds}),
                (LIMITS, "postgresConnections", 0),
            ),
            count=40_000,
        )
        for seconds in (180, 600)
    },
    "a hundred items held for one place": Case(
        changes=(
            ONE_HOUR,
            (POOL, "concurrency", 100),
            (POOL, "processors", {"bronze": 1}),
            (LIMITS, "postgresConnections", 0),
        ),
        count=150_000,
        item=Item(seconds=2, processor="bronze"),
    ),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def unsafe(changes: list[Change]) -> list[Finding]:
    return [finding for finding in prove(deployment(*changes)) if finding.severity == "unsafe"]


def mended(case: Case) -> tuple[list[Change], int]:
    """Return the changes with what the findings say, and the largest backlog that they allow for."""
    changes = case.all_changes()
    for _ in range(MENDS):
        for finding in unsafe(changes)[:1]:
            assert finding.change is not None
            changes.append((finding.where, *finding.change))
    return changes, deployment(*changes).lanes["live"].largest_backlog


@cases
def test_what_once_did_harm_is_refused(case: Case) -> None:
    assert unsafe(case.all_changes())


@cases
def test_mended_as_the_findings_say_it_does_none(case: Case) -> None:
    changes, count = mended(case)
    world = World([case.item._replace(at=1)] * count)
    assert ([], {}) == (unsafe(changes), harms(run(deployment(*changes), world).lives, max_attempts=5))
