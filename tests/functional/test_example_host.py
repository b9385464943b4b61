"""The example of docs/hosts.md, run as it stands: as a client, as a server, and by the command."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from support import sites as test_sites
from support.webapp import Browser, TwoSites, _Dispatcher, add_person, connect, log_in, make_app
from support.wsgi_transport import WsgiTransport

from tconnect_pyramid import context_of, people
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import TABLE_PREFIX, Link, SignIn

EXAMPLES = Path(__file__).parents[2] / "examples"
HOST_URL = "http://localhost:6545"
OTHER_URL = "http://localhost:6546"
PASSWORD = "correct horse battery"


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


def users(context) -> list:
    with context.reading() as session:
        return list(session.scalars(select(host.User).order_by(host.User.id)))


def follow(response):
    while response.status_int in {302, 303}:
        response = response.follow()
    return response


def test_people_of_a_server_sign_in_to_the_example_and_are_kept_in_its_own_table(make_sqlite):
    with pair(make_sqlite, host_is="client") as sites:
        ada = add_person(sites.server)
        connect(sites)
        browser = sites.browser
        log_in(browser, url=sites.server_url)

        page = follow(browser.get(f"{HOST_URL}/enter").click("Other"))

        assert "Ada Lovelace is logged in" in page.text
        (user,) = users(sites.client)
        assert (user.full_name, user.email, user.login_by) == ("Ada Lovelace", "ada@example.org", "connect")
        assert user.login.startswith("tc_")
        assert user.is_active

        # A log-out at the server reaches the host's own cookie.
        browser.get(f"{OTHER_URL}/logout").forms["logout"].submit()
        assert "Nobody is logged in" in browser.get(f"{HOST_URL}/").text

        # What becomes of the person there becomes of them here.
        with sites.client.reading() as session:
            server_id = session.scalar(select(Link.server_id))
        with sites.server.unit() as session:
            people.suspend(session, sites.server, ada)
        assert run_sync(sites.client, "users", server_id).counts["suspended"] == 1
        (user,) = users(sites.client)
        assert not user.is_active
        with sites.server.unit() as session:
            people.delete_person(session, sites.server, ada)
        run_sync(sites.client, "users", server_id)
        (user,) = users(sites.client)
        assert user.deleted_at is not None
        assert user.login.startswith("deleted_")


def test_people_of_the_example_sign_in_to_a_client_and_out_of_both(make_sqlite):
    with pair(make_sqlite, host_is="server") as sites:
        connect(sites)
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        with sites.server.unit() as session:
            session.add(
                host.User(login="ada", email="ada@example.org", full_name="Ada L", password_hash=hashed)
            )
        browser = sites.browser

        page = follow(browser.get(f"{OTHER_URL}/login").click("Host"))
        assert "Return to Other" in page.text
        form = page.forms["enter"]
        form["login"], form["password"] = "ada", PASSWORD
        page = follow(form.submit())

        assert page.request.host == "localhost:6546"
        assert browser.get(f"{OTHER_URL}/profile").status_int == 200

        browser.get(f"{HOST_URL}/").forms["leave"].submit(status=303)

        assert "Nobody is logged in" in browser.get(f"{HOST_URL}/").text
        assert not people_signed_in(sites.client)


def people_signed_in(context) -> list:
    with context.reading() as session:
        return [row for row in session.scalars(select(SignIn)) if row.ended is None]


@pytest.mark.slow
def test_the_command_serves_the_example(tmp_path):
    for name in ("host.py", "host.ini"):
        shutil.copy(EXAMPLES / name, tmp_path)

    def tconnect(*words):
        command = [sys.executable, "-W", "ignore", "-c", "from tconnect_pyramid.cli import main; main()"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [*command, "-c", str(tmp_path / "host.ini"), *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    tconnect("db", "upgrade")
    added = tconnect("user", "add", "ana", "--email", "ana@example.org", "--no-password")
    assert "password" not in added, "the command could give none here"
    assert '"agree": true' in tconnect("db", "check", "--json")
    tconnect("client", "enable")
    assert HOST_URL.replace("localhost", "127.0.0.1") in tconnect("client", "connect")


@pytest.mark.filterwarnings("ignore:.*expression-based index:sqlalchemy.exc.SAWarning")
def test_the_hook_of_the_docs_keeps_a_hosts_autogenerate_off_our_tables(make_sqlite):
    def include_name(name, type_, parent_names):
        return not (type_ == "table" and name.startswith(TABLE_PREFIX))

    engine = host.create_engine(make_sqlite())
    host.Base.metadata.create_all(engine)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_name": include_name})
            assert compare_metadata(context, host.Base.metadata) == []
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, host.Base.metadata) != []
    finally:
        engine.dispose()
