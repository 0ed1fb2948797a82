"""The demo's data: three agencies, odd file names, a row whose date is none, a file that never arrived."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from etl_core.database import Database
from pipeline_local.resources import client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AGENCIES: Final = {
    "10": "Northfield Police Department",
    "20": "Port Avery Sheriff's Office",
    "30": "Lake Osse Marshals",
}
ROWS: Final = 20_000
EMPLOYEES: Final = 2_400
POISON_ROW: Final = 7_776
POISON_AGENCY: Final = "20"
POISON_DATE: Final = "unknown"
MENDED_DATE: Final = "2014-03-01"
MISSING_KEY: Final = "30/never arrived.pdf"
LONGEST: Final = 1024
UPLOADS_AT_ONCE: Final = 8

ODD_NAMES: Final = (
    " leading space.txt",
    "trailing space.txt ",
    "two  spaces.txt",
    "naïve café.txt",
    "cafe\N{COMBINING ACUTE ACCENT} decomposed.txt",
    "日本語のファイル.txt",
    "emoji 📄.txt",
    "plus+plus.txt",
    "100% sure.txt",
    "%2E%2E/looks escaped.txt",
    "../../climbs out.txt",
    "./dot.txt",
    "empty//segment.txt",
    'it\'s "quoted".txt',
    "back\\slash.txt",
    "#hash?query&ampersand=.txt",
    "[brackets] {braces} <angles>.txt",
    "semi;colon,comma:colon@at$dollar!.txt",
    "UPPER and lower.TXT",
    "folder with trailing slash/",
    "zero bytes.bin",
)
"""Below every agency's folder, once each; the last two have no content."""
KEPT_AS: Final = {
    "../../climbs out.txt": "%2E%2E/%2E%2E/climbs out.txt",
    "./dot.txt": "%2E/dot.txt",
    "%2E%2E/looks escaped.txt": "%252E%252E/looks escaped.txt",
}
"""What may not stand in a key as it is, and how a copy's key says it; all other names are kept exactly."""
PLAIN_FILES: Final = {"10": 130, "20": 100, "30": 64}

_LAST: Final = (
    "Abara",
    "O'Neil",
    "García",
    "Smith, Jr.",
    'Lee "Bo"',
    "Müller",
    "Nguyen",
    "=Quist",
    "Żak",
    "de la Cruz",
)
_FIRST: Final = ("Ada", "Bo", "Chidi", "Dana", "Émile", "Fay", "Gus", "Hana", "Ivo", "Jo\nAnn", "Kai")
_RANKS: Final = ("POLICE OFFICER", "SERGEANT", "Lt., Patrol", None)

Row = tuple[int, str, int, str, str, str | None, str, str, str | None, str, str | None, str | None, str, str]
HISTORY_COLUMNS: Final = (
    "id",
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


@dataclass(frozen=True, slots=True)
class File:
    """An attachment as its agency sent it; ``body`` is None for the one that never arrived."""

    attachment_id: int
    agency_id: str
    key: str
    body: bytes | None

    @property
    def destination(self) -> str:
        """Return the key that the copy must get."""
        name = self.key.removeprefix(f"{self.agency_id}/")
        return f"{self.agency_id}/attachments/{KEPT_AS.get(name, name)}"


def files() -> list[File]:
    """Return every attachment that the database names, the same ones each time."""
    keys = []
    for agency, count in PLAIN_FILES.items():
        names = [*ODD_NAMES, *(f"reports/{2000 + number % 25}/case {number:04}.txt" for number in range(count))]
        keys += [(agency, f"{agency}/{name}") for name in names]
    # The copy's key is the longer one: S3 takes it to the last byte.
    room = LONGEST - len("10/attachments/") - len(".txt")
    keys.append(("10", "10/" + "ü" * (room // 2) + "x" * (room % 2) + ".txt"))
    keys.append((MISSING_KEY.partition("/")[0], MISSING_KEY))
    return [File(number, agency, key, _body(key)) for number, (agency, key) in enumerate(keys, start=1)]


def rows(*, mended: bool = False) -> Iterator[Row]:
    """Yield the employment history, the same rows each time, with what CSV must quote.

    One has a start date that is none, unless it is ``mended``.
    """
    poison = MENDED_DATE if mended else POISON_DATE
    agencies = list(AGENCIES)
    for number in range(1, ROWS + 1):
        employee = number % EMPLOYEES + 1
        agency = agencies[employee % len(agencies)]
        start = poison if number == POISON_ROW else f"{1990 + number % 30}-{number % 12 + 1:02}-{number % 28 + 1:02}"
        yield (
            *(number, agency, employee, _LAST[employee % len(_LAST)], _FIRST[employee % len(_FIRST)]),
            *("J" if employee % 3 else None, "FM"[employee % 2], "WHITE HISPANIC" if employee % 5 else "BLACK"),
            *(str(1950 + employee % 45) if employee % 7 else None, f"{1985 + employee % 30}-06-01"),
            *(_RANKS[number % len(_RANKS)], str(number % 26) if number % 9 else None),
            *(start, "" if number % 4 else "2019-12-31"),
        )


def put_files(environment: Mapping[str, str]) -> int:
    """Put the attachments that did arrive into the source bucket; return how many."""
    s3 = client("s3", environment)
    put = partial(s3.put_object, Bucket=environment["PIPELINE_SOURCE_BUCKET"])
    there = [file for file in files() if file.body is not None]
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        for _ in pool.map(lambda file: put(Key=file.key, Body=file.body, ContentType="text/plain"), there):
            pass
    return len(there)


async def fill_database(url: str) -> None:
    """Insert the agencies, the attachments and the employment history, all or nothing."""
    database = Database(url, max_connections=1)
    try:
        async with database.transaction() as connection:
            await connection.copy_records_to_table("agencies", records=list(AGENCIES.items()))
            await connection.copy_records_to_table(
                "attachments",
                columns=["id", "agency_id", "employee_id", "source_key", "size_bytes", "etag"],
                records=[_attachment(file) for file in files()],
            )
            await connection.copy_records_to_table(
                "employment_history", columns=list(HISTORY_COLUMNS), records=list(rows())
            )
    finally:
        await database.aclose()


async def mend_row(url: str) -> str:
    """Give the poison row a date; return the server's status line."""
    database = Database(url, max_connections=1)
    try:
        return await database.execute(
            "update employment_history set start_date = $1 where id = $2 and start_date = $3",
            MENDED_DATE,
            POISON_ROW,
            POISON_DATE,
        )
    finally:
        await database.aclose()


def _attachment(file: File) -> tuple[int, str, int, str, int | None, str | None]:
    """Return the file's row; agency 10 tells sizes and ETags, the others leave it to the planner to look them up."""
    is_told = file.agency_id == "10" and file.body is not None
    etag = hashlib.md5(file.body or b"", usedforsecurity=False).hexdigest()
    size = len(file.body or b"")
    employee = file.attachment_id % EMPLOYEES + 1
    return file.attachment_id, file.agency_id, employee, file.key, *((size, etag) if is_told else (None, None))


def _body(key: str) -> bytes | None:
    if key == MISSING_KEY:
        return None
    if key.endswith(("/", "zero bytes.bin")):
        return b""
    digest = hashlib.shake_128(key.encode())
    return f"{key}\n{digest.hexdigest(100 + digest.digest(1)[0] * 16)}\n".encode()
