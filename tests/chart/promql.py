"""What expressions of rules and panels name, read from their text: promtool says whether they parse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exported_metrics import FOREIGN, families

if TYPE_CHECKING:
    from collections.abc import Iterator

_SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\{([^{}]*)\}")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_TEXT = re.compile(r'"[^"]*"')
_NAME = re.compile(r"\b(?:pipeline|kube|process|python)_\w+")


def strangers(expression: str) -> Iterator[str]:
    """Yield each metric that nobody exports, each label that its metrics do not have, each selector without braces."""
    known = {series: family.all_labels for family in families() for series in family.series} | FOREIGN
    selectors = _SELECTOR.findall(expression)
    if not selectors:
        yield f"{expression}: no selector"
    there: set[str] = set()
    for name, matchers in selectors:
        if name not in known:
            yield f"{name} is exported by nobody"
            continue
        there |= known[name]
        yield from (f"{name} has no label {label}" for label in _MATCHER.findall(matchers) if label not in known[name])
    for labels in _GROUPING.findall(_SELECTOR.sub("", _TEXT.sub('""', expression))):
        wanted = {label.strip() for label in labels.split(",") if label.strip()}
        yield from (f"{label} is a label of no metric in {expression}" for label in sorted(wanted - there))
    bare = set(_NAME.findall(_SELECTOR.sub("", _TEXT.sub('""', expression))))
    yield from (f"{name} is chosen without a namespace" for name in sorted(bare))
