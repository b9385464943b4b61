"""The pages of the servers of a client by HTTP, between two sites of one process, read back by the command."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from support.admin import administered, command, notice, text, write_ini
from support.statements import listening
from support.webapp import CLIENT_URL, SERVER_URL, add_person, connect, log_in, two_sites

from tconnect_pyramid.client import servers
from tconnect_pyramid.server import clients

PAGE = f"{CLIENT_URL}/admin/client/servers"


@contextmanager
def pair(make_sqlite, folder, *, connected=True):
    """A server with a person, and a client whose administrator is logged in."""
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        if connected:
            connect(sites)
        else:
            with sites.client.unit() as session:
                servers.enable(session, sites.client, on=True, actor="command")
            with sites.server.unit() as session:
                clients.enable(session, sites.server, on=True, actor="command")
        root = add_person(sites.client, "root", admin=True, firstname="Rosa", lastname="Root")
        log_in(sites.browser, "root", url=CLIENT_URL)
        ini_file = write_ini(folder, sites.client)
        yield SimpleNamespace(
            sites=sites,
            root=root,
            browser=sites.browser,
            command=lambda *words, **more: command(ini_file, *words, **more),
            page=lambda path="", **more: sites.browser.get(f"{PAGE}{path}", **more),
        )


@pytest.fixture
def site(make_sqlite, tmp_path):
    with pair(make_sqlite, tmp_path) as site:
        yield site


@pytest.fixture
def alone(make_sqlite, tmp_path):
    with pair(make_sqlite, tmp_path, connected=False) as site:
        yield site


def test_a_server_is_invited_and_the_page_notices_that_it_has_connected(alone):
    page = alone.page()
    assert "There are no records in this report" in text(page)
    assert "all Totara Connect clients should be hosted via a secure protocol (https)" in text(page)

    page = page.forms["connect"].submit(status=303).follow()

    assert "Send this information to the Totara Connect server administrator:" in text(page)
    url, secret = page.html.find(id="client-url").get_text(), page.html.find(id="setup-secret").get_text()
    assert alone.command("client", "connect") == {"client_url": url, "setup_secret": secret}
    assert [button["data-copy"] for button in page.html.select("button[data-copy]")] == [
        "client-url",
        "setup-secret",
    ]
    assert all(button.has_attr("hidden") for button in page.html.select("button[data-copy]"))
    assert page.html.find("noscript").get_text().strip() == "Reload this page to see whether it has."
    waiting = CLIENT_URL + page.html.find(attrs={"data-await": True})["data-await"]
    assert alone.browser.get(waiting, status=204).body == b""
    wished = clients.ClientWishes(name="Test client", url=url)
    clients.register_client(alone.sites.server, wished, secret, actor="command", timeout=10)

    alone.browser.get(waiting, status=200)
    page = alone.page()
    (row,) = alone.command("client", "server", "list")
    shown = text(page)
    assert row["name"] == "Test server"
    assert all(words in shown for words in ("Test server", SERVER_URL, row["idnumber"], "Active"))
    assert secret not in page
    assert page.html.find(attrs={"data-await": True}) is None


def test_an_invitation_is_cancelled(alone):
    page = alone.page().forms["connect"].submit(status=303).follow()
    secret = page.html.find(id="setup-secret").get_text()
    page = page.forms["cancel"].submit(status=303).follow()

    assert notice(page) == "The connection is cancelled."
    assert secret not in page
    alone.browser.get(f"{PAGE}/await", status=200)
    assert alone.command("client", "connect", "--cancel") == {"cancelled": False}


def test_nothing_is_begun_or_ended_by_looking(site):
    for path in ("/connect", "/cancel", "/1/test", "/1/sync"):
        site.page(path, status=303)

    assert site.command("client", "connect", "--cancel") == {"cancelled": False}
    assert site.command("client", "run", "list") == []


def test_without_the_client_role_nobody_is_invited(alone):
    page = alone.page()
    alone.command("client", "disable")

    assert "The client role of this site is not enabled" in text(page.forms["connect"].submit(status=200))


def test_a_comment_is_kept(site):
    form = site.page("/1").forms["form"]
    form["comment"] = "x" * 10_001
    assert "At most 10000 characters" in text(form.submit(status=200))
    form["comment"] = "Ask <Ida>"

    assert notice(form.submit(status=303).follow()) == "Test server is saved."
    assert site.command("client", "server", "list")[0]["comment"] == "Ask <Ida>"
    assert "Ask <Ida>" in text(site.page())


def test_a_server_has_guards_of_its_own(site):
    edit = ("client", "server", "edit", "1")
    assert site.command(*edit, "guard.people=20  10", "guard.items=5 5")["guards"] == {
        "guard.people": "20 10",
        "guard.items": "5 5",
    }
    form = site.page("/1").forms["form"]
    assert [form[f"guard_{name}"].value for name in ("people", "members", "items")] == ["20 10", "", "5 5"]
    form["guard_people"] = "many"
    (wrong,) = form.submit(status=200).html.select("[aria-invalid=true]")
    assert wrong["name"] == "guard_people"
    form["guard_people"], form["guard_members"] = "", "300 30"

    form.submit(status=303)

    (row,) = site.command("client", "server", "list")
    assert row["guards"] == {"guard.members": "300 30", "guard.items": "5 5"}
    assert site.command(*edit, "--comment", "x")["guards"] == row["guards"]
    assert site.command(*edit, "guard.items=")["comment"] == "x"
    assert "no guard.cats of its own" in site.command(*edit, "guard.cats=1 1", status=2)["error"]
    assert "guard.items" in site.command(*edit, "guard.items=1", status=2)["error"]
    assert "Nothing to change" in site.command(*edit, status=2)["error"]


def test_the_connection_is_tested_and_nothing_is_changed(site):
    site.command("client", "server", "edit", "1", "--comment", "Ask Ida")
    page = site.page("/1").forms["test"].submit(status=200)
    assert "The connection works: version 2" in text(page)
    assert page.forms["form"]["comment"].value.strip() == "Ask Ida"
    with site.sites.server.unit() as session:
        clients.enable(session, site.sites.server, on=False, actor="command")
    page = page.forms["test"].submit(status=200)
    assert "The connection does not work:" in page.html.find(role="alert").get_text()
    site.sites.transport.apps.pop(SERVER_URL)
    page = page.forms["test"].submit(status=200)

    assert "The connection does not work:" in page.html.find(role="alert").get_text()
    assert site.command("client", "run", "list") == []


def test_everything_is_synchronised_at_once(site):
    add_person(site.sites.server, "ida", firstname="Ida", lastname="Rhodes")
    done = site.page("/1").forms["sync"].submit(status=200)

    cells = [[cell.get_text().strip() for cell in row.find_all("td")] for row in done.html.select("tbody tr")]
    assert [row[:2] for row in cells] == [
        ["Handshake", "Done"],
        ["Positions", "Done"],
        ["Organisations", "Done"],
        ["Users", "Done"],
        ["User collections", "Done"],
    ]
    assert cells[3][2] == "1 created"
    runs = site.command("client", "run", "list")
    assert {run["origin"] for run in runs} == {"page"}
    assert [run["kind"] for run in runs] == ["collections", "users", "organisations", "positions"]
    assert "Users: Done" in text(site.page())
    assert {row["username"] for row in site.command("user", "list")} >= {"root"}
    assert any(row["lastname"] == "Rhodes" for row in site.command("user", "list"))


def test_a_kind_that_is_off_is_passed_over_and_a_server_that_is_down_is_told(site):
    site.command("settings", "set", "client.sync_positions", "false")
    with site.sites.server.unit() as session:
        clients.enable(session, site.sites.server, on=False, actor="command")
    done = site.page("/1").forms["sync"].submit(status=200)

    states = [row.find_all("td")[1].get_text() for row in done.html.select("tbody tr")]
    assert states == ["Failed"] * 4
    assert "Positions" not in done.html.find("tbody").get_text()
    assert "Users: Failed" in text(site.page())


def test_leaving_asks_and_says_what_becomes_of_whom(site):
    for name in ("ida", "ada"):
        add_person(site.sites.server, name)
    site.page("/1").forms["sync"].submit()
    page = site.page("/1/leave")
    assert "2 accounts that came from it become what you choose below." in text(page)
    refused = page.forms["ask"].submit(status=200)
    assert refused.html.find(id="accounts-error").get_text() == "Choose what becomes of the accounts."
    assert len(site.command("client", "server", "list")) == 1
    form = refused.forms["ask"]
    form["accounts"] = "suspend"
    form["new_auth"] = "nologin"

    assert notice(form.submit(status=303).follow()) == "This site has left Test server."
    assert site.command("client", "server", "list") == []
    people = [row for row in site.command("user", "list") if row["username"] != "root"]
    assert [(row["auth"], row["suspended"]) for row in people] == [("nologin", True)] * 2


def test_leaving_names_who_is_kept(site):
    add_person(site.sites.server, "ida")
    site.page("/1").forms["sync"].submit()
    (username,) = (row["username"] for row in site.command("user", "list") if row["username"] != "root")
    site.command("settings", "set", "client.protected_accounts", username)

    page = site.page("/1/leave")
    assert f"1 account of an administrator, or protected, is kept whatever you choose: {username}." in text(
        page
    )
    assert "0 accounts that came from it become" in text(page)


def test_leaving_wants_a_recent_log_in(site):
    site.sites.clock.tick(1000)
    asked = site.page("/1/leave", status=303)
    assert "/admin/prove?" in asked.location
    site.browser.post(f"{PAGE}/1/leave", {"accounts": "delete"}, status="*")
    assert len(site.command("client", "server", "list")) == 1


def test_a_server_that_does_not_confirm_is_asked_again_or_left_by_force(site):
    site.sites.transport.apps.pop(SERVER_URL)
    form = site.page("/1/leave").forms["ask"]
    form["accounts"] = "keep"
    page = form.submit(status=303).follow()
    assert "Test server has not confirmed yet" in notice(page)
    assert "Is being left" in text(page)
    again = site.page("/1/leave")
    assert "accounts" not in again.forms["ask"].fields
    assert "has not confirmed yet" in notice(again.forms["ask"].submit(status=303).follow())
    form = site.page("/1/leave").forms["ask"]
    form["force"] = True

    assert "which does not know it" in notice(form.submit(status=303).follow())
    assert site.command("client", "server", "list") == []


@pytest.mark.parametrize("path", ["/7", "/x", "/99999999999999999999", "/7/leave", "/7/test", "/7/sync"])
def test_what_is_not_there_is_not_found(site, path):
    site.page(path, status=404)


def test_the_table_costs_the_same_however_many_servers_there_are(site):
    def statements() -> int:
        with listening(site.sites.client.database.engine) as seen:
            site.page()
        return len(seen)

    site.page("/1").forms["sync"].submit()
    before = statements()
    with site.sites.client.unit() as session:
        row = session.get(servers.Server, 1)
        for number in range(2, 12):
            session.add(
                servers.Server(
                    state="active",
                    name=f"Server {number}",
                    url=f"http://server{number}.example",
                    idnumber=f"{number:040}",
                    server_secret=row.server_secret,
                    client_idnumber=f"c{number:039}",
                    client_secret_hash=row.client_secret_hash,
                    timecreated=0,
                    timemodified=0,
                )
            )

    assert statements() == before


def test_only_administrators_get_in(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        add_person(site.context)
        site.command("client", "enable")
        site.browser.get("/logout").forms["logout"].submit()
        log_in(site.browser, "ada")
        for path in ("", "/connect", "/cancel", "/await", "/1", "/1/test", "/1/sync", "/1/leave"):
            site.browser.get(f"/admin/client/servers{path}", status=403)
            site.browser.post(f"/admin/client/servers{path}", status=403)
        assert site.command("client", "connect", "--cancel") == {"cancelled": False}
