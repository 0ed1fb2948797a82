"""Three agencies with oddly named files and odd histories, and what must become of them."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3.client import S3Client

AGENCIES: Final = {"10": "Northfield", "20": "Süd-Westen", "30": "東京"}
ROWS_OF_AGENCY: Final = 70
_ODD_NAMES: Final = {
    "plain.txt": "plain.txt",
    "with space.pdf": "with space.pdf",
    "a+b=c&d?.pdf": "a+b=c&d?.pdf",
    "100%2Foff.txt": "100%2Foff.txt",
    "ünïcödé/日本語.txt": "ünïcödé/日本語.txt",
    "folder/": "folder/",
    "../../climb.txt": "%2E%2E/%2E%2E/climb.txt",
    "zero.bin": "zero.bin",
    "quote'\"<>.txt": "quote'\"<>.txt",
    "🦊.jpg": "🦊.jpg",
}
"""Name below the agency's source folder -> name below its destination folder."""

HISTORY_COLUMNS: Final = (
    "row_id",
    "agency_id",
    "employee_id",
    "last_name",
    "first_name",
    "middle_initial",
    "gender",
    "race",
    "birth_year",
    "appointed_date",
    "rank",
    "unit",
    "start_date",
    "end_date",
)
_NAMES: Final = ('O"Neil', "de la Cruz, Ana", "Ümit\nÖz", "=cmd()", "", "李")


@dataclass(frozen=True)
class SourceFile:
    agency_id: str
    source_key: str
    destination_key: str
    body: bytes

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class World:
    """The source bucket and the database, seeded; nothing in a scenario changes them."""

    source_bucket: str
    database_url: str

    def attachments(self) -> dict[str, SourceFile]:
        return {file.destination_key: file for file in source_files()}

    def histories(self) -> dict[str, bytes]:
        """Return every agency's export by its key."""
        exports = (history_csv(agency_id, history_rows(agency_id)) for agency_id in AGENCIES)
        return {
            f"{agency_id}/employment_history/{hashlib.sha256(body).hexdigest()[:32]}.csv": body
            for agency_id, body in zip(AGENCIES, exports, strict=True)
        }


def source_files() -> Iterator[SourceFile]:
    for agency_id in AGENCIES:
        for number, (name, kept) in enumerate(_ODD_NAMES.items()):
            body = b"" if name in {"zero.bin", "folder/"} else f"{agency_id}/{name}\n".encode() * (number + 1)
            yield SourceFile(agency_id, f"{agency_id}/{name}", f"{agency_id}/attachments/{kept}", body)


def history_rows(agency_id: str) -> list[tuple[Any, ...]]:
    """Return the agency's rows as the export spells them."""
    base = 1000 * int(agency_id)
    return [
        (
            str(base + number),
            agency_id,
            str(base + number // 3) if number % 5 else "",
            _NAMES[number % len(_NAMES)],
            f"First {number}",
            "",
            "F" if number % 2 else "M",
            "",
            str(1950 + number % 50),
            f"19{70 + number % 30}-0{1 + number % 9}-1{number % 10}",
            "Sergeant, 1st",
            f"{number % 7:03}",
            f"20{number % 20:02}-01-0{1 + number % 9}",
            "" if number % 4 else "2024-12-31",
        )
        for number in range(ROWS_OF_AGENCY)
    ]


def history_csv(agency_id: str, rows: list[tuple[Any, ...]]) -> bytes:
    assert all(row[1] == agency_id for row in rows)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([HISTORY_COLUMNS, *rows])
    return text.getvalue().encode()


def upload(s3: S3Client, bucket: str) -> None:
    for file in source_files():
        s3.put_object(Bucket=bucket, Key=file.source_key, Body=file.body, ContentType="text/x-odd")


def fill(database_url: str) -> None:
    """Seed a migrated database: every second attachment's ETag and size are known to it, the others are looked up."""
    history = [
        (int(row[0]), row[1], int(row[2]) if row[2] else None, *row[3:])
        for agency_id in AGENCIES
        for row in history_rows(agency_id)
    ]
    execute(
        database_url,
        (_insert("agencies", "id, name"), list(AGENCIES.items())),
        (_insert("attachments", "id, agency_id, employee_id, source_key, size_bytes, etag"), list(_attachment_rows())),
        (_insert("employment_history", ", ".join(("id", *HISTORY_COLUMNS[1:]))), history),
    )


def _insert(table: str, columns: str) -> str:
    values = ", ".join(f"${number}" for number in range(1, columns.count(",") + 2))
    return f"insert into {table} ({columns}) values ({values})"  # noqa: S608 - fixed names


def execute(database_url: str, *work: tuple[str, list[tuple[Any, ...]]]) -> None:
    """Run statements, each once a row of arguments, on a loop of its own in another thread."""

    async def run() -> None:
        import asyncpg  # noqa: PLC0415 - the optional extra `db`

        connection = await asyncpg.connect(database_url)
        try:
            for statement, rows in work:
                await connection.executemany(statement, rows)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: asyncio.run(run())).result()


def _attachment_rows() -> Iterator[tuple[Any, ...]]:
    for number, file in enumerate(source_files(), start=1):
        known = (len(file.body), file.etag) if number % 2 else (None, None)
        yield (number, file.agency_id, number, file.source_key, *known)
    # A second employee with the first file: one file, two inputs.
    first = next(source_files())
    yield (1000, first.agency_id, 7, first.source_key, len(first.body), first.etag)


def planned_inputs() -> Mapping[str, int]:
    """Return how many attachments and exports each agency stands for."""
    return {agency_id: len(_ODD_NAMES) + 1 + (agency_id == "10") for agency_id in AGENCIES}
