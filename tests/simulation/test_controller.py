"""A controller sends again what SQS has dropped, and nothing that is still on its way."""

from __future__ import annotations

import pytest
from tests.simulation.documents import POOL, SCHEDULE, Change, deployment
from tests.simulation.lives import Harm, State, harms
from tests.simulation.simulate import run
from tests.simulation.world import Fate, Item, World

from pipeline_processing.safety import prove

WATCHED: list[Change] = [(SCHEDULE, "lane", "live")]


def test_what_the_queue_dropped_is_sent_again_and_done() -> None:
    asleep: Change = (POOL, "scaling.activationQueueLength", 5)
    lost = run(deployment(asleep, *WATCHED), World([Item()] * 5))
    found = run(deployment(asleep, *WATCHED, (POOL, "scaling.min", 1)), World([Item()] * 5, is_watched=True))
    assert ({State.LOST: 5}, {State.DONE: 5}) == (dict(lost.states), dict(found.states))


def test_of_an_item_that_its_retries_outlived_a_watched_run_makes_a_done_one() -> None:
    slow: list[Change] = [(POOL, "PIPELINE_BACKOFF_BASE", "30m"), (POOL, "PIPELINE_BACKOFF_CAP", "30m")]
    items = [Item(seconds=10, fates=(Fate.FAILS,) * 4)] * 8
    alone = run(deployment(*slow, *WATCHED), World(items))
    watched = run(deployment(*slow, *WATCHED), World(items, is_watched=True))
    assert 0 < alone.states[State.LOST]
    assert {State.DONE: 8} == dict(watched.states)


def test_who_killed_its_workers_is_not_sent_again() -> None:
    world = World([Item(seconds=10, always=Fate.KILLS)], spare_receives=None, is_watched=True)
    (life,) = run(deployment(*WATCHED), world).lives
    assert (State.BURIED_BLIND, 7, True) == (life.state, life.starts, life.has_dossier)


@pytest.mark.parametrize(("patience", "harm"), [("30s", {Harm.OVERLAPPING, Harm.REPEATED}), ("2m", set())])
def test_counts_that_lag_have_an_impatient_controller_send_what_is_in_work(patience: str, harm: set[Harm]) -> None:
    changed = deployment(*WATCHED, (SCHEDULE, "PIPELINE_STALL_AFTER", patience), (POOL, "scaling.min", 2))
    told = {"stall-outlasts-lag"} if harm else set()
    assert told == {finding.rule for finding in prove(changed)} - {"runs-end-in-time"}
    # It arrives just after the counts were told: how long they then stay, chance decides.
    worlds = [World([Item(at=50, seconds=80)], is_watched=True, seed=seed) for seed in range(20)]
    assert harm == {one for world in worlds for one in harms(run(changed, world).lives, max_attempts=5)}
