"""A client with two servers, for positions and for organisations, on either database."""

from __future__ import annotations

import pytest
from support import sites
from support.trees import HIERARCHIES, TwoServers, World


@pytest.fixture
def servers():
    return TwoServers()


@pytest.fixture(params=HIERARCHIES)
def world(request, make_database, servers):
    with sites.context(make_database(), transport=servers, options=[("client.enabled", "true")]) as client:
        yield World(client, servers, request.param)


@pytest.fixture
def tree(world):
    """Two frameworks, one with a tree of three levels: 1, 2 below 1, 3 below 2, 4 below 1; 5 in the other one.

    Gives the local ids of the items.
    """
    world.send(
        [world.framework(1), world.framework(2)],
        [
            world.item(1, 1, sortthread="01"),
            world.item(4, 1, 1, sortthread="01.02"),
            world.item(2, 1, 1, sortthread="01.01"),
            world.item(3, 1, 2, sortthread="01.01.01"),
            world.item(5, 2, sortthread="01"),
        ],
    )
    assert world.run().state == "done"
    return {id_: it.id for id_, it in world.items().items()}
