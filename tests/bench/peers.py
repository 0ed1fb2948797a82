"""The fifteen checks of `typed`, by another tool. Runs in that tool's own environment, which has nothing of ours."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LOW, HIGH = "1970-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
RANKS = ["Officer", "Sergeant", "Lieutenant", "Captain", "Detective"]
CASE, STATE = r"^CPD-\d{10}$", "^[A-Z]{2}$"
RANGES: dict[str, tuple[Any, Any]] = {
    "version": (1, 9),
    "hired": (LOW, HIGH),
    "salary": (0, 200_000),
    "age": (16, 110),
}
KINDS = {
    "in_range": "range",
    "str_length": "length",
    "str_matches": "pattern",
    "isin": "enum",
    "not_nullable": "required",
    "unique": "unique",
}
"""Pandera's words for kinds of checks; it names a built-in one by its arguments."""
REQUIRED = ("case_id", "last_name", "hired", "version")


def by_pandas(path: str) -> dict[str, int]:
    import pandas as pd  # noqa: PLC0415 - each tool by itself

    rows = pd.read_parquet(path)
    case, name = rows.case_id, rows.last_name
    lengths = case.str.len()
    failing = {f"{column}.required": rows[column].isna() for column in REQUIRED}
    failing |= {
        "case_id.pattern": ~case.str.contains(CASE, na=True),
        "state.pattern": ~rows.state.str.contains(STATE, na=True),
        "case_id.length": (lengths < 14) | (lengths > 14),
        "last_name.length": name.str.len() > 40,
        "rank.enum": rows["rank"].notna() & ~rows["rank"].isin(RANKS),
        "left_after_hired": rows.left < rows.hired,
        "case_id.unique": case.notna() & case.duplicated(keep=False),
    }
    for column in RANGES:
        values, (low, high) = rows[column], limits(column, pd.Timestamp)
        failing[f"{column}.range"] = (values < low) | (values > high)
    return {check: int(mask.sum()) for check, mask in failing.items()}


def by_pandera(path: str) -> dict[str, int]:
    import pandas as pd  # noqa: PLC0415 - each tool by itself
    import pandera.pandas as pa  # noqa: PLC0415 - each tool by itself

    def between(column: str) -> Any:  # noqa: ANN401 - a check of pandera's
        return pa.Check.in_range(*limits(column, pd.Timestamp))

    schema = pa.DataFrameSchema(
        {
            "case_id": pa.Column(
                checks=[
                    pa.Check.str_matches(CASE),
                    pa.Check.str_length(14, 14),
                    pa.Check(lambda values: ~values.duplicated(keep=False), name="unique"),
                ]
            ),
            "version": pa.Column(checks=between("version")),
            "last_name": pa.Column(checks=pa.Check.str_length(max_value=40)),
            "hired": pa.Column(checks=between("hired")),
            "salary": pa.Column(checks=between("salary")),
            "age": pa.Column(checks=between("age")),
            "rank": pa.Column(checks=pa.Check.isin(RANKS)),
            "state": pa.Column(checks=pa.Check.str_matches(STATE)),
        },
        checks=pa.Check(
            lambda rows: (rows.left >= rows.hired) | rows.left.isna() | rows.hired.isna(), name="left_after_hired"
        ),
    )
    found = dict.fromkeys(sorted(names()), 0)
    try:
        schema.validate(pd.read_parquet(path), lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        kinds = cases.check.str.partition("(")[0].map(KINDS)
        counted = (cases.column + "." + kinds).dropna().value_counts().to_dict()
        crossed = cases[cases.check == "left_after_hired"]  # it lists each column of a row that fails
        counted["left_after_hired"] = crossed["index"].nunique()
        found |= {check: int(count) for check, count in counted.items()}
    return found


def by_great_expectations(path: str) -> dict[str, int]:
    import great_expectations as gx  # noqa: PLC0415 - each tool by itself
    import pandas as pd  # noqa: PLC0415 - each tool by itself
    from great_expectations import expectations as gxe  # noqa: PLC0415 - each tool by itself

    expected: dict[str, Any] = {
        f"{column}.required": gxe.ExpectColumnValuesToNotBeNull(column=column) for column in REQUIRED
    }
    for column in RANGES:
        low, high = limits(column, lambda text: pd.Timestamp(text).to_pydatetime())
        expected[f"{column}.range"] = gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)
    expected |= {
        "case_id.pattern": gxe.ExpectColumnValuesToMatchRegex(column="case_id", regex=CASE),
        "state.pattern": gxe.ExpectColumnValuesToMatchRegex(column="state", regex=STATE),
        "case_id.length": gxe.ExpectColumnValueLengthsToBeBetween(column="case_id", min_value=14, max_value=14),
        "last_name.length": gxe.ExpectColumnValueLengthsToBeBetween(column="last_name", max_value=40),
        "rank.enum": gxe.ExpectColumnValuesToBeInSet(column="rank", value_set=RANKS),
        "left_after_hired": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="left", column_B="hired", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        "case_id.unique": gxe.ExpectColumnValuesToBeUnique(column="case_id"),
    }
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("bench").add_dataframe_asset("rows")
    whole = asset.add_batch_definition_whole_dataframe("whole")
    batch = whole.get_batch(batch_parameters={"dataframe": pd.read_parquet(path)})
    suite = gx.ExpectationSuite(name="checks", expectations=list(expected.values()))
    results = batch.validate(suite, result_format="BASIC").results
    counts = {}
    for one in results:
        name = next(name for name, expectation in expected.items() if is_of(expectation, one))
        counts[name] = int(one.result["unexpected_count"])
    return counts


def is_of(expectation: Any, result: Any) -> bool:  # noqa: ANN401 - Great Expectations' own
    config = result.expectation_config
    given = {name: value for name, value in config.kwargs.items() if name.startswith("column")}
    return config.type == expectation.expectation_type and all(
        getattr(expectation, name) == value for name, value in given.items()
    )


def limits(column: str, moment: Callable[[str], Any]) -> tuple[Any, Any]:
    low, high = RANGES[column]
    return (moment(low), moment(high)) if column == "hired" else (low, high)


def names() -> set[str]:
    checks = {f"{column}.required" for column in REQUIRED} | {f"{column}.range" for column in RANGES}
    return checks | {
        "case_id.pattern",
        "state.pattern",
        "case_id.length",
        "last_name.length",
        "rank.enum",
        "left_after_hired",
        "case_id.unique",
    }


TOOLS: dict[str, Callable[[str], dict[str, int]]] = {
    "pandas": by_pandas,
    "pandera": by_pandera,
    "great-expectations": by_great_expectations,
}

if __name__ == "__main__":
    found = TOOLS[sys.argv[1]](sys.argv[2])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"found": found, "cpu": time.process_time(), "peak_mib": peak}))
