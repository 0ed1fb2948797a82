"""Rung `yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from tests.chart import yaml_files
from tests.chart.documents import parse
from tests.chart.ladder import CHART
from tests.chart.rendering import Chart

if TYPE_CHECKING:
    from pathlib import Path


def test_every_yaml_and_json_file_of_the_repository_can_be_read_and_says_nothing_twice() -> None:
    assert [] == yaml_files.rung(Chart(CHART))


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: {b: 1, b: 1}\n", "- a: 1\n  c:\n    d: 1\n    d: 2\n"])
def test_a_key_that_stands_twice_is_found_however_deep(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="stands twice"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01", "2026-01-01"),
        ("y", True),
        ("N", False),
        ("1e5", 1e5),
        ("1.5E-3", 0.0015),
        ("e5", "e5"),
        ("no", False),
    ],
)
def test_words_mean_what_they_mean_in_go(text: str, expected: object) -> None:
    assert ({"a": expected},) == parse(f"a: {text}")


def test_a_mapping_may_merge_another_in() -> None:
    assert ({"base": {"a": 1}, "more": {"a": 1, "b": 2}},) == parse("base: &base {a: 1}\nmore: {<<: *base, b: 2}\n")


def test_a_broken_file_of_the_chart_is_named(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("a: [1\n", encoding="utf-8")
    (tmp_path / "values.schema.json").write_text('{"a": 1, "a": 2}', encoding="utf-8")
    assert ["values.schema.json", "values.yaml"] == [
        finding.partition(":")[0] for finding in yaml_files.rung(Chart(tmp_path))
    ]
