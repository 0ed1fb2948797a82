"""The S3 and SQS adapters on a bad day: what the local endpoint never does by itself comes from the proxy before it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from etl_core.aws import AwsClients
from etl_core.errors import (
    Archived,
    ConfigError,
    Conflict,
    PreconditionFailed,
    ReplyLost,
    Throttled,
    Transient,
    Unreachable,
)
from etl_core.objects import ObjectRef
from etl_core.objects.s3 import S3Store
from etl_core.queue import Message
from etl_core.queue.sqs import SqsQueue
from etl_core.testing.faults import (
    Answer,
    ChangeHeaders,
    CutReply,
    Delay,
    FailEntries,
    FaultProxy,
    LoseReply,
    RepeatReceive,
    Reset,
    Rule,
    Silence,
)
from etl_core.testing.objects_contract import MIB, ODD_KEYS, collect, some_bytes
from etl_core.testing.queue_contract import LEASE, receive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import QueuePair


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
async def store(clients: AwsClients, bucket: str) -> S3Store:
    store = S3Store(clients, bucket, copy_limit=6 * MIB, part_size=5 * MIB)
    await store.put_if_absent("warm", b"")  # the next conditional write reuses this one's connection
    return store


@pytest.fixture
def queue(clients: AwsClients, queue_pair: QueuePair) -> SqsQueue:
    return SqsQueue(clients, queue_pair.name)


def conditional(proxy: FaultProxy) -> int:
    return sum("if-none-match" in request.headers for request in proxy.requests)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Answer(409, "ConditionalRequestConflict"), Conflict),
        (Answer(503, "SlowDown"), Throttled),
        (Answer(500, "InternalError"), Transient),
        (Reset(), ReplyLost),
        (Silence(), ReplyLost),
    ],
    ids=lambda value: getattr(value, "code", type(value).__name__),
)
async def test_a_conditional_write_is_sent_once_whatever_happens(
    store: S3Store, proxy: FaultProxy, fault: Answer | Reset | Silence, kind: type[Exception]
) -> None:
    proxy.add(Rule(fault, method="PUT", path="/marker$", times=None))
    before = conditional(proxy)
    with pytest.raises(kind) as failure:
        await store.put_if_absent("marker", b"mine")
    assert (kind, 1) == (type(failure.value), conditional(proxy) - before)


async def test_a_conditional_write_whose_reply_is_lost_has_taken_effect(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(LoseReply(), method="PUT", headers={"If-None-Match": ""}))
    with pytest.raises(ReplyLost):
        await store.put_if_absent("marker", b"mine")
    assert b"mine" == (await store.get("marker")).body
    with pytest.raises(PreconditionFailed):
        await store.put_if_absent("marker", b"mine")


async def test_a_replacement_whose_reply_is_lost_is_not_repeated(store: S3Store, proxy: FaultProxy) -> None:
    etag = await store.put_if_absent("run.json", b"1")
    rule = proxy.add(Rule(LoseReply(), method="PUT", headers={"If-Match": etag}, times=None))
    with pytest.raises(ReplyLost):
        await store.put_if_match("run.json", b"2", etag=etag)
    assert (1, b"2") == (rule.hits, (await store.get("run.json")).body)


@pytest.mark.parametrize("fault", [Answer(503, "SlowDown"), Answer(500, "InternalError"), Reset(), LoseReply()])
async def test_a_plain_write_rides_out_a_short_storm(
    store: S3Store, proxy: FaultProxy, fault: Answer | Reset | LoseReply
) -> None:
    rule = proxy.add(Rule(fault, method="PUT"))
    await store.put("k", b"x")
    assert (1, b"x") == (rule.hits, (await store.get("k")).body)


async def test_a_storm_that_lasts_is_reported_as_what_it_is(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(Answer(503, "SlowDown"), times=None))
    with pytest.raises(Throttled, match=r"s3://.*/k: SlowDown"):
        await store.put("k", b"x")


async def test_a_service_that_is_away_is_unreachable_until_it_comes_back(store: S3Store, proxy: FaultProxy) -> None:
    await proxy.go_away()
    for call in (store.put("k", b"x"), store.put_if_absent("k", b"x"), store.head("k"), collect(store.stream("k"))):
        with pytest.raises(Unreachable):
            await call
    await proxy.come_back()
    await store.put_if_absent("k", b"back")
    assert b"back" == (await store.get("k")).body


@pytest.mark.parametrize("cut", [0, 1, MIB + 17])
async def test_a_stream_that_breaks_goes_on_where_it_broke(store: S3Store, proxy: FaultProxy, cut: int) -> None:
    await store.upload("k", some_bytes(3 * MIB))
    rule = proxy.add(Rule(CutReply(cut), method="GET", path="/k$", times=2))
    assert await collect(some_bytes(3 * MIB)) == await collect(store.stream("k"))
    assert 2 == rule.hits


async def test_a_stream_that_breaks_does_not_go_on_in_another_object(store: S3Store, proxy: FaultProxy) -> None:
    await store.put("k", b"a" * 3 * MIB)
    proxy.add(Rule(CutReply(MIB), method="GET", path="/k$"))
    chunks = store.stream("k")
    first = await anext(chunks)
    await store.put("k", b"b" * 3 * MIB)
    with pytest.raises(PreconditionFailed):
        await collect(chunks)
    assert {ord("a")} == set(first)


async def test_a_stream_without_progress_ends(store: S3Store, proxy: FaultProxy) -> None:
    await store.put("k", b"abc")
    rule = proxy.add(Rule(CutReply(0), method="GET", path="/k$", times=None))
    with pytest.raises(ReplyLost):
        await collect(store.stream("k"))
    assert 4 == rule.hits


async def test_a_small_read_that_breaks_is_read_again(store: S3Store, proxy: FaultProxy) -> None:
    await store.put("k", b"abc")
    proxy.add(Rule(CutReply(1), method="GET", path="/k$", times=2))
    assert b"abc" == (await store.get("k")).body


async def test_a_completion_whose_reply_is_lost_is_recognised(store: S3Store, proxy: FaultProxy) -> None:
    rule = proxy.add(Rule(LoseReply(), method="POST", query="uploadId", times=None))
    info = await store.upload("k", some_bytes(11 * MIB))
    assert 0 < rule.hits
    assert (11 * MIB, info.etag) == (info.size, (await store.head("k")).etag)
    assert await collect(some_bytes(11 * MIB)) == await collect(store.stream("k"))


async def test_an_upload_that_can_not_be_completed_fails_and_leaves_no_parts(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(Answer(500, "InternalError"), method="POST", query="uploadId", times=None))
    with pytest.raises(Transient):
        await store.upload("k", some_bytes(11 * MIB))
    assert 1 == sum(request.method == "DELETE" and "uploadId" in request.target for request in proxy.requests)


async def test_a_cancelled_copy_aborts_its_upload(store: S3Store, proxy: FaultProxy) -> None:
    source = await store.upload("from", some_bytes(13 * MIB))
    rule = proxy.add(Rule(Silence(), method="PUT", query="partNumber=2", times=None))
    ref = ObjectRef(store.bucket, "from", source.etag)
    copying = asyncio.create_task(store.copy(ref, "to", info=source, metadata={}))
    async with asyncio.timeout(20):
        while not rule.hits:  # noqa: ASYNC110 - a rule counts, it signals nobody
            await asyncio.sleep(0.01)
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert 1 == sum(request.method == "DELETE" and "uploadId" in request.target for request in proxy.requests)


async def test_every_range_of_a_copy_is_pinned_to_the_source(store: S3Store, proxy: FaultProxy) -> None:
    source = await store.upload("from", some_bytes(13 * MIB))
    await store.copy(ObjectRef(store.bucket, "from", source.etag), "to", info=source, metadata={})
    ranges = [request.headers for request in proxy.requests if "x-amz-copy-source-range" in request.headers]
    assert {f"bytes={n}-{min(n + 5 * MIB, 13 * MIB) - 1}" for n in range(0, 13 * MIB, 5 * MIB)} == {
        headers["x-amz-copy-source-range"] for headers in ranges
    }
    assert {f'"{source.etag}"'} == {headers["x-amz-copy-source-if-match"] for headers in ranges}


async def test_an_archived_source_is_named_as_such(store: S3Store, proxy: FaultProxy) -> None:
    info = await store.put("k", b"x")
    proxy.add(Rule(Answer(403, "InvalidObjectState"), headers={"x-amz-copy-source": "/k"}))
    with pytest.raises(Archived):
        await store.copy(ObjectRef(store.bucket, "k", info.etag), "to", info=info, metadata={})


async def test_an_expired_token_is_told_even_where_the_reply_to_a_head_can_not_say_so(
    store: S3Store, proxy: FaultProxy
) -> None:
    proxy.add(Rule(Answer(400, "ExpiredToken"), times=None))
    with pytest.raises(ConfigError, match=r"ExpiredToken .*renew"):
        await store.head("k")


async def test_an_endpoint_that_echoes_no_checksum_is_no_failure(store: S3Store, proxy: FaultProxy) -> None:
    await store.put("k", b"x")
    proxy.add(Rule(ChangeHeaders(frozenset({"x-amz-checksum-sha256"})), times=None))
    assert {} == dict((await store.head("k")).checksums)
    assert b"x" == (await store.get("k")).body


async def test_bytes_that_do_not_match_their_checksum_are_not_returned(store: S3Store, proxy: FaultProxy) -> None:
    await store.put("k", b"x")
    wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    proxy.add(
        Rule(ChangeHeaders(frozenset({"x-amz-checksum-sha256"}), (("x-amz-checksum-sha256", wrong),)), times=None)
    )
    with pytest.raises(Transient, match="checksum"):
        await store.get("k")


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key)[:30])
async def test_a_key_is_on_the_wire_as_its_signature_says(store: S3Store, proxy: FaultProxy, key: str) -> None:
    """S3 signs the path as it is sent, encoded once: what a library normalises on the way breaks the signature."""
    await store.put(key, b"x")
    assert f"/{store.bucket}/{quote(key, safe='/~')}" == proxy.requests[-1].target


async def test_each_entry_of_a_send_has_its_own_outcome(queue: SqsQueue, proxy: FaultProxy) -> None:
    proxy.add(Rule(FailEntries(frozenset({1, 2})), operation="SendMessageBatch"))
    report = await queue.send([Message(str(n)) for n in range(4)])
    assert ((0, 3), [(1, True), (2, True)]) == (report.succeeded, [(f.index, f.transient) for f in report.failed])
    assert "InternalError" == report.failed[0].code


async def test_an_entry_that_is_the_sender_s_fault_fails_for_ever(queue: SqsQueue, proxy: FaultProxy) -> None:
    fault = FailEntries(frozenset({0}), "InvalidMessageContents", sender_fault=True)
    proxy.add(Rule(fault, operation="SendMessageBatch"))
    assert [False] == [fault.transient for fault in (await queue.send([Message("x")])).failed]


async def test_a_call_that_fails_fails_its_own_entries_only(queue: SqsQueue, proxy: FaultProxy) -> None:
    proxy.add(Rule(Answer(500, "InternalError"), operation="SendMessageBatch", body='"12"', times=None))
    report = await queue.send([Message(str(n)) for n in range(25)])
    assert (*range(10), *range(20, 25)) == report.succeeded
    assert [(n, True) for n in range(10, 20)] == [(fault.index, fault.transient) for fault in report.failed]


async def test_extensions_of_a_queue_that_is_away_fail_for_the_moment(queue: SqsQueue, proxy: FaultProxy) -> None:
    await queue.send([Message("x")])
    delivery = await receive(queue, wait=timedelta(seconds=1))
    await proxy.go_away()
    extended, deleted = await queue.extend([delivery.receipt], LEASE), await queue.delete([delivery.receipt])
    assert [("Unreachable", True)] * 2 == [(f.code, f.transient) for f in (*extended.failed, *deleted.failed)]


async def test_what_only_a_person_can_mend_is_raised(queue: SqsQueue, proxy: FaultProxy) -> None:
    proxy.add(Rule(Answer(403, "ExpiredToken"), times=None))
    with pytest.raises(ConfigError, match="ExpiredToken"):
        await queue.send([Message("x")])


async def test_a_lost_reply_to_a_receive_hides_its_message_for_a_lease_and_loses_nothing(
    queue: SqsQueue, proxy: FaultProxy
) -> None:
    await queue.send([Message("x")])
    rule = proxy.add(Rule(LoseReply(), operation="ReceiveMessage"))
    deliveries = await queue.receive(limit=1, wait=timedelta(seconds=1), lease=timedelta(seconds=2))
    while not deliveries:
        deliveries = await queue.receive(limit=1, wait=timedelta(seconds=1), lease=LEASE)
    assert (1, ["x"]) == (rule.hits, [delivery.body for delivery in deliveries])


async def test_a_repeated_receive_delivers_the_same_message_twice(queue: SqsQueue, proxy: FaultProxy) -> None:
    await queue.send([Message("x")])
    proxy.add(Rule(RepeatReceive(), operation="ReceiveMessage"))
    first, second = await receive(queue, wait=timedelta(seconds=1)), await receive(queue, wait=timedelta(seconds=1))
    assert first == second
    assert [(0,), (0,)] == [(await queue.delete([delivery.receipt])).succeeded for delivery in (first, second)]


async def test_a_delay_is_no_failure(queue: SqsQueue, proxy: FaultProxy) -> None:
    rule = proxy.add(Rule(Delay(timedelta(milliseconds=200)), operation="SendMessageBatch"))
    assert (0,) == (await queue.send([Message("x")])).succeeded
    assert 1 == rule.hits


def test_a_proxy_in_a_thread_serves_a_test_without_a_loop(aws_environment: dict[str, str], bucket: str) -> None:
    async def put(url: str) -> None:
        clients = AwsClients(endpoint_url=url, attempts=1)
        try:
            await S3Store(clients, bucket).put("k", b"x")
        finally:
            await clients.aclose()

    with FaultProxy.in_thread(aws_environment["AWS_ENDPOINT_URL"]) as proxy:
        asyncio.run(put(proxy.url))
        proxy.call("go_away")
        with pytest.raises(Unreachable):
            asyncio.run(put(proxy.url))
        proxy.call("come_back")
        asyncio.run(put(proxy.url))
