"""Inputs that a plan leaves alone, counted by why: one item an agency, done by the planner, never a message.

They stand in the manifest like all others, so the report accounts for them: planned = done + skipped + dead + pending.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from pipeline_processing.model import Item, ItemResult

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "unchanged"
"""The processor that such items name; no worker has it."""
WORKER: Final = "planner"
OTHER_CONTRACT: Final = "unchanged, of another contract"
"""Why: it is what a contract made that is not the plan's own. Reports say how such inputs are made anew."""


class Unchanged:
    """Counts what a plan leaves alone; memory grows with the number of agencies only.

    >>> left = Unchanged()
    >>> left.add("10", "s3://bronze/10/a.csv", "etag1", why="unchanged")
    >>> [(item.agency_id, item.inputs) for item in left.items()]
    [('10', 1)]
    """

    def __init__(self) -> None:
        self._reasons: dict[str, Counter[str]] = {}
        self._digests: dict[str, hashlib.blake2b] = {}

    def add(self, agency_id: str, source: str, version: str, *, why: str) -> None:
        """Take note of one input, in the order of the plan."""
        self._reasons.setdefault(agency_id, Counter())[why] += 1
        digest = self._digests.setdefault(agency_id, hashlib.blake2b(digest_size=16))
        digest.update(f"{source}\0{version}\0{why}\0".encode(errors="surrogatepass"))

    def items(self) -> Iterator[Item]:
        """Yield one item an agency: equal for equal inputs."""
        for agency_id, reasons in sorted(self._reasons.items()):
            payload = {"reasons": dict(sorted(reasons.items())), "digest": self._digests[agency_id].hexdigest()}
            yield Item(NAME, agency_id, payload, inputs=reasons.total())


def result_of(item: Item) -> ItemResult:
    """Return what the planner's marker says of such an item."""
    return ItemResult(item.item_id, "skipped", counts=item.payload["reasons"])
