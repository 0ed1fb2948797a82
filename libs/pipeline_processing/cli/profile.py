"""`pipeline-processing profile`: of a local file, or merged of what a dataset's runs have published."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from etl_core.errors import ConfigError
from pipeline_processing.arguments import Parser
from pipeline_processing.cli.exits import DONE
from pipeline_processing.cli.local_file import LocalFile, check_source, page_of, refined
from pipeline_processing.cli.terminal import print_json, print_pairs, print_table
from pipeline_processing.cli.writing import check_target, write
from pipeline_processing.contracts.infer import infer
from pipeline_processing.contracts.load import load
from pipeline_processing.jobs._tables import destination_of, with_table_options
from pipeline_processing.processors.silver.live_profiles import live_profile
from pipeline_processing.quality.verdict import Verdict
from pipeline_processing.readers.open_file import open_file
from pipeline_processing.reports import quality_text
from pipeline_processing.reports.quality_facts import QualityPage
from pipeline_processing.reports.quality_page import render
from pipeline_processing.service_handler import ServiceHandler

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pipeline_processing.contracts.model import Contract


def main(argv: Sequence[str]) -> int:
    """Profile a local file, or what was published; return an exit code."""
    options = parser().parse_args(argv)
    if options.file is None and options.dataset is None and options.contract is None:
        raise ConfigError(
            "a profile of what?", where="profile", way_out="name a FILE, or --dataset of what is published"
        )
    check_target(options.html, where="--html")
    page = _of_file(options) if options.file is not None else asyncio.run(_of_dataset(options))
    if page.profile is None:
        raise ConfigError(
            "nothing of it is published now", where="--dataset", way_out="widen --agency-id, --since and --until"
        )
    if options.html:
        write(options.html, render(page), where="--html")
    if options.json:
        print_json({"of": page.file, **page.facts, **page.profile.as_json()})
        return DONE
    print_pairs({"of": page.file, "rows": page.profile.rows, "files": page.profile.files, **page.facts})
    print()
    print_table(quality_text.PROFILE_COLUMNS, quality_text.profile_rows(page.profile))
    return DONE


def _of_file(options: argparse.Namespace) -> QualityPage:
    file = LocalFile(options.file, _contract(options))
    with refined(file) as result:
        return replace(page_of(file, result), verdict=Verdict("pass"), is_profile=True)


def _contract(options: argparse.Namespace) -> Contract:
    """Return what the columns are, without any check: by the contract that was named, else as the file looks."""
    if options.contract is not None:
        contract = load(options.contract, dataset=options.dataset)
    else:
        check_source(options.file, where="FILE")
        with open_file(options.file) as rows:
            text = infer(
                (batch.frame for batch in rows), dataset=options.dataset or options.file.name.partition(".")[0]
            )
        contract = load(text)
    columns = tuple(replace(column, protection=None) for column in contract.columns)
    return replace(contract, columns=columns, checks=(), dedupe=None)


async def _of_dataset(options: argparse.Namespace) -> QualityPage:
    async with ServiceHandler.for_process() as services:
        return await of_dataset(options, services)


async def of_dataset(options: argparse.Namespace, services: ServiceHandler) -> QualityPage:
    """Return the profile of what is published now; ``profile`` is None where nothing is."""
    destination = destination_of(options, services.settings)
    found = await live_profile(services, destination, agency_id=options.agency_id, is_meant=_within(options))
    facts = {"runs": f"{found.runs:,}", "agency": options.agency_id or "all"}
    if found.replaced:
        facts["counted too"] = f"files that were published anew since, as runs are profiled whole: {found.replaced:,}"
    facts["table"] = services.table(destination).uri
    return QualityPage(
        file=destination.dataset,
        dataset=destination.dataset,
        contract="",
        verdict=Verdict("pass"),
        rows_in=0,
        rows_out=0,
        quarantined=0,
        deduplicated=0,
        profile=found.profile,
        facts=facts,
        is_profile=True,
    )


def _within(options: argparse.Namespace) -> Callable[[str], bool]:
    since, until = options.since, options.until

    def is_within(planned_at: str) -> bool:
        at = datetime.fromisoformat(planned_at)
        return (since is None or at >= since) and (until is None or at < until)

    return is_within


def _time(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def parser() -> Parser:
    """Return the command's parser."""
    parser = Parser(
        prog="pipeline-processing profile",
        description="What a local file holds, column by column; or, merged, what stands of what a dataset's runs have "
        "published. With FILE, --contract says what its columns are (default: as they look), --dataset which of its "
        "datasets is meant; classified ones show no values.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="CSV, JSON, XLSX, XLS, Parquet …")
    with_table_options(parser)
    published = parser.add_argument_group("of what is published, in place of FILE")
    published.add_argument("--agency-id", metavar="ID", help="of one agency (default: of all)")
    published.add_argument("--since", type=_time, metavar="ISO8601", help="of runs planned from then on")
    published.add_argument("--until", type=_time, metavar="ISO8601", help="of runs planned before then")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write one self-contained page")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    return parser
