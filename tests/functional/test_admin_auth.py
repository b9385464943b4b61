"""The page of the ways to log in by HTTP, alone, with a server, and with ways of a host; read back by the command."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from pyramid.exceptions import ConfigurationConflictError, ConfigurationExecutionError
from support.admin import administered, command, notice, text, write_ini
from support.peers import unreachable
from support.sites import NoTransport, StillClock, ini
from support.webapp import CLIENT_URL, add_person, connect, log_in, two_sites
from webtest import TestApp

from tconnect_pyramid import context_of, people
from tconnect_pyramid.client import authmethods, connecting
from tconnect_pyramid.errors import ConfigurationProblem, TConnectError
from tconnect_pyramid.models import Link, Server
from tconnect_pyramid.site import configure

PAGE = "/admin/auth"


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


@pytest.fixture
def client(make_sqlite, tmp_path):
    """A client with a server, whose person Ada has an account here, and a person nobody knows any more."""
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        connect(sites)
        add_person(sites.client, "root", admin=True)
        for username in ("ada", "bob"):
            key = add_person(sites.client, username)
            with sites.client.unit() as session:
                sites.client.accounts.update(session, {key: {"auth": "connect"}})
                if username == "ada":
                    server = session.query(Server).one()
                    session.add(Link(person_id=7, server_id=server.id, account_key=key, timecreated=0))
        log_in(sites.browser, "root", url=CLIENT_URL)
        ini_file = write_ini(tmp_path, sites.client)
        yield SimpleNamespace(
            context=sites.client,
            sites=sites,
            command=lambda *words, **more: command(ini_file, *words, **more),
            page=lambda path, **more: sites.browser.get(f"{CLIENT_URL}{path}", **more),
        )


def press(page, name, path, **values):
    """Press the button of a row that posts to `path`."""
    wanted = [
        form
        for form in page.forms.values()
        if form.action == f"{PAGE}/{name}/{path}"
        and all(form[field].value == value for field, value in values.items())
    ]
    assert len(wanted) == 1, (name, path, values)
    return wanted[0].submit()


def listed(site) -> dict[str, dict]:
    return {row["name"]: row for row in site.command("auth", "list")}


def test_the_table_is_that_of_the_document(site):
    page = site.page(PAGE)
    table = page.html.find("table")
    assert [cell.get_text() for cell in table.select("thead th")] == [
        "Name",
        "Users",
        "Enable",
        "Up/Down",
        "Settings",
        "Test settings",
        "Uninstall",
    ]
    assert [row.th.get_text() for row in table.select("tbody tr")] == [
        "Manual accounts",
        "Totara Connect client",
        "No login",
    ]
    assert "Available authentication plugins" in text(page)
    assert page.html.find("a", href=f"{PAGE}/connect/uninstall")
    assert not page.html.find("a", href=f"{PAGE}/manual/uninstall")
    assert not page.html.find("a", href=f"{PAGE}/nologin/uninstall")
    assert page.html.select_one("#auth-connect a").get_text() == "Settings Totara Connect client"
    assert page.html.select_one("#auth-connect a")["href"] == "/admin/client/settings"


def test_one_is_enabled_disabled_and_moved(site):
    page = press(site.page(PAGE), "connect", "enable", on="true").follow()
    assert notice(page) == "Totara Connect client is enabled."
    page = press(page, "connect", "move", direction="up").follow()
    assert notice(page) == "Totara Connect client is number 1 on the login page now."
    assert [row["name"] for row in site.command("auth", "list")] == ["connect", "manual", "nologin"]
    page = press(page, "connect", "move", direction="down").follow()
    page = press(page, "manual", "enable", on="false").follow()
    assert notice(page) == "Manual accounts is disabled."
    assert [(row["name"], row["enabled"]) for row in site.command("auth", "list")] == [
        ("manual", False),
        ("connect", True),
        ("nologin", True),
    ]

    page = press(page, "connect", "enable", on="false").follow()
    assert "is the last way to log in to this site that is left" in notice(page)
    assert listed(site)["connect"]["enabled"]


def test_nothing_changes_by_get_nor_by_odd_values(site):
    before = site.command("auth", "list")
    for path in ("connect/enable?on=true", "connect/move?direction=up", "connect/install"):
        site.page(f"{PAGE}/{path}", status=303)
    page = site.page(PAGE)
    token = page.html.select_one("td.acts input[name=csrf_token]")["value"]
    for path, values in (
        ("connect/enable", {"on": "perhaps"}),
        ("connect/enable", {}),
        ("connect/move", {"direction": "sideways"}),
        ("nologin/enable", {"on": "false"}),
        ("nologin/move", {"direction": "up"}),
        ("connect/install", {}),
        ("manual/install", {}),
    ):
        site.browser.post(f"{PAGE}/{path}", {**values, "csrf_token": token}, status=303)
    site.browser.post(f"{PAGE}/connect/enable", {"on": "true"}, status=400)
    assert site.command("auth", "list") == before


@pytest.mark.parametrize("page", ["enable", "move", "settings", "test", "install", "uninstall"])
def test_what_is_not_there_is_not_found(site, page):
    site.page(f"{PAGE}/ldap/{page}", status=404)


@pytest.mark.parametrize("path", ["connect/settings", "nologin/test"])
def test_what_a_way_does_not_have_is_not_found(site, path):
    site.page(f"{PAGE}/{path}", status=404)


def test_our_ways_say_what_they_are(site):
    add_person(site.context)
    bob = add_person(site.context, "bob")
    with site.context.unit() as session:
        people.suspend(session, site.context, bob, actor="command")
    shown = text(site.page(f"{PAGE}/manual/settings"))
    assert "Users 3" in shown
    assert "2 people" in shown
    assert "nobody can log in" in text(site.page(f"{PAGE}/nologin/settings"))
    result = press(site.page(PAGE), "manual", "test")
    assert "2 people can log in with a password." in text(result)
    assert result.html.select_one(".state.good")


@pytest.mark.parametrize("name", ["manual", "nologin"])
def test_what_others_fall_back_on_cannot_be_uninstalled(site, name):
    assert "cannot be uninstalled" in notice(site.page(f"{PAGE}/{name}/uninstall", status=303).follow())
    assert "cannot be uninstalled" in str(
        site.command("auth", "uninstall", name, "--accounts", "keep", status=1)
    )


def test_the_test_of_the_client_asks_every_server(client):
    page = client.page(PAGE)
    result = press(page, "connect", "test")
    assert "Test server" in text(result)
    assert "version 2" in text(result)
    with client.sites.server.unit() as session:
        client.sites.server.set_option(session, "server.enabled", "false")
    result = press(page, "connect", "test")
    assert "connect server not enabled" in text(result)
    assert "let the server's administrator enable it" in text(result)
    assert result.html.select_one(".state.bad")


def test_without_a_server_the_test_of_the_client_says_what_to_do(site):
    shown = text(press(site.page(PAGE), "connect", "test"))
    assert "It is disabled" in shown
    assert "This site is connected to no server." in shown


def test_uninstalling_asks_for_a_recent_log_in(site):
    site.grow_stale()
    assert "Enter your password once more" in text(
        site.page(f"{PAGE}/connect/uninstall", status=303).follow()
    )


@pytest.mark.parametrize(
    ("choice", "new_auth"), [("keep", "nologin"), ("suspend", "manual"), ("delete", "manual")]
)
def test_the_client_is_uninstalled_and_its_accounts_become_what_was_chosen(client, choice, new_auth):
    context = client.context
    with context.unit() as session:
        context.set_option(session, "client.removed_person", "keep")
        connecting.open_invitation(session, context, actor="command")
    page = client.page(f"{PAGE}/connect/uninstall")
    shown = text(page)
    assert "This site leaves Test server." in shown
    assert "2 accounts that have it become what you choose below." in shown
    form = page.forms["ask"]
    refused = form.submit(status=200)
    assert "Choose what becomes of the accounts." in text(refused)
    form = refused.forms["ask"]
    form["accounts"], form["new_auth"] = choice, new_auth

    page = form.submit(status=303).follow()

    assert notice(page).startswith("Totara Connect client is not installed any more.")
    assert "Not installed" in page.html.find(id="auth-connect").get_text()
    row = listed(client)["connect"]
    assert (row["users"], row["enabled"], row["installed"]) == (0, False, False)
    assert client.command("client", "server", "list") == []
    options = {row["name"]: row["value"] for row in client.command("settings", "list")}
    assert options["client.removed_person"] == "suspend"
    with context.reading() as session:
        assert connecting.current_invitation(session, context) is None
        found = context.accounts.fetch(session, [2, 3], ("auth", "suspended", "deleted"))
    for values in found.values():
        assert bool(values["deleted"]) == (choice == "delete")
        if choice != "delete":
            assert (values["auth"], bool(values["suspended"])) == (new_auth, choice == "suspend")

    client.command("client", "enable", status=1)
    client.command("auth", "enable", "connect", status=1)
    assert "is not installed" in notice(client.page(f"{PAGE}/connect/uninstall", status=303).follow())
    page = press(client.page(PAGE), "connect", "install").follow()
    assert notice(page).startswith("Totara Connect client is installed.")
    assert listed(client)["connect"]["installed"]
    assert client.command("auth", "enable", "connect")["enabled"]


def test_a_server_that_does_not_answer_is_told_and_asked_again(client):
    client.sites.transport.post = unreachable().post
    form = client.page(f"{PAGE}/connect/uninstall").forms["ask"]
    form["accounts"] = "keep"
    page = form.submit(status=303).follow()
    assert "Test server has not confirmed yet" in text(page)
    assert not listed(client)["connect"]["installed"]
    assert client.command("client", "server", "list")[0]["state"] == "leaving"


def test_the_last_way_in_is_not_uninstalled_and_nothing_is_left(client):
    client.command("auth", "disable", "manual")
    form = client.page(f"{PAGE}/connect/uninstall").forms["ask"]
    form["accounts"] = "delete"
    assert "is the last way to log in" in text(form.submit(status=200))
    assert listed(client)["connect"]["installed"]
    assert client.command("client", "server", "list")[0]["state"] == "active"


def test_the_command_uninstalls_and_installs(site):
    done = site.command("auth", "uninstall", "connect", "--accounts", "keep")
    assert done == {"name": "connect", "accounts": 0, "servers": []}
    assert not listed(site)["connect"]["installed"]
    assert site.command("auth", "install", "connect")["installed"]
    site.command("auth", "install", "connect", status=1)


def test_only_administrators_get_in(site):
    add_person(site.context)
    site.browser.get("/logout").forms["logout"].submit()
    log_in(site.browser, "ada")
    for path in (
        "",
        "/connect/enable",
        "/connect/move",
        "/manual/settings",
        "/manual/test",
        "/connect/uninstall",
    ):
        site.browser.get(f"{PAGE}{path}", status=403)
        site.browser.post(f"{PAGE}{path}", {"on": "true"}, status=403)


# Ways of a host.


def look(context) -> str:
    with context.reading() as session:
        if "ldap" not in authmethods.ways_in(session, context):
            raise TConnectError("Nobody may log in by it.")
    return "The directory answers."


@contextmanager
def hosted(database_url, **more):
    """A site that has the ways `ldap` and `badge` too."""
    config = configure({**ini("http://localhost"), "sqlalchemy.url": database_url})
    config.set_tconnect_transport(NoTransport())
    config.set_tconnect_clock(StillClock())
    config.add_route("directory", "/directory")
    config.add_tconnect_auth_method("ldap", "Company directory", settings_route="directory", test=look)
    config.add_tconnect_auth_method("badge", "Badges", enabled=False)
    config.add_tconnect_auth_method("machine", "Machines", is_way_in=False)
    app = config.make_wsgi_app()
    context = context_of(app.registry)
    try:
        browser = TestApp(app, extra_environ={"HTTP_HOST": "localhost"})
        add_person(context, "root", admin=True)
        log_in(browser, "root")
        yield SimpleNamespace(browser=browser, context=context, page=browser.get)
    finally:
        context.database.engine.dispose()


@pytest.fixture
def host(make_sqlite):
    with hosted(make_sqlite()) as host:
        yield host


def methods(host):
    with host.context.reading() as session:
        return {each.name: each for each in authmethods.list_methods(session, host.context)}


def ways(host):
    with host.context.reading() as session:
        return authmethods.ways_in(session, host.context)


def test_ways_of_a_host_stand_beside_ours(host):
    with host.context.unit() as session:
        people.add_person(session, host.context, username="lea", auth="ldap")
    page = host.page(PAGE)
    assert [row.th.get_text() for row in page.html.select("tbody tr")] == [
        "Manual accounts",
        "Totara Connect client",
        "Company directory",
        "Badges",
        "No login",
        "Machines",
    ]
    row = page.html.find(id="auth-ldap")
    assert row.find("td").get_text() == "1"
    assert row.find("a", href="/directory")
    assert not page.html.find(id="auth-badge").find("form", action=f"{PAGE}/badge/test")
    assert ways(host) == ["manual", "ldap"]


def test_ways_of_a_host_are_switched_moved_and_tested(host):
    page = press(host.page(PAGE), "badge", "enable", on="true").follow()
    page = press(page, "ldap", "move", direction="up").follow()
    page = press(page, "ldap", "move", direction="up").follow()
    assert ways(host) == ["ldap", "manual", "badge"]
    assert "The directory answers." in text(press(page, "ldap", "test"))
    page = press(page, "ldap", "enable", on="false").follow()
    assert ways(host) == ["manual", "badge"]
    assert "Nobody may log in by it." in text(press(page, "ldap", "test"))
    page = press(page, "badge", "enable", on="false").follow()
    page = press(page, "ldap", "enable", on="true").follow()
    assert ways(host) == ["ldap", "manual"]


def test_a_way_of_a_host_counts_as_the_last_one(host):
    page = press(host.page(PAGE), "manual", "enable", on="false").follow()
    assert ways(host) == ["ldap"]
    page = press(page, "ldap", "enable", on="false").follow()
    assert "is the last way to log in" in notice(page)
    form = page.click(href="ldap/uninstall").forms["ask"]
    form["accounts"] = "keep"
    assert "is the last way to log in" in text(form.submit(status=200))
    # By machines nobody logs in, so that they do not count.
    press(host.page(PAGE), "machine", "enable", on="false")
    assert not methods(host)["machine"].enabled
    assert ways(host) == ["ldap"]


def test_a_way_of_a_host_is_uninstalled_and_its_accounts_are_moved(host):
    with host.context.unit() as session:
        lea = people.add_person(session, host.context, username="lea", auth="ldap").key
        boss = people.add_person(session, host.context, username="boss", auth="ldap", admin=True).key
    form = host.page(f"{PAGE}/ldap/uninstall").forms["ask"]
    assert "1 account that has it becomes what you choose below." in text(host.page(f"{PAGE}/ldap/uninstall"))
    form["accounts"], form["new_auth"] = "suspend", "nologin"
    page = form.submit(status=303).follow()
    assert notice(page) == "Company directory is not installed any more."
    assert (methods(host)["ldap"].users, methods(host)["ldap"].installed) == (0, False)
    with host.context.reading() as session:
        found = host.context.accounts.fetch(session, [lea, boss], ("auth", "suspended"))
    assert [(row["auth"], bool(row["suspended"])) for row in (found[lea], found[boss])] == [
        ("nologin", True),
        ("nologin", False),
    ]
    page = press(page, "ldap", "install").follow()
    assert notice(page) == "Company directory is installed."
    assert ways(host) == ["manual", "ldap"]


@pytest.mark.parametrize(
    ("name", "title", "more", "expected"),
    [
        ("manual", "Ours", {}, "one of our own"),
        ("connect", "Ours", {}, "one of our own"),
        ("LDAP", "Directory", {}, "no name of an auth method"),
        ("a" * 21, "Directory", {}, "no name of an auth method"),
        ("ldap", " ", {}, "needs a title"),
        ("ldap", "Directory", {"test": 3}, "cannot be called"),
    ],
)
def test_a_way_that_cannot_be_used_is_refused(name, title, more, expected):
    config = configure({**ini("http://localhost"), "sqlalchemy.url": "sqlite://"})
    with pytest.raises(ConfigurationProblem, match=expected):
        config.add_tconnect_auth_method(name, title, **more)


def test_two_ways_of_one_name_clash():
    config = configure({**ini("http://localhost"), "sqlalchemy.url": "sqlite://"})
    config.add_tconnect_auth_method("ldap", "Directory")
    config.add_tconnect_auth_method("ldap", "Another directory")
    with pytest.raises(ConfigurationConflictError):
        config.commit()


def test_settings_of_a_way_that_lead_nowhere_stop_the_site():
    config = configure({**ini("http://localhost"), "sqlalchemy.url": "sqlite://"})
    config.add_tconnect_auth_method("ldap", "Directory", settings_route="nowhere")
    with pytest.raises(ConfigurationExecutionError, match="'nowhere', is no route"):
        config.commit()
