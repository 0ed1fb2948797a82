"""A bucket's objects with their keys in order, so that a page of a listing costs as much as the page."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from typing import Any


class SortedKeys(dict[str, Any]):
    """A dict that also keeps its keys sorted by code point, which for UTF-8 is S3's order by byte.

    Takes the place of ministack's plain dict, which it sorts anew for each page.
    """

    def __init__(self, objects: dict[str, Any]) -> None:
        super().__init__(objects)
        self.ordered = sorted(objects)

    def __setitem__(self, key: str, value: Any) -> None:  # noqa: ANN401 - ministack's records
        if key not in self:
            insort(self.ordered, key)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        del self.ordered[bisect_left(self.ordered, key)]

    def pop(self, key: str, *default: Any) -> Any:  # noqa: ANN401 - see __setitem__
        """Remove a key and return its record."""
        if key in self:
            del self.ordered[bisect_left(self.ordered, key)]
        return super().pop(key, *default)

    def clear(self) -> None:
        """Remove every key."""
        super().clear()
        self.ordered.clear()


@dataclass(slots=True)
class Page:
    """One page: keys and folded prefixes, both in order; ``marker`` is where the next one starts after."""

    keys: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    is_truncated: bool = False
    marker: str = ""


def page_of(keys: list[str], prefix: str, delimiter: str, limit: int, start_after: str) -> Page:
    """Return up to ``limit`` rows after ``start_after``; a folded prefix is one row, however many keys it hides."""
    page = Page()
    place = max(bisect_left(keys, prefix), bisect_right(keys, start_after) if start_after else 0)
    while limit and place < len(keys) and keys[place].startswith(prefix):
        key = keys[place]
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        folded = key[: end + len(delimiter)] if end >= 0 else ""
        if folded and start_after.startswith(folded):
            place = _after(keys, folded, place)
            continue
        if len(page.keys) + len(page.prefixes) == limit:
            page.is_truncated = True
            break
        if folded:
            page.prefixes.append(folded)
            place = _after(keys, folded, place)
        else:
            page.keys.append(key)
            place += 1
        page.marker = folded or key
    return page


def _after(keys: list[str], prefix: str, place: int) -> int:
    """Return the place of the first key behind all that start with ``prefix``."""
    return bisect_left(keys, 1, lo=place, key=lambda key: 0 if key.startswith(prefix) else 1)
