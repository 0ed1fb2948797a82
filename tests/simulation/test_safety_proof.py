"""What the rules accept loses and buries nothing, whatever an adversary within their bounds does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.simulation.adversary import deployments, worlds
from tests.simulation.lives import Harm, State, harms
from tests.simulation.simulate import run
from tests.simulation.world import Fate, Item, World

from pipeline_processing.deployment import RETENTION_LIMIT

if TYPE_CHECKING:
    from pipeline_processing.deployment import Deployment

EXAMPLES = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


def patient(deployment: Deployment) -> Deployment:
    """Return it with queues that keep their messages as long as SQS can."""
    lanes = {name: lane.model_copy(update={"retention": RETENTION_LIMIT}) for name, lane in deployment.lanes.items()}
    return deployment.model_copy(update={"lanes": lanes})


def suffered(deployment: Deployment, world: World) -> set[Harm]:
    """Return what harm was done; a repeat that nothing made necessary is waste, not harm to an item."""
    return set(harms(run(deployment, world).lives, max_attempts=99)) - {Harm.REPEATED}


@given(deployments(), st.data())
@EXAMPLES
def test_any_number_of_rollouts_and_evictions_with_deaths_and_failures_loses_and_buries_nothing(
    deployment: Deployment, data: st.DataObject
) -> None:
    """In time: how long rollouts may go on for, no rule can say."""
    assert set() == suffered(patient(deployment), data.draw(worlds(deployment)))


@given(deployments(), st.data())
@EXAMPLES
def test_the_largest_backlog_with_its_failures_deaths_and_a_rollout_is_done_before_the_queue_forgets(
    deployment: Deployment, data: st.DataObject
) -> None:
    assert set() == suffered(deployment, data.draw(worlds(deployment, calm=True)))


@given(deployments(), st.sampled_from([Fate.FAILS, Fate.IS_REFUSED, Fate.KILLS]), st.integers(0, 20))
@EXAMPLES
def test_poison_is_buried_with_its_error_and_kept_and_what_kills_its_workers_is_kept_too(
    deployment: Deployment, fate: Fate, others: int
) -> None:
    """Somebody looks three days later. A killer is alone here: its neighbours would die with it."""
    (name, *_), (pool, *_) = deployment.lanes, deployment.pools
    seconds = pool.typical_item.total_seconds()
    neighbours = [] if fate is Fate.KILLS else [Item(seconds=seconds, lane=name)] * others
    items = [Item(seconds=seconds, always=fate, lane=name), *neighbours]
    world = World(items, spare_receives=None, needs_database=False, looked_at=3 * 86_400.0)
    poison, *rest = run(patient(deployment), world).lives
    assert (State.BURIED_BLIND if fate is Fate.KILLS else State.BURIED) == poison.state
    assert {State.DONE} >= {life.state for life in rest}
