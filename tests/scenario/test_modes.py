"""One process and a fleet leave the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks import assert_whole

if TYPE_CHECKING:
    from harness.bucket import Stored
    from harness.fleet import Fleet


def test_one_process_leaves_what_is_right(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    program = run.inline()

    program.ends()
    assert_whole(run, reference)
    assert [] == fleet.dead_letters()
