"""The ladder holds: every planted fault is caught, by the rung that is there for it, and for what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.chart import mutations, schemas
from tests.chart.faults import FAULTS
from tests.chart.ladder import RUNGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("chart")

TOOLS = {"alerts": ["promtool"], "dashboard": ["promtool"], "policy": ["promtool", "checkov"]}
"""What is needed to climb as far as that rung, beside Helm."""


@pytest.mark.usefixtures("checkov", "promtool")
def test_a_copy_without_a_fault_climbs_the_whole_ladder(tmp_path: Path) -> None:
    assert ("", []) == mutations.first_catch(mutations.copy(tmp_path))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_caught(
    fault: mutations.Fault,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    for tool in TOOLS.get(fault.caught_by, ()):
        request.getfixturevalue(tool)
    chart = mutations.copy(tmp_path)
    fault.plant(chart)
    rung, found = mutations.first_catch(chart)
    record_property("planted", (fault.name, rung))
    if (fault.caught_by, rung) == ("schemas", "semantics") and not schemas.custom_resources_are_known():
        pytest.skip("NOT CHECKED by KEDA's schemas, which are not beside the checkout; the next rung caught it")
    assert fault.caught_by == rung, found
    assert [] != [finding for finding in found if fault.says in finding], found


def test_a_fault_that_changes_nothing_is_no_fault(tmp_path: Path) -> None:
    fault = mutations.Fault("nothing", "yaml", "", "values.yaml", "not in this file", "anything")
    with pytest.raises(ValueError, match="nothing to change"):
        fault.plant(mutations.copy(tmp_path))


def test_every_rung_has_a_fault_to_catch_and_no_fault_stands_twice() -> None:
    assert set(RUNGS) == {fault.caught_by for fault in FAULTS}
    edits = {(fault.file, fault.old, fault.new) for fault in FAULTS}
    assert len(FAULTS) == len(edits) == len({fault.name for fault in FAULTS})
