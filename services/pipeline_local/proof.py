"""The demo's claims, checked against what is really there."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from etl_core.settings import load
from pipeline_local import sample
from pipeline_local.resources import client
from pipeline_processing.layout import RunLayout
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline_processing.model import Json

COLUMNS: Final = ("inputs of", "planned", "done", "failed", "skipped", "dead", "pending", "conserved")
READS_AT_ONCE: Final = 8


class Untrue(Exception):  # noqa: N818 - the finding, in the words of the one who reads it
    """The product did not do what the demo says."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the sample data must lead to."""

    attachments: int
    files: int
    items: int
    inputs: int


@dataclass(frozen=True, slots=True)
class Found:
    """What was compared, and where things are."""

    files: int
    rows: int
    manifest_rows: int
    markers: int
    places: Sequence[tuple[str, str]]
    report_page: bytes


def check(what: str, expected: object, found: object) -> None:
    """Raise Untrue unless both are equal."""
    if expected != found:
        raise Untrue(f"{what}: expected {expected!r}, found {found!r}")


def expectations(pack: int) -> Expectations:
    """Return what must come of the sample data in packs of ``pack`` files."""
    files = sample.files()
    packs = sum(math.ceil(count / pack) for count in Counter(file.agency_id for file in files).values())
    exports = len(sample.AGENCIES)
    there = sum(file.body is not None for file in files)
    return Expectations(len(files), there, packs + exports, len(files) + exports)


def read_report(environment: Mapping[str, str], run_id: str) -> dict[str, Json]:
    """Return the run's ``report.json``."""
    key = _layout(run_id).report("json")
    report: dict[str, Json] = json.loads(_read(client("s3", environment), environment["PIPELINE_CONTROL_BUCKET"], key))
    return report


def conservation(report: Mapping[str, Json]) -> list[tuple[object, ...]]:
    """Return the rows, under COLUMNS, that show per agency and in all that planned is the sum of the others."""
    balances = [(agency["agency_id"], agency) for agency in report["agencies"]] + [("all", report["total"])]
    rows: list[tuple[object, ...]] = []
    for name, balance in balances:
        planned, done, skipped, dead, pending = (
            balance[state]["inputs"] for state in ("planned", "done", "skipped", "dead", "pending")
        )
        failed = balance["failed_inputs"]  # these belong to items that are done all the same
        conserved = "yes" if balance["is_conserved"] else "NO"
        rows.append((name, planned, done - failed, failed, skipped, dead, pending, conserved))
    return rows


def compare(environment: Mapping[str, str], expected: Expectations, run_id: str) -> Found:
    """Compare every stored byte, row and record with the sample; Untrue at the first difference."""
    s3 = client("s3", environment)
    control, bucket = environment["PIPELINE_CONTROL_BUCKET"], environment["PIPELINE_DESTINATION_BUCKET"]
    layout = _layout(run_id)
    report = read_report(environment, run_id)
    check("conserved", expected=True, found=all(row[-1] == "yes" for row in conservation(report)))
    markers = sum(1 for _ in _keys(s3, control, layout.done))
    check("markers", expected.items, markers)
    check("flag", [layout.success], [key for key in _keys(s3, control, layout.root) if "/_" in key])
    catalog = json.loads(_read(s3, bucket, "catalog.json"))["agencies"]
    check("agencies in the catalog", sorted(sample.AGENCIES), sorted(catalog))
    page = _read(s3, control, layout.report("html"))
    return Found(
        files=_compare_files(s3, bucket, expected),
        rows=_compare_rows(s3, bucket, catalog),
        manifest_rows=_compare_manifests(s3, bucket, catalog),
        markers=markers,
        places=_places(bucket, control, layout, catalog),
        report_page=page,
    )


def _compare_files(s3: Any, bucket: str, expected: Expectations) -> int:  # noqa: ANN401 - see resources.client
    wanted = {file.destination: file.body for file in sample.files() if file.body is not None}
    there = {key for key in _keys(s3, bucket, "") if "/attachments/" in key}
    check("attachments that are too many or too few", set(), there ^ set(wanted))
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        for key, body in zip(wanted, pool.map(lambda key: _read(s3, bucket, key), wanted), strict=True):
            check(f"the bytes of {key}", wanted[key], body)
    check("files", expected.files, len(wanted))
    return len(wanted)


def _compare_rows(s3: Any, bucket: str, catalog: Mapping[str, Json]) -> int:  # noqa: ANN401 - see resources.client
    exported: dict[str, list[list[str]]] = {}
    for agency in catalog:
        text = _read(s3, bucket, _file(catalog, agency, "employment_history", ".csv")).decode()
        exported[agency] = list(csv.reader(io.StringIO(text, newline="")))[1:]
    wanted: dict[str, list[list[str]]] = {agency: [] for agency in catalog}
    for row in sample.rows(mended=True):
        wanted[row[1]].append(["" if value is None else str(value) for value in row])
    for agency, rows in wanted.items():
        check(f"agency {agency}'s CSV rows", len(rows), len(exported[agency]))
        for one, other in zip(rows, exported[agency], strict=True):
            check(f"CSV row {one[0]}", one, other)
    return sum(map(len, exported.values()))


def _compare_manifests(s3: Any, bucket: str, catalog: Mapping[str, Json]) -> int:  # noqa: ANN401 - see resources.client
    rows = [
        json.loads(line)
        for agency in catalog
        for line in _read(s3, bucket, _file(catalog, agency, "attachments", ".ndjson")).splitlines()
    ]
    wanted = {
        str(file.attachment_id): ("missing", None) if file.body is None else ("stored", file.destination)
        for file in sample.files()
    }
    found = {row["attachment_id"]: (row["status"], row["destination_key"]) for row in rows}
    check("the manifests", wanted, found)
    check("manifest rows", len(wanted), len(rows))
    return len(rows)


def _places(bucket: str, control: str, layout: RunLayout, catalog: Mapping[str, Json]) -> list[tuple[str, str]]:
    agency = sample.POISON_AGENCY
    return [
        ("files", f"s3://{bucket}/{agency}/attachments/ (and other agencies)"),
        ("manifest", f"s3://{bucket}/{_file(catalog, agency, 'attachments', '.ndjson')} (and .parquet)"),
        ("CSV", f"s3://{bucket}/{_file(catalog, agency, 'employment_history', '.csv')}"),
        ("catalog", f"s3://{bucket}/catalog.json"),
        ("report", f"s3://{control}/{layout.report('html')} (and .json)"),
        ("markers", f"s3://{control}/{layout.done}"),
    ]


def _file(catalog: Mapping[str, Json], agency: str, part: str, ending: str) -> str:
    keys = [file["key"] for file in catalog[agency][part]["files"] if file["key"].endswith(ending)]
    check(f"files {ending} of agency {agency} in the catalog", 1, len(keys))
    key: str = keys[0]
    return key


def _layout(run_id: str) -> RunLayout:
    return RunLayout(load(Settings).control_prefix, run_id)


def _read(s3: Any, bucket: str, key: str) -> bytes:  # noqa: ANN401 - see resources.client
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:  # noqa: ANN401 - see resources.client
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            yield entry["Key"]
