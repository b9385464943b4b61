"""Leaving a server by the command and by HTTP: both sites, their people, and connecting them anew (protocol 9)."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from support import databases, peers
from support.webapp import PASSWORD, add_person, app_context, connect, log_in, make_app, two_sites

from tconnect_pyramid import people
from tconnect_pyramid.cli import main
from tconnect_pyramid.client import connecting, leaving
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import audiences
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Account, Client, ClientSession, Link, Server, SignIn
from tconnect_pyramid.options import set_option
from tconnect_pyramid.server import clients
from tconnect_pyramid.tasks import jobs


@pytest.fixture
def sites(make_database):
    """Ada and Bob, brought over with their audience; the server sends hashes."""
    with two_sites(make_database(), make_database()) as sites:
        option(sites.server, "server.sync_passwords", "true")
        keys = [add_person(sites.server), add_person(sites.server, "bob", firstname="Bob")]
        with sites.server.unit() as session:
            audience = audiences.add_audience(session, sites.server, name="Engineers")
            audiences.add_members(session, sites.server, audience.id, keys)
        connect(sites, audiences=(audience.id,))
        bring(sites)
        yield sites


def bring(sites):
    (server,) = servers(sites)
    return [run_sync(sites.client, kind, server.id) for kind in ("users", "collections")]


def option(context, name, value):
    with context.unit() as session:
        set_option(session, context.settings, name, value, context.clock())


def servers(sites):
    with sites.client.reading() as session:
        return list_servers(session)


def leave(sites, accounts="keep", **more):
    (server,) = servers(sites)
    return leaving.leave(sites.client, server.id, accounts=accounts, actor="command", **more)


def client_rows(sites):
    """The clients that the server ever had, by their state."""
    with sites.server.reading() as session:
        return session.scalars(select(Client.state).order_by(Client.id)).all()


def accounts(context):
    with context.reading() as session:
        rows = session.scalars(select(Account).order_by(Account.id)).all()
    return {row.firstname: row for row in rows}


def click_sign_in_link(browser, sites):
    page = browser.get(f"{sites.client_url}/login").click(description="Test server")
    return page.maybe_follow()


def is_signed_in(browser, url):
    return "log out" in browser.get(f"{url}/").maybe_follow().text.lower()


def wishes(sites):
    with sites.server.reading() as session:
        offered = tuple(audience.id for audience in audiences.list_audiences(session))
    return clients.ClientWishes(name="Test client", url=sites.client_url, audiences=offered)


def reconnect(sites):
    with sites.client.unit() as session:
        invitation = connecting.open_invitation(session, sites.client, actor="command")
    return clients.register_client(
        sites.server, wishes(sites), invitation.setup_secret, actor="command", timeout=10
    )


def test_people_are_signed_out_here_and_nowhere_else_and_log_in_with_their_password(sites):
    browser = sites.browser
    log_in(browser, url=sites.server_url)
    click_sign_in_link(browser, sites)
    assert is_signed_in(browser, sites.client_url)

    assert leave(sites).confirmed

    assert client_rows(sites) == ["deleted"]
    assert servers(sites) == []
    assert not is_signed_in(browser, sites.client_url)
    assert is_signed_in(browser, sites.server_url)
    with sites.server.reading() as session:
        assert session.scalars(select(ClientSession)).all() == []
    assert "Test server" not in browser.get(f"{sites.client_url}/login").text
    log_in(browser, accounts(sites.client)["Ada"].username, url=sites.client_url)
    assert is_signed_in(browser, sites.client_url)


@pytest.mark.parametrize(("choice", "new_auth"), [("suspend", "manual"), ("keep", "nologin")])
def test_whoever_is_suspended_or_without_login_stays_out(sites, choice, new_auth):
    leave(sites, choice, new_auth=new_auth)
    form = sites.browser.get(f"{sites.client_url}/login").forms["login"]
    form["username"] = accounts(sites.client)["Ada"].username
    form["password"] = PASSWORD
    form.submit(status="*")
    assert not is_signed_in(sites.browser, sites.client_url)


def test_while_the_server_is_down_it_stays_and_is_not_connected_twice(sites):
    sites.transport.down.add(sites.server_url)

    left = leave(sites)

    assert (left.confirmed, left.accounts) == (False, 2)
    assert [server.state for server in servers(sites)] == ["leaving"]
    assert client_rows(sites) == ["active"]
    sites.transport.down.clear()
    # The server does not know yet, so that its administrator removes the client and tries to add it anew.
    with sites.server.reading() as session:
        client_id = session.scalar(select(Client.id))
    clients.remove_client(sites.server, client_id, actor="command")
    with pytest.raises(Conflict, match="still leaving it"):
        reconnect(sites)
    assert "This site has left Test server." in jobs.cleanup(sites.client).text
    assert servers(sites) == []
    reconnect(sites)
    assert [server.state for server in servers(sites)] == ["active"]


def test_after_the_server_has_removed_this_client_it_is_left_at_once(sites):
    with sites.server.reading() as session:
        client_id = session.scalar(select(Client.id))
    clients.remove_client(sites.server, client_id, actor="command")

    assert leave(sites).confirmed
    assert servers(sites) == []


def test_a_server_that_lost_its_answer_is_asked_again_without_harm(sites):
    """The server has let this site go, and the answer never arrived."""
    post = sites.transport.post

    def lose_the_answer(url, form, **more):
        post(url, form, **more).close()
        sites.transport.down.add(sites.server_url)
        return post(url, form, **more)

    sites.transport.post = lose_the_answer
    assert not leave(sites).confirmed
    assert client_rows(sites) == ["deleted"]
    sites.transport.post = post
    sites.transport.down.clear()
    (left,) = leaving.retry_leaving(sites.client)
    assert left.confirmed
    assert servers(sites) == []


def test_a_server_with_the_role_switched_off_is_waited_for(sites):
    option(sites.server, "server.enabled", "false")
    left = leave(sites)
    assert not left.confirmed
    assert "connect server not enabled" in left.message
    option(sites.server, "server.enabled", "true")
    assert leaving.retry_leaving(sites.client)[0].confirmed


def test_the_same_server_can_connect_this_site_again_and_strangers_keep_their_names(sites):
    before = {name: row.id for name, row in accounts(sites.client).items()}
    leave(sites)
    reconnect(sites)

    users, collections = bring(sites)

    assert users.counts["skipped"] == 2
    assert users.counts["created"] == 0
    assert collections.state == "done"
    with sites.client.reading() as session:
        found = audiences.list_audiences(session, members=True)
    assert [(it.name, it.component, it.size) for it in found] == [
        ("Engineers", "", 2),
        ("Engineers", "auth_connect", 0),
    ]
    assert {name: row.id for name, row in accounts(sites.client).items()} == before


def test_with_migration_by_the_unique_id_people_find_their_accounts_again(sites):
    before = {name: (row.id, row.username) for name, row in accounts(sites.client).items()}
    leave(sites)
    option(sites.client, "client.migrate_accounts", "true")
    option(sites.client, "client.account_mapping", "uniqueid")
    reconnect(sites)

    users, _ = bring(sites)

    assert users.counts["linked"] == 2
    after = accounts(sites.client)
    assert {name: (row.id, row.username) for name, row in after.items()} == before
    assert {row.auth for row in after.values()} == {"connect"}
    with sites.client.reading() as session:
        assert len(session.scalars(select(Link)).all()) == 2


def test_people_who_were_suspended_by_leaving_stay_so_when_they_are_found_again(sites):
    leave(sites, "suspend")
    option(sites.client, "client.migrate_accounts", "true")
    option(sites.client, "client.account_mapping", "uniqueid")
    reconnect(sites)
    bring(sites)
    bring(sites)
    assert {row.suspended for row in accounts(sites.client).values()} == {1}


# --- the login page -------------------------------------------------------------------------------


def try_to_log_in(browser, url, username, password):
    form = browser.get(f"{url}/login?nosso=1").forms["login"]
    form["username"] = username
    form["password"] = password
    return form.submit(status="*")


def test_a_refused_password_does_not_tell_why(sites):
    """Right and wrong passwords, of all kinds of accounts, get the same page."""
    add_person(sites.client, "carl", firstname="Carl")
    with sites.client.unit() as session:
        key = people.add_person(session, sites.client, username="nora", auth="nologin").key
        hashed = session.scalar(select(Account.password).where(Account.username == "carl"))
        sites.client.accounts.update(session, {key: {"password": hashed}})

    def shown(username, password=PASSWORD):
        page = try_to_log_in(sites.new_browser(), sites.client_url, username, password)
        (refused,) = page.html.select("[role=alert]")
        return page.status_int, refused.get_text()

    expected = shown("nobody")
    assert shown("nora") == expected
    assert shown(accounts(sites.client)["Ada"].username) == expected
    assert shown("carl", "wrong password") == expected
    assert try_to_log_in(sites.new_browser(), sites.client_url, "carl", PASSWORD).status_int == 303


# --- the command ----------------------------------------------------------------------------------

INI = """
[app:main]
use = egg:tconnect_pyramid
sqlalchemy.url = sqlite:///%(here)s/main.sqlite
tconnect.site_url = http://site.example
tconnect.secret_keys = insecure-key-of-a-test-0123456789-main
tconnect.development = true
tconnect.network.private = 127.0.0.0/8
tconnect.network.allow_http = true
"""


class Command:
    """The command on a site of its own, whose servers are down."""

    def __init__(self, folder):
        self.ini = folder / "site.ini"
        self.ini.write_text(INI, encoding="utf-8")
        self.url = f"sqlite:///{folder}/main.sqlite"

    def __call__(self, *words, status=0):
        result = CliRunner().invoke(main, ["-c", str(self.ini), *map(str, words)])
        assert result.exit_code == status, result.output
        return result

    def json(self, *words, status=0):
        return json.loads(self(*words, "--json", status=status).stdout)

    def change(self, change):
        """Do something to the site's context; gives what that gives."""
        app = make_app(self.url, "http://site.example", secret_keys="insecure-key-of-a-test-0123456789-main")
        try:
            return change(app_context(app))
        finally:
            app_context(app).database.engine.dispose()


@pytest.fixture
def tconnect(tmp_path):
    databases.copy_sqlite(tmp_path / "main.sqlite")
    return Command(tmp_path)


def add_server(context):
    # Nobody listens on this port.
    server_id = peers.add_server(context, url="http://127.0.0.1:9")
    with context.unit() as session:
        for person_id, username in ((3, "ana"), (4, "boss")):
            key = people.add_person(session, context, username=username, auth="connect").key
            session.add(Link(person_id=person_id, server_id=server_id, account_key=key, timecreated=0))
        people.set_admin(session, context, key, on=True)
    return server_id


def test_the_command_leaves_a_server(tconnect):
    tconnect("client", "enable")
    server_id = tconnect.change(add_server)
    tconnect("settings", "set", "client.auto_sign_in", server_id)

    assert "--accounts" in tconnect("client", "server", "leave", server_id, status=2).output
    tconnect("client", "server", "leave", server_id, "--accounts", "archive", status=2)
    planned = tconnect.json("client", "server", "leave", server_id, "--accounts", "suspend", "--dry-run")
    assert (planned["state"], planned["suspended"], planned["spared"]) == ("active", 1, ["boss"])

    done = tconnect.json("client", "server", "leave", server_id, "--accounts", "suspend", status=1)
    assert (done["state"], done["confirmed"], done["accounts"]) == ("leaving", False, 2)
    assert done["idnumber"] == peers.SERVERIDNUMBER
    assert [row["state"] for row in tconnect.json("client", "server", "list")] == ["leaving"]
    assert tconnect.json("settings", "get", "client.auto_sign_in")["value"] == "none"
    shown = {row["username"]: row for row in tconnect.json("user", "list")}
    assert [(shown[name]["auth"], shown[name]["suspended"], shown[name]["server"]) for name in shown] == [
        ("manual", True, None),
        ("manual", False, None),
    ]
    (check,) = [check for check in tconnect.json("doctor")["checks"] if check["name"].startswith("server ")]
    assert check["state"] == "warning"
    assert f"client server leave {server_id}" in check["remedy"]

    again = tconnect("client", "server", "leave", server_id, status=1)
    assert "--force" in again.output
    forced = tconnect.json("client", "server", "leave", server_id, "--force")
    assert (forced["state"], forced["confirmed"]) == ("left", False)
    assert tconnect.json("client", "server", "list") == []
    tconnect("client", "server", "leave", server_id, "--force", status=2)


def test_the_command_says_what_it_did(tconnect):
    tconnect("client", "enable")
    server_id = tconnect.change(add_server)
    said = tconnect("client", "server", "leave", server_id, "--accounts", "delete", "--force").output
    assert "Accounts: 1 kept, 0 suspended, 1 deleted." in said
    assert "Kept as administrators or protected accounts: boss." in said


def test_somebody_is_given_a_password_again_after_nologin(tconnect):
    tconnect("client", "enable")
    server_id = tconnect.change(add_server)
    tconnect("user", "edit", "ana", "auth=manual", status=1)
    tconnect("client", "server", "leave", server_id, "--accounts", "keep", "--new-auth", "nologin", "--force")
    assert tconnect.json("user", "show", "ana")["auth"] == "nologin"
    edited = tconnect.json("user", "edit", "ana", "auth=manual", "firstname=Ana")
    assert (edited["auth"], edited["firstname"]) == ("manual", "Ana")
    tconnect("user", "edit", "ana", "auth=ldap", status=2)


def test_ways_to_log_in_are_kept(tconnect):
    listed = tconnect.json("auth", "list")
    assert [(row["name"], row["enabled"], row["order"]) for row in listed] == [
        ("manual", True, 1),
        ("connect", False, 2),
        ("nologin", True, None),
    ]
    assert list(listed[0]) == ["name", "title", "users", "enabled", "order", "installed"]
    assert "last way" in tconnect.json("auth", "disable", "manual", status=1)["error"]
    assert tconnect.json("auth", "enable", "connect")["enabled"] is True
    assert tconnect.json("client", "status")["enabled"] is True
    assert "no server" in tconnect("auth", "disable", "manual").stderr
    assert "last way" in tconnect("client", "disable", status=1).output
    assert "last way" in tconnect("settings", "set", "client.enabled", "false", status=1).output
    assert tconnect.json("auth", "move", "connect", "up")["order"] == 1
    assert [row["name"] for row in tconnect.json("auth", "list")] == ["connect", "manual", "nologin"]
    tconnect("auth", "move", "connect", "sideways", status=2)
    tconnect("auth", "enable", "ldap", status=2)
    tconnect("auth", "disable", "nologin", status=1)


def test_a_way_that_the_ini_fixes_stays(tconnect):
    tconnect.ini.write_text(INI + "tconnect.auth.order = connect manual\n", encoding="utf-8")
    assert "ini" in tconnect.json("auth", "move", "manual", "up", status=1)["error"]


def test_leaving_ends_the_sign_ins_that_a_page_would_find(tconnect):
    tconnect("client", "enable")
    server_id = tconnect.change(add_server)

    def sign_in(context):
        with context.unit() as session:
            key = context.accounts.find(session, "ana").key
            session.add(SignIn(browser_hash="c" * 64, account_key=key, timecreated=0, last_seen=0))

    tconnect.change(sign_in)
    tconnect("client", "server", "leave", server_id, "--accounts", "keep", "--force")

    def ended(context):
        with context.reading() as session:
            assert session.scalars(select(Server)).all() == []
            return session.scalars(select(SignIn.end_reason)).all()

    assert tconnect.change(ended) == ["left"]
