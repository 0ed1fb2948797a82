"""The run report as data. Ids, counts, keys and reasons; never row values (law 13)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self

import orjson

from etl_core.errors import InvalidData
from pipeline_processing.problems import KEPT
from pipeline_processing.unchanged import OTHER_CONTRACT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline_processing.conservation import Balance, Conservation
    from pipeline_processing.model import Json, Problem, Published
    from pipeline_processing.reports.failures import FailureGroups
    from pipeline_processing.runs import Run

VERSION: Final = 1
OUTPUTS_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Report:
    """What ``report.json`` says; every value is JSON. ``revision`` is that of the run's record it was written for."""

    run_id: str
    job: str
    revision: int
    state: str
    is_success: bool
    is_published: bool
    because: Sequence[str]
    """Why the run is not a success; what was tolerated where it is one."""
    warnings: Sequence[str]
    tolerance: str
    spec: Mapping[str, Json]
    lane: str | None
    code_version: str
    created_at: str
    finished_at: str
    seconds: float
    total: Mapping[str, Json]
    agencies: Sequence[Mapping[str, Json]]
    outcomes: Mapping[str, int]
    failures: Sequence[Mapping[str, Json]]
    failures_not_shown: int
    commits: Sequence[str]
    published_counts: Mapping[str, int] = field(default_factory=dict)
    outputs: Sequence[Mapping[str, Json]] = ()
    outputs_not_shown: int = 0
    problems: Sequence[Mapping[str, Json]] = ()
    """The first inputs that failed inside items that are done, each with its reason."""
    problems_not_shown: int = 0
    """How many inputs failed beside those that ``problems`` names."""
    quality: Mapping[str, Json] = field(default_factory=dict)
    """``rows`` by what became of them, ``checks``, worst first, ``quarantined_by`` and ``waived`` by rule, ``files``.

    Counts and names, no values. A report of an earlier version has the first two alone.
    """

    def encode(self) -> bytes:
        """Return the stored form."""
        return orjson.dumps({"v": VERSION, **asdict(self)}, option=orjson.OPT_INDENT_2)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the report, or raise InvalidData."""
        try:
            document = orjson.loads(body)
            del document["v"]
            return cls(**document)
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidData("a report that is not readable") from error


def build(
    run: Run,
    conservation: Conservation,
    failures: FailureGroups,
    published: Published | None,
    *,
    because: Sequence[str],
    problems: Sequence[Problem] = (),
) -> Report:
    """Return the report of a run that is over. Of ``problems`` the first `problems.KEPT` are shown."""
    finished_at = run.entered[run.state]
    outputs = published.outputs if published else ()
    named = problems[:KEPT]
    groups = failures.largest_first()
    elapsed = datetime.fromisoformat(finished_at) - datetime.fromisoformat(run.created_at)
    return Report(
        run_id=run.run_id,
        job=run.job,
        revision=run.revision,
        state=run.state,
        is_success=run.state == "published",
        is_published=bool(run.commits),
        because=list(because),
        warnings=_warnings(conservation, published),
        tolerance=run.tolerance,
        spec=run.spec,
        lane=run.lane,
        code_version=run.code_version,
        created_at=run.created_at,
        finished_at=finished_at,
        seconds=round(elapsed.total_seconds(), 3),
        total=balance(conservation.total),
        agencies=[
            {"agency_id": agency_id, **balance(conservation.agencies[agency_id])}
            for agency_id in sorted(conservation.agencies)
        ],
        outcomes=dict(sorted(conservation.outcomes.items())),
        failures=[asdict(group) for group in groups],
        failures_not_shown=max(failures.others, conservation.total.dead.items - sum(group.items for group in groups)),
        commits=run.commits,
        published_counts=dict(published.counts) if published else {},
        outputs=[asdict(output) for output in outputs[:OUTPUTS_SHOWN]],
        outputs_not_shown=max(0, len(outputs) - OUTPUTS_SHOWN),
        problems=[asdict(problem) for problem in named],
        problems_not_shown=max(0, conservation.total.failed_inputs - sum(problem.inputs for problem in named)),
        quality=dict(published.quality) if published else {},
    )


def balance(of: Balance) -> dict[str, Json]:
    """Return a balance as JSON: each state's items and inputs, ``failed_inputs`` and ``is_conserved``."""
    return {**asdict(of), "is_conserved": of.is_conserved}


def _warnings(conservation: Conservation, published: Published | None) -> list[str]:
    warnings = []
    if conservation.strays:
        more = " …" if conservation.strays > len(conservation.stray_ids) else ""
        warnings.append(
            f"{conservation.strays} markers or dossiers belong to no item of this run: "
            + ", ".join(conservation.stray_ids)
            + more
        )
    if behind := conservation.outcomes[OTHER_CONTRACT]:
        warnings.append(
            f"{behind:,} unchanged inputs stand as another contract made them: "
            "`pipeline-processing backfill run --stale=contract` makes them anew"
        )
    if published is not None and (count := published.counts.get("superseded")):
        warnings.append(f"not visible to readers, as a run that was planned later has published them: {count} parts")
    return warnings
