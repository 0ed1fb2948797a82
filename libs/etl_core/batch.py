"""What a batch call answers: it is never all or nothing, so its failures must be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntryFailure:
    """Why one entry of a batch failed.

    ``index`` is its position in the call; ``transient`` says that the same entry may succeed later.
    """

    index: int
    code: str
    message: str
    transient: bool


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of each entry: an index is in ``succeeded`` or in ``failed``, never both, never neither."""

    succeeded: tuple[int, ...]
    failed: tuple[EntryFailure, ...] = ()
