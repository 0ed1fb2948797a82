"""The documentation says what is true now."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline_processing import __version__
from pipeline_processing.safety import RULES
from pipeline_processing.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def spelled(value: object) -> str:
    """Return a default as an environment variable would spell it."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return f"{seconds / 60:g}m" if seconds >= 60 and not seconds % 60 else f"{seconds:g}s"
    return "" if value in (None, {}) else str(value)


def settings_table() -> str:
    """Return the table that docs/settings.md must hold."""
    rows = [
        f"| `PIPELINE_{name.upper()}` | {spelled(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def test_the_settings_page_has_every_setting_with_its_default_and_meaning() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    assert settings_table() in page, f"docs/settings.md should hold:\n{settings_table()}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text())
    assert [] == [target for target in targets if not (page.parent / target).exists()]


def test_the_code_and_the_distribution_have_one_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert declared == __version__


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set() == set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text())) - targets


def rules_table() -> str:
    """Return the table that docs/deploy.md must hold."""
    rows = [f"| `{rule.name}` | {rule.severity} | {rule.promise} | {rule.reason} |" for rule in RULES]
    return "\n".join(["| rule | else | what holds | what happens where it does not |", "|---|---|---|---|", *rows])


def test_the_deployment_page_has_every_rule_with_its_reason() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    assert rules_table() in page, f"docs/deploy.md should hold:\n{rules_table()}"
