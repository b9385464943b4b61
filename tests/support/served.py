"""A played server that listens, and a client on a database of its own that the command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from click.testing import CliRunner, Result
from support import lists, sites
from support.admin import command, write_ini
from support.http_peer import http_peer, reply

from tconnect_pyramid.cli import main
from tconnect_pyramid.context import Context


@dataclass(frozen=True)
class ServedClient:
    """A client whose `server` answers over HTTP, as the command needs it."""

    context: Context
    server: lists.ListingServer
    server_id: int
    ini_file: Path

    def __call__(self, *words: object, status: int = 0) -> Result:
        """What `tconnect …` prints."""
        result = CliRunner().invoke(main, ["-c", str(self.ini_file), *map(str, words)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    def json(self, *words: object, status: int = 0) -> Any:
        """What `tconnect … --json` prints."""
        return command(self.ini_file, *words, status=status)

    def add(self, username: str, **fields: object) -> int:
        """A local account made by hand, with any standard fields; gives its key."""
        with self.context.unit() as session:
            (key,) = self.context.accounts.insert(session, [{"username": username, **fields}])
        return key


@contextmanager
def listening(server: lists.ListingServer) -> Iterator[str]:
    """Let a played server listen; gives its address."""

    def answer(conversation):
        form = parse_qsl(peer.requests[-1][1].decode())
        conversation.send(reply(server.post("", form, timeout=None, limit=None).read()))

    with http_peer(answer) as peer:
        yield f"http://127.0.0.1:{peer.port}"


@contextmanager
def served_client(database: str, folder: Path, *, options=()) -> Iterator[ServedClient]:
    """A client with an empty database of this address, connected to a server; its ini file lies in `folder`."""
    server = lists.ListingServer()
    with (
        listening(server) as url,
        sites.context(database, options=[("client.enabled", "true"), *options]) as context,
    ):
        server_id = lists.connect(context, url=url)
        yield ServedClient(context, server, server_id, write_ini(folder, context))
