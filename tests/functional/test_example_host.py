"""The example of docs/hosts.md, run as it stands: as a client, as a server, and by the command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from support.example import EXAMPLES, HOST_URL, OTHER_URL, add_user, enter, follow, host, pair
from support.webapp import add_person, connect, log_in

from tconnect_pyramid import people
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import TABLE_PREFIX, Link, SignIn


def users(context) -> list:
    with context.reading() as session:
        return list(session.scalars(select(host.User).order_by(host.User.id)))


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
        add_user(sites.server)
        browser = sites.browser

        page = follow(browser.get(f"{OTHER_URL}/login").click("Host"))
        assert "Return to Other" in page.text
        page = enter(page)

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
