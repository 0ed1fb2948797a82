"""`pipeline-processing new-job NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_processing.arguments import Parser
from pipeline_processing.cli.exits import DONE
from pipeline_processing.scaffold import checkout, render, write

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Write a new job's files into the checkout that this runs in; return an exit code."""
    options = _parser().parse_args(argv)
    root = checkout(options.root.resolve())
    new = render(options.name, root)
    if not options.dry_run:
        write(new)
    for file in new:
        verb = "would write" if options.dry_run else "wrote"
        print(f"{verb} {file.path.relative_to(root)} ({file.text.count(chr(10))} lines)")
    if not options.dry_run:
        job, processor, test = (str(file.path.relative_to(root)) for file in new)
        print(f"""
next
  1. {processor}: what is done with one item
  2. {job}: what the items are, and what publishing means; its description in JOB
  3. {test}: what both promise, first of all
  then: make check && .venv/bin/python -m pytest {test}
        pipeline-processing run {options.name} -- --help
        pipeline-processing controller run {options.name} -- …""")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pipeline-processing new-job",
        description="Write a new job, its processor and its test from a template: they run and pass make check.",
    )
    parser.add_argument("name", metavar="NAME", help="the job's name, such as normalize_ranks")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")
    parser.add_argument("--root", type=Path, default=Path(), help="a folder in the checkout (default: this one)")
    return parser
