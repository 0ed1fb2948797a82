"""`pipeline-processing`: every command by name, found lazily.

Options alone (`pipeline-processing --agency-id 10 …`) are the image's ENTRYPOINT form and run get_s3_files.
Commands of the services come through the entry-point group `pipeline_processing.commands`; no service is imported here.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Final, cast

from etl_core import memory
from etl_core.errors import ConfigError
from pipeline_processing import __version__
from pipeline_processing.arguments import Parser, typed_as
from pipeline_processing.cli import get_s3_files
from pipeline_processing.cli.exits import DONE, MEANINGS, USAGE, guarded, heed_sigterm
from pipeline_processing.cli.terminal import print_json, print_table
from pipeline_processing.jobs.registry import discover

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    Command = Callable[[Sequence[str]], int]

GROUP: Final = "pipeline_processing.commands"

_HELP: Final[Mapping[str, Mapping[str, str]]] = {
    "Jobs": {
        "run": "run a job inline, in this process: run JOB -- ARGS",
        "jobs": "list every job with its description [--json]",
        "new-job": "write a new job, its processor and its test from a template",
    },
    "Data": {
        "contracts": "lint, show, diff and infer contracts; the JSON schema for editors",
        "validate": "check one local file by a contract: a table, --json, or --html for its sender",
        "profile": "what a local file holds, column by column; no contract needed",
        "quarantine": "list, show, release and waive rejected rows",
        "backfill": "plan and run a reprocessing, roll one back",
    },
    "The fleet": {
        "controller": "plan, scatter, wait, gather, publish; each of them alone too",
        "worker": "work on a lane's queue until told to stop",
        "dlq": "list, show and redrive dead letters; watch the lanes for alerts",
        "manifest": "print a run, or any --command, as a Kubernetes Job or CronJob, checked: manifest JOB -- ARGS",
    },
    "This machine": {
        "local": "start, stop and look at the embedded S3, SQS and Postgres",
        "demo": "a whole run on the embedded stack, explained step by step",
    },
    "Care": {
        "doctor": "check the settings, reach each service, refuse unsafe sets",
        "migrate": "bring the database's schema up to date; --dry-run says what is pending",
        "version": "print the version",
    },
}

_EXAMPLES: Final = """\
  pipeline-processing --agency-id 10 --source-bucket A --destination-bucket B
  pipeline-processing run get_s3_files -- --agency-id 10
  pipeline-processing controller run get_s3_files -- --all-agencies
  pipeline-processing worker --lane live
  pipeline-processing dlq list --lane live
  pipeline-processing validate roster.csv --contract roster.odcs.yaml --html roster.html
  pipeline-processing run bronze_to_silver -- --contract roster.odcs.yaml --all-agencies
  pipeline-processing new-job normalize_ranks --dry-run
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    heed_sigterm()
    memory.bound()
    arguments = sys.argv[1:] if argv is None else list(argv)
    return guarded(lambda: _dispatch(arguments))


def _dispatch(argv: list[str]) -> int:
    if not argv:
        print(_help(), file=sys.stderr)
        return USAGE
    name, rest = argv[0], argv[1:]
    if name in {"--help", "-h", "help"}:
        print(_help())
        return DONE
    if name in {"--version", "version"}:
        print(f"pipeline-processing {__version__}")
        return DONE
    if name.startswith("-"):
        job = f"run {get_s3_files.JOB_NAME}"
        with typed_as("pipeline-processing", see=f"pipeline-processing {job} --help"):
            return get_s3_files.run(argv)
    return _command(name)(rest)


def _command(name: str) -> Command:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    for point in _offered():
        if point.name == name:
            return _load(point)
    raise ConfigError(f"there is no command {name!r}", where="pipeline-processing", way_out=_meant(name))


def parse_of(name: str) -> Callable[[Sequence[str]], object] | None:
    """Return what reads a command's words and does nothing else: `parse` of its module; ConfigError for no command."""
    command = _command(name)
    module = _module(name) if name in _LATER else sys.modules[command.__module__]
    return cast("Callable[[Sequence[str]], object] | None", getattr(module, "parse", None))


def _load(point: metadata.EntryPoint) -> Command:
    try:
        return cast("Command", point.load())
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the command is declared as {point.value}, which can not be loaded: {error}",
            where=point.name,
            way_out="install the distribution with the extras that this command needs",
        ) from error


def _meant(name: str) -> str:
    commands = [*_BUILT_IN, "version", *(point.name for point in _offered())]
    near = difflib.get_close_matches(name, commands, n=1)
    if near:
        return f"did you mean {near[0]}?"
    if name.replace("-", "_") in discover().jobs:
        return f"that is a job: pipeline-processing run {name.replace('-', '_')} -- …"
    return "pipeline-processing --help lists them: " + ", ".join(commands)


def _offered() -> list[metadata.EntryPoint]:
    return sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)


def _help() -> str:
    groups = {group: dict(commands) for group, commands in _HELP.items()}
    offered = {point.name for point in _offered()}
    for name in sorted(offered - {name for commands in _HELP.values() for name in commands}):
        groups.setdefault("From other distributions", {})[name] = "see its own --help"
    lines = [
        "usage: pipeline-processing COMMAND [ARGS]",
        "       pipeline-processing OPTIONS    (runs get_s3_files)",
        "",
    ]
    for group, commands in groups.items():
        lines += [group, *(f"  {name:<12}{text}" for name, text in commands.items()), ""]
    codes = textwrap.fill(
        " · ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items()),
        100,
        subsequent_indent="  ",
        initial_indent="  ",
    )
    return "\n".join([*lines, "Examples", _EXAMPLES, "Exit codes", codes, "", "Every command has its own --help."])


def _run(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="pipeline-processing run",
        description="Run a job inline, in this process.",
        epilog="The job's own options: pipeline-processing run JOB -- --help",
    )
    parser.add_argument("job", metavar="JOB", help="a job's name; `pipeline-processing jobs` lists them")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="the job's own arguments, after --")
    if not argv or argv[0].startswith("-"):
        parser.parse_args(argv[:1])
    entry = discover().entry(argv[0].replace("-", "_"))
    rest = list(argv[1:])
    if "--" in rest:  # all are the job's, on both sides of it
        rest.remove("--")
    with typed_as(f"pipeline-processing run {entry.name}"):
        return entry.entrypoint(rest)


def _jobs(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="pipeline-processing jobs",
        description="List every job. Faulty modules are named on stderr, with exit code 2; they hide no other job.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args(argv)
    registry = discover()
    if options.json:
        entries = registry.jobs.values()
        jobs = [{"name": entry.name, "description": entry.description, "source": entry.source} for entry in entries]
        print_json({"jobs": jobs, "faults": list(registry.faults)})
    else:
        rows = [(entry.name, entry.description, entry.source) for entry in registry.jobs.values()]
        print_table(("job", "description", "module"), rows)
    for fault in registry.faults:
        print(f"error: {fault}", file=sys.stderr)
    return USAGE if registry.faults else DONE


def _later(name: str) -> Command:
    """Return the command of a module beside this one, imported when it is called: some take a second."""

    def command(argv: Sequence[str]) -> int:
        return cast("Command", _module(name).main)(argv)

    return command


def _module(name: str) -> ModuleType:
    return import_module(f"pipeline_processing.cli.{name.replace('-', '_')}")


_LATER: Final = (
    "new-job",
    "doctor",
    "contracts",
    "validate",
    "profile",
    "quarantine",
    "backfill",
    "manifest",
    "migrate",
)

_BUILT_IN: Final[Mapping[str, Command]] = {
    "run": _run,
    "jobs": _jobs,
    **{name: _later(name) for name in _LATER},
}


if __name__ == "__main__":
    sys.exit(main())
