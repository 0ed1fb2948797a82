"""The main job: an agency's attachments to their destination, a manifest of them, its employment history as CSV."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from etl_core.errors import AccessDenied, ConfigError, NotFound, check_all
from pipeline_processing.arguments import Parser
from pipeline_processing.jobs._options import count, run_in_process, size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from etl_core.objects import ObjectStore
    from pipeline_processing.job import Job
    from pipeline_processing.model import Gathered, Item, Json, Processor, Published
    from pipeline_processing.processors.get_s3_files.s3_files import FileMapping
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.settings import Settings

NAME: Final = "get_s3_files"
AGENCY: Final = "{agency_id}"


class GetS3Files:
    """Items are packs of attachments and one export an agency; publish writes manifests and replaces the catalog.

    ``settings`` give the buckets that the arguments do not name; without them the environment does.
    """

    name = NAME

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def parse(self, argv: Sequence[str]) -> Mapping[str, Json]:
        """Return the run's spec; exits as argparse does, ConfigError for a set that can not be."""
        return self.spec(parser().parse_args(argv))

    def spec(self, options: argparse.Namespace) -> Mapping[str, Json]:
        """Return the spec that parsed ``options`` say; it names its buckets, so a run resumed elsewhere is the same."""
        from pipeline_processing.processors.get_s3_files.destination import clean_prefix  # noqa: PLC0415 - discovery stays light

        agencies = sorted({part.strip() for text in options.agency_id for part in text.split(",")} - {""})
        if bool(agencies) == options.all_agencies:
            raise ConfigError(
                "whose files?", where="--agency-id", way_out="give --agency-id one or more times, or --all-agencies"
            )
        from_database = options.attachments_from == "db"
        check_all(
            lambda: options.source_bucket or self._bucket("source"),
            lambda: options.destination_bucket or self._bucket("destination"),
        )
        spec = {
            "agencies": agencies,
            "source_bucket": options.source_bucket or self._bucket("source"),
            "destination_bucket": options.destination_bucket or self._bucket("destination"),
            "source_prefix": options.source_prefix,
            "destination_prefix": clean_prefix(options.destination_prefix),
            "attachments_from": options.attachments_from,
            "pack_max_items": options.pack_max_items,
            "pack_max_bytes": options.pack_max_bytes,
            "csv": from_database if options.csv is None else options.csv,
            "formula_safe": options.formula_safe,
        }
        if not from_database and AGENCY not in options.source_prefix:
            raise ConfigError(
                f"{options.source_prefix!r} is the same for every agency",
                where="--source-prefix",
                way_out=f"put {AGENCY} in",
            )
        return spec

    async def plan(
        self,
        run_id: str,  # noqa: ARG002 - equal files are equal items, whatever the run
        spec: Mapping[str, Json],
        services: ServiceHandler,
    ) -> AsyncIterator[Item]:
        """Yield the items of every agency; ConfigError for an unknown agency, a missing bucket, an unfit query."""
        from pipeline_processing.model import Item  # noqa: PLC0415 - discovery stays light
        from pipeline_processing.processors.get_s3_files import employment_history, file_plan, s3_files  # noqa: PLC0415 - the same

        source = services.store(spec["source_bucket"])
        agencies = await self._check(spec, services)
        _refuse_overlap(spec, agencies)
        limits = file_plan.Limits(spec["pack_max_items"], spec["pack_max_bytes"])
        export = employment_history.Export(spec["destination_bucket"], spec["destination_prefix"], spec["formula_safe"])
        for agency_id in agencies:
            packs = file_plan.packs(
                self._found(spec, services, agency_id),
                agency_id=agency_id,
                source=source,
                source_prefix=_source_prefix(spec, agency_id),
                destination_prefix=spec["destination_prefix"],
                limits=limits,
                forbidden=_forbidden(spec),
            )
            async for files in packs:
                pack = s3_files.Pack(spec["source_bucket"], spec["destination_bucket"], tuple(files))
                yield Item(s3_files.NAME, agency_id, pack.as_json(), inputs=sum(len(f.attachments) for f in files))
            if spec["csv"]:
                yield Item(employment_history.NAME, agency_id, export.as_json())

    def processors(self, services: ServiceHandler) -> Sequence[Processor]:
        """Return the processors of this job's items."""
        return (services.s3_files, services.employment_history_export)

    async def publish(
        self, run_id: str, spec: Mapping[str, Json], results: AsyncIterator[Gathered], services: ServiceHandler
    ) -> Published:
        """Write each agency's manifest and commit the catalog; see `catalog` for what two runs do to each other."""
        from pipeline_processing.processors.get_s3_files.publication import Publication  # noqa: PLC0415 - discovery stays light

        publication = Publication(
            run_id,
            services.store(spec["destination_bucket"]),
            spec["destination_prefix"],
            services.clock,
            jitter=services.jitter,
            planned_at=await _planned_at(run_id, services),
        )
        return await publication.publish(results)

    async def _check(self, spec: Mapping[str, Json], services: ServiceHandler) -> list[str]:
        """Return the run's agencies after all that can be known to be wrong was looked at: nothing half-done."""
        from pipeline_processing.processors.agencies import IN_A_BUCKET, choose  # noqa: PLC0415 - discovery stays light

        source = services.store(spec["source_bucket"])
        await _reach(source, services.store(spec["destination_bucket"]), spec["destination_prefix"])
        if spec["csv"]:
            await services.employment_history.check()
        if spec["attachments_from"] == "db":
            known = {agency.agency_id: agency.name for agency in await services.attachments.agencies()}
            return choose(spec["agencies"], known, where="the database")
        wanted = spec["agencies"]
        if wanted and all([await _has_objects(source, _source_prefix(spec, agency_id)) for agency_id in wanted]):
            return list(wanted)
        from pipeline_processing.processors.get_s3_files.file_plan import agencies_in_bucket  # noqa: PLC0415 - discovery stays light

        found = {agency_id: "" async for agency_id in agencies_in_bucket(source, spec["source_prefix"])}
        where = f"s3://{source.bucket}/{spec['source_prefix']}"
        return choose(wanted, found, where=where, way_out=IN_A_BUCKET)

    def _found(self, spec: Mapping[str, Json], services: ServiceHandler, agency_id: str) -> AsyncIterator[FileMapping]:
        from pipeline_processing.processors.get_s3_files import file_plan  # noqa: PLC0415 - discovery stays light

        if spec["attachments_from"] == "db":
            return file_plan.known_to_database(services.attachments, agency_id)
        return file_plan.found_in_bucket(services.store(spec["source_bucket"]), _source_prefix(spec, agency_id))

    def _bucket(self, which: str) -> str:
        if self._settings is None:
            from etl_core.settings import load  # noqa: PLC0415 - discovery stays light
            from pipeline_processing.settings import Settings  # noqa: PLC0415 - the same

            self._settings = load(Settings)
        bucket: str | None = getattr(self._settings, f"{which}_bucket")
        if not bucket:
            raise ConfigError(
                f"no {which} bucket",
                where=NAME,
                way_out=f"give --{which}-bucket, or set PIPELINE_{which.upper()}_BUCKET",
            )
        return bucket


async def _planned_at(run_id: str, services: ServiceHandler) -> str | None:
    """Return when the run's manifest was frozen; None for a run whose records end with its process."""
    from pipeline_processing.layout import RunLayout  # noqa: PLC0415 - discovery stays light
    from pipeline_processing.manifest import Manifest  # noqa: PLC0415 - the same

    if services.settings.control_bucket is None:
        return None
    key = RunLayout(services.settings.control_prefix, run_id).manifest
    return Manifest.decode((await services.control.get(key)).body, key=key).planned_at


def _source_prefix(spec: Mapping[str, Json], agency_id: str) -> str:
    prefix: str = spec["source_prefix"].replace(AGENCY, agency_id)
    return prefix


def _refuse_overlap(spec: Mapping[str, Json], agencies: Sequence[str]) -> None:
    """Refuse to copy into the folders that are copied from: a second run would find the first one's copies there."""
    destination = _forbidden(spec)
    if destination is None:
        return
    sources = [_source_prefix(spec, agency_id) for agency_id in agencies] if spec["attachments_from"] == "s3" else []
    overlaps = any(destination.startswith(source) or source.startswith(destination) for source in sources)
    if overlaps or not destination:
        raise ConfigError(
            f"copies would land among their sources, in bucket {spec['source_bucket']}",
            where="--destination-prefix",
            way_out="use another bucket, or a --source-prefix and a --destination-prefix in folders of their own",
        )


def _forbidden(spec: Mapping[str, Json]) -> str | None:
    """Return the folder of the source bucket that runs write into: a source in it could be replaced by a copy."""
    if spec["source_bucket"] != spec["destination_bucket"]:
        return None
    return f"{spec['destination_prefix']}/" if spec["destination_prefix"] else ""


async def _reach(source: ObjectStore, destination: ObjectStore, prefix: str) -> None:
    """Raise ConfigError now where a bucket is missing or closed. A HEAD could not tell which."""
    from pipeline_processing.processors.get_s3_files.destination import catalog_key  # noqa: PLC0415 - discovery stays light

    try:
        await _has_objects(source, "")
        await destination.get(catalog_key(prefix))
    except NotFound:
        return
    except AccessDenied as error:
        raise ConfigError(
            str(error),
            where=NAME,
            way_out="allow s3:ListBucket and s3:GetObject* on the source, these and s3:PutObject on the destination",
        ) from error


async def _has_objects(store: ObjectStore, prefix: str) -> bool:
    async for _ in store.list(prefix):
        return True
    return False


def parser() -> Parser:
    """Return the parser of what makes a run's spec."""
    parser = Parser(
        prog=f"pipeline-processing run {NAME}",
        description="Copy agencies' attachments, write a manifest of them, export employment histories as CSV.",
        allow_abbrev=False,
    )
    who = parser.add_argument_group("whose")
    who.add_argument("--agency-id", action="append", default=[], metavar="ID", help="repeatable, or comma-separated")
    who.add_argument("--all-agencies", action="store_true", help="every agency that the source knows")
    where = parser.add_argument_group("from where to where")
    where.add_argument("--source-bucket", metavar="BUCKET", help="default: PIPELINE_SOURCE_BUCKET")
    where.add_argument("--destination-bucket", metavar="BUCKET", help="default: PIPELINE_DESTINATION_BUCKET")
    where.add_argument(
        "--source-prefix",
        default=f"{AGENCY}/",
        metavar="TEMPLATE",
        help="an agency's folder in the source bucket, taken off its files' names (default: %(default)s)",
    )
    where.add_argument("--destination-prefix", default="", metavar="PREFIX", help="folder of everything written")
    where.add_argument(
        "--attachments-from", choices=("db", "s3"), default="db", help="which attachments: database or bucket listing"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--pack-max-items", type=count, default=100, metavar="N", help="files in one item (default: 100)")
    how.add_argument(
        "--pack-max-bytes", type=size, default="256MiB", metavar="SIZE", help="bytes in one item (default: 256MiB)"
    )
    how.add_argument(
        "--csv",
        action=argparse.BooleanOptionalAction,
        help="export employment histories (default: with --attachments-from db)",
    )
    how.add_argument(
        "--formula-safe",
        action="store_true",
        help="put ' before texts that a spreadsheet would take for a formula; changes the data",
    )
    return parser


def definition() -> Job:
    """Return the job, for the controller and the workers."""
    return GetS3Files()


def main(argv: Sequence[str]) -> int:
    """Run inline in this process; return an exit code."""
    return run_in_process(parser(), GetS3Files, argv)


JOB = (main, "copy agencies' attachments between buckets, with a manifest, and export employment histories as CSV")
