"""The demo's bronze files: rosters as three agencies write them, each in its own way, each with its own faults."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import partial
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Final

from pipeline_local.resources import BRONZE_BUCKET, client

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DATASET: Final = "roster"
_CONTRACT: Final = "roster.odcs.yaml"
_ROWS: Final = {"10": 1200, "20": 800, "30": 400}
_RANKS: Final = ("PO", "Police Officer", "SGT", "Sergeant", "Lt.")
_LAST: Final = ("ABARA", "O'NEIL", "GARCÍA", "VAN DER BERG", "MÜLLER", "NGUYEN", "ŻAK", "DE LA CRUZ")


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of all the rosters' rows."""

    rows_in: int
    rows_out: int
    quarantined: int
    deduplicated: int


EXPECTED: Final = Expected(rows_in=2_416, rows_out=2_400, quarantined=10, deduplicated=6)


def contract(folder: Path) -> Path:
    """Write the rosters' contract into ``folder`` and return its path."""
    path = folder / _CONTRACT
    path.write_text(package_files(__package__).joinpath(_CONTRACT).read_text(encoding="utf-8"), encoding="utf-8")
    return path


def put_rosters(environment: Mapping[str, str]) -> int:
    """Put the rosters into the bronze bucket; return how many files they are."""
    s3 = client("s3", environment)
    rosters = dict(_rosters())
    for key, body in rosters.items():
        s3.put_object(Bucket=BRONZE_BUCKET, Key=key, Body=body)
    return len(rosters)


def _rosters() -> list[tuple[str, bytes]]:
    """Return key and content: with US dates; with semicolons and a byte order mark; gzipped, with torn lines."""
    american = partial(_line, delimiter=",", date="{month:02}/{day:02}/{year}", pay="${pay:,}.00")
    european = partial(_line, delimiter=";", date="{day}-{name}-{year}", pay="{pay}")
    plain = partial(_line, delimiter=",", date="{year}-{month:02}-{day:02}", pay="{pay}.50")
    first = [american(number) for number in range(1, _ROWS["10"] + 1)]
    first += first[:6]  # sent twice
    first += ['90001,"NOBODY, N",PO,02/30/2011,"$1.00"', '90002,"NOBODY, N",Polcie Officer,03/01/2011,"$1.00"']
    second = [european(number) for number in range(20_001, 20_001 + _ROWS["20"])]
    second += [";NO BADGE, N;PO;1-Jan-2011;1", "20990;FUTURE, F;PO;1-Jan-2999;1"]
    third = [plain(number) for number in range(30_001, 30_001 + _ROWS["30"])]
    third += ["30990,cut o", "30991", *[f"3099{n},WRONG WAY N,PO,2011-13-01,1" for n in range(2, 6)]]
    header = "Badge No,Name,Rank,Hire Date,Salary"
    return [
        ("10/rosters/2030-01.csv", "\r\n".join([header, *first, ""]).encode()),
        ("20/rosters/january 2030.csv", "\n".join([header.replace(",", ";"), *second, ""]).encode("utf-8-sig")),
        ("30/rosters/roster.csv.gz", gzip.compress("\n".join([header, *third, ""]).encode(), mtime=0)),
    ]


def _line(number: int, *, delimiter: str, date: str, pay: str) -> str:
    month, day, year = number % 12 + 1, number % 28 + 1, 1985 + number % 40
    name = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[month - 1]
    hired = date.format(month=month, day=day, year=year, name=name)
    paid = pay.format(pay=40_000 + number % 90 * 500)
    fields = (str(number), f"{_LAST[number % len(_LAST)]}, PAT {number}", _RANKS[number % len(_RANKS)], hired, paid)
    return delimiter.join(f'"{field}"' if delimiter in field else field for field in fields)
