"""The world that all scenarios of a process share, what one process makes of it, and a fleet for each scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from harness.checks import assert_outputs
from harness.fleet import Fleet
from harness.world import World, fill, upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.bucket import Stored
    from harness.fleet import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/scenario" in item.path.as_posix():
            item.add_marker(pytest.mark.scenario)


@pytest.fixture(scope="session")
def world(local_stack: Stack, new_database: Callable[[], str]) -> World:
    """A seeded source bucket and database; scenarios only read them."""
    bucket = f"source-{uuid4().hex[:8]}"
    s3 = local_stack.client("s3")
    s3.create_bucket(Bucket=bucket)
    upload(s3, bucket)
    return World(bucket, new_database())


@pytest.fixture(scope="session")
def new_database(local_stack: Stack, _database_template: str) -> Callable[[], str]:
    """Return a maker of databases with the world's rows."""

    def make() -> str:
        name = f"scenario_{uuid4().hex[:8]}"
        local_stack.sql(f'create database "{name}" template "{_database_template}"')
        url: str = local_stack.database_url.rpartition("/")[0] + f"/{name}"
        fill(url)
        return url

    return make


@pytest.fixture(scope="session")
def reference(local_stack: Stack, world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored]:
    """What a run in one process, undisturbed, leaves at its destination."""
    with Fleet(local_stack, world, tmp_path_factory.mktemp("reference")) as fleet:
        run = fleet.run()
        program = run.inline()
        program.ends()
        objects = run.destination.snapshot()
        assert_outputs(run, objects)
        return objects


@pytest.fixture
def fleet(local_stack: Stack, world: World, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(local_stack, world, tmp_path) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def shared_fleet(local_stack: Stack, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet for a module whose scenarios each have a run of their own."""
    with Fleet(local_stack, world, tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet
