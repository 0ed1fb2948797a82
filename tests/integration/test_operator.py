"""The operator's commands as a person runs them: real processes, a real endpoint."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from etl_core.queue import Message
from pipeline_operator import bootstrap
from pipeline_processing.dead_letters import Cause
from pipeline_processing.evidence import Dossier
from pipeline_processing.messages import decode, encode
from pipeline_processing.model import Failure, Item
from pipeline_processing.records import Records
from pipeline_processing.service_handler import ServiceHandler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import QueuePair  # type: ignore[attr-defined] # mypy takes another folder's conftest
    from etl_core.queue import Queue

RUN = "run-1"
FINGERPRINT = "0123456789ab"
CLI = [sys.executable, "-m", "pipeline_processing.cli.main", "dlq"]
Capsys = pytest.CaptureFixture[str]
Deployment = tuple[ServiceHandler, dict[str, str]]


@pytest.fixture
async def deployment(
    aws_environment: dict[str, str], bucket: str, queue_pair: QueuePair, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Deployment]:
    """Parts bound to a lane and a control bucket of the test's own, and the environment of its processes."""
    settings = {
        "PIPELINE_CONTROL_BUCKET": bucket,
        "PIPELINE_LIVE_QUEUE": queue_pair.name,
        "PIPELINE_BACKFILL_QUEUE": "",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    async with ServiceHandler() as services:
        yield services, {**os.environ, **aws_environment, **settings}


def _records(services: ServiceHandler) -> Records:
    return Records(services.control, services.settings.control_prefix, services.clock, lambda: 0.5)


async def _bury(services: ServiceHandler, number: int, *, fingerprint: str = FINGERPRINT) -> Item:
    """Leave what the worker leaves: a dossier, then a dead letter with its cause."""
    item = Item("copy", str(number % 3), {"n": number})
    failure = Failure("NotFound", "no such key", fingerprint, transient=False, trace=("pipeline_processing.x:1 f",))
    await (
        _records(services)
        .evidence(RUN)
        .write_dossier(
            Dossier(
                run_id=RUN,
                item_id=item.item_id,
                processor=item.processor,
                agency_id=item.agency_id,
                reason="permanent",
                failure=failure,
                attempts=1,
                worker="w1",
                code_version="0.1.0",
                first_failed_at="2030-01-01T00:00:00+00:00",
                last_failed_at="2030-01-01T00:00:00+00:00",
                message_id="m",
                body_size=1,
            )
        )
    )
    error = Cause("permanent", failure, 1, "w1", "0.1.0", "2030-01-01T00:00:00+00:00", RUN, item.item_id).encode()
    lane = await services.lane("live")
    body = encode(RUN, item, part="part")
    report = await lane.dead_letters.send([Message(body, {"error": error}, group=item.agency_id)])
    assert (0,) == report.succeeded
    return item


async def _finish(services: ServiceHandler, item: Item) -> None:
    await services.control.put(_records(services).layout(RUN).marker(item.item_id), b"{}")


async def _held(services: ServiceHandler) -> tuple[set[str], set[str]]:
    """Receive everything there is, and return the items in the lane and in its dead letters."""
    lane = await services.lane("live")
    return await _drained(lane.queue), await _drained(lane.dead_letters)


async def _drained(queue: Queue) -> set[str]:
    items: set[str] = set()
    while (depth := await queue.depth()).visible or depth.delayed:
        deliveries = await queue.receive(limit=10, wait=timedelta(seconds=1), lease=timedelta(minutes=5))
        items |= {decode(delivery.body).item_id for delivery in deliveries}
    return items


async def _dlq(services: ServiceHandler, *argv: str) -> int:
    return await bootstrap.run(argv, services)


async def _json(services: ServiceHandler, capsys: Capsys, *argv: str) -> dict[str, Any]:
    assert 0 == await _dlq(services, *argv, "--json")
    out, error = capsys.readouterr()
    assert "" == error
    document: dict[str, Any] = orjson.loads(out)
    return document


async def test_an_empty_queue_is_said_to_be_empty(deployment: Deployment) -> None:
    services, environment = deployment
    lane = await services.lane("live")

    ran = subprocess.run([*CLI, "list"], env=environment, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - nothing else runs meanwhile

    assert (0, f"{lane.dead_letters.name}: no dead letters\n", "") == (ran.returncode, ran.stdout, ran.stderr)


async def test_letters_are_listed_by_cause_and_shown_with_their_evidence(
    deployment: Deployment, capsys: Capsys
) -> None:
    services, _ = deployment
    items = [await _bury(services, number) for number in range(12)]
    other = await _bury(services, 99, fingerprint="f" * 12)

    document = await _json(services, capsys, "list")
    assert 13 == document["read"]
    first, second = document["groups"]
    assert (12, FINGERPRINT, "NotFound", [RUN], ["0", "1", "2"]) == (
        first["count"],
        first["fingerprint"],
        first["error"],
        first["runs"],
        first["agencies"],
    )
    assert (1, "f" * 12) == (second["count"], second["fingerprint"])
    assert 335 < first["hours_left"] <= 336

    assert 0 == await _dlq(services, "list")
    row = rf"^12 +{FINGERPRINT} +NotFound +permanent +no such key"
    assert re.search(row, capsys.readouterr().out, re.MULTILINE)

    shown = (await _json(services, capsys, "show", other.item_id))["letters"]
    assert [(other.item_id, "w1", ["pipeline_processing.x:1 f"])] == [
        (letter["item_id"], letter["worker"], letter["dossier"]["failure"]["trace"]) for letter in shown
    ]
    assert 0 == await _dlq(services, "show", FINGERPRINT)
    assert 3 == capsys.readouterr().out.count("item id")
    assert {item.item_id for item in (*items, other)} == (await _held(services))[1]


async def test_what_is_not_in_the_queue_is_said_so_but_found_by_its_run(deployment: Deployment, capsys: Capsys) -> None:
    services, _ = deployment
    item = await _bury(services, 1)
    lane = await services.lane("live")
    (delivery,) = await lane.dead_letters.receive(limit=1, wait=timedelta(seconds=5), lease=timedelta(seconds=30))
    await lane.dead_letters.delete([delivery.receipt])

    assert 1 == await _dlq(services, "show", item.item_id)
    out, error = capsys.readouterr()
    assert ("", 1) == (out, error.count("\n"))

    (found,) = (await _json(services, capsys, "show", item.item_id, "--run-id", RUN))["letters"]
    assert ("none in the queue", "no such key") == (found["letter"], found["dossier"]["failure"]["message"])


async def test_a_message_that_the_queue_moved_itself_is_shown_as_such(deployment: Deployment, capsys: Capsys) -> None:
    services, _ = deployment
    lane = await services.lane("live")
    item = Item("copy", "1", {"n": 1})
    await lane.queue.send([Message(encode(RUN, item, part="part"))])
    limit = (await lane.queue.policy()).max_receive_count or 0
    for _receive in range(limit):
        (delivery,) = await lane.queue.receive(limit=1, wait=timedelta(seconds=5), lease=timedelta(seconds=30))
        await lane.queue.extend([delivery.receipt], timedelta(0))
    assert [] == list(await lane.queue.receive(limit=1, wait=timedelta(seconds=1), lease=timedelta(seconds=1)))

    (group,) = (await _json(services, capsys, "list"))["groups"]

    assert ("moved", "moved_by_queue") == (group["fingerprint"], group["reason"])
    assert "moved by the queue: its worker died or never finished" == group["message"]
    assert 0 == await _dlq(services, "redrive", "--fingerprint", "moved", "--yes")
    assert ({item.item_id}, set()) == await _held(services)


async def test_a_redrive_sends_drops_and_reports(deployment: Deployment, capsys: Capsys) -> None:
    services, _ = deployment
    redriven, done, other = [await _bury(services, number) for number in (0, 3, 1)]
    await _finish(services, done)

    looked = await _json(services, capsys, "redrive", "--agency", "0", "--dry-run")
    did = await _json(services, capsys, "redrive", "--agency", "0", "--yes")

    assert (1, 1, True) == (looked["redriven"], looked["already_done"], looked["dry_run"])
    assert (1, 1, [RUN]) == (did["redriven"], did["already_done"], did["runs"])
    assert ({redriven.item_id}, {other.item_id}) == await _held(services)
    dossiers = [item_id async for item_id in _records(services).evidence(RUN).list_dossiers()]
    assert [other.item_id] == dossiers


async def test_a_redrive_that_matches_nothing_says_what_there_is_with_exit_code_2(
    deployment: Deployment, capsys: Capsys
) -> None:
    services, _ = deployment
    item = await _bury(services, 0)
    name = (await services.lane("live")).dead_letters.name

    for more in (["--yes"], ["--dry-run"], ["--yes", "--json"]):
        assert 2 == await _dlq(services, "redrive", "--fingerprint", "f" * 12, *more)
        error = capsys.readouterr().err
        assert f"error: no dead letter in {name} matches: its fingerprints are {FINGERPRINT} (1) (" in error

    assert (set(), {item.item_id}) == await _held(services)


async def test_a_redrive_of_everything_where_there_is_nothing_is_done(deployment: Deployment, capsys: Capsys) -> None:
    services, _ = deployment

    assert 0 == await _dlq(services, "redrive", "--all", "--yes")
    assert "" == capsys.readouterr().err


async def test_a_redrive_that_could_not_read_every_letter_says_so_with_exit_code_3(
    deployment: Deployment, capsys: Capsys
) -> None:
    services, _ = deployment
    for number in range(2):
        await _bury(services, number)
    lane = await services.lane("live")
    assert await lane.dead_letters.receive(limit=1, wait=timedelta(seconds=5), lease=timedelta(minutes=5))

    assert 3 == await _dlq(services, "redrive", "--all", "--yes")
    assert (
        "note: the queue counts about 2, 1 of them held by another reader; try again later\n" == capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["redrive"], "nothing was chosen"),
        (["redrive", "--all"], "there is nobody to ask"),
        (["redrive", "--all", "--rate", "0"], "--rate"),
        (["list", "--lane", "backfill"], "PIPELINE_BACKFILL_QUEUE"),
    ],
)
async def test_wrong_use_is_told_with_exit_code_2_and_changes_nothing(
    deployment: Deployment, argv: list[str], says: str
) -> None:
    services, environment = deployment
    item = await _bury(services, 1)

    ran = subprocess.run([*CLI, *argv], env=environment, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - see above

    assert (2, "") == (ran.returncode, ran.stdout)
    assert says in ran.stderr
    lane = await services.lane("live")
    assert (await lane.queue.depth()).is_empty()
    assert {item.item_id} == await _drained(lane.dead_letters)


async def test_a_redrive_that_is_interrupted_says_what_it_did_and_loses_nothing(deployment: Deployment) -> None:
    services, environment = deployment
    items = {(await _bury(services, number)).item_id for number in range(12)}
    lane = await services.lane("live")

    with subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time, and its end is awaited by nobody else
        [*CLI, "redrive", "--all", "--rate", "1", "--yes"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while (depth := await lane.queue.depth()).visible + depth.delayed < 2:
            continue
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)

    assert (130, "interrupted\n") == (process.returncode, error)
    assert re.search(r"^redriven +[1-9]", out, re.MULTILINE)
    queued, dead = await _held(services)
    assert items == queued | dead
    assert dead
