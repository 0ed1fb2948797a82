from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract_documents import check, column, document, faults_of, faults_of_text, loaded
from etl_core.errors import ConfigError
from pipeline_processing.contracts.load import load, load_all
from pipeline_processing.contracts.model import Lookup, Reference, Sla, Step, Threshold

if TYPE_CHECKING:
    from pathlib import Path


def test_all_faults_of_a_contract_are_reported_at_once_each_with_its_place_and_way_out() -> None:
    said = faults_of(
        column("born", "date", logicalTypeOptions={"format": "QQ"}),
        column("sex", "strnig"),
        column("size", "integer", custom={"source": ["x"]}),
        quality=[{"metric": "rowCount"}],
        custom={"dedupe": {"key": ["nobody"]}},
    )

    way_out = "letters y M d H h m s S a, such as MM/dd/yyyy; or customProperties normalise with date: {formats: […]}"
    custom = "schema.people.properties.size.customProperties.source: the custom property source is not known"
    assert [
        "schema.people.properties.sex.logicalType: 'strnig' is not supported (did you mean string?)",
        f"{custom} (did you mean sources?)",
        f"schema.people.properties.born.logicalTypeOptions.format: QQ is not a format that we read ({way_out})",
        "schema.people.quality.rowCount: it has no operator (such as mustBe: 0)",
        "schema.people.customProperties.dedupe.key: there is no column 'nobody' (one of born, sex, size)",
    ] == said


def test_a_fault_of_one_column_is_no_fault_of_what_refers_to_it() -> None:
    said = faults_of(column("id", "no such type"), custom={"dedupe": {"key": ["id"]}})

    assert ["schema.people.properties.id.logicalType"] == [line.partition(":")[0] for line in said]


def test_a_contract_is_read_from_a_path_and_from_its_text(tmp_path: Path) -> None:
    path = tmp_path / "people.odcs.yaml"
    path.write_text(document(column("id")), encoding="utf-8-sig")

    assert load(path) == load(str(path)) == load(document(column("id")))


def test_a_file_that_can_not_be_read_is_a_fault_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"id: \xe9\n")

    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "latin.yaml")


def test_of_several_tables_one_must_be_named() -> None:
    text = document(column("id")).replace(
        '"schema": [', '"schema": [{"name": "other", "properties": [{"name": "x", "logicalType": "date"}]},'
    )

    assert ["other", "people"] == [contract.dataset for contract in load_all(text)]
    assert "people" == load(text, dataset="people").dataset
    with pytest.raises(ConfigError, match="several tables"):
        load(text)
    with pytest.raises(ConfigError, match="did you mean people"):
        load(text, dataset="peple")


@pytest.mark.parametrize("version", ["v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0"])
def test_versions_of_the_standard_that_are_honoured(version: str) -> None:
    assert "people" == loaded(column("id"), apiVersion=version).dataset


@pytest.mark.parametrize("version", ["v2.2.2", "v4.0.0", "3.1.0"])
def test_other_versions_of_the_standard_are_refused_by_name(version: str) -> None:
    said = faults_of(column("id"), apiVersion=version)

    assert f"apiVersion: version {version} of the standard is not supported" == said[0].partition(" (")[0]


def test_a_column_is_read_from_its_own_name_and_its_physical_one_unless_sources_are_given() -> None:
    contract = loaded(
        column("id", physicalName="ID NO"),
        column("name", custom={"sources": ["Full Name", "Name"]}),
        column("twice", "integer", custom={"derive": "LENGTH(name) * 2"}),
    )

    assert [("id", "ID NO"), ("Full Name", "Name"), ()] == [one.sources for one in contract.columns]


def test_types_with_limits_are_taken_over() -> None:
    contract = loaded(
        column("code", logicalTypeOptions={"minLength": 2, "maxLength": 4, "pattern": "^[A-Z]+$"}),
        column("size", "integer", logicalTypeOptions={"minimum": 1, "exclusiveMaximum": 9, "multipleOf": 2}),
        column("small", "integer", logicalTypeOptions={"format": "i8", "minimum": -5}),
        column("pay", "number", physicalType="DECIMAL(12, 2)"),
        column(
            "born",
            "date",
            logicalTypeOptions={"format": "MM/dd/yyyy", "minimum": "12/31/1899", "maximum": "2000-01-01"},
        ),
        column("seen", "timestamp", logicalTypeOptions={"timezone": True, "defaultTimezone": "America/Chicago"}),
        column("mail", logicalTypeOptions={"format": "email"}),
    )
    code, size, small, pay, born, seen, mail = contract.columns

    assert (2, 4, "^[A-Z]+$") == (code.min_length, code.max_length, code.pattern)
    assert (1, 9, 2) == (size.minimum, size.exclusive_maximum, size.multiple_of)
    assert (-5, 127) == (small.minimum, small.maximum)
    assert "DECIMAL(12, 2)" == pay.physical_type
    assert ("1899-12-31", "2000-01-01") == (born.minimum, born.maximum)
    assert (Step("date", {"formats": ["%m/%d/%Y"]}),) == born.normalise
    assert "America/Chicago" == seen.timezone
    assert mail.pattern is not None


def test_a_format_of_the_standard_gives_way_to_the_normaliser_that_says_more() -> None:
    steps = [{"date": {"formats": ["%d.%m.%Y"], "pivot": 30}}]
    contract = loaded(column("born", "date", logicalTypeOptions={"format": "dd.MM.yyyy"}, custom={"normalise": steps}))

    assert (Step("date", {"formats": ["%d.%m.%Y"], "pivot": 30}),) == contract.column("born").normalise


@pytest.mark.parametrize(
    ("one", "place", "what"),
    [
        (column("a", logicalTypeOptions={"minimum": 1}), "logicalTypeOptions.minimum", "minimum is not known here"),
        (
            column("a", "date", logicalTypeOptions={"minimum": "soon"}),
            "logicalTypeOptions.minimum",
            "'soon' is not a date",
        ),
        (
            column("a", "integer", logicalTypeOptions={"format": "i128"}),
            "logicalTypeOptions.format",
            "'i128' is not supp",
        ),
        (
            column("a", "integer", logicalTypeOptions={"minimum": 2, "maximum": 1}),
            "logicalTypeOptions.minimum",
            "2 is more",
        ),
        (column("a", logicalTypeOptions={"pattern": "("}), "logicalTypeOptions.pattern", "the pattern is not valid"),
        (column("a", logicalTypeOptions={"pattern": "(?=x)"}), "logicalTypeOptions.pattern", "look-around"),
        (
            column("a", "time", logicalTypeOptions={"timezone": True}),
            "logicalTypeOptions.timezone",
            "timezone is not known here",
        ),
        (
            column("a", "timestamp", logicalTypeOptions={"defaultTimezone": "Mars"}),
            "logicalTypeOptions.defaultTimezone",
            "no",
        ),
        (column("a", "number", physicalType="decimal(99,2)"), "physicalType", "can not be kept"),
        (column("a", "array"), "logicalType", "columns of type array are not supported"),
        (column("a", relationships=[{"to": "b.c"}]), "relationships", "relationships are not supported"),
        (column("a", semanticType="measure"), "semanticType", "a measure is computed"),
        (column("a", primaryKeyPosition=1), "primaryKeyPosition", "the column is not primaryKey"),
        (column("a", enum=[{"value": 1}]), "enum", "1 is not a value of a column of type string"),
        (column("a", enum=[{"value": "x"}, {"value": "x"}]), "enum", "'x' stands twice"),
        (column("a", custom={"normalise": ["trimm"]}), "customProperties.normalise.1", "'trimm' is not supported"),
        (
            column("a", custom={"normalise": [{"pad": {"width": 3}}]}),
            "customProperties.normalise.1.pad.width",
            "width is not",
        ),
        (column("a", custom={"normalise": ["pad"]}), "customProperties.normalise.1", "'pad' is not supported"),
        (
            column("a", custom={"normalise": [{"date": {"order": "mdy"}}]}),
            "customProperties.normalise.1.date.order",
            "'mdy'",
        ),
        (
            column("a", custom={"normalise": [{"replace": {"pattern": "("}}]}),
            "customProperties.normalise.1.replace.pattern",
            "",
        ),
        (column("a", partitioned=True, custom={"protect": "hash"}), "customProperties.protect", "a partition column"),
        (column("a", partitioned=True, classification="PII"), "partitioned", "a classified column"),
        (
            column("a", "date", custom={"normalise": [{"date": {"formats": ["MM/dd"]}}]}),
            "customProperties.normalise.1.date.formats",
            "no format",
        ),
        (
            column("a", custom={"normalise": [{"phone": {"region": "usa"}}]}),
            "customProperties.normalise.1.phone.region",
            "no region",
        ),
        (column("a", custom={"protect": "encrypt"}), "customProperties.protect", "'encrypt' is not supported"),
        (column("a", custom={"derive": "b + 1"}), "customProperties.derive", "it reads b: there is no such column"),
        (column("a", custom={"derive": "a || 'x'"}), "customProperties.derive", "the column reads itself"),
        (column("a", custom={"actions": {"range": "warn"}}), "customProperties.actions.range", "no rule of kind range"),
        (
            column("a", custom={"valueSynonyms": {"X": ["y"]}}),
            "customProperties.valueSynonyms.X",
            "not an allowed value",
        ),
        (column("a", custom={"dedupe": {"key": ["a"]}}), "customProperties.dedupe", "a property of a table"),
        (
            column("a", custom={"lookup": {"reference": "r", "on": {"a": "k"}, "take": "t"}}),
            "customProperties.lookup.on",
            "",
        ),
    ],
)
def test_what_a_column_may_not_say_is_refused_at_its_place(one: object, place: str, what: str) -> None:
    said = faults_of(one)

    assert any(line.startswith(f"schema.people.properties.a.{place}: ") and what in line for line in said)


@pytest.mark.parametrize("name", ["a b", "a'b", "a/b", "a%20b", "å"])
def test_a_partition_column_has_a_name_that_folders_show_as_it_is(name: str) -> None:
    (said,) = faults_of(column(name, partitioned=True))

    assert said.startswith(f"schema.people.properties.{name}.partitioned: in folder names readers do not find a name")


def test_derived_columns_that_read_each_other_in_a_circle_are_refused() -> None:
    said = faults_of(column("a", custom={"derive": "b || 'x'"}), column("b", custom={"derive": "a || 'y'"}))

    assert ["a", "b"] == [line.split(".")[3] for line in said]


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("size > ", "it is not an expression that Polars reads"),
        ("size + 1", "it gives Int64, not true or false"),
        ("size > MAX(size)", "it looks at more than one row"),
        ("size > COUNT(*)", "it looks at more than one row"),
        ("ROW_NUMBER() OVER () > size", "it looks at more than one row"),
        ("size > (SELECT 1)", "it looks at more than one row"),
        ("LAG(size) OVER (ORDER BY size) > size", "it looks at more than one row"),
        ("1 = 1", "it reads no column"),
        ("sise > 1", "it reads sise: there is no such column"),
        ("size > 1; DROP TABLE people", "it is not an expression that Polars reads"),
        ("seen < NOW()", "NOW gives another result each time"),
    ],
)
def test_a_row_rule_that_is_no_condition_on_one_row_is_refused(expression: str, what: str) -> None:
    said = faults_of(
        column("size", "integer"),
        column("seen", "timestamp"),
        custom={"rowRules": [{"name": "r", "expression": expression}]},
    )

    assert [True] == [line.startswith(f"schema.people.customProperties.rowRules.r.expression: {what}") for line in said]


@pytest.mark.parametrize(
    "expression",
    ["size IN (1, 2)", "size IS NULL OR size > 3", "seen < CURRENT_DATE", "name LIKE 'now%'", "GREATEST(size, 2) < 9"],
)
def test_a_row_rule_about_one_row_is_a_check_that_quarantines(expression: str) -> None:
    rule = {"name": "r", "expression": expression}
    contract = loaded(column("size", "integer"), column("seen", "date"), column("name"), custom={"rowRules": [rule]})

    assert ("row", "quarantine", expression) == (
        check(contract, "r").kind,
        check(contract, "r").action,
        check(contract, "r").expression,
    )


def test_a_derived_column_may_not_read_the_clock_though_a_rule_may_ask_for_the_day() -> None:
    said = faults_of(column("d", "date"), column("x", "boolean", custom={"derive": "d < CURRENT_DATE"}))

    assert "gives another result each time" in said[0]


def test_a_key_over_files_is_derived_of_columns_that_exist() -> None:
    assert (
        "key(a, b)" == loaded(column("a"), column("b"), column("k", custom={"derive": "key(a, b)"})).column("k").derive
    )
    assert "there is no column 'c'" in faults_of(column("a"), column("k", custom={"derive": "key(a, c)"}))[0]


def test_each_rule_of_a_column_is_a_check_named_after_it() -> None:
    contract = loaded(
        column("id", "integer", primaryKey=True, required=True, unique=True),
        column("sex", enum=[{"value": "F"}, {"value": "M"}]),
        column("code", logicalTypeOptions={"pattern": "^a", "maxLength": 3}),
        column("size", "number", logicalTypeOptions={"minimum": 0, "multipleOf": 0.5}),
        column("phone", custom={"normalise": ["phone"]}),
    )

    assert [
        "id.type",
        "id.required",
        "id.unique",
        "sex.enum",
        "code.pattern",
        "code.length",
        "size.type",
        "size.range",
        "size.multiple_of",
        "phone.type",
        "primary_key",
    ] == [one.name for one in contract.checks]
    assert {"quarantine"} == {one.action for one in contract.checks}


def test_what_a_columns_rules_do_is_said_by_the_column_else_by_the_table() -> None:
    contract = loaded(
        column("a", "integer", required=True, custom={"actions": {"type": "fail_file"}}),
        column("b", "integer", required=True),
        custom={"actions": {"required": "warn"}},
    )

    assert {"a.type": "fail_file", "a.required": "warn", "b.type": "quarantine", "b.required": "warn"} == {
        one.name: one.action for one in contract.checks
    }
    assert "warning" == check(contract, "a.required").severity


def test_a_key_without_positions_has_its_columns_in_the_documents_order() -> None:
    contract = loaded(
        column("z", primaryKey=True), column("a", primaryKey=True), column("m", primaryKey=True, primaryKeyPosition=1)
    )

    assert ("m", "z", "a") == contract.primary_key


def test_a_position_that_stands_twice_is_refused() -> None:
    said = faults_of(
        column("a", partitioned=True, partitionKeyPosition=1), column("b", partitioned=True, partitionKeyPosition=1)
    )

    assert ["schema.people.properties: partitionKeyPosition 1 stands twice"] == said


def test_tables_and_columns_are_told_apart_without_regard_to_case() -> None:
    assert ["schema.people.properties.ID: the name stands twice (id, ID)"] == faults_of(column("id"), column("ID"))


def test_a_custom_property_that_stands_twice_is_refused() -> None:
    twice = column("a")
    twice["customProperties"] = [{"property": "sources", "value": ["x"]}, {"property": "sources", "value": ["y"]}]

    assert ["schema.people.properties.a.customProperties.sources: the property stands twice"] == faults_of(twice)


def test_properties_of_other_tools_are_left_alone_where_they_are_marked() -> None:
    marked = column("a")
    marked["customProperties"] = [
        {"property": "soda.checks", "value": [1]},
        {"property": "acme:owner", "value": {"x": 1}},
        {"property": "x-review", "value": None},
        {"property": "sources", "value": {"any": "thing"}, "vendor": "acme"},
    ]

    assert ("a",) == loaded(marked, customProperties=[{"property": "anything", "value": 1}]).column("a").sources


def test_a_property_of_ours_at_the_wrong_level_is_refused() -> None:
    said = faults_of(column("a"), customProperties=[{"property": "dedupe", "value": {"key": ["a"]}}])

    assert ["customProperties.dedupe: dedupe is a property of a table (schema) (move it there)"] == said


def test_the_tables_own_rules_are_taken_over() -> None:
    contract = loaded(
        column("id"),
        column("unit", "integer", custom={"lookup": {"reference": "units", "on": {"id": "code"}, "take": "no"}}),
        column("seen", "date"),
        custom={
            "dedupe": {"key": ["id"], "order": ["seen desc", "unit"]},
            "references": [{"name": "units", "path": "s3://b/units.csv"}],
            "quarantine": {"maxShare": 0.1, "keepRaw": False},
            "drift": {"psi": None, "rows": 0.2, "action": "fail_run"},
            "unknownColumns": "fail_file",
            "format": {
                "kind": "fixed",
                "widths": [{"name": "id", "start": 1, "length": 3}],
                "nullValues": ["", "NA"],
                "totals": "^Total",
                "headerRow": 0,
            },
        },
    )

    assert contract.dedupe is not None
    assert (("id",), (("seen", True), ("unit", False))) == (contract.dedupe.key, contract.dedupe.order)
    assert (Reference("units", "s3://b/units.csv"),) == contract.references
    assert Lookup("units", {"id": "code"}, "no") == contract.column("unit").lookup
    assert (0.1, False) == (contract.quarantine.max_share, contract.quarantine.keep_raw)
    assert (None, 0.1, 0.2, "fail_run") == (
        contract.drift.psi,
        contract.drift.null_rate,
        contract.drift.rows,
        contract.drift.action,
    )
    assert "fail_file" == contract.unknown_columns
    assert ("fixed", (("id", 1, 3),), ("", "NA"), "^Total", 0) == (
        contract.format.kind,
        contract.format.widths,
        contract.format.null_values,
        contract.format.totals,
        contract.format.header_row,
    )
    assert "warn" == check(contract, "unit.lookup").action


@pytest.mark.parametrize(
    ("custom", "what"),
    [
        ({"references": [{"name": "r", "path": "x", "query": "y"}]}, "references.r: exactly one of path and query"),
        ({"references": [{"name": "r"}]}, "references.r: exactly one of path and query"),
        ({"format": {"kind": "fixed"}}, "format.widths: kind: fixed and widths belong together"),
        ({"format": {"delimiter": "::"}}, "format.delimiter: is longer than 1 characters"),
        ({"format": {"totals": "("}}, "format.totals: the pattern is not valid"),
        ({"quarantine": {"maxShare": 2}}, "quarantine.maxShare: 2 is more than 1"),
        ({"drift": {"action": "quarantine"}}, "drift.action: 'quarantine' is not supported"),
        ({"unknownColumns": "fail"}, "unknownColumns: 'fail' is not supported (did you mean fail_file?)"),
        (
            {"overlaps": [{"name": "o", "by": ["id"], "start": "id", "end": "no"}]},
            "overlaps.o: there is no column 'no'",
        ),
        ({"overlaps": [{"name": "o", "by": ["id"], "start": "id", "end": "day"}]}, "id and day are of different types"),
        ({"rowRules": [{"name": "id", "expression": "id = 'x'"}]}, "a check has the name of a column"),
        ({"rowRules": [{"name": "r", "expression": "id = 'x'", "unit": "rows"}]}, "rowRules.r.unit: a unit without"),
        ({"rowRules": [{"name": "r", "expression": "id = 'x'", "mustBe": 1, "mustNotBe": 2}]}, "are both given"),
    ],
)
def test_what_a_table_may_not_say_is_refused(custom: dict[str, object], what: str) -> None:
    assert any(what in line for line in faults_of(column("id"), column("day", "date"), custom=custom))


def test_a_lookup_in_an_unknown_reference_is_refused() -> None:
    said = faults_of(column("a"), column("b", custom={"lookup": {"reference": "r", "on": {"a": "k"}, "take": "t"}}))

    place = "schema.people.properties.b.customProperties.lookup.reference"
    assert [f"{place}: there is no reference 'r' (customProperties references of the table)"] == said


def test_service_levels_are_kept_and_latency_is_checked() -> None:
    contract = loaded(
        column("seen", "timestamp"),
        slaProperties=[
            {"property": "latency", "value": 36, "unit": "h", "element": "people.seen"},
            {"property": "retention", "value": 3, "unit": "y"},
        ],
    )

    assert (Sla("latency", 36, "h", "people.seen"), Sla("retention", 3, "y")) == contract.sla
    assert ("freshness", "seen", "warn", Threshold("<=", (1.5,))) == (
        check(contract, "seen.latency").kind,
        check(contract, "seen.latency").column,
        check(contract, "seen.latency").action,
        check(contract, "seen.latency").threshold,
    )


@pytest.mark.parametrize(
    ("level", "what"),
    [
        ({"property": "latency", "value": 1, "unit": "d"}, "latency needs the column that tells the age"),
        ({"property": "latency", "value": 1, "unit": "m", "element": "people.seen"}, "m is not a unit that we know"),
        (
            {"property": "latency", "value": "soon", "unit": "d", "element": "people.seen"},
            "'soon' is not a length of time",
        ),
        (
            {"property": "latency", "value": 1, "unit": "percent", "element": "people.seen"},
            "percent is not a unit of time",
        ),
        ({"property": "latency", "value": 1, "unit": "d", "element": "people.sen"}, "did you mean seen?"),
        ({"property": "latency", "value": 1, "unit": "d", "element": "people.name"}, "name is of type string"),
        ({"property": "retention", "value": 1, "unit": "moons"}, "moons is not a unit that we know"),
        ({"property": "retention"}, "value is missing"),
    ],
)
def test_a_service_level_that_can_not_be_understood_is_refused(level: dict[str, object], what: str) -> None:
    assert any(what in line for line in faults_of(column("seen", "date"), column("name"), slaProperties=[level]))


def test_parts_that_describe_are_accepted_and_checked_as_the_standard_has_them() -> None:
    parts = {
        "team": {"name": "t", "members": [{"username": "u"}]},
        "price": {"priceAmount": 1},
        "roles": [{"role": "r"}],
    }

    assert "people" == loaded(column("a"), **parts).dataset
    assert [
        "roles.1: 'rol' was unexpected: the standard has no such field here",
        "roles.1: 'role' is a required property",
    ] == (sorted(faults_of(column("a"), roles=[{"rol": "r"}])))


def test_what_comes_out_has_the_same_fingerprint_however_the_contract_describes_it() -> None:
    plain = loaded(column("a", required=True))

    described = loaded(
        column("a", required=True, description="the first", examples=["x"], businessName="A"),
        version="2.0.0",
        status="draft",
        description={"purpose": "none"},
        tags=["x"],
        slaProperties=[{"property": "retention", "value": 1, "unit": "y"}],
    )

    assert plain.fingerprint == described.fingerprint
    assert 16 == len(plain.fingerprint)


@pytest.mark.parametrize(
    ("one", "parts"),
    [
        (column("a", required=False), {}),
        (column("a", required=True, classification="secret"), {}),
        (column("a", required=True, custom={"sources": ["b"]}), {}),
        (column("a", required=True, custom={"normalise": ["trim"]}), {}),
        (column("a", required=True), {"custom": {"actions": {"required": "warn"}}}),
        (column("a", required=True), {"custom": {"dedupe": {"key": ["a"]}}}),
        (column("a", required=True), {"custom": {"unknownColumns": "fail_file"}}),
        (column("a", required=True), {"custom": {"format": {"kind": "csv"}}}),
        (column("a", required=True), {"quality": [{"metric": "rowCount", "mustBeGreaterThan": 0}]}),
    ],
)
def test_what_changes_the_output_changes_the_fingerprint(one: object, parts: dict[str, object]) -> None:
    assert loaded(column("a", required=True)).fingerprint != loaded(one, **parts).fingerprint


def test_a_contract_without_tables_or_columns_is_refused() -> None:
    tables = document(column("a")).partition('"schema": ')[2].rpartition("}")[0]

    assert ["schema: needs at least 1 value (a contract describes at least one table)"] == faults_of_text(
        document(column("a")).replace(tables, "[]\n")
    )
    assert ["schema.people.properties: needs at least 1 value (a table has at least one column)"] == faults_of()


def test_the_order_of_duplicates_is_none_of_digests() -> None:
    protected = column("a", custom={"protect": "hash"})
    said = faults_of(protected, column("b"), custom={"dedupe": {"key": ["a"], "order": ["b", "a desc"]}})
    place = "schema.people.customProperties.dedupe.order"
    assert [f"{place}: a is protected: its digests have no order (order by another)"] == said


@pytest.mark.parametrize("ending", ["quarantine", "decisions", "files", "profiles"])
def test_a_dataset_can_not_be_called_like_a_table_beside_another(ending: str) -> None:
    document = "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.0.0\nstatus: active\nschema:\n"
    table = f"  - name: people__{ending}\n    properties: [{{name: id, logicalType: integer}}]\n"
    with pytest.raises(ConfigError, match="is the name of a table beside another"):
        load(document + table)
