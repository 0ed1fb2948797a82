"""The examples of docs/normalisers.md are what the code does."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from one_column import FAULT, column, read
from pipeline_processing.contracts.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.contracts.model import LogicalType
    from pipeline_processing.model import Json

PAGE = Path(__file__).parents[2] / "docs/normalisers.md"
TYPES: dict[str, LogicalType] = {
    "date": "date",
    "timestamp": "timestamp",
    "time": "time",
    "integer": "integer",
    "number": "number",
    "money": "number",
    "boolean": "boolean",
}
ROW = re.compile(
    r"^\| (?:`(?P<options>.*?)`)? ?\| `(?P<text>.*?)` \| (?:`(?P<gives>.*?)`|\*(?P<none>null|fault)\*) \|$"
)


def examples() -> Iterator[tuple[str, str, str, str | None]]:
    step = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("### "):
            step = line.removeprefix("### ").strip("`")
        elif found := ROW.match(line):
            gives = {"fault": FAULT, "null": None}[found["none"]] if found["none"] else found["gives"]
            yield step, found["options"] or "", found["text"], gives


def shown(value: Json) -> str | None:
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value).replace(" ", "·")


@pytest.mark.parametrize(("step", "options", "text", "gives"), [*examples()])
def test_an_example_is_true(step: str, options: str, text: str, gives: str | None) -> None:
    one = column(step, TYPES.get(step, "string"), **yaml.safe_load(f"{{{options}}}"))
    one = replace(one, physical_type="decimal(12,2)") if step == "money" else one
    [value] = read(one, text.replace("·", " "))
    assert gives == (value if value == FAULT else shown(value))


def test_every_step_and_every_option_is_described() -> None:
    page = PAGE.read_text()
    missing = [name for name in STEPS if f"`{name}`" not in page]
    missing += [f"{name}.{option}" for name, options in STEPS.items() for option in options if f"`{option}" not in page]
    assert [] == missing
    assert len([*examples()]) > len(STEPS)
