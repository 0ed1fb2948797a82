from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline_processing.model import Item
from pipeline_processing.stages import open_control, plan_run, run_inline
from pipeline_processing.unchanged import Unchanged
from tiny_job import TinyJob
from tiny_world import LAYOUT, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pipeline_processing.model import Json
    from pipeline_processing.service_handler import ServiceHandler


class HalfUnchanged(TinyJob):
    """Two items with work, and three inputs that the plan leaves alone."""

    async def plan(self, run_id: str, spec: Mapping[str, Json], services: ServiceHandler) -> AsyncIterator[Item]:
        for number in range(2):
            yield Item("tiny", "a0", {"number": number}, inputs=2)
        left = Unchanged()
        for name in ("x", "y"):
            left.add("a0", name, "1", why="unchanged")
        left.add("a1", "z", "1", why="not selected")
        for item in left.items():
            yield item


async def test_what_a_plan_leaves_alone_is_skipped_with_its_reason_in_the_report() -> None:
    world, job = World(), HalfUnchanged()
    assert 0 == await run_inline(job, {}, world.services(), run_id="r1")
    assert [0, 1] == sorted(job.processed)
    report = await world.document(LAYOUT.report("json"))
    assert {"items": 2, "inputs": 3} == report["total"]["skipped"]
    assert {"copied": 4, "unchanged": 2, "not selected": 1} == report["outcomes"]
    assert all(balance["is_conserved"] for balance in [report["total"], *report["agencies"]])


async def test_what_a_plan_leaves_alone_is_over_before_anything_is_scattered() -> None:
    world = World()
    services = world.services()
    control = open_control(services)
    _, manifest = await plan_run(HalfUnchanged(), {}, services, control, run_id="r1")
    states = [(item.processor, state) async for item, state in control.conserver("r1", manifest).states()]
    assert sorted([("tiny", "pending")] * 2 + [("unchanged", "done")] * 2) == sorted(states)


def test_equal_inputs_give_equal_items_and_another_version_gives_others() -> None:
    def items(version: str) -> list[str]:
        left = Unchanged()
        left.add("10", "s3://b/k", version, why="unchanged")
        return [item.item_id for item in left.items()]

    assert items("1") == items("1")
    assert items("1") != items("2")
