"""The link of one person on their page, by HTTP, read back by the command."""

from __future__ import annotations

import pytest
from support import lists
from support.admin import administered, notice, text
from support.lists import person
from support.webapp import add_person, log_in
from webtest import TestApp

from tconnect_pyramid.client.sync.engine import run_sync

FIRST = "5" * 40
TC_3 = f"tc_3_{FIRST}"


@pytest.fixture
def server():
    made = lists.ListingServer()
    made.people = [person(3, firstname="Ana"), person(4)]
    return made


@pytest.fixture
def site(make_database, tmp_path, server):
    with administered(make_database(), tmp_path, transport=server) as site:
        site.command("client", "enable")
        server.id = lists.connect(site.context)
        server.on_call = site.context.database.assert_idle
        assert run_sync(site.context, "users", server.id).state == "done"
        yield site


def show(site, who=TC_3):
    return site.command("user", "show", who)


def card(site, who=TC_3):
    return site.page(f"/admin/people/{show(site, who)['id']}")


def synchronise(page):
    """Press the button of the card; gives the card after it."""
    form = next(form for form in page.forms.values() if form.action.endswith("/sync"))
    return form.submit(status=303).follow()


def test_a_person_is_synchronised_at_once(site, server):
    server.people = [person(3, firstname="Ana", city="Oslo"), person(4, city="Oslo")]
    page = card(site)
    assert "The account of the person 3 of Head office" in text(page)

    done = synchronise(page)
    assert "Ana Last3 is in step with Head office." in notice(done)
    assert "city: 'Wellington' → 'Oslo'" in text(done)
    (run, _) = site.command("client", "run", "list")
    assert (run["kind"], run["origin"], run["counts"]["updated"]) == ("users", "page", 1)
    assert show(site, f"tc_4_{FIRST}")["city"] == "Wellington"


def test_what_goes_wrong_is_told_on_the_card(site, server):
    page = card(site)
    server.people = [person(3, username="x" * 101)]
    assert "had to be left out" in notice(synchronise(page))
    server.down = True
    failed = notice(synchronise(page))
    assert "the connection was refused" in failed


def test_an_account_is_unlinked(site, server):
    asked = card(site).click("Unlink")
    assert TC_3 in text(asked)
    assert "another user name" in text(asked)
    form = asked.forms["ask"]
    form["username"] = "tc_x"
    refused = form.submit(status=200)
    assert "is reserved" in refused.html.find(id="username-error").get_text()
    assert show(site)["server"] == FIRST

    form["username"], form["new_auth"] = "ana", "nologin"
    done = form.submit(status=303).follow()
    assert "no more that of the person 3 of Head office" in notice(done)
    assert "would make an account" in text(done)
    row = show(site, "ana")
    assert (row["auth"], row["server"], row["firstname"]) == ("nologin", None, "Ana")
    assert "came from no server" in text(done)
    site.page(f"/admin/people/{row['id']}/unlink", status=404)
    site.page(f"/admin/people/{site.root}/unlink", status=404)


def test_what_would_be_linked_again_is_not_even_asked(site):
    for option, value in (("client.migrate_accounts", "true"), ("client.account_mapping", "uniqueid")):
        site.command("settings", "set", option, value)
    there = card(site).click("Unlink", href="unlink$").follow()
    assert "to the same person again" in notice(there)
    assert show(site)["server"] == FIRST


def test_an_account_is_linked_and_unlinked_by_its_run(site, server):
    ada = add_person(site.context)
    server.people.append(person(5, city="Oslo"))
    form = site.page(f"/admin/people/{ada}").click("Link it to a person").forms["ask"]
    for number, says in (
        ("x", "above 0"),
        ("9" * 19, "above 0"),
        ("9" * 5000, "At most 20"),
        ("", "Enter the number"),
        ("3", "unlink that one first"),
    ):
        form["person"] = number
        assert says in text(form.submit(status=200))
    form["person"] = "99"
    assert "nobody with that id" in text(form.submit(status=200))
    assert show(site, "ada")["auth"] == "manual"

    form["person"] = "5"
    done = form.submit(status=303).follow()
    assert "Ada Lovelace is the account of the person 5 now." in notice(done)
    row = show(site, "ada")
    assert (row["auth"], row["person_id"], row["city"]) == ("connect", 5, "Oslo")
    assert [
        each["actor"] for each in site.command("audit", "list") if each["action"] == "account.linked"
    ] == [f"account:{site.root}"]
    run = site.command("client", "run", "list")[0]["run"]
    site.page(f"/admin/client/runs/{run}/undo").forms["ask"].submit(status=303)
    assert (show(site, "ada")["auth"], show(site, "ada")["server"]) == ("manual", None)


def test_who_can_be_linked_is_asked_and_nobody_else(site):
    root = site.page(f"/admin/people/{site.root}")
    assert "/relink" not in root.text
    assert site.page(f"/admin/people/{site.root}/relink", status=303).location.endswith(
        f"/people/{site.root}"
    )
    assert "/relink" not in card(site).text
    ada = add_person(site.context)
    assert "/relink" in site.page(f"/admin/people/{ada}").text
    site.command("client", "disable")
    assert "/relink" not in site.page(f"/admin/people/{ada}").text


def test_nobody_unlinks_themselves(site):
    key = show(site)["id"]
    site.command("user", "admin", TC_3, "on")
    with site.context.unit() as session:
        # As if they had signed in by the server.
        hashed = site.context.accounts.fetch(session, [site.root], ["password"])[site.root]["password"]
        site.context.accounts.update(session, {key: {"auth": "manual", "password": hashed}})
    other = TestApp(site.browser.app)
    log_in(other, TC_3)
    page = other.get(f"/admin/people/{key}")
    assert "/unlink" not in page.text
    form = other.get(f"/admin/people/{key}/unlink").forms["ask"]
    assert "This is your own account." in text(form.submit(status=200))
    assert show(site)["server"] == FIRST


@pytest.mark.parametrize("what", ["unlink", "relink"])
def test_a_recent_log_in_is_asked_for(site, what):
    key = show(site)["id"]
    site.grow_stale()
    assert "/admin/prove?" in site.page(f"/admin/people/{key}/{what}", status=303).location


def test_a_link_that_is_only_followed_changes_nothing(site):
    key = show(site)["id"]
    assert site.page(f"/admin/people/{key}/sync", status=303).location.endswith(f"/people/{key}")
    assert len(site.command("client", "run", "list")) == 1
