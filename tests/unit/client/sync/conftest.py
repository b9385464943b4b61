"""A client that is connected to one server, on either database."""

from __future__ import annotations

import pytest
from support import lists, sites


@pytest.fixture
def server():
    return lists.ListingServer()


@pytest.fixture
def client(make_database, server):
    """A context with the client role enabled whose server has the id `client.server_id` of `connected`."""
    with sites.context(make_database(), transport=server, options=[("client.enabled", "true")]) as context:
        yield context


@pytest.fixture
def server_id(client):
    return lists.connect(client)
