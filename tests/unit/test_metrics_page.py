from __future__ import annotations

from pathlib import Path

from exported_metrics import families

PAGE = Path(__file__).parents[2] / "docs/metrics.md"


def table() -> str:
    rows = [
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} "
        f"| {family.told_by} | {family.meaning} |"
        for family in families()
    ]
    return "\n".join(["| metric | kind | labels | told by | meaning |", "|---|---|---|---|---|", *rows])


def test_the_page_of_metrics_has_every_one_with_its_labels_and_meaning() -> None:
    assert table() in PAGE.read_text(), f"docs/metrics.md should hold:\n{table()}"


def test_every_metric_of_ours_has_the_products_name_and_a_unit_or_a_noun() -> None:
    ours = [family.name for family in families() if not family.name.startswith(("process_", "python_"))]
    assert [] == [name for name in ours if not name.startswith("pipeline_")]


def test_no_label_is_an_id() -> None:
    """Each value of a label is a series for ever: ids, keys and messages belong in logs."""
    few = {"lane", "state", "result", "processor", "outcome", "settlement", "error", "version"}
    ours = [family for family in families() if family.name.startswith("pipeline_")]
    assert few == {label for family in ours for label in family.labels}
