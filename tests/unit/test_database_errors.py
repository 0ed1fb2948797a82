import socket

import pytest

from etl_core.database import Database
from etl_core.errors import Unreachable


@pytest.mark.parametrize(
    ("user", "place"), [("me:secret", "database 127.0.0.1:{port}"), ("me:sec@secret", "database"), ("", "database")]
)
async def test_a_database_that_is_down_is_named_without_its_password(user: str, place: str) -> None:
    with socket.socket() as taken:  # bound, not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"postgresql://{user}@127.0.0.1:{port}/x" if user else f"postgresql:///x?host=127.0.0.1&port={port}"
        database = Database(url, variable="THE_URL")
        with pytest.raises(Unreachable) as failure:
            await database.fetch("select 1")
    assert f"{place.format(port=port)}: takes no connection (is it up? THE_URL says where)" == str(failure.value)
