"""`pipeline-processing backfill`: what a reprocessing would change, the reprocessing, and the way back."""

from __future__ import annotations

import argparse
import asyncio
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Final, cast

from etl_core.errors import ConfigError
from pipeline_processing.arguments import Parser, typed_as
from pipeline_processing.cli.backfill_texts import print_preview, print_taken_back
from pipeline_processing.cli.exits import DONE, PARTLY, guarded
from pipeline_processing.cli.terminal import confirmed, print_json
from pipeline_processing.jobs import backfill as job_module
from pipeline_processing.jobs._tables import destination_of, with_table_options
from pipeline_processing.jobs.backfill import Backfill

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from pipeline_processing.service_handler import ServiceHandler

_EXAMPLES: Final = """\
examples:
  pipeline-processing backfill plan --dataset roster --all-agencies --stale
  pipeline-processing backfill plan --contract roster.odcs.yaml --agency-id 10 --since 2030-01-01 --sample 5 --json
  pipeline-processing backfill run --dataset roster --all-agencies --stale=contract
  pipeline-processing backfill run --dataset roster --all --force --inline
  pipeline-processing backfill rollback backfill-20300102T030405Z-d905e156 --dataset roster --dry-run

`plan` writes nothing. `run` sends the work to the backfill lane, a queue of its own, so that live work does not wait.
exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partly done (look at the report), 130 interrupted
"""
_TEXTS: Final = {
    "plan": "which files, how many published rows, what it costs; and a sample of files, refined and compared",
    "run": "refine the files again and replace what they published, in one commit",
    "rollback": "restore what a run replaced",
}
_COMMANDS_GROUP: Final = "pipeline_processing.commands"


def main(argv: Sequence[str]) -> int:
    """Run one of the commands; return its exit code."""
    if not argv or argv[0] not in _TEXTS:
        _parser().parse_args(list(argv)[:1])
    command, rest = argv[0], list(argv[1:])
    if command == "run":
        return _run(rest)
    options = _options(command, rest)
    call = rollback if command == "rollback" else plan
    return _in_process(lambda services: call(options, services))


def parse(argv: Sequence[str]) -> object:
    """Read what was typed, and do nothing else."""
    if not argv or argv[0] not in _TEXTS:
        _parser().parse_args(list(argv)[:1])
    command, rest = argv[0], list(argv[1:])
    return run_arguments(rest) if command == "run" else _options(command, rest)


async def plan(options: argparse.Namespace, services: ServiceHandler) -> int:
    """Say what a run of these arguments would do."""
    job = Backfill(services.settings)
    preview = await job.preview(job.spec(options), services, sample=options.sample)
    if options.json:
        print_json(preview.as_json())
    else:
        print_preview(preview)
    return DONE


async def rollback(
    options: argparse.Namespace, services: ServiceHandler, *, ask: Callable[[str], bool] = confirmed
) -> int:
    """Take the run back, after a look at what that does; 3 where it was not confirmed."""
    from pipeline_processing.processors.backfill.takeback import take_back  # noqa: PLC0415 - polars takes a while

    destination = destination_of(options, services.settings)
    found = await take_back(options.run, destination, services, is_dry_run=True)
    is_open = any(table.state == "to be rolled back" for table in found)
    if is_open and not options.dry_run:
        if not options.yes:
            print_taken_back(found, out=sys.stderr)
            if not ask(f"roll run {options.run} back?"):
                print("nothing was changed", file=sys.stderr)
                return PARTLY
        found = await take_back(options.run, destination, services, is_dry_run=False)
    if options.json:
        print_json({"run_id": options.run, "dry_run": options.dry_run, "tables": [one.as_json() for one in found]})
    else:
        print_taken_back(found)
    if not options.dry_run and services.settings.control_bucket:
        from pipeline_processing.stages import open_control  # noqa: PLC0415 - see above

        # Also where it was rolled back before: that one may have died before the note.
        await open_control(services).runs.note_rolled_back(options.run)
    return DONE


def _run(argv: Sequence[str]) -> int:
    """Hand the run over to the controller, or do it here; the job's arguments are looked at first either way."""
    arguments, is_inline = run_arguments(argv)
    with typed_as("pipeline-processing backfill run"):
        return job_module.main(arguments) if is_inline else _controller()(arguments)


def run_arguments(argv: Sequence[str]) -> tuple[list[str], bool]:
    """Return the arguments of the controller, or those of the job where the run is inline."""
    own, rest = _own_of_run(argv)
    options = [*(("--run-id", own.run_id) if own.run_id else ()), *(("--json",) if own.json else ())]
    if own.tolerate_failures is not None:
        options += ["--tolerate-failures", own.tolerate_failures]
    if not own.inline:
        return ["run", job_module.NAME, "--lane", "backfill", *options, *own.controller, "--", *rest], False
    if own.controller:
        raise ConfigError(f"{own.controller[0]} is for the fleet", where="--inline", way_out="leave one of the two out")
    return [*rest, *options], True


def _own_of_run(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return what is the run's own, and what is the job's."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--inline", action="store_true")
    parser.add_argument("--run-id")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tolerate-failures")
    for option in ("--no-wait", "--dry-run"):
        parser.add_argument(option, dest="controller", action="append_const", const=option)
    parser.add_argument("--timeout")
    own, rest = parser.parse_known_args([word for word in argv if word != "--"])
    own.controller = [*(own.controller or ()), *(("--timeout", own.timeout) if own.timeout else ())]
    with typed_as("pipeline-processing backfill run"):
        _with_run_options(Backfill().parser()).parse_args(list(argv))
    return own, rest


def _controller() -> Callable[[Sequence[str]], int]:
    """Return the controller's command: no service is imported by the library."""
    for point in metadata.entry_points(group=_COMMANDS_GROUP, name="controller"):
        return cast("Callable[[Sequence[str]], int]", point.load())
    raise ConfigError("the controller is not installed", where="backfill run", way_out="install it, or give --inline")


def _in_process(call: Callable[[ServiceHandler], Coroutine[object, object, int]]) -> int:
    from pipeline_processing.service_handler import ServiceHandler  # noqa: PLC0415 - pydantic takes a while

    async def work() -> int:
        async with ServiceHandler.for_process() as services:
            return await call(services)

    return guarded(lambda: asyncio.run(work()))


def _options(command: str, argv: Sequence[str]) -> argparse.Namespace:
    with typed_as(f"pipeline-processing backfill {command}"):
        return plan_options(argv) if command == "plan" else rollback_options(argv)


def plan_options(argv: Sequence[str]) -> argparse.Namespace:
    """Return what `plan` is asked for."""
    parser = Backfill().parser()
    parser.description = f"{_TEXTS['plan'].capitalize()}. Writes nothing."
    parser.add_argument(
        "--sample", type=_number, default=3, metavar="N", help="files to try out (default: 3; 0 = none)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    return parser.parse_args(argv)


def rollback_options(argv: Sequence[str]) -> argparse.Namespace:
    """Return what `rollback` is asked for."""
    parser = Parser(
        prog="pipeline-processing backfill rollback",
        description="Restore in a dataset's tables what a run replaced. It may be repeated, and is refused where a "
        "later run has replaced something of this one.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="the run's id")
    with_table_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would become of each table")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    return parser.parse_args(argv)


def _with_run_options(parser: Parser) -> Parser:
    parser.epilog = "The work goes to the backfill lane: workers of `pipeline-processing worker --lane backfill`."
    run = parser.add_argument_group("the run")
    run.add_argument("--inline", action="store_true", help="in this process, without a fleet")
    run.add_argument("--run-id", metavar="ID", help="resume this run, or give a new one its name")
    run.add_argument("--no-wait", action="store_true", help="send the work and return")
    run.add_argument("--timeout", metavar="TIME", help="wait at most this long, such as 90s, 2h")
    run.add_argument("--dry-run", action="store_true", help="only say how many items and messages it would be")
    run.add_argument(
        "--tolerate-failures", metavar="N|P%", help="failed inputs that still count as a success (default: 0)"
    )
    run.add_argument("--json", action="store_true", help="print the report as one JSON document")
    return parser


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        prog="pipeline-processing backfill",
        description="Refine bronze files again, by today's contract and code.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _TEXTS.items():
        commands.add_parser(name, help=text)
    return parser
