from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from etl_core.aws import AwsClients

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def clients(aws_environment: dict[str, str]) -> AsyncIterator[AwsClients]:
    """Clients of the local stack, as a process with its environment makes them."""
    clients = AwsClients()
    yield clients
    await clients.aclose()
