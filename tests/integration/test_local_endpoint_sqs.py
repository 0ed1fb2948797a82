from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import LocalStack, QueuePair


def test_smoke(local_stack: LocalStack, queue_pair: QueuePair, bucket: str, database_url: str) -> None:
    sqs = local_stack.client("sqs")
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    assert "x" == sqs.receive_message(QueueUrl=queue_pair.url)["Messages"][0]["Body"]
