"""The reference site listening on ports of this computer, for real browsers."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass

from support.webapp import make_app
from waitress import wasyncore
from waitress.server import create_server

from tconnect_pyramid import context_of
from tconnect_pyramid.context import Context


@dataclass(frozen=True)
class Pair:
    """Two sites that listen on ports of this computer."""

    server: Context
    client: Context
    server_url: str
    client_url: str


@contextmanager
def listening(database_url, name):
    """A site on a free port; gives its context and address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://localhost:{listener.getsockname()[1]}"
        app = make_app(database_url, url, transport="http", clock="real", site_name=name)
        sockets = {}
        waitress = create_server(app, map=sockets, sockets=[listener], threads=4)
        thread = threading.Thread(target=waitress.run, daemon=True)
        thread.start()
        try:
            yield context_of(app.registry), url
        finally:
            # The loop ends with its last socket, and a browser keeps its connections open.
            waitress.trigger.pull_trigger(lambda: wasyncore.close_all(sockets, ignore_all=True))
            thread.join(20)
            waitress.task_dispatcher.shutdown()
            context_of(app.registry).database.engine.dispose()
        assert not thread.is_alive()


@contextmanager
def two_listening(make_database, server_name, client_name):
    """A server and a client, not connected yet."""
    with (
        listening(make_database(), server_name) as (server, server_url),
        listening(make_database(), client_name) as (client, client_url),
    ):
        yield Pair(server, client, server_url, client_url)
