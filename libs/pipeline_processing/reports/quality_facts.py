"""What a file's quality report holds, on a page or a terminal, and how it words things. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pipeline_processing.model import Json  # noqa: TC001 - dataclasses keep their annotations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline_processing.quality.profile import Profile
    from pipeline_processing.quality.verdict import CheckResult, Verdict

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "pass": ("good", "Passed"),
    "warn": ("warn", "Accepted, with warnings"),
    "fail_file": ("bad", "The file is not accepted"),
    "fail_run": ("bad", "The file is not accepted, and its run stops"),
    "unreadable": ("bad", "The file can not be read"),
}
"""Tone and words of a verdict."""
TONES: Final[Mapping[str, str]] = {"passed": "good", "skipped": "warn", "warned": "warn", "failed": "bad"}
_ASKS: Final[Mapping[str, str]] = {
    "type": "can be read as what it should be",
    "required": "is there",
    "enum": "is one of the allowed values",
    "pattern": "has the right form",
    "length": "has the right length",
    "range": "lies within its limits",
    "multiple_of": "is a whole multiple of its step",
    "unique": "stands once only",
    "primary_key": "the key is there and stands once only",
    "lookup": "is found in the reference table",
    "row": "the rule holds in its row",
    "overlap": "does not overlap in time with another row",
    "metric": "the count is within its limits",
    "sql": "the figure is within its limits",
    "freshness": "the newest value is recent enough",
    "text": "for people to check",
}
_STAYS: Final[Mapping[str, str]] = {
    "rows": "has about as many rows",
    "null_rate": "is empty about as often",
    "psi": "is spread alike",
    "new_categories": "has no new value",
    "lost_categories": "has lost no value",
}
"""What a drift rule asks of a file beside the last published one."""
_NAMED: Final = 20
"""Columns of a file that a report names."""
_LONGEST: Final = 100
"""Characters of a name or value of a file that a report shows."""
_GROUPED: Final = 10_000
"""From here on digits stand in groups of three."""
_DOES: Final[Mapping[str, str]] = {
    "warn": "warn",
    "quarantine": "take rows out",
    "fail_file": "refuse the file",
    "fail_run": "stop the run",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows are in quarantine: the rule, how many rows, and some of them."""

    rule: str
    rows: int
    examples: Sequence[int] = ()
    """Row numbers in the file."""
    lines: Sequence[int] = ()
    """On which line, or row of a sheet, each of them begins; empty where the file has none."""
    values: Sequence[str] = ()
    """What stands there; shown only where ``column`` is not classified."""
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Stranger:
    """A value that its column does not allow, in how many rows it stands, and the allowed one that may be meant.

    ``value`` is None for all that are not counted apart.
    """

    value: str | None
    rows: int
    meant: str | None = None


@dataclass(frozen=True, slots=True)
class QualityPage:
    """One file's quality. ``rows_in`` = ``rows_out`` + ``quarantined`` + ``deduplicated``."""

    file: str
    """Its name, for people."""
    dataset: str
    contract: str
    """Id and version."""
    verdict: Verdict
    rows_in: int
    rows_out: int
    quarantined: int
    deduplicated: int
    profile: Profile | None = None
    reasons: Sequence[Reason] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """More about the file, in the order to show: source, agency, format, encoding, size, code version."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Records that are no data, by why: ``totals``, ``blank``."""
    missing: Sequence[str] = ()
    """Columns of the contract that the file lacks."""
    unread: Sequence[str] = ()
    """Columns of the file that the contract does not know."""
    strangers: Mapping[str, Sequence[Stranger]] = field(default_factory=dict)
    """By column: its values that are not allowed, the most frequent first; shown only of unclassified columns."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """By rule: what it asks, where more can be said than its kind says."""
    place: str = "line"
    """What people find a row by: ``line``, or ``sheet row`` of a workbook."""
    classified: frozenset[str] = frozenset()
    """Columns whose values are never shown."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """What the contract says of its columns."""
    is_profile: bool = False
    """Whether nothing was checked: there is neither a verdict nor checks to show."""

    @property
    def is_balanced(self) -> bool:
        """Say whether every row that went in is accounted for."""
        return self.rows_in == self.rows_out + self.quarantined + self.deduplicated

    @property
    def accepted(self) -> str:
        """Return what is said of the rows that no rule took out: a file that is refused has none that is accepted."""
        if self.is_profile:
            return "profiled"
        return "would be accepted" if self.verdict.status in {"fail_file", "fail_run"} else "accepted"

    @property
    def counting(self) -> str:
        """Say how rows are counted."""
        beside = f"; a {self.place} is the one on which the row begins" if any(r.lines for r in self.reasons) else ""
        return f"Rows are counted from 1, without the header and lines that are no data{beside}."

    def places(self, reason: Reason, limit: int) -> str:
        """Return the first of a reason's rows, each with its line: ``5 (line 6), 7 (line 8)``."""
        lines = [f" ({self.place} {line:,})" for line in reason.lines] or [""] * len(reason.examples)
        return ", ".join(f"{row:,}{line}" for row, line in zip(reason.examples[:limit], lines, strict=False))

    def asks(self, rule: str) -> str:
        """Return what a rule of rows in quarantine asks; the contract's own words where it has some."""
        result = next((result for result in self.verdict.results if result.name == rule), None)
        told = self.asked.get(rule) or (asks(result) if result else "")
        own = result.description if result else ""
        return f"{own} ({told})" if own and told else own or told

    def hides(self, column: str | None) -> bool:
        """Say whether the values of ``column`` must not be shown; so it is where nobody says which column it is."""
        if column is None or column in self.classified:
            return True
        profiled = self.profile.column(column) if self.profile is not None else None
        return profiled is not None and profiled.is_classified


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(cut(name) for name in names[:_NAMED]) + more


def cut(text: str, limit: int = _LONGEST) -> str:
    """Return a text of a file, not longer than a report has room for."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def asks(result: CheckResult, asked: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return what a check asks, in our words; the contract's are ``result.description``.

    ``asked`` is what is known of some checks beyond their kind, by name.
    """
    if result.name in asked:
        return asked[result.name]
    if result.kind == "drift":
        return _STAYS.get(result.name.rpartition(".")[2].removeprefix("drift:"), "is like the last published file")
    return _ASKS.get(result.kind, result.kind)


def does(result: CheckResult) -> str:
    """Return what a check does when it does not hold, in words."""
    return _DOES.get(result.action, result.action)


def outcome(result: CheckResult) -> str:
    """Return what a check found: why it was skipped, a figure against its threshold, or the rows that fail."""
    if result.status == "skipped":
        return ", ".join(result.why)
    asked = f"; asked: {result.threshold}" if result.threshold else ""
    if result.kind == "drift" and result.name.endswith("_categories"):
        return f"{number(result.figure)}: {result.description}" if result.figure else "none"
    if result.figure is not None:
        return f"{number(result.figure)}{asked}"
    if not result.failed:
        return f"none of {result.looked_at:,}{asked}"
    return f"{result.failed:,} of {result.looked_at:,} ({percent(result.failed, result.looked_at)}){asked}"


def number(value: Json) -> str:
    """Return a number for people, any other value as text; a whole one of four digits may be a year.

    >>> number(1234567), number(1946.0), number(0.12345), number(61234.5), number("2020-01-01")
    ('1,234,567', '1946', '0.1235', '61,234.5', '2020-01-01')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if value == int(value):
        return f"{value:.0f}" if abs(value) < _GROUPED else f"{value:,.0f}"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{value:.4g}"


def percent(part: float, whole: float) -> str:
    """Return a share for people, never 0 % of something and never 100 % of less than all.

    >>> percent(1, 3), percent(1, 10**6), percent(999_999, 10**6), percent(0, 0)
    ('33.3 %', '< 0.1 %', '> 99.9 %', '0 %')
    """
    if not part or not whole:
        return "0 %"
    share = 100 * part / whole
    if share < 0.1:  # noqa: PLR2004 - the least that is shown
        return "< 0.1 %"
    if 99.9 < share < 100:  # noqa: PLR2004 - the most that is shown of less than all
        return "> 99.9 %"
    return f"{share:.1f} %".replace(".0 %", " %")
