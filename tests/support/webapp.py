"""The reference site as a WSGI application on a test database, alone or as a connected-to-be pair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin

import bcrypt
from support import configured_once
from support.sites import NoTransport, StillClock, ini
from support.wsgi_transport import WsgiTransport
from webob import Response
from webtest import TestApp, TestRequest, TestResponse

from tconnect_pyramid import context_of, people
from tconnect_pyramid.client import servers
from tconnect_pyramid.client.connecting import open_invitation
from tconnect_pyramid.context import Context
from tconnect_pyramid.server import clients

SERVER_URL = "http://localhost:6543"
CLIENT_URL = "http://localhost:6544"
PASSWORD = "correct horse battery"


def make_app(database_url, site_url="http://localhost", transport=None, clock=None, **settings):
    """The reference site on a migrated database; `settings` are ini settings without `tconnect.`.

    A dot is written as two underscores: `network__allow_http="true"`. The caller disposes of the engine,
    `app_context(app).database.engine`, or uses `one_site`.
    """
    more = {f"tconnect.{name.replace('__', '.')}": value for name, value in settings.items()}
    return configured_once.start(
        {**ini(site_url, **more), "sqlalchemy.url": database_url},
        # Anything but these two names stands in for the surroundings of a real site.
        transport=None if transport == "http" else transport or NoTransport(),
        clock=None if clock == "real" else clock or StillClock(),
    )


def app_context(app) -> Context:
    """The context of an application: its settings, database, accounts, clock."""
    return context_of(app.registry)


@contextmanager
def one_site(database_url, site_url="http://localhost", **more) -> Iterator[tuple[TestApp, Context]]:
    """A browser on one site, and the site's context."""
    app = make_app(database_url, site_url, **more)
    context = app_context(app)
    try:
        yield TestApp(app, extra_environ={"HTTP_HOST": site_url.split("/")[2]}), context
    finally:
        context.database.engine.dispose()


class _Page(TestResponse):
    """A page whose links lead where they say: WebTest's own stay on the site of the page."""

    def goto(self, href, method="get", **more):
        address = urldefrag(urljoin(self.request.url, href)).url
        return getattr(self.test_app, method.lower())(address, **more)


class _PageRequest(TestRequest):
    ResponseClass = _Page


class Browser(TestApp):
    """A browser that moves between sites. `page.maybe_follow()` goes on to where redirects end."""

    RequestClass = _PageRequest


@dataclass(frozen=True)
class TwoSites:
    """A server and a client that can call each other. Addresses of the browser begin with a site's URL."""

    browser: Browser
    server: Context
    client: Context
    transport: WsgiTransport
    clock: StillClock
    server_url: str
    client_url: str

    def new_browser(self) -> Browser:
        """Another browser, with cookies of its own."""
        return Browser(self.browser.app)


@contextmanager
def two_sites(
    server_database, client_database, *, server_url=SERVER_URL, client_url=CLIENT_URL, clock=None
) -> Iterator[TwoSites]:
    """A server and a client of one process, one clock and one browser with one cookie jar."""
    clock = clock or StillClock()
    apps = {}
    contexts = {}

    def check_idle() -> None:
        for context in contexts.values():
            context.database.assert_idle()

    transport = WsgiTransport(apps, check_idle=check_idle)
    for url, database_url, name in (
        (server_url, server_database, "Test server"),
        (client_url, client_database, "Test client"),
    ):
        apps[url] = make_app(database_url, url, transport, clock, site_name=name)
        contexts[url] = app_context(apps[url])
    server, client = contexts[server_url], contexts[client_url]
    try:
        yield TwoSites(Browser(_Dispatcher(apps)), server, client, transport, clock, server_url, client_url)
    finally:
        server.database.engine.dispose()
        client.database.engine.dispose()


def connect(sites, **wishes):
    """Switch both roles on and register the client at the server; gives the server's view of the client."""
    with sites.server.unit() as session:
        clients.enable(session, sites.server, on=True, actor="command")
    with sites.client.unit() as session:
        servers.enable(session, sites.client, on=True, actor="command")
        invitation = open_invitation(session, sites.client, actor="command")
    wished = clients.ClientWishes(
        **{"name": sites.client.settings.site_name, "url": sites.client_url, **wishes}
    )
    return clients.register_client(sites.server, wished, invitation.setup_secret, actor="command", timeout=10)


def add_person(context, username="ada", password=PASSWORD, **fields) -> int:
    """A local account; gives its key."""
    names = {"firstname": "Ada", "lastname": "Lovelace", "email": f"{username}@example.org", **fields}
    with context.unit() as session:
        key = people.add_person(session, context, username=username, **names).key
        # The cheapest hash that is taken: tests log in often.
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        context.accounts.update(session, {key: {"password": hashed}})
    return key


def log_in(browser, username="ada", password=PASSWORD, url="") -> None:
    """Log in on the page at `url`/login, as a person does."""
    form = browser.get(f"{url}/login").forms["login"]
    form["username"] = username
    form["password"] = password
    form.submit(status=303)


def log_out(browser, url="") -> None:
    """Press *Log out*."""
    browser.get(f"{url}/logout").forms["logout"].submit(status=303)


class _Dispatcher:
    """Chooses the site by the Host header, as two ports of one computer do."""

    def __init__(self, apps) -> None:
        self.apps = apps

    def __call__(self, environ, start_response):
        host = environ["HTTP_HOST"]
        for url, app in self.apps.items():
            if url.split("/")[2] == host:
                return app(environ, start_response)
        known = ", ".join(self.apps)
        return Response(f"no site at {host}, only {known}", 502)(environ, start_response)
