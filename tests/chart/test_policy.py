"""Rung `policy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.chart import policy

if TYPE_CHECKING:
    from tests.chart.rendering import Chart


@pytest.mark.usefixtures("checkov")
def test_checkov_finds_nothing_but_what_is_waived_with_a_reason(chart: Chart) -> None:
    assert [] == policy.rung(chart)
