"""The story of the README by pages only: two sites are connected, and a person goes from one to the other."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from support.listening import two_listening
from support.webapp import PASSWORD, add_person

from tconnect_pyramid.directory.audiences import add_audience, add_members

pytestmark = pytest.mark.browser

# Both cores may be busy with other tests, and pages that wait ask every three seconds.
PATIENCE = 30_000
SIGN_IN = "Log in using your account on: Test server"


@pytest.fixture
def sites(make_sqlite):
    """Two sites that know nothing of each other, an administrator on each, and a person with an audience."""
    with two_listening(make_sqlite, "Test server", "Test client") as pair:
        for context in (pair.server, pair.client):
            add_person(context, "root", admin=True, firstname="Rosa", lastname="Root")
        ada = add_person(pair.server)
        with pair.server.unit() as session:
            for name in ("Staff", "Guests"):
                audience = add_audience(session, pair.server, name=name, idnumber=name.lower())
                add_members(session, pair.server, audience.id, [ada])
        yield pair


@pytest.fixture
def browse(chromium):
    """Gives a function that makes a page of a browser of its own; what one complains of fails the test."""
    contexts = []
    complaints = []

    def make(*, scripts=True):
        context = chromium.new_context(java_script_enabled=scripts)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        return page

    expect.set_options(timeout=PATIENCE)
    yield make
    expect.set_options(timeout=5_000)
    for context in contexts:
        context.close()
    assert not complaints


def log_in(page, username):
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in", exact=True).click()


def administer(page, url):
    """Log in as the administrator of a site and open *Site administration*."""
    page.goto(url)
    page.get_by_role("main").get_by_role("link", name="Log in").click()
    log_in(page, "root")
    page.get_by_role("link", name="Site administration").click()


def choose(page, entry):
    page.get_by_role("navigation", name="Site administration").get_by_role("link", name=entry).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def switch_the_server_on(page, url):
    administer(page, url)
    choose(page, "Advanced features")
    page.get_by_label("Enable Totara Connect server").check()
    page.get_by_role("main").get_by_role("button", name="Save changes").last.click()
    expect(page.get_by_role("status")).to_have_text("The features are saved.")


def open_an_invitation(page, url) -> tuple[str, str]:
    """Make a site a client that waits for a server; gives what its page shows: the client URL and the secret."""
    administer(page, url)
    choose(page, "Manage authentication")
    page.get_by_role("button", name="Enable Totara Connect client").click()
    choose(page, "Servers")
    page.get_by_role("button", name="Connect to new server").click()
    told = page.get_by_role("definition").locator("code")
    expect(told).to_have_count(2)
    return told.nth(0).inner_text(), told.nth(1).inner_text()


def test_two_administrators_connect_two_sites_and_a_person_uses_both(browse, sites):
    server, client, person = browse(), browse(), browse()

    switch_the_server_on(server, sites.server_url)
    url, secret = open_an_invitation(client, sites.client_url)
    assert url == sites.client_url

    choose(server, "Client systems")
    server.get_by_role("link", name="Add client").click()
    server.get_by_label("Name", exact=True).fill("Our client")
    server.get_by_label("Client URL").fill(url)
    server.get_by_label("Client setup secret").fill(secret)
    picker = server.get_by_role("group", name="Restrict to audience")
    picker.get_by_label("Look for one").press_sequentially("sta")
    expect(picker.get_by_label("Guests")).to_have_count(0)
    picker.get_by_label("Staff").check()
    expect(picker.get_by_text("Nothing is chosen.")).to_be_hidden()
    server.get_by_role("main").get_by_role("button", name="Add client").last.click()
    expect(server.get_by_role("status")).to_have_text(
        "There is now an active connection between this site and Our client."
    )
    expect(server.get_by_text("Staff")).to_be_visible()

    # Nobody touches the client's page: it has to notice by itself.
    expect(client.get_by_role("link", name="Test server", exact=True)).to_be_visible()
    expect(client.get_by_text("Client setup secret")).to_have_count(0)

    person.goto(f"{sites.client_url}/profile")
    person.get_by_role("link", name=SIGN_IN).click()
    expect(person).to_have_title("Log in · Test server")
    log_in(person, "ada")
    expect(person).to_have_url(f"{sites.client_url}/profile")
    person.get_by_role("link", name="Edit on Test server").click()
    person.get_by_label("First name", exact=True).fill("Augusta")
    person.get_by_role("button", name="Save").last.click()
    expect(person.get_by_role("status")).to_have_text(
        "Your profile is as it is at the server of your account."
    )
    assert person.url.startswith(f"{sites.client_url}/profile")
    expect(person.get_by_role("definition").filter(has_text="Augusta")).to_be_visible()

    person.get_by_role("button", name="Log out").click()
    expect(person.get_by_role("heading", name="You are logged out.")).to_be_visible()
    ended = person.get_by_role("status").get_by_role("listitem")
    expect(ended.filter(has_text="Test client")).to_have_count(1)
    expect(ended.filter(has_text="Test server: you are logged out.")).to_have_count(1)
    person.goto(sites.server_url)
    expect(person.get_by_text("You are not logged in.")).to_be_visible()


def test_a_client_is_added_without_a_script(browse, sites):
    server, client = browse(scripts=False), browse(scripts=False)
    switch_the_server_on(server, sites.server_url)
    url, secret = open_an_invitation(client, sites.client_url)

    choose(server, "Client systems")
    server.get_by_role("link", name="Add client").click()
    server.get_by_label("Name", exact=True).fill("Our client")
    server.get_by_label("Client URL").fill(url)
    picker = server.get_by_role("group", name="Synchronised audiences")
    picker.get_by_label("Look for more").fill("sta")
    picker.get_by_role("button", name="Search").click()
    picker.get_by_label("Staff").check()
    picker.get_by_label("Look for more").fill("gue")
    picker.get_by_role("button", name="Search").click()
    expect(picker.get_by_label("Staff")).to_be_checked()
    picker.get_by_label("Guests").check()
    # A secret is never sent back into a page, so that it is the last thing to be entered.
    server.get_by_label("Client setup secret").fill(secret)
    server.get_by_role("main").get_by_role("button", name="Add client").last.click()

    expect(server.get_by_role("status")).to_have_text(
        "There is now an active connection between this site and Our client."
    )
    expect(
        server.get_by_role("definition").filter(has_text="Guests").filter(has_text="Staff")
    ).to_be_visible()
    client.reload()
    expect(client.get_by_role("link", name="Test server", exact=True)).to_be_visible()
