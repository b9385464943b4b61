"""A host with its own people, policy and login page that includes the administration pages: the example of docs/hosts.md."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import func, select
from support.admin import notice, text
from support.example import HOST_URL, OTHER_URL, add_user, enter, host, pair
from support.webapp import add_person

from tconnect_pyramid.client import servers
from tconnect_pyramid.client.connecting import open_invitation
from tconnect_pyramid.models import SignIn
from tconnect_pyramid.server import clients

ADMIN = f"{HOST_URL}/admin"
NOT_A_HOSTS = ("People", "Audiences", "Courses", "Positions", "Organisations", "Job assignments", "Groups")


@pytest.fixture
def sites(make_sqlite):
    """The host with an administrator and somebody else, and another site; neither has a role yet."""
    with pair(make_sqlite, host_is="client") as found:
        add_user(found.client, "root", "Rosa R", is_admin=True)
        add_user(found.client, "ada")
        yield SimpleNamespace(host=found.client, other=found.server, browser=found.browser, pair=found)


@pytest.fixture
def page(sites):
    """Gives a page of Site administration as the host's administrator sees it."""
    enter(sites.browser.get(f"{HOST_URL}/enter"), "root")
    return lambda path="/", **more: sites.browser.get(f"{ADMIN}{path}", **more)


def menu(response) -> list[str]:
    return [link.get_text() for link in response.html.select("nav.tree a")]


def press(response, action: str, **fields):
    """Send the form of a page that leads to this address."""
    form = next(form for form in response.forms.values() if form.action.endswith(action))
    for name, value in fields.items():
        form[name] = value
    return form.submit(status=303).follow()


def be_client(page) -> None:
    press(page("/auth"), "/auth/connect/enable")


def sign_ins(context) -> int:
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(SignIn))


def test_a_stranger_is_led_to_the_hosts_login_page_and_back(sites):
    away = sites.browser.get(f"{ADMIN}/features", status=303)
    assert away.location == f"{HOST_URL}/enter?next=%2Fadmin%2Ffeatures"

    arrived = enter(away.follow(), "root")

    assert arrived.request.url == f"{ADMIN}/features"
    assert arrived.html.h1.get_text() == "Advanced features"


def test_whoever_is_no_administrator_gets_in_nowhere(sites):
    enter(sites.browser.get(f"{HOST_URL}/enter"))
    assert "Site administration" not in sites.browser.get(f"{HOST_URL}/")
    before = sign_ins(sites.host)

    for path in ("/", "/features", "/auth", "/server/clients", "/client/runs", "/prove"):
        sites.browser.get(f"{ADMIN}{path}", status=403)
        sites.browser.post(f"{ADMIN}{path}", status=403)

    # Nor do their attempts fill the registry of sign-ins.
    assert sign_ins(sites.host) == before + 1


def test_the_menu_has_the_pages_of_totara_connect_and_none_of_people_and_content(sites, page):
    assert "Site administration" in sites.browser.get(f"{HOST_URL}/").click("Site administration")
    assert menu(page()) == ["Site administration", "Advanced features", "Manage authentication"]

    press(page("/features"), "/features", server_enabled=True)
    be_client(page)

    shown = menu(page())
    assert not set(NOT_A_HOSTS) & set(shown)
    assert {"Client systems", "Servers", "Synchronisations"} <= set(shown)
    assert shown.count("Scheduled tasks") == shown.count("Settings") == 2
    for link in page().html.select("nav.tree a"):
        sites.browser.get(f"{HOST_URL}{link['href']}", status=200)
    for path in ("/people", "/audiences", "/courses", "/positions", "/fields"):
        page(path, status=404)


def test_the_hosts_administrator_makes_it_a_client_and_brings_people_into_its_own_table(sites, page):
    be_client(page)
    invited = press(page("/client/servers"), "/client/servers/connect")
    secret = invited.html.find(id="setup-secret").get_text()
    add_person(sites.other, "ida", firstname="Ida", lastname="Rhodes")
    with sites.other.unit() as session:
        clients.enable(session, sites.other, on=True, actor="command")
    wished = clients.ClientWishes(name="Host", url=HOST_URL)
    clients.register_client(sites.other, wished, secret, actor="command", timeout=10)

    assert "Other" in text(page("/client/servers"))
    done = page("/client/servers/1").forms["sync"].submit(status=200)

    assert "1 created" in text(done)
    with sites.host.reading() as session:
        ida = session.scalar(select(host.User).where(host.User.full_name == "Ida Rhodes"))
    assert (ida.login_by, ida.is_admin, ida.is_active) == ("connect", False, True)
    assert "Other" in text(page("/client/runs"))
    newest = page("/client/runs").html.select_one("tbody a")["href"]
    assert "by an administrator" in text(sites.browser.get(f"{HOST_URL}{newest}"))
    ran = press(page("/client/tasks"), "/client/tasks/users/run")
    assert notice(ran).startswith("Users sync task has run:")


def test_the_hosts_administrator_makes_it_a_server_and_adds_a_client(sites, page):
    press(page("/features"), "/features", server_enabled=True)
    with sites.other.unit() as session:
        servers.enable(session, sites.other, on=True, actor="command")
        invitation = open_invitation(session, sites.other, actor="command")

    form = page("/server/clients/add").forms["client"]
    form["name"], form["url"], form["setup_secret"] = "Other site", OTHER_URL, invitation.setup_secret
    if "to_everybody" in form.fields:
        form["to_everybody"] = True
    form.submit(status=303)

    assert "Other site" in text(page("/server/clients"))
    with sites.host.reading() as session:
        (client,) = clients.list_clients(session)
    card = page(f"/server/clients/{client.id}")
    assert "The client answers: version 2." in text(card.forms["test"].submit(status=200))
    assert "General cleanup task" in text(page("/server/tasks"))


def test_what_cannot_be_undone_asks_for_a_new_log_in_by_the_hosts_own_page(sites, page):
    be_client(page)
    page()
    sites.pair.clock.tick(1000)

    asked = page("/auth/connect/uninstall", status=303).follow()
    assert "Log in once more" in text(asked)
    assert "password" not in asked.forms["log-in-again"].fields
    away = asked.forms["log-in-again"].submit(status=303)
    assert away.location.startswith(f"{HOST_URL}/enter?next=")
    arrived = enter(away.follow(), "root")

    assert arrived.request.path == "/admin/auth/connect/uninstall"
    assert arrived.html.h1.get_text().startswith("Uninstall")
