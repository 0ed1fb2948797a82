"""`pipeline-processing validate FILE --contract C`: one local file by a contract, with no cluster and no service."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.arguments import Parser
from pipeline_processing.cli.exits import DONE, FAILED, PARTLY
from pipeline_processing.cli.local_file import LocalFile, check_source, page_of, refined
from pipeline_processing.cli.terminal import print_json, print_pairs, print_table
from pipeline_processing.cli.writing import check_target, new_folder, write
from pipeline_processing.contracts.load import load
from pipeline_processing.reports import quality_text
from pipeline_processing.reports.quality_page import render, render_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline_processing.processors.refining.refined import Refined
    from pipeline_processing.reports.quality_facts import QualityPage

CODES: Final[Mapping[str, int]] = {"pass": DONE, "warn": PARTLY, "fail_file": FAILED, "fail_run": FAILED}
"""Exit code by verdict: 0 passed, 3 accepted with warnings or quarantined rows, 1 refused."""


def main(argv: Sequence[str]) -> int:
    """Check the file and say what was found; return an exit code by severity."""
    options = parser().parse_args(argv)
    check_target(options.html, where="--html")
    keep = new_folder(options.output, where="--output")
    contract = load(options.contract, dataset=options.dataset)
    file = LocalFile(options.file, contract, options.agency_id, _references(options.reference))
    try:
        with refined(file, keep=keep) as result:
            page = page_of(file, result)
            if options.html:
                write(options.html, render(page), where="--html")
            code = CODES[result.verdict.status]
            if options.json:
                print_json({"file": str(options.file), "exit_code": code, **as_json(page, result)})
            else:
                _print(page)
    except InvalidData as error:
        if options.html:
            write(options.html, _unreadable(file, str(error)), where="--html")
        if options.json:
            print_json({"file": str(options.file), "exit_code": FAILED, "verdict": "unreadable", "reason": str(error)})
            return FAILED
        raise
    return code


def as_json(page: QualityPage, result: Refined) -> dict[str, object]:
    """Return the whole account: counts, checks, reasons and profile; no value of a classified column."""
    reasons = [
        asdict(reason) | {"values": []} if page.hides(reason.column) else asdict(reason) for reason in page.reasons
    ]
    return {
        "dataset": page.dataset,
        "contract": page.contract,
        **result.as_json(),
        "reasons": reasons,
        "profile": result.profile.as_json(),
    }


def _unreadable(file: LocalFile, why: str) -> str:
    contract = file.contract
    told = f"{contract.id} {contract.version}"
    return render_unreadable(file=file.path.name, dataset=contract.dataset, contract=told, why=why)


def _print(page: QualityPage) -> None:
    print_pairs(quality_text.pairs(page))
    print()
    print_table(quality_text.CHECK_COLUMNS, quality_text.check_rows(page.verdict, page.asked))
    if page.reasons:
        print()
        print_table(quality_text.REASON_COLUMNS, quality_text.reason_rows(page))
        print(page.counting)
    if strangers := quality_text.stranger_rows(page):
        print()
        print_table(quality_text.STRANGER_COLUMNS, strangers)


def _references(given: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return the reference tables named on the command line, ``name=FILE``; ConfigError for what is none."""
    found: dict[str, pl.DataFrame] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} names no file", where="--reference", way_out="write NAME=FILE, CSV or Parquet")
        check_source(Path(path), where="--reference")
        try:
            read = pl.read_parquet(path) if path.endswith(".parquet") else pl.read_csv(path, infer_schema=False)
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                f"{path} is neither CSV nor Parquet", where="--reference", way_out="write it as one"
            ) from error
        found[name] = read
    return found


def parser() -> Parser:
    """Return the command's parser."""
    parser = Parser(
        prog="pipeline-processing validate",
        description="Check one local file by a contract. Needs no cluster, no service and no network.",
        epilog="exit codes: 0 passed · 3 accepted, with warnings or quarantined rows · 1 refused or unreadable · "
        "2 the contract or an argument is wrong",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV, JSON, XLSX, XLS, Parquet …; .gz, .zst, .zip too")
    parser.add_argument(
        "--contract", type=Path, required=True, metavar="FILE", help="the dataset's contract (ODCS YAML)"
    )
    parser.add_argument("--dataset", metavar="NAME", help="which of the contract's datasets, where it has several")
    parser.add_argument("--agency-id", default="local", metavar="ID", help="whose file it is (default: local)")
    parser.add_argument(
        "--reference", action="append", default=[], metavar="NAME=FILE", help="a reference table; repeatable"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write one self-contained page for its sender")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="keep the refined Parquet and the quarantine there"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    return parser
