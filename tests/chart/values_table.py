"""`python -m tests.chart.values_table` writes the table of the chart's values into its README, from their comments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chart import tools
from tests.chart.documents import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHART = tools.ROOT / "charts" / "pipeline-processing"
BEGIN, END = "<!-- values: written by `python -m tests.chart.values_table` -->", "<!-- end of values -->"

_COMMENT = re.compile(r" *# -- (.*)")
_KEY = re.compile(r"( *)([A-Za-z0-9_]+):(?: |$)")


@dataclass(frozen=True)
class Row:
    """A value by its path, with what its comment says; ``is_leaf`` where no value inside it has one of its own."""

    path: tuple[str, ...]
    meaning: str
    default: Any
    is_leaf: bool

    def as_markdown(self) -> str:
        default = f"`{_spelled(self.default)}`" if self.is_leaf else ""
        return f"| `{'.'.join(self.path)}` | {default} | {self.meaning} |".replace("|  |", "| |")


def rows(text: str) -> list[Row]:
    """Return every key that has a comment ``# -- …``, in the file's order."""
    (values,) = parse(text)
    said = {path: meaning for path, meaning in _commented(text) if meaning}
    return [
        Row(path, meaning, _at(values, path), is_leaf=not any(path == other[: len(path)] != other for other in said))
        for path, meaning in said.items()
    ]


def undocumented(text: str) -> list[str]:
    """Return the keys that have no comment, and are in nothing that has one."""
    said = dict(_commented(text))
    covered = {path for path, meaning in said.items() if meaning}
    return [
        ".".join(path)
        for path in said
        if not any(path[:size] in covered for size in range(1, len(path) + 1))
        and not any(path == other[: len(path)] for other in covered)
    ]


def table(text: str) -> str:
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *(row.as_markdown() for row in rows(text))])


def with_table(page: str, values: str) -> str:
    """Return the page with the table of these values between its marks."""
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"the page has no marks: {BEGIN} … {END}")
    return f"{head}{BEGIN}\n{table(values)}\n{END}{tail}"


def _commented(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of every key that begins a line, with the comment right above it, or an empty one."""
    path: list[tuple[int, str]] = []
    comment = ""
    for line in text.splitlines():
        if found := _COMMENT.fullmatch(line):
            comment = found[1]
        elif found := _KEY.match(line):
            depth = len(found[1])
            path = [(indent, name) for indent, name in path if indent < depth] + [(depth, found[2])]
            yield tuple(name for _, name in path), comment
            comment = ""


def _at(values: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - values have any type
    for name in path:
        values = values[name]
    return values


def _spelled(default: object) -> str:
    return json.dumps(default, ensure_ascii=False).replace("|", r"\|")


def main(chart: Path = CHART) -> None:
    page = chart / "README.md"
    values = (chart / "values.yaml").read_text(encoding="utf-8")
    page.write_text(with_table(page.read_text(encoding="utf-8"), values), encoding="utf-8")


if __name__ == "__main__":
    main()
