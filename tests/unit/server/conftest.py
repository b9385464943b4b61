"""Server sites for the tests of the server role."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from support import sites
from support.server_site import ClientSites, ServerSite


@pytest.fixture
def clock():
    return sites.StillClock()


@pytest.fixture
def make_server(make_database, clock):
    """Gives a function that makes a server site; on SQLite and on PostgreSQL."""
    with ExitStack() as stack:

        def make(*options: tuple[str, str]) -> ServerSite:
            clients = ClientSites()
            context = stack.enter_context(
                sites.context(
                    make_database(),
                    url="http://server.example",
                    transport=clients,
                    clock=clock,
                    options=(("server.enabled", "true"), *options),
                )
            )
            clients.check_idle = context.database.assert_idle
            return ServerSite(context, clients)

        yield make


@pytest.fixture
def server(make_server) -> ServerSite:
    return make_server()
