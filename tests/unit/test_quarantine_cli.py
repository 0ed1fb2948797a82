"""The command line over memory stores: what it prints, what it never prints, and its exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from etl_core.errors import ConfigError
from faulty_store import Killed
from pipeline_processing.cli import quarantine
from pipeline_processing.cli.quarantine_views import age
from quarantine_world import FILE, MENDED, PROTECTED, QuarantineWorld
from silver_world import CONTRACT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def world(tmp_path: Path) -> QuarantineWorld:
    return await QuarantineWorld.after_run(tmp_path)


class Command:
    """Runs a command as `main` would, on the world's stores."""

    def __init__(self, world: QuarantineWorld, output: pytest.CaptureFixture[str]) -> None:
        self._world, self._output = world, output

    async def __call__(self, command: str, *words: str, expected: int = 0, **settings: object) -> str:
        self._output.readouterr()
        async with self._world.handler(**settings) as services:
            options = quarantine.options_of(command, words)
            assert expected == await quarantine.COMMANDS[command](options, services)
        return self._output.readouterr().out

    async def json(self, command: str, *words: str, expected: int = 0) -> Any:  # noqa: ANN401 - a document
        return orjson.loads(await self(command, *words, "--json", expected=expected))


@pytest.fixture
def command(world: QuarantineWorld, capsys: pytest.CaptureFixture[str]) -> Command:
    import structlog  # noqa: PLC0415 - the test's own output is what is read

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    return Command(world, capsys)


async def test_list_counts_by_rule_file_and_agency(command: Command) -> None:
    (people,) = (await command.json("list", "--dataset", "people"))["datasets"]
    assert ("people", {"open": 3}) == (people["dataset"], people["rows"])
    assert ["hired.type", "id.type", "reader.ragged"] == [one["rule"] for one in people["groups"]]
    assert {(FILE, "20", "open", 1)} == {
        (one["file"], one["agency_id"], one["state"], one["rows"]) for one in people["groups"]
    }


async def test_list_finds_every_dataset_that_has_a_quarantine(command: Command) -> None:
    text = await command("list")
    assert "people: 3 open" in text
    with pytest.raises(ConfigError, match="no dataset has a quarantine here"):
        await command("list", "--silver-prefix", "elsewhere")
    with pytest.raises(ConfigError, match="there is no quarantine"):
        await command("list", "--dataset", "unknown")


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (("--rule", "hired.type"), 1),
        (("--rule", "id.*"), 1),
        (("--rule", "hired.type", "--rule", "reader.*"), 2),
        (("--agency-id", "10"), 0),
        (("--file", FILE), 3),
        (("--file", "s3://bronze/20/*"), 3),
        (("--file", "s3://bronze/30/*"), 0),
        (("--agency-id", "20", "--rule", "id.type"), 1),
    ],
)
async def test_rows_are_meant_by_rule_file_and_agency(command: Command, words: tuple[str, ...], rows: int) -> None:
    (people,) = (await command.json("list", "--dataset", "people", *words))["datasets"]
    assert rows == people["rows"].get("open", 0)


async def test_list_leaves_out_what_is_decided_unless_all_is_asked_for(
    world: QuarantineWorld, command: Command
) -> None:
    await world.release("rel-1", contract=MENDED)
    assert "people: 2 open" in await command("list", "--dataset", "people")
    assert "people: 2 open, 1 released" in await command("list", "--dataset", "people", "--all")


async def test_show_has_the_row_without_the_values_of_classified_columns(command: Command) -> None:
    document = await command.json("show", "--dataset", "people", "--rule", "id.type")
    (row,) = document["rows"]
    assert ({"id": "x", "hired": "2004-02-03"}, ["name"]) == (row["raw"], row["hidden"])
    assert (FILE, 2, 3, ["id.type"]) == tuple(row[name] for name in ("source_file", "source_row", "line", "rules"))
    text = await command("show", "--dataset", "people")
    assert "Dee" not in text
    assert "Eve" not in text
    assert "3 of 3 rows" in text


async def test_show_says_how_many_it_left_out(command: Command) -> None:
    assert "1 of 3 rows (--limit 3 shows all of them)" in await command("show", "--dataset", "people", "--limit", "1")


async def test_show_hides_everything_where_the_contract_is_not_known(world: QuarantineWorld, command: Command) -> None:
    store = world.buckets.store("silver")
    await store.delete([info.key async for info in store.list("tables/_contracts/")])
    (row,) = (await command.json("show", "--dataset", "people", "--rule", "id.type"))["rows"]
    assert ({}, ["id", "name", "hired"]) == (row["raw"], row["hidden"])


async def test_export_edit_release_round_trip(world: QuarantineWorld, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "mend.csv"
    said = await command("show", "--dataset", "people", "--rule", "hired.type", "--export", str(path))
    assert f"1 of 1 rows are in {path}, readable by you alone; values of classified columns are in it\n" == said
    path.write_text(path.read_text(encoding="utf-8-sig").replace("never", "2004-01-01"))
    words = ("--contract", str(world.contract), "--edited", str(path), "--reason", "typo", "--by", "me")

    said = await command("release", *words, "--dry-run")
    assert "1 of 1 rows in 1 files would pass\n" == said
    assert {2: "open", 3: "open", 4: "open"} == await world.states()
    assert "1 released" in await command("release", *words)
    assert {2: "open", 3: "open", 4: "released"} == await world.states()


async def test_a_dry_run_writes_nothing_and_says_which_rules_the_others_still_fail(
    world: QuarantineWorld, command: Command
) -> None:
    before = await world.content("silver"), await world.content("control")
    world.contract.write_text(MENDED)
    words = ("--contract", str(world.contract), "--reason", "why", "--by", "me", "--dry-run")
    document = await command.json("release", *words, expected=3)
    assert (3, 1, {"id.type": 1, "reader.ragged": 1}) == (
        document["rows"],
        document["passing"],
        document["failing"],
    )
    assert before == (await world.content("silver"), await world.content("control"))
    assert "1 of 3 rows in 1 files would pass" in await command("release", *words, expected=3)


async def test_release_exits_with_3_where_rows_still_fail(world: QuarantineWorld, command: Command) -> None:
    world.contract.write_text(MENDED)
    words = ("--contract", str(world.contract), "--reason", "why", "--by", "me")
    await command("release", *words, "--run-id", "rel-1", expected=3)
    await command("release", "--run-id", "rel-1", expected=3)
    assert [1, 4] == await world.published()
    with pytest.raises(ConfigError, match="there is no release 'rel-9' to resume"):
        await command("release", "--run-id", "rel-9")


async def test_waive_takes_the_rows_of_its_rule_alone(world: QuarantineWorld, command: Command) -> None:
    words = ("--contract", str(world.contract), "--reason", "agreed", "--by", "me", "--expires", "2031-01-01")
    await command("waive", *words, "--rule", "hired.type")
    assert {2: "open", 3: "open", 4: "waived"} == await world.states()
    (row,) = (await command.json("show", "--dataset", "people", "--rule", "hired.type", "--all"))["rows"]
    assert ("agreed", "me", "2031-01-01") == tuple(
        row["decision"][name] for name in ("why", "decided_by", "expires_at")
    )


@pytest.mark.parametrize(
    ("name", "words", "what"),
    [
        ("release", ("--by", "me"), "--reason: why are these rows released?"),
        ("waive", ("--by", "me", "--expires", "2031-01-01"), "--rule: which rule is waived?"),
        ("waive", ("--rule", "hired.type", "--reason", "r", "--expires", "soon"), "'soon' is no date"),
        ("waive", ("--rule", "reader.ragged", "--reason", "r", "--expires", "2031-01-01"), "such a record is no row"),
        ("waive", ("--rule", "typo", "--reason", "r", "--expires", "2031-01-01"), "has no row check called 'typo'"),
        ("release", ("--edited", "nowhere.csv", "--reason", "r"), "nowhere.csv can not be read"),
        ("release", ("--id", "0" * 32, "--reason", "r"), "no row in quarantine is meant"),
    ],
)
async def test_what_can_not_be_done_is_said(
    world: QuarantineWorld, command: Command, name: str, words: tuple[str, ...], what: str
) -> None:
    with pytest.raises(ConfigError) as found:
        await command(name, "--contract", str(world.contract), *words)
    assert what in str(found.value)


async def test_a_release_needs_a_control_bucket_to_be_resumable(world: QuarantineWorld, command: Command) -> None:
    with pytest.raises(ConfigError, match="no control bucket"):
        await command("release", "--contract", str(world.contract), "--reason", "r", control_bucket=None)


async def test_an_interrupted_release_is_named_and_can_be_given_up(world: QuarantineWorld, command: Command) -> None:
    def death(_number: int, key: str) -> None:
        if "people/_delta_log" in key:
            raise Killed

    with pytest.raises(Killed):
        await world.release("rel-1", contract=MENDED, deaths=death)
    text = await command("list", "--dataset", "people")
    assert "release rel-1 was interrupted: resume it by `quarantine release --run-id rel-1`" in text
    with pytest.raises(ConfigError, match="no row waits for release 'rel-2'"):
        await command("abandon", "rel-2", "--dataset", "people")
    assert "release rel-1 is given up: 1 rows are open again\n" == await command(
        "abandon", "rel-1", "--dataset", "people"
    )
    assert "people: 3 open" in await command("list", "--dataset", "people")


async def test_no_value_of_a_classified_column_is_printed_stored_in_reports_or_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await QuarantineWorld.after_run(tmp_path / "w", PROTECTED)
    command = Command(world, capsys)
    for words in (("list",), ("show", "--dataset", "people"), ("show", "--dataset", "people", "--json")):
        text = await command(*words)
        assert not any(name in text for name in ("Dee", "Eve", "Fay")), words
    await world.release("rel-1")
    for bucket in ("control", "silver"):
        for key, body in (await world.content(bucket)).items():
            if not key.startswith("tables/people/"):
                assert not any(name in body for name in (b"Dee", b"Eve", b"Fay")), key


def test_main_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as help_asked:
        quarantine.main(["--help"])
    assert 0 == help_asked.value.code
    assert "abandon" in capsys.readouterr().out
    with pytest.raises(SystemExit) as wrong:
        quarantine.main(["lst"])
    assert 2 == wrong.value.code
    with pytest.raises(SystemExit) as missing:
        quarantine.main(["waive", "--rule", "x"])
    assert 2 == missing.value.code
    assert "--expires" in capsys.readouterr().err


def test_ages_are_told_in_their_largest_unit() -> None:
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - this test's alone

    now = datetime(2030, 1, 31, tzinfo=UTC)
    since = [timedelta(days=3, hours=5), timedelta(hours=23), timedelta(minutes=7), timedelta(0), timedelta(days=-1)]
    assert ["3 d", "23 h", "7 min", "now", "now"] == [age((now - one).isoformat(), now) for one in since]


def test_the_contract_of_these_tests_classifies_the_names() -> None:
    assert "classification: restricted" in CONTRACT
