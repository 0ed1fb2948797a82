"""Quarantined rows back through the contract: those that pass are published, once, beside the rest of their file."""

from __future__ import annotations

import getpass
from datetime import date
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, check_all
from pipeline_processing.arguments import Parser
from pipeline_processing.jobs._options import run_in_process
from pipeline_processing.jobs._tables import with_table_options
from pipeline_processing.jobs.bronze_to_silver import BronzeToSilver, contract_of, destination_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.job import Job
    from pipeline_processing.model import Gathered, Item, Json, Processor, Published
    from pipeline_processing.processors.release.plan import Wish
    from pipeline_processing.service_handler import ServiceHandler

NAME: Final = "release_quarantined"


class ReleaseQuarantined(BronzeToSilver):
    """Items are a file's quarantined rows; publish decides about those that pass and adds them to the silver table."""

    name = NAME

    def parser(self) -> Parser:
        """Return the parser of what makes a run's spec."""
        parser = Parser(
            prog=f"pipeline-processing run {self.name}",
            description="Send quarantined rows through the contract again and publish those that pass.",
            allow_abbrev=False,
        )
        with_table_options(parser)
        with_row_options(parser)
        with_edited_options(parser)
        how = parser.add_argument_group("how")
        how.add_argument("--waive", action="append", default=[], metavar="RULE", help="let rows that fail it through")
        how.add_argument("--expires", metavar="DATE", help="the last day of the waiver, such as 2030-12-31")
        how.add_argument("--reason", metavar="TEXT", help="why; it is kept with the decision")
        how.add_argument("--by", metavar="NAME", help="who decides (default: your user name)")
        return parser

    def spec(self, options: argparse.Namespace) -> dict[str, Json]:
        """Return the spec that parsed ``options`` say; ConfigError for every fault at once."""
        contracts: list[tuple[Contract, str]] = []
        options.by = options.by or _user()
        check_all(
            lambda: contracts.append(self._contract(options)),
            lambda: options.silver_bucket or self._bucket("silver"),
            lambda: _check_words(options),
            lambda: _check_waiver(options),
        )
        ((contract, text),) = contracts
        if options.waive:
            from pipeline_processing.quarantine.policy import check_waivable  # noqa: PLC0415 - discovery stays light

            check_waivable(contract, options.waive)
        prefix = options.silver_prefix if options.silver_prefix is not None else self.settings.silver_prefix
        return {
            "dataset": contract.dataset,
            "contract": text,
            "contract_version": contract.version,
            "silver_bucket": options.silver_bucket or self._bucket("silver"),
            "silver_prefix": prefix.strip("/"),
            "format": options.format,
            "rules": sorted(options.rule),
            "files": sorted(options.file),
            "agencies": sorted(options.agency_id),
            "ids": sorted(options.id),
            "edited": options.edited,
            "skip_decided": options.skip_decided,
            "waived": sorted(set(options.waive)),
            "expires": options.expires,
            "reason": options.reason,
            "by": options.by,
        }

    async def plan(self, run_id: str, spec: Mapping[str, Json], services: ServiceHandler) -> AsyncIterator[Item]:
        """Yield the open rows that are meant, an item a file."""
        from pipeline_processing.processors.release import plan as release_plan  # noqa: PLC0415 - discovery stays light

        async for item in release_plan.items(run_id, wish_of(spec), destination_of(spec), services):
            yield item

    def processors(self, services: ServiceHandler) -> Sequence[Processor]:
        """Return the processor of this job's items."""
        return (services.release,)

    async def publish(
        self, run_id: str, spec: Mapping[str, Json], results: AsyncIterator[Gathered], services: ServiceHandler
    ) -> Published:
        """Commit decisions, quarantine and rows, in this order."""
        from pipeline_processing.processors.release.publication import (  # noqa: PLC0415 - discovery stays light
            ReleasePublication,
        )

        publication = ReleasePublication(run_id, contract_of(spec), destination_of(spec), services)
        return await publication.publish(results)


def with_row_options(parser: Parser) -> Parser:
    """Add what says which rows are meant."""
    which = parser.add_argument_group("which rows (all that are open, unless something is named)")
    which.add_argument(
        "--rule", action="append", default=[], metavar="RULE", help="that failed it; repeatable, or *.type"
    )
    which.add_argument("--file", action="append", default=[], metavar="S3URI", help="of s3://bucket/key, or a wildcard")
    which.add_argument("--agency-id", action="append", default=[], metavar="ID", help="of this agency; repeatable")
    which.add_argument("--id", action="append", default=[], metavar="ID", help="of this quarantine_id; repeatable")
    return parser


def with_edited_options(parser: Parser) -> None:
    """Add what names rows that were mended by hand."""
    how = parser.add_argument_group("as they were mended")
    how.add_argument("--edited", metavar="FILE", help="rows mended by hand: an edited --export, or s3://bucket/key")
    how.add_argument("--skip-decided", action="store_true", help="of FILE leave out the rows that are no longer open")


def wish_of(spec: Mapping[str, Json]) -> Wish:
    """Return what the run was asked for."""
    from pipeline_processing.processors.release.plan import Wish  # noqa: PLC0415 - discovery stays light
    from pipeline_processing.quarantine.book import Filter  # noqa: PLC0415 - the same

    rows = Filter(tuple(spec["rules"]), tuple(spec["files"]), tuple(spec["agencies"]), frozenset(spec["ids"]))
    return Wish(
        rows,
        contract_of(spec),
        spec["contract"],
        reason=spec["reason"],
        decided_by=spec["by"],
        edited=spec["edited"],
        skips_decided=spec.get("skip_decided", False),
        waived=tuple(spec["waived"]),
        expires_at=spec["expires"],
    )


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return None


def _check_words(options: argparse.Namespace) -> None:
    for name, what in (("reason", "why are these rows released?"), ("by", "who decides?")):
        if not (getattr(options, name) or "").strip():
            raise ConfigError(what, where=f"--{name}", way_out=f"give --{name} TEXT")


def _check_waiver(options: argparse.Namespace) -> None:
    if bool(options.waive) != bool(options.expires):
        raise ConfigError("a waiver has an end", where="--expires", way_out="give --expires DATE, with --waive RULE")
    if options.expires:
        try:
            date.fromisoformat(options.expires)
        except ValueError as error:
            raise ConfigError(
                f"{options.expires!r} is no date", where="--expires", way_out="write one such as 2030-12-31"
            ) from error


def definition() -> Job:
    """Return the job, for the controller and the workers."""
    return ReleaseQuarantined()


def main(argv: Sequence[str]) -> int:
    """Run inline in this process; return an exit code."""
    return run_in_process(ReleaseQuarantined().parser(), ReleaseQuarantined, argv)


JOB = (main, "send quarantined rows through the contract again and publish those that pass")
