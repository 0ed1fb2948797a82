"""Bronze files to a silver table: contracts in, checked rows out, one atomic commit a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, check_all
from pipeline_processing.arguments import Parser
from pipeline_processing.jobs._options import count, run_in_process, size

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.job import Job
    from pipeline_processing.model import Gathered, Item, Json, Processor, Published
    from pipeline_processing.processors.silver.item import Destination, SilverPack, SourceFile
    from pipeline_processing.processors.silver.plan import Select
    from pipeline_processing.processors.silver.standing import Standing
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.settings import Settings

NAME: Final = "bronze_to_silver"
AGENCY: Final = "{agency_id}"


class BronzeToSilver:
    """Items are packs of bronze files; publish commits what they became to the dataset's tables.

    ``settings`` give what the arguments do not name; without them the environment does.
    """

    name = NAME

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def parse(self, argv: Sequence[str]) -> Mapping[str, Json]:
        """Return the run's spec; exits as argparse does, ConfigError for a set that can not be."""
        return self.spec(self.parser().parse_args(argv))

    def parser(self) -> Parser:
        """Return the parser of what makes a run's spec."""
        return parser(self.name)

    def spec(self, options: argparse.Namespace) -> dict[str, Json]:
        """Return the spec that parsed ``options`` say. It holds the contract's text: a run resumed later has the same.

        ConfigError for every fault at once.
        """
        agencies = sorted({part.strip() for text in options.agency_id for part in text.split(",")} - {""})
        if bool(agencies) == options.all_agencies:
            raise ConfigError(
                "whose files?", where="--agency-id", way_out="give --agency-id one or more times, or --all-agencies"
            )
        if AGENCY not in options.source_prefix:
            raise ConfigError(
                f"{options.source_prefix!r} is the same for every agency",
                where="--source-prefix",
                way_out=f"put {AGENCY} in",
            )
        contracts: list[tuple[Contract, str]] = []
        check_all(
            lambda: contracts.append(self._contract(options)),
            lambda: options.source_bucket or self._bucket("source"),
            lambda: options.silver_bucket or self._bucket("silver"),
        )
        ((contract, text),) = contracts
        prefix = options.silver_prefix if options.silver_prefix is not None else self.settings.silver_prefix
        return {
            "agencies": agencies,
            "source_bucket": options.source_bucket or self._bucket("source"),
            "source_prefix": options.source_prefix,
            "pattern": options.pattern,
            "dataset": contract.dataset,
            "contract": text,
            "contract_version": contract.version,
            "silver_bucket": options.silver_bucket or self._bucket("silver"),
            "silver_prefix": prefix.strip("/"),
            "format": options.format,
            "force": options.force,
            "publish_partial": options.publish_partial,
            "pack_max_items": options.pack_max_items,
            "pack_max_bytes": options.pack_max_bytes,
        }

    async def plan(self, run_id: str, spec: Mapping[str, Json], services: ServiceHandler) -> AsyncIterator[Item]:
        """Yield packs of the files that are not published yet in their present version, and what is left alone."""
        from pipeline_processing.processors.silver import plan  # noqa: PLC0415 - discovery stays light
        from pipeline_processing.tables import ledger  # noqa: PLC0415 - the same

        destination = destination_of(spec)
        contract = contract_of(spec)
        make = await self._maker(run_id, spec, services, contract, destination)
        agencies = await self._agencies(spec, services)
        with await ledger.published(services.table(destination)) as published:
            found = plan.compare(self._files(spec, services, agencies), published)
            limits = plan.Limits(spec["pack_max_items"], spec["pack_max_bytes"])
            async for item in plan.items(found, self.select(spec), make, limits):
                yield item

    def select(self, spec: Mapping[str, Json]) -> Select:
        """Return what decides which files a run has work with."""
        from pipeline_processing.processors.silver import plan  # noqa: PLC0415 - discovery stays light

        return plan.everything if spec["force"] else plan.incremental(contract_of(spec).fingerprint)

    def processors(self, services: ServiceHandler) -> Sequence[Processor]:
        """Return the processor of this job's items."""
        return (services.silver,)

    async def publish(
        self, run_id: str, spec: Mapping[str, Json], results: AsyncIterator[Gathered], services: ServiceHandler
    ) -> Published:
        """Commit the run's files to the dataset's tables, the silver table last."""
        from pipeline_processing.processors.silver.publication import Publication  # noqa: PLC0415 - discovery

        publication = Publication(
            run_id,
            contract_of(spec),
            destination_of(spec),
            services,
            publishes_partial=spec["publish_partial"],
        )
        return await publication.publish(results)

    async def _maker(
        self,
        run_id: str,
        spec: Mapping[str, Json],
        services: ServiceHandler,
        contract: Contract,
        destination: Destination,
    ) -> Maker:
        from pipeline_processing.processors.silver.dataset_tables import check_format  # noqa: PLC0415 - discovery
        from pipeline_processing.processors.silver.snapshots import Snapshots  # noqa: PLC0415 - the same
        from pipeline_processing.processors.silver.standing import standing  # noqa: PLC0415 - the same

        await check_format(services, destination)
        snapshots = Snapshots(services.store(destination.bucket), destination, services.clock, services.jitter)
        pin = await snapshots.freeze_contract(contract, spec["contract"])
        references = {
            reference.name: await snapshots.freeze_reference(reference, services) for reference in contract.references
        }
        now = services.clock.now()
        holding = await standing(destination, services, today=now.date())
        return Maker(run_id, pin, destination, now.isoformat(), references, standing=holding)

    async def _agencies(self, spec: Mapping[str, Json], services: ServiceHandler) -> list[str]:
        from pipeline_processing.processors.agencies import IN_A_BUCKET, choose  # noqa: PLC0415 - discovery stays light
        from pipeline_processing.processors.get_s3_files.file_plan import agencies_in_bucket  # noqa: PLC0415 - the same

        source = services.store(spec["source_bucket"])
        found = {agency_id: "" async for agency_id in agencies_in_bucket(source, spec["source_prefix"])}
        where = f"s3://{source.bucket}/{spec['source_prefix']}"
        return choose(spec["agencies"], found, where=where, way_out=IN_A_BUCKET)

    async def _files(
        self, spec: Mapping[str, Json], services: ServiceHandler, agencies: Iterable[str]
    ) -> AsyncIterator[tuple[str, SourceFile]]:
        from pipeline_processing.processors.silver.plan import list_files  # noqa: PLC0415 - discovery stays light

        source = services.store(spec["source_bucket"])
        for agency_id in agencies:
            async for file in list_files(source, spec["source_prefix"].replace(AGENCY, agency_id), spec["pattern"]):
                yield agency_id, file

    @property
    def settings(self) -> Settings:
        """Return the settings, read once."""
        if self._settings is None:
            from etl_core.settings import load  # noqa: PLC0415 - discovery stays light
            from pipeline_processing.settings import Settings  # noqa: PLC0415 - the same

            self._settings = load(Settings)
        return self._settings

    def _bucket(self, which: str) -> str:
        bucket: str | None = getattr(self.settings, f"{which}_bucket")
        if not bucket:
            raise ConfigError(
                f"no {which} bucket",
                where=self.name,
                way_out=f"give --{which}-bucket, or set PIPELINE_{which.upper()}_BUCKET",
            )
        return bucket

    def _contract(self, options: argparse.Namespace) -> tuple[Contract, str]:
        """Return the contract and its text, from ``--contract`` or by its dataset's name from the contracts folder."""
        from pipeline_processing.contracts.load import load  # noqa: PLC0415 - discovery stays light

        if options.contract is None and options.dataset is None:
            raise ConfigError("which dataset?", where="--contract", way_out="give --contract FILE, or --dataset NAME")
        path = options.contract or self._path_of(options.dataset)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path} can not be read: {type(error).__name__}", where="--contract", way_out="name an ODCS YAML file"
            ) from error
        return load(text, dataset=options.dataset), text

    def _path_of(self, dataset: str) -> Path:
        folder = self.settings.contracts_dir
        if folder is None:
            raise ConfigError(
                f"no folder of contracts to look for {dataset!r} in",
                where="--dataset",
                way_out="set PIPELINE_CONTRACTS_DIR, or give --contract FILE",
            )
        path = folder / f"{dataset}.odcs.yaml"
        if not path.is_file():
            known = ", ".join(sorted(one.name.removesuffix(".odcs.yaml") for one in folder.glob("*.odcs.yaml")))
            raise ConfigError(f"{path} is not there", where="--dataset", way_out=f"known: {known or 'none'}")
        return path


class Maker:
    """Makes items' payloads: what all of a run's packs have in common, with each one's files."""

    def __init__(
        self,
        run_id: str,
        contract: Json,
        destination: Destination,
        planned_at: str,
        references: Mapping[str, Json],
        *,
        standing: Standing | None = None,
    ) -> None:
        self._run_id, self._contract, self._destination = run_id, contract, destination
        self._planned_at, self._references, self._standing = planned_at, references, standing

    def __call__(self, files: tuple[SourceFile, ...]) -> SilverPack:
        """Return the payload of one pack."""
        from pipeline_processing.processors.silver.item import SilverPack  # noqa: PLC0415 - discovery stays light

        return SilverPack(
            self._run_id,
            files,
            self._contract,
            self._destination,
            self._planned_at,
            self._references,
            waived=self._standing.waived_in(files) if self._standing else {},
            mended=self._standing.mended_in(files) if self._standing else {},
        )


def contract_of(spec: Mapping[str, Json]) -> Contract:
    """Return the contract that the run was planned with."""
    from pipeline_processing.contracts.load import load  # noqa: PLC0415 - discovery stays light

    return load(spec["contract"], dataset=spec["dataset"])


def destination_of(spec: Mapping[str, Json]) -> Destination:
    """Return where the run's tables are."""
    from pipeline_processing.processors.silver.item import Destination  # noqa: PLC0415 - discovery stays light

    return Destination(spec["silver_bucket"], spec["silver_prefix"], spec["dataset"], spec["format"])


def parser(name: str) -> Parser:
    """Return the parser of what makes a run's spec."""
    parser = Parser(
        prog=f"pipeline-processing run {name}",
        description="Refine agencies' bronze files by a contract and publish them to its silver table in one commit.",
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what")
    what.add_argument("--contract", type=Path, metavar="FILE", help="the dataset's contract (ODCS YAML, v3.0 to v3.2)")
    what.add_argument("--dataset", metavar="NAME", help="its name in the contract, or in PIPELINE_CONTRACTS_DIR")
    who = parser.add_argument_group("whose")
    who.add_argument("--agency-id", action="append", default=[], metavar="ID", help="repeatable, or comma-separated")
    who.add_argument("--all-agencies", action="store_true", help="every agency that has a folder in the source")
    where = parser.add_argument_group("from where to where")
    where.add_argument("--source-bucket", metavar="BUCKET", help="the bronze files (default: PIPELINE_SOURCE_BUCKET)")
    where.add_argument(
        "--source-prefix",
        default=f"{AGENCY}/",
        metavar="TEMPLATE",
        help="an agency's folder in the source bucket (default: %(default)s)",
    )
    where.add_argument(
        "--pattern", default="*", metavar="GLOB", help="files of that folder, such as *.csv.gz (default: all)"
    )
    where.add_argument("--silver-bucket", metavar="BUCKET", help="the tables (default: PIPELINE_SILVER_BUCKET)")
    where.add_argument("--silver-prefix", metavar="PREFIX", help="their folder (default: PIPELINE_SILVER_PREFIX)")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--format",
        choices=("delta", "parquet"),
        default="delta",
        help="Delta Lake (default), or plain Parquet files with a manifest",
    )
    how.add_argument("--force", action="store_true", help="refine what is published already, too")
    how.add_argument(
        "--publish-partial",
        action="store_true",
        help="publish the files that passed even where others failed (default: all of a run or nothing)",
    )
    how.add_argument("--pack-max-items", type=count, default=50, metavar="N", help="files in one item (default: 50)")
    how.add_argument(
        "--pack-max-bytes", type=size, default="64MiB", metavar="SIZE", help="bytes in one item (default: 64MiB)"
    )
    return parser


def definition() -> Job:
    """Return the job, for the controller and the workers."""
    return BronzeToSilver()


def main(argv: Sequence[str]) -> int:
    """Run inline in this process; return an exit code."""
    return run_in_process(parser(NAME), BronzeToSilver, argv)


JOB = (main, "refine agencies' bronze files by a contract into a silver table, with quarantine and profile")
