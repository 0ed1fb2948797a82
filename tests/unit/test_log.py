from __future__ import annotations

import ast
import asyncio
import io
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog
from pydantic import SecretStr
from structlog.contextvars import bound_contextvars

from etl_core.errors import NotFound
from etl_core.log import MASK, SAFE_KEYS, configure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Configure logging for one test; call the fixture for what was logged, parsed."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.level, list(root.handlers)
    configure(level="info", stream=stream)
    yield lambda: [orjson.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_an_event_is_one_json_object_with_its_ids(lines: Callable[[], list[dict[str, Any]]]) -> None:
    with bound_contextvars(run_id="r1", delivery_id="m1"):
        structlog.get_logger().info("item.settled", item_id="i1", settlement="ack", deliveries=3, in_flight=True)
    (line,) = lines()
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert {
        "event": "item.settled",
        "level": "info",
        "run_id": "r1",
        "delivery_id": "m1",
        "item_id": "i1",
        "settlement": "ack",
        "deliveries": 3,
        "in_flight": True,
    } == line


def test_what_nobody_vouched_for_is_masked(lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.get_logger().info("x", last_name="Smith", salary=100, counts={"done": 1, "name": "Smith"}, row=["Smith"])
    (line,) = lines()
    assert (MASK, MASK, MASK) == (line["last_name"], line["salary"], line["row"])
    assert "Smith" not in str(line)


def test_what_is_no_plain_value_is_shown_as_its_type(lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.get_logger().info("x", reason=SecretStr("Smith"), items=[{"done": 1, "who": "Smith"}, object()])
    (line,) = lines()
    assert ("<SecretStr>", [{"done": 1, "who": MASK}, "<object>"]) == (line["reason"], line["items"])


def test_an_exceptions_values_do_not_reach_the_log(lines: Callable[[], list[dict[str, Any]]]) -> None:
    try:
        int("Smith")
    except ValueError:
        structlog.get_logger().exception("job.faulty")
    structlog.get_logger().error("job.faulty", exc_info=NotFound("no object k"))
    theirs, ours = lines()
    assert "Smith" not in str(theirs)
    assert "builtins.ValueError" == theirs["error_class"]
    assert [frame.split()[-1] for frame in theirs["trace"]] == ["test_an_exceptions_values_do_not_reach_the_log"]
    assert ("etl_core.errors.NotFound", "no object k") == (ours["error_class"], ours["error"])


def test_a_librarys_records_come_without_their_arguments(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("botocore.auth").info("not even logged")
    logging.getLogger("asyncpg").warning("duplicate key %s\nDETAIL: %s", "Smith", "Smith")
    (line,) = lines()
    assert ("duplicate key %s", "warning", "asyncpg") == (line["event"], line["level"], line["logger"])


async def test_a_task_nobody_awaited_does_not_tell_its_values(lines: Callable[[], list[dict[str, Any]]]) -> None:
    async def fail() -> None:
        raise ValueError("Smith")

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    del task
    (line,) = lines()
    assert "Task exception was never retrieved" == line["event"]
    assert "Smith" not in str(line)


def test_the_console_style_is_text() -> None:
    stream = io.StringIO()
    configure(style="console", stream=stream)
    structlog.get_logger().info("worker.started", queue="live")
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    assert "worker.started" in stream.getvalue()
    assert "queue=live" in stream.getvalue()


def _events() -> Iterator[tuple[str, str, list[str]]]:
    for path in sorted([*(ROOT / "libs").rglob("*.py"), *(ROOT / "services").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr="debug" | "info" | "warning" | "error"),
                    args=[ast.Constant(value=str(event)), *_],
                    keywords=keywords,
                ):
                    names = [keyword.arg for keyword in keywords if keyword.arg]
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", event, names


@pytest.mark.parametrize(("place", "event", "names"), list(_events()), ids=lambda value: value if ":" in value else "")
def test_every_event_of_the_product_has_a_fixed_name_and_keys_that_are_shown(
    place: str, event: str, names: list[str]
) -> None:
    assert event.replace(".", "").replace("_", "").isalpha(), place
    hidden = [name for name in names if name != "exc_info" and not SAFE_KEYS.fullmatch(name)]
    assert [] == hidden, (
        f"{place}: give these keys of {event} names that etl_core.log.SAFE_KEYS knows, or add them there"
    )
