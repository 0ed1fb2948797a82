"""A commit on a bad day: what the local endpoint never does by itself comes from the proxy before it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from etl_core.aws import AwsClients
from etl_core.errors import Transient
from etl_core.objects.s3 import S3Store
from etl_core.testing.fake_clock import FakeClock
from etl_core.testing.faults import Answer, FaultProxy, LoseReply, Reset, Rule
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.plain import PlainTable
from tables_world import adding, numbers, rows_of, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pipeline_processing.tables import Table

FORMATS: dict[str, Any] = {"delta": DeltaTable, "plain": PlainTable}
SWAPS = {"delta": r"_delta_log/", "plain": r"_manifest\.json"}
"""The one object of a commit that decides."""


@pytest.fixture
async def proxy(aws_environment: dict[str, str]) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(aws_environment["AWS_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.fixture
async def clients(proxy: FaultProxy) -> AsyncIterator[AwsClients]:
    clients = AwsClients(endpoint_url=proxy.url, read_timeout=timedelta(seconds=2), attempts=2)
    yield clients
    await clients.aclose()


@pytest.fixture
def store(clients: AwsClients, bucket: str) -> S3Store:
    return S3Store(clients, bucket)


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def table(kind: str, store: S3Store) -> Table:
    """A table that has one commit."""
    clock = FakeClock(auto_advance=True)
    table: Table = FORMATS[kind](store, "silver/t", clock=clock, jitter=lambda: 0.5, nonce=numbers())
    await table.commit(adding(await written(store, table.root, "a.parquet"), app="gather:r0"))
    return table


@pytest.mark.parametrize(
    "fault",
    [LoseReply(), Reset(), Answer(409, "ConditionalRequestConflict"), Answer(503, "SlowDown"), Answer(500, "Internal")],
    ids=lambda fault: getattr(fault, "code", type(fault).__name__),
)
async def test_a_commit_rides_out_a_short_storm_and_is_made_once(
    store: S3Store, proxy: FaultProxy, table: Table, kind: str, fault: Answer | LoseReply | Reset
) -> None:
    rule = proxy.add(Rule(fault, method="PUT", path=SWAPS[kind], times=3))
    answer = await table.commit(adding(await written(store, table.root, "b.parquet")))
    assert (1, True) == (answer.version, answer.changed)
    assert rule.hits == (1 if isinstance(fault, LoseReply) else 3)
    assert [("Ann", 1), ("Ann", 1)] == await rows_of(store, table)
    assert 2 == len([commit async for commit in table.history()])


async def test_a_commit_whose_reply_is_always_lost_is_known_as_ones_own(
    store: S3Store, proxy: FaultProxy, table: Table, kind: str
) -> None:
    rule = proxy.add(Rule(LoseReply(), method="PUT", path=SWAPS[kind], times=None))
    answer = await table.commit(adding(await written(store, table.root, "b.parquet")))
    assert (1, True, 1) == (answer.version, answer.changed, rule.hits)


async def test_a_storm_that_lasts_ends_in_an_error_and_the_same_commit_can_be_made_later(
    store: S3Store, proxy: FaultProxy, table: Table, kind: str
) -> None:
    change = adding(await written(store, table.root, "b.parquet"))
    rule = proxy.add(Rule(Answer(409, "ConditionalRequestConflict"), method="PUT", path=SWAPS[kind], times=None))
    with pytest.raises(Transient, match="could not write"):
        await table.commit(change)
    rule.times = rule.hits
    assert (1, True) == ((answer := await table.commit(change)).version, answer.changed)
