"""A server of ours that is called by HTTP only, for tests that hold the rules of the protocol's page.

Its database and application are shared by the tests of a module, which therefore use people and clients
of their own. Every reply is checked for what the page says of all of them (protocol 1).
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from support import databases, lists
from support.server_site import ClientSite, ClientSites, ServerSite
from support.sites import StillClock, ini
from support.webapp import app_context
from webtest import TestApp

from tconnect_pyramid import people
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.errors import Refused
from tconnect_pyramid.protocol import forms, paths
from tconnect_pyramid.server import clients
from tconnect_pyramid.site import configure

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
URL = "http://localhost:6543"
OFF, ON = "false", "true"


def success(data: object) -> dict:
    return {"status": "success", "data": data}


def fail(parameter: str, reason: str) -> dict:
    return {"status": "fail", "data": {parameter: reason}}


def error(message: str) -> dict:
    return {"status": "error", "message": message}


def table(*rows: Any):
    """Parametrises a test by rows, each known by what it `says`."""
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.says) for row in rows])


class Peers(ClientSites):
    """The clients, which also keep what they were asked, and a server whose client this site may be."""

    def __init__(self) -> None:
        super().__init__()
        self.above = lists.ListingServer()
        self.asked: list[tuple[str, dict[str, str]]] = []

    def post(self, url, form, *, timeout, limit):
        if url.startswith(lists.SERVER_URL):
            return self.above.post(url, form, timeout=timeout, limit=limit)
        self.asked.append((url, dict(form)))
        return super().post(url, form, timeout=timeout, limit=limit)


class ServerByHttp(ServerSite):
    """A server site that is filled by the rules of the domain and called by HTTP."""

    def __init__(self, app, peers: Peers, database_url: str) -> None:
        super().__init__(app_context(app), peers)
        self.peers = peers
        self.database_url = database_url
        self.browser = TestApp(app)

    def answer(self, form: dict[str, str]) -> dict:
        return self.post(forms.write_form(form.items()))

    def post(self, body: bytes = b"", *, query: str = "", method: str = "POST", **more: Any) -> dict:
        """The parsed reply to a request of the service end point."""
        more.setdefault("content_type", forms.CONTENT_TYPE)
        reply = self.browser.request(
            paths.SERVER_SEP + query, method=method, body=body, expect_errors=True, **more
        )
        assert (reply.status_int, reply.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
        document = json.loads(reply.body)
        match document["status"]:
            case "success":
                assert document.keys() == {"status", "data"}
                assert document["data"] != {}
            case "fail":
                assert document.keys() == {"status", "data"}
                assert len(document["data"]) == 1
            case status:
                assert status == "error"
                assert document.keys() == {"status", "message"}
        return document

    def data(self, client: ClientSite, service: str, **parameters: str) -> Any:
        """The data of a service call that succeeds."""
        reply = self.call(client, service, **parameters)
        assert reply["status"] == "success", reply
        return reply["data"]

    def users(self, client: ClientSite) -> list[dict]:
        return self.data(client, "get_users")["users"]

    def user(self, client: ClientSite, key: int) -> dict | None:
        return self.data(client, "get_user", userid=str(key))["user"]

    def listed(self, client: ClientSite, key: int) -> dict:
        """One person's record as it stands in the list."""
        (record,) = (record for record in self.users(client) if record["id"] == str(key))
        return record

    @contextmanager
    def switched(self, option: str, value: str, back: str):
        """An option has another value meanwhile."""
        self.option(option, value)
        try:
            yield
        finally:
            self.option(option, back)

    def do(self, rule, *words: Any, **more: Any) -> Any:
        """Call a rule of the domain that takes session and context first."""
        with self.context.unit() as session:
            return rule(session, self.context, *words, **more)

    def delete(self, *keys: int) -> None:
        for key in keys:
            deliver_now(self.context, self.do(people.delete_person, key))

    def choose(self, client: ClientSite, **wishes: Any) -> None:
        """What an administrator chooses for a client; everything else stays as it is."""
        with self.context.unit() as session:
            view = clients.find_client(session, client.idnumber)
            before = clients.ClientWishes(
                restrict_audience_id=view.restrict_to,
                **{
                    name: getattr(view, name)
                    for name in clients.ClientWishes.__slots__
                    if name != "restrict_audience_id"
                },
            )
            clients.edit_client(session, self.context, view.id, replace(before, **wishes), actor="command")

    def view(self, client: ClientSite) -> clients.ClientView:
        with self.context.reading() as session:
            return clients.find_client(session, client.idnumber)


def _echo(context, peer, form):
    return {"peer": peer.idnumber, "form": dict(form)}


def _nothing(context, peer, form):
    return None


def _refuse(context, peer, form):
    raise Refused("no prices today")


def _refuse_parameter(context, peer, form):
    raise Refused("unknown currency", parameter="currency")


def _break(context, peer, form):
    raise RuntimeError(form["currency"])


def _odd(context, peer, form):
    return {"price": object()}


@contextmanager
def running(kind: str, folder, *, url: str = URL, enabled: bool = True, **settings: str):
    """A server on an empty database of this kind, with a few services of plugins."""
    with databases.maker(kind, folder) as make:
        database_url = make()
        config = configure({**ini(url, **settings), "sqlalchemy.url": database_url})
        peers = Peers()
        config.set_tconnect_transport(peers)
        config.set_tconnect_clock(StillClock())
        for name, service in (
            ("echo", _echo),
            ("nothing", _nothing),
            ("break", _break),
            ("odd", _odd),
            ("refuse", _refuse),
            ("refuse_parameter", _refuse_parameter),
        ):
            config.add_tconnect_service("local_shop", name, service)
        config.add_tconnect_service("local_other", "price_changed", _echo, role="client")
        app = config.make_wsgi_app()
        context = app_context(app)
        peers.check_idle = context.database.assert_idle
        try:
            server = ServerByHttp(app, peers, database_url)
            if enabled:
                server.option("server.enabled", ON)
            yield server
        finally:
            context.database.engine.dispose()
