from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from etl_core.errors import ConfigError
from etl_core.objects.s3 import S3Store
from etl_core.queue import Message
from etl_core.queue.sqs import SqsQueue
from etl_core.testing.objects_contract import MIB, ObjectStoreContract, some_bytes
from etl_core.testing.queue_contract import QueueContract, receive
from pipeline_local.resources import ensure_queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from conftest import LocalStack, QueuePair
    from etl_core.aws import AwsClients
    from etl_core.objects import ObjectStore
    from etl_core.queue import Queue


class TestSqsQueue(QueueContract):
    @pytest.fixture
    def name(self, local_stack: LocalStack) -> str:
        name = f"contract-{uuid4().hex[:12]}"
        ensure_queue(local_stack.client("sqs"), name, lease="30", max_receive_count=self.MAX_RECEIVE_COUNT)
        return name

    @pytest.fixture
    def dead_letters(self, clients: AwsClients, name: str) -> Queue:
        return SqsQueue(clients, f"{name}-dlq")

    @pytest.fixture
    def queue(self, clients: AwsClients, name: str, dead_letters: Queue) -> Queue:
        return SqsQueue(clients, name)


class TestS3Store(ObjectStoreContract):
    @pytest.fixture
    def store(self, clients: AwsClients, bucket: str) -> ObjectStore:
        return S3Store(clients, bucket, part_size=5 * MIB)

    @pytest.fixture
    def other(self, clients: AwsClients, local_stack: LocalStack) -> ObjectStore:
        name = f"other-{uuid4().hex[:12]}"
        local_stack.client("s3").create_bucket(Bucket=name)
        return S3Store(clients, name, copy_limit=6 * MIB, part_size=5 * MIB)

    @pytest.fixture
    def missing(self, clients: AwsClients) -> ObjectStore:
        return S3Store(clients, f"missing-{uuid4().hex[:12]}")

    @pytest.fixture(autouse=True)
    def _raw(self, local_stack: LocalStack) -> None:
        self.raw = local_stack.client("s3")

    async def decorate(self, store: ObjectStore, key: str, headers: Mapping[str, str], tags: Mapping[str, str]) -> None:
        place = {"Bucket": store.bucket, "Key": key}
        content_type = self.raw.head_object(**place)["ContentType"]
        self.raw.copy_object(
            **place, **headers, CopySource=place, MetadataDirective="REPLACE", ContentType=content_type
        )
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        self.raw.put_object_tagging(**place, Tagging={"TagSet": tag_set})

    async def tags(self, store: ObjectStore, key: str) -> Mapping[str, str]:
        answer = self.raw.get_object_tagging(Bucket=store.bucket, Key=key)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    async def test_an_upload_that_fails_leaves_no_parts_behind(self, store: ObjectStore) -> None:
        async def broken() -> AsyncIterator[bytes]:
            async for chunk in some_bytes(13 * MIB):
                yield chunk
            raise ArithmeticError

        with pytest.raises(ArithmeticError):
            await store.upload("k", broken())
        assert not self.raw.list_multipart_uploads(Bucket=store.bucket).get("Uploads")


@pytest.mark.parametrize("kind", ["name", "url", "arn"])
async def test_a_queue_is_found_by_name_url_or_arn(
    clients: AwsClients, local_stack: LocalStack, queue_pair: QueuePair, kind: str
) -> None:
    attributes = local_stack.client("sqs").get_queue_attributes(QueueUrl=queue_pair.url, AttributeNames=["QueueArn"])
    address = {"name": queue_pair.name, "url": queue_pair.url, "arn": attributes["Attributes"]["QueueArn"]}[kind]
    queue = SqsQueue(clients, address)
    await queue.send([Message("here")])
    assert ("here", queue_pair.name) == ((await receive(queue)).body, queue.name)


async def test_a_missing_queue_is_a_matter_of_configuration(clients: AwsClients) -> None:
    with pytest.raises(ConfigError, match=r"queue no-such-queue: .*create the queue"):
        await SqsQueue(clients, "no-such-queue").send([Message("x")])
