"""A run's dead items, grouped by cause. Holds as many groups and examples as a reader can use, and counts the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline_processing.evidence import Dossier

GROUPS: Final = 100
EXAMPLES: Final = 10


@dataclass(frozen=True, slots=True)
class Example:
    """One dead item of a group."""

    item_id: str
    agency_id: str
    attempts: int
    worker: str


@dataclass(slots=True)
class FailureGroup:
    """Dead items with one cause: their fingerprint and the reason of their burial are the same."""

    fingerprint: str
    reason: str
    error_class: str
    message: str
    processor: str
    code_version: str
    first_failed_at: str
    last_failed_at: str
    items: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class FailureGroups:
    """Collects dossiers."""

    others: int = 0
    """Dead items of groups beyond `GROUPS`."""
    _groups: dict[tuple[str, str], FailureGroup] = field(default_factory=dict)

    def add(self, dossier: Dossier) -> None:
        """Count one dead item."""
        failure = dossier.failure
        key = failure.fingerprint, dossier.reason
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= GROUPS:
                self.others += 1
                return
            group = self._groups[key] = FailureGroup(
                *key,
                failure.error_class,
                failure.message,
                dossier.processor,
                dossier.code_version,
                dossier.first_failed_at,
                dossier.last_failed_at,
            )
        group.items += 1
        group.first_failed_at = min(group.first_failed_at, dossier.first_failed_at)
        group.last_failed_at = max(group.last_failed_at, dossier.last_failed_at)
        if len(group.examples) < EXAMPLES:
            group.examples.append(Example(dossier.item_id, dossier.agency_id, dossier.attempts, dossier.worker))

    def largest_first(self) -> list[FailureGroup]:
        """Return the groups, those with most items first."""
        return sorted(self._groups.values(), key=lambda group: (-group.items, group.fingerprint, group.reason))
