"""Runs of `bronze_to_silver` for scenarios: what goes in, and what must be in the tables, no row more or less."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from harness.fleet import Run
from silver_world import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.bucket import Bucket
    from harness.fleet import Fleet
    from harness.programs import Program

FILES: Final = 3
ROWS: Final = 40
"""Good rows of a file; each file has a broken one beside them."""
AGENCIES: Final = ("10", "20")


def bronze(version: int = 0) -> dict[str, bytes]:
    """Return the files by key; another ``version`` has other rows in the same files."""
    return {
        f"{agency}/part-{number}.csv": _csv((version * 100 + int(agency) + number) * 1000)
        for agency in AGENCIES
        for number in range(FILES)
    }


def _csv(first: int) -> bytes:
    rows = [f"{first + row},Person {row},2001-02-03" for row in range(ROWS)]
    return "\n".join(["id,name,hired", *rows[:5], f"{first + 900},cut off", *rows[5:], ""]).encode()


def expected(files: Mapping[str, bytes]) -> Counter[tuple[int, str, int]]:
    """Return every row that the silver table must have: id, source, row number."""
    return Counter(
        (int(line.split(b",")[0]), key, number)
        for key, body in files.items()
        for number, line in enumerate(body.splitlines()[1:], start=1)
        if line.count(b",") == 2
    )


@dataclass(frozen=True)
class SilverRun(Run):
    """One run over the bronze bucket; ``destination`` has the tables."""

    bronze: Bucket
    contract: Path

    @classmethod
    def make(cls, fleet: Fleet, folder: Path, run_id: str = "silver") -> SilverRun:
        run = cls(fleet, run_id, fleet.bucket("silver"), fleet.bucket("source"), folder / "people.odcs.yaml")
        run.contract.write_text(CONTRACT)
        run.put(bronze())
        return run

    def put(self, files: Mapping[str, bytes]) -> None:
        for key, body in files.items():
            self.fleet.s3.put_object(Bucket=self.bronze.name, Key=key, Body=body)

    def another(self, run_id: str) -> SilverRun:
        return SilverRun(self.fleet, run_id, self.destination, self.bronze, self.contract)

    @property
    def arguments(self) -> tuple[str, ...]:
        return (
            *("--contract", str(self.contract), "--all-agencies", "--pack-max-items", "2"),
            *("--source-bucket", self.bronze.name, "--silver-bucket", self.destination.name),
        )

    def start(
        self, *options: str, environment: Mapping[str, str] | None = None, job: str = "bronze_to_silver"
    ) -> Program:
        command = ("controller", "run", job, "--run-id", self.run_id, *options, "--", *self.arguments)
        return self.fleet.start(*command, environment=environment)

    def table(self, which: str = "") -> pl.DataFrame:
        environment = self.fleet.environment
        return pl.read_delta(
            f"s3://{self.destination.name}/silver/people{which}",
            storage_options={
                "aws_endpoint_url": self.fleet.stack.endpoint_url,
                "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
                "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
                "aws_region": environment["AWS_DEFAULT_REGION"],
                "aws_allow_http": "true",
            },
        )

    def rows(self) -> Counter[tuple[int, str, int]]:
        prefix = f"s3://{self.bronze.name}/"
        return Counter(
            (number, source.removeprefix(prefix), row)
            for number, source, row in self.table().select("id", "_source_file", "_source_row").iter_rows()
        )

    def quarantined(self) -> Counter[str]:
        prefix = f"s3://{self.bronze.name}/"
        return Counter(source.removeprefix(prefix) for source in self.table("__quarantine")["source_file"].to_list())

    def assert_published(self, files: Mapping[str, bytes]) -> None:
        """Every good row is there once, every broken one is in quarantine once."""
        assert expected(files) == self.rows()
        assert Counter(files.keys()) == self.quarantined()
