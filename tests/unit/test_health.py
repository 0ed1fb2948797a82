from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter

from etl_core import health
from etl_core.errors import ConfigError
from etl_core.health import HealthServer
from etl_core.metrics import new_registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Patient:
    is_alive: bool = True
    is_ready: bool = True


@pytest.fixture
def patient() -> Patient:
    return Patient()


@pytest.fixture
async def server(patient: Patient) -> AsyncIterator[HealthServer]:
    registry = CollectorRegistry()
    Counter("pipeline_things", "Things.", registry=registry).inc(7)
    async with HealthServer(patient, registry, host="127.0.0.1", port=0) as server:
        yield server


def fetch(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


async def get(server: HealthServer, path: str) -> tuple[int, str]:
    return await asyncio.to_thread(fetch, server, path)


async def test_each_probe_answers_for_itself(server: HealthServer, patient: Patient) -> None:
    assert (200, "ok\n") == await get(server, "/healthz")
    assert (200, "ok\n") == await get(server, "/readyz")
    patient.is_ready = False
    assert 503 == (await get(server, "/readyz"))[0]
    assert 200 == (await get(server, "/healthz"))[0]
    patient.is_alive = False
    assert 503 == (await get(server, "/healthz"))[0]


async def test_metrics_are_those_of_the_registry(server: HealthServer) -> None:
    status, text = await get(server, "/metrics")
    assert 200 == status
    assert "pipeline_things_total 7.0" in text


async def test_any_other_path_is_not_found(server: HealthServer) -> None:
    assert 404 == (await get(server, "/"))[0]


async def test_a_loop_that_does_not_turn_is_unhealthy_but_still_measured(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LOOP_PATIENCE", 0.05)
    # Called on the loop's own thread, the requests keep the loop from turning until they are answered.
    assert 503 == fetch(server, "/healthz")[0]
    assert 200 == fetch(server, "/metrics")[0]


async def test_a_taken_port_is_a_clear_error(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^HEALTH_PORT: .*{port}"):
            async with HealthServer(patient, CollectorRegistry(), host="127.0.0.1", port=port, variable="HEALTH_PORT"):
                pass


def test_a_registry_is_no_global() -> None:
    assert new_registry() is not new_registry()
