"""*People* by HTTP, read back by the command."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select
from support.admin import administered, notice, text
from support.statements import listening
from support.webapp import PASSWORD, add_person, log_in
from webtest import TestApp

from tconnect_pyramid import people
from tconnect_pyramid.directory.audiences import add_audience, add_members
from tconnect_pyramid.directory.courses import add_course, enrol
from tconnect_pyramid.models import Account, Link, Server


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


@pytest.fixture
def any_site(make_database, tmp_path):
    with administered(make_database(), tmp_path) as site:
        yield site


@pytest.fixture
def ada(site):
    return add_person(site.context)


def server() -> Server:
    return Server(
        id=1,
        state="active",
        name="Head <office>",
        url="http://s.example",
        idnumber="s" * 40,
        server_secret=b"",
        client_idnumber="c" * 40,
        client_secret_hash="h",
        timecreated=1,
        timemodified=1,
    )


def row(site, who="ada"):
    return site.command("user", "show", who)


def button(page, what):
    """The form of the card's button that does this."""
    return next(form for form in page.forms.values() if "what" in form.fields and form["what"].value == what)


def test_a_person_is_added_and_can_log_in(site):
    form = site.page("/admin/people/add").forms["form"]
    form["username"] = "bob"
    form["firstname"] = "Bob"
    form["lastname"] = "Baker"
    form["email"] = "bob@example.org"
    form["password"] = "short"
    refused = form.submit(status=200)
    assert "needs at least 8" in refused.html.find(id="password-error").get_text()
    assert refused.forms["form"]["password"].value == ""
    form["password"] = PASSWORD
    card = form.submit(status=303).follow()

    assert notice(card) == "Bob Baker has an account now."
    kept = row(site, "bob")
    assert (kept["firstname"], kept["email"], kept["admin"], kept["auth"]) == (
        "Bob",
        "bob@example.org",
        False,
        "manual",
    )
    log_in(TestApp(site.browser.app), "bob")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("username", "", "Enter a username."),
        ("username", "Ada", "Write it in small letters: ada"),
        ("username", "tc_5", "is reserved"),
        ("email", "nobody", "expected an address"),
        ("firstname", "x" * 101, "At most 100 characters"),
    ],
)
def test_what_cannot_be_taken_stands_at_its_field(site, field, value, said):
    form = site.page("/admin/people/add").forms["form"]
    form["username"] = "bob"
    form[field] = value

    shown = form.submit(status=200).html.find(id=f"{field}-error").get_text()

    assert said.lower() in shown.lower()
    assert len(site.command("user", "list")) == 1


def test_a_username_that_is_taken_is_told(site, ada):
    form = site.page("/admin/people/add").forms["form"]
    form["username"] = "ada"

    assert "There is already an account" in text(form.submit(status=200))


def test_a_person_is_suspended_and_let_in_again(site, ada):
    other = TestApp(site.browser.app)
    log_in(other)
    card = site.page(f"/admin/people/{ada}")
    assert "Since " in text(card)

    done = button(card, "suspend").submit(status=303).follow()

    assert notice(done) == "Ada Lovelace is suspended, and logged out everywhere."
    assert row(site)["suspended"] is True
    assert "You are not logged in." in other.get("/").text
    done = button(done, "unsuspend").submit(status=303).follow()
    assert notice(done) == "Ada Lovelace may log in again."
    assert row(site)["suspended"] is False


def test_a_sign_in_is_ended(site, ada):
    other = TestApp(site.browser.app)
    log_in(other)
    form = button(site.page(f"/admin/people/{ada}"), "end")

    assert "has ended" in notice(form.submit(status=303).follow())
    assert "You are not logged in." in other.get("/").text
    assert notice(form.submit(status=303).follow()) == "This sign-in has ended already."


def test_the_way_to_log_in_is_changed(site, ada):
    card = button(site.page(f"/admin/people/{ada}"), "nologin").submit(status=303).follow()
    assert row(site)["auth"] == "nologin"
    button(card, "manual").submit(status=303)
    assert row(site)["auth"] == "manual"


def test_a_new_password_is_given(site, ada):
    form = site.page(f"/admin/people/{ada}/password").forms["form"]
    form["password"] = "another one"
    assert notice(form.submit(status=303).follow()) == "Ada Lovelace has a new password."

    log_in(TestApp(site.browser.app), "ada", "another one")


@pytest.mark.parametrize("what", ["password", "administrator", "delete"])
def test_what_cannot_be_undone_asks_for_a_recent_log_in(site, ada, what):
    site.grow_stale()

    assert "/admin/prove?" in site.page(f"/admin/people/{ada}/{what}", status=303).location


def test_rights_are_given_and_taken(site, ada):
    page = site.page(f"/admin/people/{ada}/administrator")
    assert notice(page.forms["ask"].submit(status=303).follow()) == "Ada Lovelace is an administrator now."
    assert row(site)["admin"] is True
    page = site.page(f"/admin/people/{ada}/administrator")
    page.forms["ask"].submit(status=303)
    assert row(site)["admin"] is False


def test_audiences_and_courses_lead_to_their_members(site, ada):
    with site.context.unit() as session:
        staff = add_audience(session, site.context, name="Staff").id
        add_members(session, site.context, staff, [ada])
        safety = add_course(session, site.context, fullname="Safety", shortname="safety").id
        enrol(session, site.context, safety, [ada])
    card = site.page(f"/admin/people/{ada}")

    for name, place in (("Staff", f"audiences/{staff}/members"), ("Safety", f"courses/{safety}/enrolled")):
        link = card.html.find("a", string=name)
        assert link["href"].endswith(f"/admin/{place}")
        assert "Ada Lovelace" in text(card.goto(link["href"]))


def test_deleting_names_what_goes(site, ada):
    with site.context.unit() as session:
        staff = add_audience(session, site.context, name="Staff").id
        add_members(session, site.context, staff, [ada])
    page = site.page(f"/admin/people/{ada}/delete")
    assert "It leaves 1 audience." in text(page)

    assert notice(page.forms["ask"].submit(status=303).follow()) == "Ada Lovelace is deleted."
    assert [each["deleted"] for each in site.command("user", "list")] == [False, True]
    assert "Ada" in text(site.page("/admin/people?only=deleted"))
    assert "Ada" not in text(site.page("/admin/people"))


@pytest.mark.parametrize("what", ["administrator", "delete"])
def test_nobody_shuts_themselves_out(site, what):
    page = site.page(f"/admin/people/{site.root}/{what}").forms["ask"].submit(status=200)

    assert "This is your own account." in text(page)
    assert row(site, "root")["admin"] is True


def test_nobody_suspends_themselves(site, ada):
    form = button(site.page(f"/admin/people/{ada}"), "suspend")
    form.action = f"/admin/people/{site.root}/do"

    assert "This is your own account." in notice(form.submit(status=303).follow())
    assert row(site, "root")["suspended"] is False


def test_an_account_of_a_server_keeps_its_password_there(site, ada):
    with site.context.unit() as session:
        site.context.accounts.update(session, {ada: {"auth": "connect"}})
    card = site.page(f"/admin/people/{ada}")
    assert "Totara Connect client" in text(card)
    assert not card.html.find("a", href=f"/admin/people/{ada}/password")
    form = site.page(f"/admin/people/{ada}/password").forms["form"]
    form["password"] = "another one"
    assert "has no password here" in text(form.submit(status=200))


def test_the_list_shows_whom_one_looks_for(any_site):
    site = any_site
    add_person(site.context)
    bob = add_person(site.context, "bob", firstname="Bob")
    with site.context.unit() as session:
        people.suspend(session, site.context, bob)
    shown = {
        only: text(site.page(f"/admin/people?only={only}"))
        for only in ("", "active", "suspended", "admin", "odd")
    }
    assert "Bob" in shown[""] and "Ada" in shown[""]  # noqa: PT018 - one sentence
    assert "Bob" not in shown["active"]
    assert "Ada" not in shown["suspended"]
    assert "Rosa" in shown["admin"]
    assert "Ada" not in shown["admin"]
    assert "Bob" in shown["odd"]
    assert "Ada" in text(site.page("/admin/people?search=LOVELACE&sort=-email"))


def test_the_list_names_the_server_that_an_account_came_from(site, ada):
    bob = add_person(site.context, "bob", firstname="Bob")
    with site.context.unit() as session:
        session.add(server())
        session.flush()
        for key in (ada, bob):
            session.add(Link(person_id=key, server_id=1, account_key=key, timecreated=1))
        site.context.accounts.update(session, {ada: {"auth": "connect"}})
    rows = {
        row.a.get_text(): [cell.get_text() for cell in row.find_all("td")]
        for row in site.page("/admin/people").html.select("tbody tr")
    }

    assert rows["ada"][4] == "Totara Connect client (Head <office>)"
    assert rows["bob"][4] == "Manual accounts"


def test_many_people_are_listed_with_as_many_statements_as_few(site):

    def counted(path="/admin/people") -> int:
        with listening(site.context.database.engine) as statements:
            site.page(path)
        return len(statements)

    few = counted()
    with site.context.unit() as session:
        session.add(server())
        session.flush()
        session.execute(
            insert(Account),
            [
                {
                    "username": f"u{number:05}",
                    "firstname": "F",
                    "lastname": f"L{number}",
                    "email": f"{number}@x.example",
                    "auth": "connect",
                }
                for number in range(5000)
            ],
        )
        keys = session.scalars(select(Account.id).where(Account.auth == "connect")).all()
        session.execute(
            insert(Link),
            [{"person_id": key, "server_id": 1, "account_key": key, "timecreated": 1} for key in keys],
        )

    assert counted() == few
    page = site.page("/admin/people?sort=username")
    while page.html.find("a", rel="next") and "u00060" not in page:
        page = page.click("Next")
    assert "u00060" in page
    assert text(page).count("Totara Connect client (Head <office>)") > 10
    assert counted("/admin/people?search=u049&sort=-lastname") == few


@pytest.mark.parametrize("path", ["", "/add", "/1", "/1/password", "/1/administrator", "/1/delete", "/1/do"])
def test_only_administrators_look_after_people(site, ada, path):
    other = TestApp(site.browser.app)
    log_in(other)

    other.get(f"/admin/people{path}", status=403)
    other.post(f"/admin/people{path}", {"what": "suspend"}, status=403)


@pytest.mark.parametrize("path", ["/99", "/x", "/99/delete", "/99/do"])
def test_who_is_not_there_is_not_found(site, path):
    site.page(f"/admin/people{path}", status=404)
