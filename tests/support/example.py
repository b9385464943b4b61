"""The site of examples/host.py, as it stands, beside a reference site that it can be connected to."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path

import bcrypt
from support import sites as test_sites
from support.webapp import PASSWORD, Browser, TwoSites, _Dispatcher, make_app
from support.wsgi_transport import WsgiTransport

from tconnect_pyramid import context_of

EXAMPLES = Path(__file__).parents[2] / "examples"
HOST_URL = "http://localhost:6545"
OTHER_URL = "http://localhost:6546"


def load_example():
    spec = importlib.util.spec_from_file_location("tconnect_example_host", EXAMPLES / "host.py")
    module = importlib.util.module_from_spec(spec)
    # SQLAlchemy looks the module up to read the annotations of its classes.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


host = load_example()


@contextmanager
def pair(make_sqlite, *, host_is: str):
    """The example and the reference site, one of them the server; nothing is connected yet."""
    clock = test_sites.StillClock()
    apps = {}
    transport = WsgiTransport(apps)
    config = host.configure(
        {
            **test_sites.ini(HOST_URL, **{"tconnect.site_name": "Host"}),
            "sqlalchemy.url": make_sqlite(),
            "host.secret": "only-for-tests",
        }
    )
    config.set_tconnect_transport(transport)
    config.set_tconnect_clock(clock)
    apps[HOST_URL] = config.make_wsgi_app()
    apps[OTHER_URL] = make_app(make_sqlite(), OTHER_URL, transport, clock, site_name="Other")
    ours, other = (context_of(apps[url].registry) for url in (HOST_URL, OTHER_URL))
    server, client, server_url, client_url = (
        (ours, other, HOST_URL, OTHER_URL) if host_is == "server" else (other, ours, OTHER_URL, HOST_URL)
    )
    try:
        yield TwoSites(Browser(_Dispatcher(apps)), server, client, transport, clock, server_url, client_url)
    finally:
        ours.database.engine.dispose()
        other.database.engine.dispose()


def add_user(context, login: str = "ada", name: str = "Ada L", **more) -> None:
    """Somebody in the host's own table, with a password there."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    with context.unit() as session:
        session.add(
            host.User(login=login, email=f"{login}@example.org", full_name=name, password_hash=hashed, **more)
        )


def follow(response):
    """Where redirects end, also on the other site."""
    while response.status_int in {302, 303}:
        response = response.follow()
    return response


def enter(page, login: str = "ada"):
    """Fill in the host's login page; gives where that leads."""
    form = page.forms["enter"]
    form["login"], form["password"] = login, PASSWORD
    return follow(form.submit())
