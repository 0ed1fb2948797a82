"""What became of one file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from etl_core.errors import Permanent
from pipeline_processing.model import Json  # noqa: TC001 - dataclasses keep their annotations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline_processing.processors.refining.silver_file import Output
    from pipeline_processing.quality.profile import Profile
    from pipeline_processing.quality.verdict import Verdict
    from pipeline_processing.readers import Dialect
    from pipeline_processing.transforms.choices import Suggestion

NAMES_TOLD: Final = 100
"""Unknown columns that are named in a marker: a file may have 10,000."""


@dataclass(frozen=True, slots=True)
class Refined:
    """One file's account: ``rows_in`` = ``rows_out`` + ``quarantined`` + ``deduplicated``, or it can not be made.

    ``outputs`` are there whatever the verdict: whoever publishes looks at ``verdict.status`` first.
    """

    folder: Path
    rows_in: int
    """The reader's rows and its rejects."""
    rows_out: int
    quarantined: int
    deduplicated: int
    verdict: Verdict
    profile: Profile
    """Of the rows that passed every check a row decides by itself, copies among them."""
    outputs: Sequence[Output]
    quarantine: Path | None
    quarantined_by: Mapping[str, int]
    """Rows by rule; a row that failed two rules counts in both."""
    dialect: Dialect
    skipped: Mapping[str, int]
    missing: Sequence[str] = ()
    """Contract columns that the file has no source for."""
    unread: Sequence[str] = ()
    """The file's columns that no contract column reads."""
    suggestions: Sequence[Suggestion] = ()
    """What unknown values of enums may mean, never applied; without the values of classified columns."""

    def __post_init__(self) -> None:
        out = sum(output.rows for output in self.outputs)
        accounted = self.rows_out + self.quarantined + self.deduplicated
        if (self.rows_in, self.rows_out) != (accounted, out):
            raise Permanent(
                f"rows are lost or made: {self.rows_in} went in; {self.rows_out} came out ({out} in files), "
                f"{self.quarantined} are quarantined and {self.deduplicated} deduplicated"
            )

    def as_json(self) -> Json:
        """Return all of it but paths, profile and bounds: counts and names, no values of classified columns."""
        return {
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "quarantined": self.quarantined,
            "deduplicated": self.deduplicated,
            "quarantined_by": dict(self.quarantined_by),
            "verdict": self.verdict.as_json(),
            "outputs": [
                {"name": o.path.name, "rows": o.rows, "size": o.size, "sha256": o.sha256} for o in self.outputs
            ],
            "dialect": {**asdict(self.dialect), "notes": list(self.dialect.notes)},
            "skipped": dict(self.skipped),
            "missing": list(self.missing),
            "unread": list(self.unread[:NAMES_TOLD]),
            "unread_count": len(self.unread),
            "suggestions": [asdict(suggestion) for suggestion in self.suggestions],
        }
