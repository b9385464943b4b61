"""What somebody who is up to no good sends to the administration pages."""

from __future__ import annotations

import base64
import re

import pytest
from pyramid.interfaces import IRoutesMapper
from support import lists
from support.admin import administered
from support.webapp import PASSWORD, add_person, log_in
from webtest import TestApp

from tconnect_pyramid import people
from tconnect_pyramid.directory.audiences import add_audience, add_members
from tconnect_pyramid.directory.jobs import add_job
from tconnect_pyramid.models import Job

LISTS = (
    "people",
    "audiences",
    "courses",
    "jobs",
    "server/clients",
    "client/runs",
    "audiences/{audience}/members",
)


def cursor(packed: str) -> str:
    return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")


CURSORS = {
    "half a character": cursor(r'[0, "\ud800", 1]'),
    "nul": cursor(r'[0, "a\u0000", 1]'),
    "very deep": cursor("[" * 60_000),
    "too large a key": cursor('[0, "a", 9223372036854775808]'),
    "too large a value": cursor("[0, 9223372036854775808, 1]"),
    "no number": cursor("[0, NaN, 1]"),
    "no list": cursor('"abc"'),
}


@pytest.fixture
def site(make_database, tmp_path):
    with administered(make_database(), tmp_path) as site:
        yield site


@pytest.fixture
def local(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


def addresses(site) -> list[str]:
    """Of every administration page, about things with the id 1."""
    routes = site.browser.app.registry.getUtility(IRoutesMapper).get_routes()
    return [
        "/" + re.sub(r"\{[a-z]+\}", "1", route.pattern).lstrip("/")
        for route in routes
        if route.name.startswith("tconnect.admin.")
    ]


def test_a_cursor_that_is_none_shows_the_beginning_of_a_list(site):
    with site.context.unit() as session:
        audience = add_audience(session, site.context, name="Staff").id
        add_members(session, site.context, audience, [site.root])

    for name in LISTS:
        for wrong in CURSORS.values():
            site.browser.get(f"/admin/{name.format(audience=audience)}", {"cursor": wrong}, status=200)


def test_a_picker_looks_for_no_more_than_anybody_types(site):
    form = site.page("/admin/jobs/add").forms["form"]
    form["person-search"] = "x" * 60_000

    found = form.submit("look", status=200)

    assert len(found.forms["form"]["person-search"].value) == 100


def test_nobody_makes_an_administrator_at_a_screen_that_was_left_open(local):
    form = local.page("/admin/people/add").forms["form"]
    form["username"] = "mallory"
    form["password"] = PASSWORD
    form["admin"] = True
    local.grow_stale()

    assert "/admin/prove?" in form.submit(status=303).location
    assert [person["username"] for person in local.command("user", "list")] == ["root"]


def test_nobody_invites_a_server_at_a_screen_that_was_left_open(local):
    local.command("client", "enable")
    form = local.page("/admin/client/servers").forms["connect"]
    local.grow_stale()

    assert "/admin/prove?" in form.submit(status=303).location
    assert local.page("/admin/client/servers").forms["connect"]


def test_no_page_lets_anybody_in_but_administrators_as_themselves(local):
    add_person(local.context, "ada")
    every = addresses(local)
    assert len(every) > 80
    person, acting, suspended, nobody = (TestApp(local.browser.app) for _ in range(4))
    log_in(person, "ada")
    other = add_person(local.context, "other", admin=True)
    log_in(suspended, "other")
    with local.context.unit() as session:
        people.suspend(session, local.context, other)
    log_in(acting, "root")
    form = acting.get("/admin/act-as").forms["act-as"]
    form["who"] = "ada"
    form.submit(status=303)

    for address in every:
        for browser, refused in ((person, 403), (acting, 403), (suspended, 303), (nobody, 303)):
            answer = browser.get(address, status="*")
            assert answer.status_int == refused, address
            assert refused == 403 or "/login?" in answer.location
            assert browser.post(address, {"what": "suspend", "on": "true"}, status="*").status_int in {
                400,
                403,
            }


def test_no_page_takes_a_form_without_its_token(local):
    for address in addresses(local):
        for sent in ({}, {"csrf_token": "x"}, {"csrf_token": local.browser.cookies.get("session", "")}):
            assert local.browser.post(address, sent, status=400)


def test_rights_are_taken_once_however_often_the_form_is_sent(local):
    ada = add_person(local.context, "ada", admin=True)
    form = local.page(f"/admin/people/{ada}/administrator").forms["ask"]

    for _ in range(2):
        assert "no administrator any more" in form.submit(status=303).follow().text

    assert not local.command("user", "show", "ada")["admin"]


@pytest.mark.parametrize("seconds", [10**18, -(10**18), 253_402_300_800])
def test_a_day_that_no_calendar_has_breaks_no_page(local, seconds):
    # As a server may have sent it.
    with local.context.unit() as session:
        job = add_job(session, local.context, local.root, idnumber="j")
        session.get(Job, job.id).startdate = seconds

    for address in ("/admin/jobs", f"/admin/jobs/{job.id}", f"/admin/people/{local.root}", "/profile"):
        local.page(address)


def test_what_no_database_takes_is_left_out_of_a_comment(site):
    lists.connect(site.context)
    form = site.page("/admin/client/servers/1").forms["form"]
    form["comment"] = "Ask\0 Ida"

    form.submit(status=303)

    assert site.command("client", "server", "list")[0]["comment"] == "Ask Ida"


def test_a_number_that_no_float_holds_is_refused(local):
    form = local.page("/admin/server/settings").forms["settings"]
    form["session_timeout"] = "9" * 400

    assert "which is a year" in form.submit(status=200)
