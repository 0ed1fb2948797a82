"""What a run's report says about rows, checks and files. Counts, names and reasons; no values (law 13). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import asdict, dataclass, field, replace
from heapq import nsmallest
from typing import TYPE_CHECKING, Final

import orjson

from pipeline_processing.quality.verdict import CHECK_STATUSES, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pipeline_processing.model import Json
    from pipeline_processing.quality.verdict import CheckResult

FILES_SHOWN: Final = 200
"""Files that a report names: those with most quarantined rows."""
_TOLD: Final = ("rows_in", "rows_out", "quarantined", "deduplicated")
_REASON_SHOWN: Final = 500
_RULES_SHOWN: Final = 5


@dataclass(slots=True)
class RunQuality:
    """Adds up what became of a run's files; grows with the rules, not with the files."""

    verdict: Verdict | None = None
    quarantined_by: Counter[str] = field(default_factory=Counter)
    """Rows by rule, those of the reader too; a row that failed two rules counts in both."""
    waived: Counter[str] = field(default_factory=Counter)
    """Rows that a rule did not hold back, as it is waived for their file."""

    def add(self, refined: Mapping[str, Json], waived: Collection[str]) -> None:
        """Take in what was told of one file, for which the rules ``waived`` do not hold."""
        verdict = Verdict.from_json(refined["verdict"])
        self.quarantined_by.update(refined.get("quarantined_by", {}))
        for result in verdict.results:
            if result.name in waived and result.failed:
                self.waived[result.name] += result.failed
        verdict = _without(verdict, waived)
        self.verdict = verdict if self.verdict is None else self.verdict.merge(verdict)

    def as_json(
        self, counts: Mapping[str, int], files: Sequence[Mapping[str, Json]], drifted: Iterable[CheckResult]
    ) -> dict[str, Json]:
        """Return what the report says: ``checks`` with the worst first; empty where no file was read.

        ``files`` are rows of the table of files.
        """
        if self.verdict is None:
            return {}
        results = sorted(self.verdict.widened(drifted).results, key=lambda one: -CHECK_STATUSES.index(one.status))
        worst = nsmallest(FILES_SHOWN, files, key=_rank)
        return {
            "rows": dict(counts),
            "checks": [asdict(result) for result in results],
            "quarantined_by": dict(sorted(self.quarantined_by.items())),
            "waived": dict(sorted(self.waived.items())),
            "files": [_told(file) for file in worst],
            "files_not_shown": len(files) - len(worst),
        }


def _without(verdict: Verdict, waived: Collection[str]) -> Verdict:
    """Return the verdict with the checks ``waived`` as if no row failed them: that is what somebody decided."""
    if not waived:
        return verdict
    results = tuple(_passed(one) if one.name in waived and one.status == "warned" else one for one in verdict.results)
    told = tuple(f"{name}: " for name in waived)
    return replace(verdict, results=results, because=tuple(why for why in verdict.because if not why.startswith(told)))


def _passed(result: CheckResult) -> CheckResult:
    return replace(result, status="passed", failed=0, files={"passed": 1})


def _rank(file: Mapping[str, Json]) -> tuple[int, bool, str]:
    return -(file["quarantined"] or 0), not file["reason"], file["source_file"]


def _told(file: Mapping[str, Json]) -> dict[str, Json]:
    verdict = file["verdict"] or file["status"]
    named = {"source": file["source_file"], "agency_id": file["agency_id"], "verdict": verdict}
    reason = file["reason"] or _rules(file.get("quarantined_by"))
    return {**named, **{name: file[name] for name in _TOLD}, "reason": reason[:_REASON_SHOWN]}


def _rules(quarantined_by: str | None) -> str:
    """Return the rules that took most rows of a file out; ``quarantined_by`` is JSON, as the table of files has it."""
    counts = Counter(orjson.loads(quarantined_by)) if quarantined_by else Counter[str]()
    return ", ".join(f"{rule} ({count:,})" for rule, count in counts.most_common(_RULES_SHOWN))
