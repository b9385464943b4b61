"""The pages of audiences and groups by HTTP, read back by the command."""

from __future__ import annotations

import pytest
from support.admin import administered, notice, text
from support.webapp import add_person

from tconnect_pyramid.directory.audiences import AUDIENCES, GROUPS, add_audience, add_members
from tconnect_pyramid.models import Audience

WORDS = {"audience": AUDIENCES, "group": GROUPS}


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


def add(site, word="audience", name="Staff", people=(), **more) -> int:
    with site.context.unit() as session:
        made = add_audience(session, site.context, name=name, kept=WORDS[word], **more)
        add_members(session, site.context, made.id, people, kept=WORDS[word])
    return made.id


@pytest.mark.parametrize("word", WORDS)
def test_one_is_added_and_people_are_put_in(site, word):
    ada = add_person(site.context)
    form = site.page(f"/admin/{word}s/add").forms["form"]
    form["name"] = "Staff"
    form["idnumber"] = "s-1"
    form["description"] = "All of <us>"
    members = form.submit(status=303).follow()
    assert notice(members) == "Staff is there. Now add who belongs to it."

    look = members.forms["add"]
    look["people-search"] = "love"
    found = look.submit("look", status=200).forms["add"]
    found["people"] = True
    done = found.submit(status=303).follow()

    assert notice(done) == "1 person was added."
    assert "Lovelace" in text(done)
    (row,) = site.command(word, "list", "--members")
    assert (row["name"], row["idnumber"], row["members"]) == ("Staff", "s-1", [ada])


@pytest.mark.parametrize("word", WORDS)
def test_one_is_edited_and_what_is_wrong_stands_at_its_field(site, word):
    add(site, word, "Others", idnumber="o-1")
    id_ = add(site, word)
    form = site.page(f"/admin/{word}s/{id_}").forms["form"]
    form["name"] = ""
    refused = form.submit(status=200)
    assert refused.html.find(id="name-error").get_text() == "Enter a name."
    assert refused.html.title.get_text().startswith("Error: ")
    form["name"] = "Crew"
    form["idnumber"] = "o-1"
    assert f"Another {word} has the idnumber 'o-1'" in text(form.submit(status=200))
    form["idnumber"] = "c-1"

    assert notice(form.submit(status=303).follow()) == "Crew is saved."
    assert [(row["name"], row["idnumber"]) for row in site.command(word, "list")] == [
        ("Others", "o-1"),
        ("Crew", "c-1"),
    ]


def test_somebody_is_taken_out(site):
    ada, bob = add_person(site.context), add_person(site.context, "bob", firstname="Bob")
    id_ = add(site, people=[ada, bob])
    page = site.page(f"/admin/audiences/{id_}/members")
    form = next(
        form for form in page.forms.values() if "remove" in form.fields and form["remove"].value == str(ada)
    )

    assert notice(form.submit(status=303).follow()) == "One person was taken out."
    assert site.command("audience", "list", "--members")[0]["members"] == [bob]


def test_deleting_asks_names_what_comes_of_it_and_wants_a_recent_log_in(site):
    id_ = add(site, people=[add_person(site.context)])
    site.grow_stale()
    asked = site.page(f"/admin/audiences/{id_}/delete", status=303).follow()
    assert "Enter your password once more" in text(asked)
    asked.forms["prove"]["password"] = "wrong"
    asked = asked.forms["prove"].submit(status=200)
    assert "This is not your password." in text(asked)
    asked.forms["prove"]["password"] = "correct horse battery"
    page = asked.forms["prove"].submit(status=303).follow()
    assert "1 person belongs to it." in text(page)

    assert notice(page.forms["ask"].submit(status=303).follow()) == "Staff is deleted."
    assert site.command("audience", "list") == []


def test_one_of_a_server_is_shown_and_not_changed(site):
    id_ = add(site)
    with site.context.unit() as session:
        session.get(Audience, id_).component = "auth_connect"

    page = site.page(f"/admin/audiences/{id_}")
    assert "A server keeps this" in text(page)
    assert not page.html.find("button", string="Save")
    assert not site.page("/admin/audiences").html.find("a", href=f"/admin/audiences/{id_}/delete")
    page = site.page(f"/admin/audiences/{id_}/delete").forms["ask"].submit(status=200)
    assert "is kept by auth_connect" in text(page)
    assert len(site.command("audience", "list")) == 1


def test_the_list_is_searched_sorted_and_paged_by_key(site):
    for number in range(60):
        add(site, name=f"Team {number:02}", idnumber=f"n-{59 - number:02}")
    first = site.page("/admin/audiences")
    assert "60 found." in text(first)
    second = first.click("Next")
    third = second.click("Next")
    names = [
        link.get_text()
        for page in (first, second, third)
        for link in page.html.select("tbody td:first-child a")
    ]
    assert names == [f"Team {number:02}" for number in range(60)]
    assert third.click("Previous page").html.select_one("tbody td a").get_text() == "Team 25"

    by_number = first.click("ID number")
    assert by_number.html.select_one("tbody td a").get_text() == "Team 59"
    assert by_number.html.find("th", attrs={"aria-sort": "ascending"}).get_text().startswith("ID number")
    form = first.forms[0] if first.html.find("form", role="search") else None
    assert form is not None
    found = site.page("/admin/audiences?search=TEAM+4&sort=-name")
    assert found.html.select_one("tbody td a").get_text() == "Team 49"
    assert "10 found." in text(found)
    assert "Nothing is found." in text(site.page("/admin/audiences?search=%25"))


def test_each_page_of_what_was_found_says_how_much_that_is(site):
    for number in range(30):
        add(site, name=f"Team {number:02}", idnumber=f"n-{number}")
    add(site, name="Others", idnumber="o")

    first = site.page("/admin/audiences?search=team")
    last = first.click("Next")
    again = last.click("Previous page")

    assert len(last.html.select("tbody tr")) == 5
    assert all("30 found." in text(page) for page in (first, last, again))


@pytest.mark.parametrize(
    "cursor", ["x", "W10", "WzAsICJhIiwgImIiXQ", "WzAsIDEsIDFd", "%ff", "WzAsICJhXHUwMDAwIiwgMV0"]
)
def test_an_odd_place_in_the_list_is_its_beginning(site, cursor):
    add(site)

    assert site.browser.get(f"/admin/audiences?cursor={cursor}", status="*").status_int in {200, 400}


@pytest.mark.parametrize(
    "path", ["/admin/audiences/7", "/admin/audiences/x", "/admin/audiences/99999999999999999999/delete"]
)
def test_what_is_not_there_is_not_found(site, path):
    site.page(path, status=404)


@pytest.mark.parametrize("path", ["/admin/audiences", "/admin/audiences/add", "/admin/pick/person?search=a"])
def test_only_administrators_get_in(site, path):
    add_person(site.context)
    root = site.browser
    root.get("/logout").forms["logout"].submit()
    assert root.get(path, status=303).location.startswith("http://localhost/login?next=")
    form = root.get("/login").forms["login"]
    form["username"], form["password"] = "ada", "correct horse battery"
    form.submit(status=303)
    root.get(path, status=403)
    root.post(path, {"name": "Mine"}, status=403)
    assert site.command("audience", "list") == []
