"""`pipeline-processing quarantine`: what was rejected, and the ways back: mend, change the contract, waive."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.arguments import Parser, typed_as
from pipeline_processing.cli import quarantine_views as views
from pipeline_processing.cli.exits import DONE, PARTLY, guarded
from pipeline_processing.cli.terminal import print_json, print_table
from pipeline_processing.cli.writing import check_target
from pipeline_processing.jobs._options import count, with_run_options
from pipeline_processing.jobs._tables import destination_of, with_table_options
from pipeline_processing.jobs.release_quarantined import (
    ReleaseQuarantined,
    wish_of,
    with_edited_options,
    with_row_options,
)
from pipeline_processing.processors.get_s3_files.file_plan import agencies_in_bucket
from pipeline_processing.processors.release.plan import open_book
from pipeline_processing.processors.release.processor import way_out
from pipeline_processing.processors.release.trial import attempt
from pipeline_processing.processors.silver.frozen_contracts import frozen_contracts, has_classified
from pipeline_processing.quarantine import editing
from pipeline_processing.quarantine.book import Filter
from pipeline_processing.quarantine.claims import give_up
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.stages import open_control, run_inline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pipeline_processing.model import Json
    from pipeline_processing.processors.silver.item import Destination

    Command = Callable[[argparse.Namespace, ServiceHandler], Awaitable[int]]

_EXAMPLES: Final = """\
examples:
  pipeline-processing quarantine list --dataset roster
  pipeline-processing quarantine show --dataset roster --rule 'hired.*' --export mend.csv
  pipeline-processing quarantine release --contract roster.odcs.yaml --edited mend.csv --reason "typos" --dry-run
  pipeline-processing quarantine release --contract roster-1.1.odcs.yaml --rule rank.enum --reason "new rank"
  pipeline-processing quarantine waive --contract roster.odcs.yaml --rule age.range --expires 2030-12-31 --reason "…"

exit codes: 0 done, 1 failed, 2 usage or configuration, 3 some rows still fail, 130 interrupted
"""
_TEXTS: Final = {
    "list": "count what is in quarantine, by rule, file and agency",
    "show": "the rows themselves, or an --export of them to mend",
    "release": "send rows through the contract again and publish those that pass",
    "waive": "publish rows although a rule fails, until a day; also those of later versions of their files",
    "abandon": "give up a release that was interrupted: its rows are open again",
}
_QUARANTINE: Final = "__quarantine"


def main(argv: Sequence[str]) -> int:
    """Run one of the commands; return its exit code."""
    options, command = parse(argv), argv[0]

    async def work() -> int:
        async with ServiceHandler.for_process() as services:
            return await COMMANDS[command](options, services)

    return guarded(lambda: asyncio.run(work()))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read what was typed, and do nothing else."""
    if not argv or argv[0] not in _TEXTS:
        _parser().parse_args(list(argv)[:1])
    return options_of(argv[0], argv[1:])


async def list_rows(options: argparse.Namespace, services: ServiceHandler) -> int:
    """Print the counts of one dataset, or of all below the prefix."""
    summaries = []
    for destination in await _destinations(options, services):
        with open_book(services, destination) as book:
            summaries.append(await views.summarise(book, destination.dataset, filter_of(options), is_all=options.all))
            if (options.dataset or options.contract) and not summaries[-1].states:
                contracts = await frozen_contracts(services.store(destination.bucket), destination)
                await views.check_rules(book, options.rule, contracts.values())
    now = services.clock.now()
    if options.json:
        print_json({"datasets": [summary.as_json(now) for summary in summaries]})
    else:
        views.print_summaries(summaries, now)
    return DONE


async def show(options: argparse.Namespace, services: ServiceHandler) -> int:
    """Print rows, without values of classified columns; or export them, whole."""
    destination = destination_of(options, services.settings)
    check_target(options.export, where="--export")
    contracts = dict(await frozen_contracts(services.store(destination.bucket), destination))
    with open_book(services, destination) as book:
        if not await book.exists():
            raise ConfigError("there is no quarantine", where=book.uri, way_out="check --dataset, --silver-*, --format")
        limit = options.limit or (None if options.export else views.LIMIT)
        frames, total = await views.collect(book, filter_of(options), is_all=options.all, limit=limit)
        if not total:
            await views.check_rules(book, options.rule, contracts.values())
    if options.export is None:
        views.print_rows(frames, total, contracts, is_json=options.json)
        return DONE
    if not frames:
        raise ConfigError("no row in quarantine is meant", where="--export", way_out="`quarantine list` shows what is")
    rows = pl.concat(frames)
    contract = contracts.get(rows["contract_fingerprint"][-1])
    exported = editing.export(rows, options.export, contract=contract)
    hidden = contract is None or has_classified(contract)
    note = "; values of classified columns are in it" if hidden else ""
    print(f"{exported:,} of {total:,} rows are in {options.export}, readable by you alone{note}")
    return DONE


async def release(options: argparse.Namespace, services: ServiceHandler) -> int:
    """Try the release out, or run it; 3 where rows stay in quarantine."""
    job = ReleaseQuarantined(services.settings)
    spec = await _spec(job, options, services)
    if options.dry_run:
        return await _try(spec, services, is_json=options.json)
    services.control  # noqa: B018 - refuses where there is none: a release must be resumable
    return await run_inline(
        job,
        spec,
        services,
        run_id=options.run_id,
        tolerate=options.tolerate_failures,
        json_output=options.json,
    )


async def abandon(options: argparse.Namespace, services: ServiceHandler) -> int:
    """Give an interrupted release up."""
    destination = destination_of(options, services.settings)
    held = 0
    with open_book(services, destination) as book:
        async for rows in book.rows(Filter(), columns=views.LIGHT):
            held += rows.filter((pl.col("state") == "interrupted") & (pl.col("release_id") == options.run)).height
    if not held:
        raise ConfigError(
            f"no row waits for release {options.run!r}",
            where="abandon",
            way_out="`quarantine list` names those that do",
        )
    await give_up(services.table(destination), options.run)
    print(f"release {options.run} is given up: {held:,} rows are open again")
    return DONE


COMMANDS: Final[Mapping[str, Command]] = {
    "list": list_rows,
    "show": show,
    "release": release,
    "waive": release,
    "abandon": abandon,
}


def options_of(command: str, argv: Sequence[str]) -> argparse.Namespace:
    """Return what ``command`` is asked for; exits as argparse does."""
    with typed_as(f"pipeline-processing quarantine {command}"):
        parser = Parser(
            prog=f"pipeline-processing quarantine {command}",
            description=f"{_TEXTS[command].capitalize()}.",
            allow_abbrev=False,
        )
        if command == "abandon":
            parser.add_argument("run", metavar="RUN", help="the release's run id")
        with_table_options(parser)
        if command != "abandon":
            with_row_options(parser)
        if command in {"list", "show"}:
            _with_view_options(parser, is_list=command == "list")
        elif command in {"release", "waive"}:
            _with_release_options(parser, is_waiver=command == "waive")
        return parser.parse_args(list(argv))


def filter_of(options: argparse.Namespace) -> Filter:
    """Return which rows are meant."""
    return Filter(tuple(options.rule), tuple(options.file), tuple(options.agency_id), frozenset(options.id))


def _with_view_options(parser: Parser, *, is_list: bool) -> None:
    how = parser.add_argument_group("how")
    how.add_argument("--all", action="store_true", help="those that were released or waived, too")
    if not is_list:
        how.add_argument("--limit", type=count, metavar="N", help="rows shown at most (default: 20), or exported")
        how.add_argument("--export", type=Path, metavar="FILE", help="write them to a .csv or .parquet file, to mend")
    how.add_argument("--json", action="store_true", help="one JSON document")


def _with_release_options(parser: Parser, *, is_waiver: bool) -> None:
    with_edited_options(parser)
    how = parser.add_argument_group("how")
    if is_waiver:
        how.add_argument("--expires", required=True, metavar="DATE", help="the last day, such as 2030-12-31")
    how.add_argument("--reason", metavar="TEXT", help="why; it is kept with the decision (required)")
    how.add_argument("--by", metavar="NAME", help="who decides (default: your user name)")
    how.add_argument("--dry-run", action="store_true", help="only say what would pass, and what the others still fail")
    with_run_options(parser)
    parser.set_defaults(waive=[], is_waiver=is_waiver, **({} if is_waiver else {"expires": None}))


async def _spec(job: ReleaseQuarantined, options: argparse.Namespace, services: ServiceHandler) -> Mapping[str, Json]:
    """Return the run's spec; of a run that is there already its own, where nothing else is asked for."""
    if options.run_id and not options.reason:
        run = await open_control(services).runs.find(options.run_id)
        if run is None or run.job != job.name:
            raise ConfigError(
                f"there is no release {options.run_id!r} to resume",
                where="--run-id",
                way_out="give --reason, and which rows",
            )
        return run.spec
    if options.is_waiver:
        if not options.rule:
            raise ConfigError("which rule is waived?", where="--rule", way_out="give --rule, one or more times")
        options.waive = options.rule
    return job.spec(options)


async def _try(spec: Mapping[str, Json], services: ServiceHandler, *, is_json: bool) -> int:
    from pipeline_processing.jobs.bronze_to_silver import destination_of as tables_of  # noqa: PLC0415 - the spec's

    trial = await attempt(wish_of(spec), tables_of(spec), services)
    if is_json:
        print_json({"dry_run": True, **trial.as_json()})
    else:
        print(f"{trial.passing:,} of {trial.rows:,} rows in {trial.files:,} files would pass")
        if trial.failing:
            print_table(("rule that others still fail", "rows"), trial.failing.most_common())
            if way := way_out(trial.failing).removeprefix("; "):
                print(way)
        for source, reason in sorted(trial.unread.items()):
            print(f"{source}: {reason}")
    return DONE if trial.passing == trial.rows else PARTLY


async def _destinations(options: argparse.Namespace, services: ServiceHandler) -> list[Destination]:
    """Return the dataset that is named, or all that have a quarantine; ConfigError where there is none."""
    if options.dataset or options.contract:
        destination = destination_of(options, services.settings)
        with open_book(services, destination) as book:
            if not await book.exists():
                raise ConfigError("there is no quarantine", where=book.uri, way_out="check --dataset and --format")
        return [destination]
    options.dataset = "-"
    root = destination_of(options, services.settings)
    folder = f"{root.prefix}/" if root.prefix else ""
    names = [name async for name in agencies_in_bucket(services.store(root.bucket), f"{folder}{{agency_id}}/")]
    found = [name.removesuffix(_QUARANTINE) for name in names if name.endswith(_QUARANTINE)]
    if not found:
        raise ConfigError(
            "no dataset has a quarantine here",
            where=f"s3://{root.bucket}/{folder}",
            way_out="check --silver-bucket and --silver-prefix",
        )
    return [type(root)(root.bucket, root.prefix, dataset, root.format) for dataset in found]


def _parser() -> Parser:
    parser = Parser(
        prog="pipeline-processing quarantine",
        description="Rejected rows: what they are, and the ways back.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _TEXTS.items():
        commands.add_parser(name, help=text)
    return parser
