"""*Courses* and *Custom profile fields* by HTTP, read back by the command."""

from __future__ import annotations

import pytest
from support.admin import administered, notice, text
from support.webapp import add_person, log_in
from webtest import TestApp

from tconnect_pyramid import people
from tconnect_pyramid.directory.courses import add_course, enrol
from tconnect_pyramid.directory.profiles import add_field


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


def course(site, fullname="Safety", enrolled=(), **more) -> int:
    with site.context.unit() as session:
        made = add_course(session, site.context, fullname=fullname, **more)
        enrol(session, site.context, made.id, enrolled)
    return made.id


def test_a_course_is_added_and_people_are_enrolled_and_taken_out(site):
    ada = add_person(site.context)
    form = site.page("/admin/courses/add").forms["form"]
    assert form.submit(status=200).html.find(id="fullname-error").get_text() == "Enter a name."
    form["fullname"] = "Safety at work"
    form["shortname"] = "safety"
    form["summary"] = "First < second"
    page = form.submit(status=303).follow()
    assert notice(page) == "Safety at work is there. Now enrol people."
    look = page.forms["add"]
    look["people-search"] = "lovelace"
    look = look.submit("look").forms["add"]
    look["people"] = True
    page = look.submit(status=303).follow()
    assert notice(page) == "1 person was added."
    (row,) = site.command("course", "list", "--members")
    assert (row["fullname"], row["shortname"], row["members"]) == ("Safety at work", "safety", [ada])
    assert site.page(f"/admin/courses/{row['id']}").forms["form"]["summary"].value == "First < second"

    out = next(form for form in page.forms.values() if "remove" in form.fields)
    assert notice(out.submit(status=303).follow()) == "One person was taken out."
    assert site.command("course", "list", "--members")[0]["members"] == []


def test_a_course_is_edited(site):
    course(site, "Other", idnumber="o-1")
    id_ = course(site)
    form = site.page(f"/admin/courses/{id_}").forms["form"]
    form["fullname"] = "Health"
    form["idnumber"] = "o-1"
    assert "Another course has the idnumber 'o-1'" in text(form.submit(status=200))
    form["idnumber"] = "h-1"
    assert notice(form.submit(status=303).follow()) == "Health is saved."

    assert site.command("course", "list")[1]["fullname"] == "Health"


def test_a_course_is_deleted_after_a_question(site):
    id_ = course(site, enrolled=[add_person(site.context)])
    page = site.page(f"/admin/courses/{id_}/delete")
    assert "1 person is enrolled in it." in text(page)

    assert notice(page.forms["ask"].submit(status=303).follow()) == "Safety is deleted."
    assert site.command("course", "list") == []


def test_courses_are_found_and_sorted(site):
    for number in range(30):
        course(site, f"Course {number:02}")
    page = site.page("/admin/courses?sort=-fullname")
    assert page.html.select_one("tbody td a").get_text() == "Course 29"
    assert page.click("Next").html.select_one("tbody td a").get_text() == "Course 04"
    assert "1 found." in text(site.page("/admin/courses?search=course+17"))


def test_a_field_is_added_and_profiles_have_it(site):
    form = site.page("/admin/fields/add").forms["form"]
    form["shortname"] = "size"
    form["name"] = "Size of shirt"
    form["datatype"] = "menu"
    assert "choices" in text(form.submit(status=200)).lower()
    form["choices"] = "S\n\n M \nL"
    page = form.submit(status=303).follow()

    assert notice(page) == "Profiles have the field Size of shirt now."
    assert "S, M, L" in text(page)
    (row,) = site.command("field", "list")
    assert (row["shortname"], row["datatype"], row["choices"]) == ("size", "menu", ["S", "M", "L"])
    form["choices"] = "S"
    assert "size" in text(form.submit(status=200))


def test_a_field_is_deleted_with_what_is_in_it(site):
    ada = add_person(site.context)
    with site.context.unit() as session:
        id_ = add_field(session, site.context, "hobby", datatype="text").id
        people.set_profile_value(session, site.context, ada, "hobby", "Chess")
    page = site.page(f"/admin/fields/{id_}/delete")
    assert "1 person has something in it, which is lost." in text(page)

    assert notice(page.forms["ask"].submit(status=303).follow()) == "hobby is deleted."
    assert site.command("field", "list") == []
    site.page(f"/admin/fields/{id_}/delete", status=404)


@pytest.mark.parametrize("path", ["courses/delete", "fields/delete"])
def test_deleting_wants_a_recent_log_in(site, path):
    what, _ = path.split("/")
    id_ = course(site)
    with site.context.unit() as session:
        add_field(session, site.context, "hobby", datatype="text")
    site.grow_stale()

    assert "/admin/prove?" in site.page(f"/admin/{what}/{id_}/delete", status=303).location


@pytest.mark.parametrize(
    "path", ["courses", "courses/add", "courses/1", "courses/1/enrolled", "fields", "fields/add"]
)
def test_only_administrators_change_them(site, path):
    add_person(site.context)
    other = TestApp(site.browser.app)
    log_in(other)

    other.get(f"/admin/{path}", status=403)
    other.post(f"/admin/{path}", {"fullname": "Mine"}, status=403)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fullname", "x" * 255, "At most 254 characters are possible; this has 255."),
        ("shortname", "x" * 256, "At most 255 characters are possible; this has 256."),
        ("idnumber", "x" * 101, "At most 100 characters are possible; this has 101."),
    ],
)
def test_what_is_too_long_stands_at_its_field(site, name, value, said):
    form = site.page("/admin/courses/add").forms["form"]
    form["fullname"] = "Safety"
    form[name] = value

    assert form.submit(status=200).html.find(id=f"{name}-error").get_text() == said
    assert site.command("course", "list") == []


def test_a_summary_that_nobody_touched_keeps_its_markup(site):
    id_ = course(site, summary="<p>As it <b>was</b></p>")
    form = site.page(f"/admin/courses/{id_}").forms["form"]
    form["fullname"] = "Health"
    form.submit(status=303)

    (row,) = site.command("course", "list")
    assert (row["fullname"], row["summary"]) == ("Health", "<p>As it <b>was</b></p>")


def test_who_is_no_account_is_not_enrolled(site):
    page = site.page(f"/admin/courses/{course(site)}/enrolled")
    sent = {"csrf_token": page.forms["add"]["csrf_token"].value, "people": "999"}

    assert "999" in text(site.browser.post(page.request.path, sent, status=200))
    assert site.command("course", "list")[0]["size"] == 0


@pytest.mark.parametrize("path", ["7", "x/enrolled", "99999999999999999999/delete"])
def test_a_course_that_is_not_there_is_not_found(site, path):
    site.page(f"/admin/courses/{path}", status=404)
