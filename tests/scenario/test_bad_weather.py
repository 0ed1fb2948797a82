"""A whole run while a share of all requests is throttled or reset, drawn from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness.checks import assert_whole
from harness.wire import stormy

if TYPE_CHECKING:
    from harness.bucket import Stored
    from harness.fleet import Fleet


@pytest.mark.parametrize("seed", [1, 20, 300])
def test_a_run_through_throttling_and_resets_ends_green(seed: int, fleet: Fleet, reference: dict[str, Stored]) -> None:
    rules = [
        *stormy(fleet.worker_wire, share=0.05, seed=seed),
        *stormy(fleet.controller_wire, share=0.05, seed=seed + 10),
    ]
    run, workers = fleet.run(), [fleet.worker(), fleet.worker()]

    run.start().ends()

    assert sum(rule.hits for rule in rules) >= 10, "too calm to prove anything"
    fleet.await_empty_queue()
    for worker in workers:
        worker.stop()
    assert_whole(run, reference, may_have_failed=True)
