"""Bronze files refined again: those that a selection names, by today's contract and code, in one atomic commit."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, check_all
from pipeline_processing import __version__
from pipeline_processing.jobs._options import run_in_process
from pipeline_processing.jobs.bronze_to_silver import BronzeToSilver, Maker, contract_of, destination_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pipeline_processing.arguments import Parser
    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.job import Job
    from pipeline_processing.model import Item, Json
    from pipeline_processing.processors.backfill.preview import Preview
    from pipeline_processing.processors.backfill.selection import Judged
    from pipeline_processing.processors.silver.plan import Select
    from pipeline_processing.service_handler import ServiceHandler

NAME: Final = "backfill"


class Backfill(BronzeToSilver):
    """As `bronze_to_silver`, for files that are chosen; what they published before is replaced in the same commit."""

    name = NAME

    def parser(self) -> Parser:
        """Return the parser of what makes a run's spec."""
        return with_selection(super().parser())

    def spec(self, options: argparse.Namespace) -> dict[str, Json]:
        """Return the spec that parsed ``options`` say; ConfigError where they select everything without saying so."""
        if options.all and not options.agency_id:
            options.all_agencies = True
        specs: list[dict[str, Json]] = []
        check_all(lambda: specs.append(super(Backfill, self).spec(options)), lambda: _check(options))
        (spec,) = specs
        return {
            **spec,
            "since": options.since,
            "until": options.until,
            "where": options.where,
            "stale": sorted(options.stale) if options.stale is not None else None,
        }

    async def plan(self, run_id: str, spec: Mapping[str, Json], services: ServiceHandler) -> AsyncIterator[Item]:
        """Yield packs of the files that are selected, and what is left alone."""
        from pipeline_processing.processors.silver import plan  # noqa: PLC0415 - discovery stays light

        contract = contract_of(spec)
        make = await self._maker(run_id, spec, services, contract, destination_of(spec))
        limits = plan.Limits(spec["pack_max_items"], spec["pack_max_bytes"])
        async for item in plan.items(self.judged(spec, contract, services), self.select(spec), make, limits):
            yield item

    async def judged(
        self, spec: Mapping[str, Json], contract: Contract, services: ServiceHandler
    ) -> AsyncIterator[Judged]:
        """Yield every file of the agencies with what is decided about it; reads, and writes nothing."""
        from pipeline_processing.processors.backfill import selection as backfill  # noqa: PLC0415 - discovery stays light
        from pipeline_processing.processors.silver import plan  # noqa: PLC0415 - discovery stays light
        from pipeline_processing.tables import ledger  # noqa: PLC0415 - the same

        selection = backfill.Selection.of(spec)
        today = backfill.Today(__version__, contract.fingerprint)
        agencies = await self._agencies(spec, services)
        with await ledger.published(services.table(destination_of(spec))) as published:
            found = plan.compare(self._files(spec, services, agencies), published)
            async for judged in backfill.judge(found, selection, today):
                yield judged

    async def preview(self, spec: Mapping[str, Json], services: ServiceHandler, *, sample: int) -> Preview:
        """Return what a run of ``spec`` would do, tried out on ``sample`` files; writes to no store."""
        from pipeline_processing.processors.backfill import preview  # noqa: PLC0415 - discovery stays light
        from pipeline_processing.processors.backfill import selection as backfill  # noqa: PLC0415 - see above
        from pipeline_processing.processors.silver import item, plan  # noqa: PLC0415 - see above
        from pipeline_processing.processors.silver.snapshots import read_current  # noqa: PLC0415 - see above
        from pipeline_processing.processors.silver.standing import standing  # noqa: PLC0415 - see above
        from pipeline_processing.reports.estimate import estimate  # noqa: PLC0415 - see above

        contract, destination = contract_of(spec), destination_of(spec)
        references = {reference.name: await read_current(reference, services) for reference in contract.references}
        today = services.clock.now().date()
        pin = item.Pin(destination.bucket, "", "0" * 64)
        make = Maker(NAME, pin, destination, today.isoformat(), dict.fromkeys(references, pin))
        tally = preview.Tally(sample)
        found = tally.counting(self.judged(spec, contract, services))
        limits = plan.Limits(spec["pack_max_items"], spec["pack_max_bytes"])
        cost = await estimate(NAME, plan.items(found, backfill.decided, make, limits))
        key = services.settings.token_key
        holding = await standing(destination, services, today=today)
        given = preview.Given(contract, references, key.get_secret_value().encode() if key else None, today, holding)
        tables = services.table(destination), services.table(destination, "quarantine")
        trials = preview.Trials(given, services, *tables, destination.bucket)
        return preview.Preview(tally, cost, await trials.run(tally.sample))

    def select(self, spec: Mapping[str, Json]) -> Select:
        """Return what says of a judged file whether a run has work with it."""
        from pipeline_processing.processors.backfill import selection as backfill  # noqa: PLC0415 - discovery stays light

        del spec
        return backfill.decided


def with_selection(parser: Parser) -> Parser:
    """Add what selects files to the options of `bronze_to_silver`."""
    parser.description = "Refine bronze files again and replace what they published before, in one commit."
    which = parser.add_argument_group("which of them (each narrows the others; at least one, or --all)")
    which.add_argument("--since", type=_time, metavar="TIME", help="modified then or later: 2030-01-31, or with a time")
    which.add_argument("--until", type=_time, metavar="TIME", help="modified before then")
    which.add_argument(
        "--where",
        metavar="SQL",
        help="a condition on source, agency_id, size, modified, version, published_version, published_run, contract, "
        "code, rows",
    )
    which.add_argument(
        "--stale",
        nargs="?",
        const="code,contract,input",
        type=_kinds,
        metavar="KINDS",
        help="published by another code, contract or input version than today's (all three, or as code,contract)",
    )
    which.add_argument("--all", action="store_true", help="every file: says that nothing narrows on purpose")
    return parser


def _check(options: argparse.Namespace) -> None:
    """ConfigError for a selection that can not be, or would be everything by accident."""
    from pipeline_processing.processors.backfill import selection as backfill  # noqa: PLC0415 - discovery stays light

    narrows = (options.since, options.until, options.where, options.stale, options.agency_id or None)
    if options.pattern == "*" and all(part is None for part in narrows) and not options.all:
        raise ConfigError(
            "nothing is selected",
            where="backfill",
            way_out="give --since, --until, --where, --stale, --pattern or --agency-id, or say --all",
        )
    if options.stale is not None and options.force:
        raise ConfigError(
            "--force redoes what is up to date, --stale leaves it out", where="--force", way_out="give one of the two"
        )
    if options.since and options.until and options.since >= options.until:
        raise ConfigError(
            f"no time is in [{options.since}, {options.until})", where="--until", way_out="name a later one"
        )
    if options.where is not None:
        backfill.predicate(options.where)


def _time(text: str) -> str:
    """Return an ISO date or time as a UTC time, for argparse; without a zone it is in UTC."""
    from pipeline_processing.processors.backfill.selection import instant  # noqa: PLC0415 - discovery stays light

    try:
        return instant(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date or time such as 2030-01-31T06:00:00Z") from None


def _kinds(text: str) -> frozenset[str]:
    kinds = frozenset(part.strip() for part in text.split(",")) - {""}
    if not kinds or kinds - {"code", "contract", "input"}:
        raise argparse.ArgumentTypeError(f"{text!r} is not one or more of code, contract, input")
    return kinds


def definition() -> Job:
    """Return the job, for the controller and the workers."""
    return Backfill()


def main(argv: Sequence[str]) -> int:
    """Run inline in this process; return an exit code."""
    return run_in_process(Backfill().parser(), Backfill, argv)


JOB = (main, "refine selected bronze files again and replace what they published, in one commit")
