"""A police department's public records through the fleet: every byte and every row that goes in comes out."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from etl_core.database import Database
from pipeline_local.commands import Commands
from pipeline_processing.layout import RunLayout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from conftest import LocalStack, QueuePair  # type: ignore[attr-defined]  # mypy takes another folder's conftest
    from pipeline_processing.model import Json

CHICAGO: Final = Path(__file__).parents[2] / "../shared/data/chicago"
INITIALS: Final = ("AB", "CD", "EF", "GH", "IJ", "KL", "MN", "OP", "QR", "ST", "UV", "WX", "YZ")
RUN_ID: Final = "chicago"
PACK: Final = 8

pytestmark = [
    pytest.mark.skipif(not CHICAGO.is_dir(), reason="the real input (../shared/data/chicago) is not here"),
    pytest.mark.timeout(300),
]

EMPLOYEE_COLUMNS: Final = (
    *("id", "agency_id", "last_name", "first_name", "middle_initial", "gender", "race", "birth_year", "current_age"),
    *("current_status", "appointed_date", "rank_no", "current_rank", "current_unit", "unit_description"),
    *("resignation_date", "stars"),
)
HISTORY_COLUMNS: Final = (
    *("id", "agency_id", "last_name", "first_name", "middle_initial", "gender", "race", "birth_year"),
    *("appointed_date", "unit", "start_date", "end_date"),
)
EXPORTED: Final = (
    *("row_id", "agency_id", "employee_id", "last_name", "first_name", "middle_initial", "gender", "race"),
    *("birth_year", "appointed_date", "rank", "unit", "start_date", "end_date"),
)


@dataclass(frozen=True)
class Attachment:
    attachment_id: int
    agency_id: str
    employee_id: int
    name: str
    body: bytes

    @property
    def source_key(self) -> str:
        return f"{self.agency_id}/{self.name}"


@dataclass(frozen=True)
class Chicago:
    """The real input, shared out over agencies by last-name initial."""

    employees: Sequence[Sequence[object]]
    history: Sequence[Sequence[object]]
    attachments: Sequence[Attachment]

    @property
    def exports(self) -> dict[str, list[list[str]]]:
        """What each agency's CSV must hold: the published values, in the order of their row ids."""
        rows: dict[str, list[list[str]]] = {agency: [] for agency in INITIALS}
        for row in self.history:
            (number, agency, last, first, middle, gender, race, born, appointed, unit, start, end) = map(_text, row)
            name = ["", last, first, middle, gender, race, born, appointed]
            rows[agency].append([number, agency, *name, "", unit, start, end])
        return rows


@pytest.fixture(scope="module")
def chicago() -> Chicago:
    employees = [
        (
            int(row["row_id"]),
            _agency(row["last_name"]),
            *(row[name] or None for name in EMPLOYEE_COLUMNS[2:-1]),
            [row[f"star{number}"] for number in range(1, 11) if row[f"star{number}"]],
        )
        for row in _records("roster_1936-2017.csv.gz")
    ]
    history = [
        (
            int(row["row_id"]),
            _agency(row["last_name"]),
            *(row[name] or None for name in HISTORY_COLUMNS[2:-2]),
            row["unit_start_date"] or None,
            row["unit_end_date"] or None,
        )
        for row in _records("unit_history_2016-12.csv.gz")
    ]
    files = sorted((CHICAGO / "attachments").iterdir(), key=lambda file: file.name)
    attachments = [
        Attachment(number, INITIALS[number % len(INITIALS)], number + 1, file.name, file.read_bytes())
        for number, file in enumerate(files)
    ]
    return Chicago(employees, history, attachments)


@dataclass(frozen=True)
class Fleet:
    """Buckets, queue and database of this run alone, filled with the real input."""

    stack: LocalStack
    commands: Commands
    control: str
    source: str
    destination: str
    dead_letter_url: str

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.stack.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def bodies(self, bucket: str, keys: list[str]) -> dict[str, bytes]:
        s3 = self.stack.client("s3")
        with ThreadPoolExecutor(8) as pool:
            bodies = pool.map(lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read(), keys)
            return dict(zip(keys, bodies, strict=True))

    def document(self, bucket: str, key: str) -> Json:
        return json.loads(self.bodies(bucket, [key])[key])


@pytest.fixture
async def fleet(
    chicago: Chicago, local_stack: LocalStack, queue_pair: QueuePair, database_url: str, tmp_path: Path
) -> AsyncIterator[Fleet]:
    s3 = local_stack.client("s3")
    control, source, destination = (f"{kind}-{uuid4().hex[:12]}" for kind in ("control", "source", "destination"))
    for bucket in (control, source, destination):
        s3.create_bucket(Bucket=bucket)
    with ThreadPoolExecutor(8) as pool:
        put = partial(s3.put_object, Bucket=source)
        list(pool.map(lambda file: put(Key=file.source_key, Body=file.body), chicago.attachments))
    await _fill(database_url, chicago)
    environment = local_stack.environment | {
        "PIPELINE_CONTROL_BUCKET": control,
        "PIPELINE_SOURCE_BUCKET": source,
        "PIPELINE_DESTINATION_BUCKET": destination,
        "PIPELINE_LIVE_QUEUE": queue_pair.name,
        "PIPELINE_DATABASE_URL": database_url,
        "PIPELINE_LEASE": "30s",
        "PIPELINE_HEARTBEAT": "5s",
    }
    commands = Commands(environment, tmp_path)
    yield Fleet(local_stack, commands, control, source, destination, queue_pair.dead_letter_url)
    commands.stop()


async def test_two_workers_bring_every_byte_and_every_row_of_real_records_to_their_destination(
    fleet: Fleet, chicago: Chicago
) -> None:
    fleet.commands.start("worker-1", ["worker", "--queue", "live"])
    fleet.commands.start("worker-2", ["worker", "--queue", "live"])
    arguments = ["--", "--all-agencies", "--pack-max-items", str(PACK)]
    fleet.commands.run("run", ["controller", "run", "get_s3_files", "--run-id", RUN_ID, *arguments])

    layout = RunLayout("pipeline", RUN_ID)
    report = fleet.document(fleet.control, layout.report("json"))
    _assert_conserved(report, chicago)
    catalog = fleet.document(fleet.destination, "catalog.json")["agencies"]
    assert set(INITIALS) == set(catalog)
    _assert_every_byte(fleet, chicago)
    _assert_every_row(fleet, chicago, catalog)
    _assert_manifests_say_what_is(fleet, chicago, catalog)
    markers = [key.removeprefix(layout.done) for key in fleet.keys(fleet.control, layout.done)]
    assert report["total"]["planned"]["items"] == len(set(markers)) == len(markers)
    assert [layout.success] == fleet.keys(fleet.control, f"{layout.root}_")
    sqs = fleet.stack.client("sqs")
    assert "Messages" not in sqs.receive_message(QueueUrl=fleet.dead_letter_url)


def _assert_conserved(report: Json, chicago: Chicago) -> None:
    assert report["is_success"]
    assert {"copied": len(chicago.attachments), "exported": len(INITIALS)} == report["outcomes"]
    files = Counter(file.agency_id for file in chicago.attachments)
    assert {agency: count + 1 for agency, count in files.items()} == {
        agency["agency_id"]: agency["done"]["inputs"] for agency in report["agencies"]
    }
    for balance in (report["total"], *report["agencies"]):
        assert balance["is_conserved"]
        assert balance["planned"] == balance["done"]


def _assert_every_byte(fleet: Fleet, chicago: Chicago) -> None:
    expected = {f"{file.agency_id}/attachments/{file.name}": file.body for file in chicago.attachments}
    there = [key for key in fleet.keys(fleet.destination) if "/attachments/" in key]
    assert sorted(expected) == sorted(there)
    bodies = fleet.bodies(fleet.destination, there)
    assert [] == [key for key, body in expected.items() if bodies[key] != body]


def _assert_every_row(fleet: Fleet, chicago: Chicago, catalog: Json) -> None:
    keys = {agency: _only(parts["employment_history"], ".csv") for agency, parts in catalog.items()}
    bodies = fleet.bodies(fleet.destination, list(keys.values()))
    exports = chicago.exports
    assert 115_987 == sum(map(len, exports.values()))
    for agency, expected in exports.items():
        header, *rows = csv.reader(io.StringIO(bodies[keys[agency]].decode(), newline=""))
        assert list(EXPORTED) == header
        assert expected == rows


def _assert_manifests_say_what_is(fleet: Fleet, chicago: Chicago, catalog: Json) -> None:
    keys = [_only(parts["attachments"], ".ndjson") for parts in catalog.values()]
    bodies = fleet.bodies(fleet.destination, keys)
    rows = [json.loads(line) for key in keys for line in bodies[key].splitlines()]
    expected = {
        (
            str(file.attachment_id),
            str(file.employee_id),
            file.agency_id,
            file.source_key,
            f"{file.agency_id}/attachments/{file.name}",
            len(file.body),
            "stored",
        )
        for file in chicago.attachments
    }
    said = [
        (
            *(row["attachment_id"], row["employee_id"], row["agency_id"], row["source_key"], row["destination_key"]),
            *(row["size"], row["status"]),
        )
        for row in rows
    ]
    assert len(chicago.attachments) == len(rows)
    assert expected == set(said)


async def _fill(url: str, chicago: Chicago) -> None:
    tables: dict[str, tuple[Sequence[str], Sequence[Sequence[object]]]] = {
        "agencies": (("id", "name"), [(agency, f"Department {agency}") for agency in INITIALS]),
        "employees": (EMPLOYEE_COLUMNS, chicago.employees),
        "attachments": (
            ("id", "agency_id", "employee_id", "source_key"),
            [(file.attachment_id, file.agency_id, file.employee_id, file.source_key) for file in chicago.attachments],
        ),
        "employment_history": (HISTORY_COLUMNS, chicago.history),
    }
    database = Database(url, max_connections=1)
    async with database.transaction() as connection:
        for table, (columns, records) in tables.items():
            await connection.copy_records_to_table(table, columns=list(columns), records=records)
    await database.aclose()


def _records(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(CHICAGO / name, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _agency(last_name: str) -> str:
    """By initial; whoever has no last name is the first agency's."""
    return next(initials for initials in INITIALS if last_name[:1] in initials)


def _only(part: Json, ending: str) -> str:
    (key,) = [file["key"] for file in part["files"] if file["key"].endswith(ending)]
    return str(key)


def _text(value: object) -> str:
    return "" if value is None else str(value)
