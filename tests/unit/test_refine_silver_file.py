from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from etl_core.errors import InvalidData
from pipeline_processing.processors.refining.silver_file import Output, Shape, is_one_of, sink, with_constants, write
from pipeline_processing.processors.refining.staging import Staging
from pipeline_processing.tables import NULL_FOLDER
from pipeline_processing.tables.stats import ROW_GROUP

if TYPE_CHECKING:
    from pathlib import Path

IN_MEMORY = 'fillcolor="0.0 0.3 1.0"'
"""How a physical plan marks a node that leaves the streaming engine."""


def staged(folder: Path, *frames: pl.DataFrame) -> Staging:
    staging = Staging(folder / "rows")
    for frame in frames:
        staging.add(frame)
    return staging


def shape(**changes: Any) -> Shape:  # noqa: ANN401 - any of its fields
    given = {"partition_by": ("_agency_id",), "constants": {"_agency_id": "10"}, "bounded": ("n", "s"), "footer": {}}
    return Shape(**{**given, **changes})


def written(folder: Path, staging: Staging, losers: Any = None, **changes: Any) -> list[Output]:  # noqa: ANN401 - the same
    out = folder / "out"
    out.mkdir()
    return write(staging.scan(losers), out, shape(**changes))


def test_rows_keep_their_order_and_losers_go(tmp_path: Path) -> None:
    staging = staged(tmp_path, pl.DataFrame({"n": [3, 1]}), pl.DataFrame({"n": [2, 9]}))
    (output,) = written(tmp_path, staging, np.array([False, True, False, False]))
    assert [3, 2, 9] == pl.read_parquet(output.path)["n"].to_list()
    assert 3 == output.rows


def test_a_partition_column_is_in_the_outputs_name_tag_and_not_in_the_file(tmp_path: Path) -> None:
    (output,) = written(tmp_path, staged(tmp_path, pl.DataFrame({"n": [1]})), constants={"_agency_id": "10", "_v": "1"})
    assert {"_agency_id": "10"} == output.partition
    assert {"n": [1], "_v": ["1"]} == pl.read_parquet(output.path).to_dict(as_series=False)


def test_rows_are_split_by_partition_nulls_first(tmp_path: Path) -> None:
    staging = staged(tmp_path, pl.DataFrame({"s": ["b", None, "a/=", "b"], "n": [1, 2, 3, 4]}))
    outputs = written(tmp_path, staging, partition_by=("s", "_agency_id"))
    assert [
        ({"s": None, "_agency_id": "10"}, [2]),
        ({"s": "a/=", "_agency_id": "10"}, [3]),
        ({"s": "b", "_agency_id": "10"}, [1, 4]),
    ] == [(output.partition, pl.read_parquet(output.path)["n"].to_list()) for output in outputs]


def test_too_many_partitions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="more than 256 partitions by n"):
        written(tmp_path, staged(tmp_path, pl.DataFrame({"n": range(257)})), partition_by=("n",))


@pytest.mark.parametrize("column", ["s", "_agency_id"])
def test_a_value_that_readers_take_for_null_is_no_partition(tmp_path: Path, column: str) -> None:
    staging = staged(tmp_path, pl.DataFrame({"s": ["a", NULL_FOLDER]}))
    constants = {"_agency_id": NULL_FOLDER}
    with pytest.raises(InvalidData, match="which readers take for null"):
        written(tmp_path, staging, partition_by=(column,), constants=constants)


@pytest.mark.parametrize(
    ("value", "is_fine"), [("a" * 690, True), ("é" * 110, True), ("a" * 701, False), ("é" * 120, False)]
)
def test_a_partition_that_no_key_has_room_for_is_refused(tmp_path: Path, value: str, is_fine: bool) -> None:  # noqa: FBT001 - a case
    staging = staged(tmp_path, pl.DataFrame({"s": ["b", value]}))
    if is_fine:
        assert 2 == len(written(tmp_path, staging, partition_by=("s",)))
    else:
        with pytest.raises(InvalidData, match="a value of s is too long for a partition's folder"):
            written(tmp_path, staging, partition_by=("s",))


def test_as_many_partitions_as_may_be_are_one_file_each(tmp_path: Path) -> None:
    """More than Polars holds open at once: each has rows at the beginning and at the end."""
    frame = pl.DataFrame({"n": [None, *range(255)] * 40}).with_columns(m=pl.int_range(pl.len()))
    outputs = written(tmp_path, staged(tmp_path, *[frame] * 3), partition_by=("n",))
    assert [120] * 256 == [output.rows for output in outputs]
    assert {None, *map(str, range(255))} == {output.partition["n"] for output in outputs}
    values = pl.read_parquet(outputs[5].path)["m"].to_list()
    assert values[:40] == values[40:80] == sorted(values[:40])


def test_no_row_is_still_a_file_with_all_columns(tmp_path: Path) -> None:
    staging = staged(tmp_path, pl.DataFrame({"n": [1]}).clear())
    (output,) = written(tmp_path, staging, partition_by=("_agency_id",))
    assert (0, {"n": pl.Int64()}) == (output.rows, dict(pl.read_parquet_schema(output.path)))


def test_bounds_are_told_of_the_columns_that_may_be(tmp_path: Path) -> None:
    day = dt.date(2020, 1, 2)
    frame = pl.DataFrame({"n": [2, None], "s": ["x" * 40, "a"], "d": [day, day], "b": [True, False], "secret": [1, 2]})
    (output,) = written(tmp_path, staged(tmp_path, frame), bounded=("n", "s", "d", "b"))
    assert {
        "minValues": {"n": 2, "s": "a", "d": "2020-01-02"},
        "maxValues": {"n": 2, "s": "x" * 32 + "\U0010ffff", "d": "2020-01-02"},
        "nullCount": {"n": 1, "s": 0, "d": 0, "b": 0},
    } == output.stats


def test_bounds_of_decimals_are_exact_or_none(tmp_path: Path) -> None:
    wide = Decimal("12345678901234567890.12")
    frame = pl.DataFrame(
        {"n": [Decimal("0.10"), Decimal("7.35")], "s": [wide, wide]}, schema=dict.fromkeys("ns", pl.Decimal(38, 2))
    )
    (output,) = written(tmp_path, staged(tmp_path, frame))
    assert ({"n": 0.1}, {"n": 7.35}) == (output.stats["minValues"], output.stats["maxValues"])


def test_the_footer_holds_our_metadata(tmp_path: Path) -> None:
    (output,) = written(tmp_path, staged(tmp_path, pl.DataFrame({"n": [1]})), footer={"pipeline.run": "r1"})
    assert "r1" == pl.read_parquet_metadata(output.path)["pipeline.run"]


@pytest.mark.parametrize("kind", ["one file", "by a column", "some of many partitions"])
def test_the_last_pass_never_leaves_the_streaming_engine(tmp_path: Path, kind: str) -> None:
    staging = staged(tmp_path, pl.DataFrame({"n": [1, 2], "s": ["a", None]}))
    rows = with_constants(staging.scan(np.array([True, False])), shape(constants={"_v": "1"}))
    by_column = pl.PartitionBy(tmp_path, key=["s"], include_key=False, approximate_bytes_per_file=None)
    if kind == "some of many partitions":
        rows = rows.filter(is_one_of(pl.DataFrame({"s": ["a", None], "n": [1, None]})))
    plan = sink(rows, tmp_path / "x.parquet" if kind == "one file" else by_column, shape())
    graph = plan.show_graph(engine="streaming", plan_stage="physical", raw_output=True)
    assert graph is not None
    assert IN_MEMORY not in graph
    assert "multi-scan[parquet]" in graph
    assert ("parquet-sink" if kind == "one file" else "partition-keyed[parquet]") in graph


def test_what_leaves_the_streaming_engine_is_seen_in_a_plan() -> None:
    """The test above would notice one."""
    rows = pl.LazyFrame({"n": [1, 2]}).with_columns(pl.col("n").replace_strict({1: 2}, default=0))
    plan = rows.show_graph(engine="streaming", plan_stage="physical", raw_output=True)
    assert plan is not None
    assert IN_MEMORY in plan


PROGRAM = """
import sys
from pathlib import Path
import numpy as np, polars as pl
from pipeline_processing.processors.refining.silver_file import Shape, write
from pipeline_processing.processors.refining.staging import Staging

folder = Path(sys.argv[1])
rng = np.random.default_rng(1)
staging = Staging(folder / "rows")
for part in range(6):
    n = int(rng.integers(20_000, 60_000))
    staging.add(pl.DataFrame({"n": rng.integers(0, 99, n), "s": rng.integers(0, 3, n), "t": rng.random(n)}))
gone = np.arange(staging.rows) % 10 == 0
for split in ("_agency_id", "s"):
    (folder / split).mkdir()
    shape = Shape((split,), {"_agency_id": "10"}, ("n",), {"run": "r1"})
    for output in write(staging.scan(gone), folder / split, shape):
        print(split, output.path.name, output.rows, output.sha256, output.stats)
"""


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    found = set()
    for threads in ("1", "2", "4"):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / threads)]
        (tmp_path / threads).mkdir()
        environment = {**os.environ, "POLARS_MAX_THREADS": threads}
        found.add(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    (lines,) = found
    assert 4 == len(lines.splitlines())
    assert int(lines.split()[2]) > 2 * ROW_GROUP
