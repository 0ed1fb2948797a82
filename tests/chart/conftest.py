"""What the ladder stands on. A tool of Python's index is needed in CI; one of Debian's can be absent, and is missed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.chart import tools
from tests.chart.ladder import CHART
from tests.chart.rendering import Chart
from tests.conftest import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _had(tool: Callable[[], Path]) -> Path:
    try:
        return tool()
    except tools.ToolUnavailableError as error:
        unavailable(str(error))
        raise


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart, with the Helms to render it."""
    for version in tools.HELMS:
        _had(partial(tools.helm, version))
    return Chart(CHART)


@pytest.fixture(scope="session")
def checkov() -> Path:
    return _had(tools.checkov)


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Debian's promtool; where there is no Debian, its step is skipped and says so."""
    try:
        return tools.promtool()
    except tools.ToolUnavailableError as error:
        pytest.skip(f"NOT CHECKED, there is no promtool: {error}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which rung caught which planted fault."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    planted = [value for report in reports for name, value in report.user_properties if name == "planted"]
    if planted:
        terminalreporter.section(f"{len(planted)} planted faults")
        for fault, rung in planted:
            terminalreporter.write_line(f"{rung or 'NOT CAUGHT':<10}  {fault}")
