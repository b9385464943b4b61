"""*Job assignments* by HTTP, read back by the command."""

from __future__ import annotations

import pytest
from support.admin import administered, notice, text
from support.statements import listening
from support.webapp import add_person, log_in
from webtest import TestApp

from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items
from tconnect_pyramid.directory.hierarchies import POSITIONS
from tconnect_pyramid.directory.jobs import add_job
from tconnect_pyramid.models import Counterpart, Server

DAY = 1_717_113_600
"""2024-05-31, in Unix seconds."""


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


@pytest.fixture
def ada(site):
    return add_person(site.context)


@pytest.fixture
def chief(site):
    with site.context.unit() as session:
        framework = hierarchy_frameworks.add_framework(session, site.context, POSITIONS, fullname="Main").id
        return hierarchy_items.add_item(
            session, site.context, POSITIONS, fullname="Chief", framework=framework
        ).id


def job(site, person, idnumber="j-1", **more) -> int:
    with site.context.unit() as session:
        return add_job(session, site.context, person, idnumber=idnumber, **more).id


def test_a_job_is_given(site, ada, chief):
    form = site.page("/admin/jobs/add").forms["form"]
    refused = form.submit(status=200)
    assert refused.html.find(id="idnumber-error").get_text() == "Enter an ID number."
    form["idnumber"] = "j-1"
    assert form.submit(status=200).html.find(id="person-error").get_text() == "Choose a person."
    form["fullname"] = "Head of all"
    form["description"] = "Heads\nus"
    form["startdate"] = "2024-05-31"
    for name, words in (("person", "lovelace"), ("position", "chi")):
        form[f"{name}-search"] = words
        form = form.submit("look", index=0, status=200).forms["form"]
        form.set(name, True)

    assert notice(form.submit(status=303).follow()) == "Head of all is saved."
    (row,) = site.command("job", "list")
    wanted = {
        "account": ada,
        "position": chief,
        "idnumber": "j-1",
        "fullname": "Head of all",
        "description": "Heads<br>us",
        "startdate": DAY,
    }
    assert {name: row[name] for name in wanted} == wanted
    assert "Ada Lovelace Head of all 1 (main job) Chief" in text(site.page("/admin/jobs"))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("startdate", "31.5.2024", "2024"), ("enddate", "x", "x"), ("idnumber", "x" * 101, "At most 100")],
)
def test_what_cannot_be_taken_stands_at_its_field(site, ada, field, value, said):
    id_ = job(site, ada)
    form = site.page(f"/admin/jobs/{id_}").forms["form"]
    form[field] = value

    assert said in form.submit(status=200).html.find(id=f"{field}-error").get_text()


def test_the_jobs_of_a_person_are_reached_from_their_card(site, ada):
    job(site, ada)
    job(site, add_person(site.context, "bob", firstname="Bob"), "j-2")

    shown = text(site.page(f"/admin/people/{ada}").click("Look after the job assignments"))

    assert "j-1" in shown
    assert "j-2" not in shown


def test_a_job_is_changed(site, ada, chief):
    job(site, ada, "taken")
    id_ = job(site, ada, position=chief, startdate=DAY)
    form = site.page(f"/admin/jobs/{id_}").forms["form"]
    assert form["startdate"].value == "2024-05-31"
    form["idnumber"] = "taken"
    assert "taken" in text(form.submit(status=200))
    form["idnumber"] = "j-9"
    form["position"] = False
    form["startdate"] = ""
    form.submit(status=303)

    row = next(row for row in site.command("job", "list") if row["id"] == id_)
    assert (row["idnumber"], row["position"], row["startdate"]) == ("j-9", None, None)


def test_a_description_is_edited_and_keeps_its_markup_where_nobody_touched_it(site, ada):
    id_ = job(site, ada, description="<p>Looks after <b>all</b></p>")
    form = site.page(f"/admin/jobs/{id_}").forms["form"]
    assert form["description"].value.strip() == "Looks after all"
    form["fullname"] = "Keeper"
    form.submit(status=303)
    (row,) = site.command("job", "list")
    assert (row["fullname"], row["description"]) == ("Keeper", "<p>Looks after <b>all</b></p>")

    form["description"] = "Us & them"
    form.submit(status=303)
    (row,) = site.command("job", "list")
    assert row["description"] == "Us &amp; them"
    form["description"] = ""
    form.submit(status=303)
    (row,) = site.command("job", "list")
    assert row["description"] is None


def test_jobs_change_places(site, ada):
    first, second = job(site, ada), job(site, ada, "j-2")
    page = site.page("/admin/jobs")
    form = next(
        form
        for form in page.forms.values()
        if form.action.endswith(f"/{second}/move") and form["to"].value == "up"
    )

    assert notice(form.submit(status=303).follow()) == "j-2 has another place now."
    assert [row["id"] for row in site.command("job", "list")] == [second, first]


def test_a_job_is_taken_away_after_a_recent_log_in(site, ada):
    id_ = job(site, ada)
    page = site.page(f"/admin/jobs/{id_}/delete")
    assert notice(page.forms["ask"].submit(status=303).follow()) == "j-1 is deleted."
    assert site.command("job", "list") == []
    id_ = job(site, ada)
    site.grow_stale()
    assert "/admin/prove?" in site.page(f"/admin/jobs/{id_}/delete", status=303).location


def test_a_job_of_a_server_is_shown_and_not_changed(site, ada):
    id_ = job(site, ada)
    with site.context.unit() as session:
        session.add(
            Server(
                id=1,
                state="active",
                name="S",
                url="http://s.example",
                idnumber="s" * 40,
                server_secret=b"",
                client_idnumber="c" * 40,
                client_secret_hash="h",
                timecreated=1,
                timemodified=1,
            )
        )
        session.flush()
        session.add(Counterpart(remote_id=5, kind="job", server_id=1, local_id=id_))

    assert "kept by its server" in text(site.page("/admin/jobs"))
    page = site.page(f"/admin/jobs/{id_}")
    assert "A server keeps this" in text(page)
    assert not page.html.find("button", string="Save")
    assert site.page(f"/admin/jobs/{id_}/delete").forms["ask"].submit(status=200).html.find(role="alert")
    assert len(site.command("job", "list")) == 1


def test_many_jobs_are_listed_with_as_many_statements_as_few(site, ada, chief):

    def counted() -> int:
        with listening(site.context.database.engine) as statements:
            site.page("/admin/jobs")
        return len(statements)

    job(site, ada, position=chief)
    few = counted()
    bob = add_person(site.context, "bob")
    for number in range(60):
        job(site, bob, f"b-{number}", position=chief)

    assert counted() == few
    assert "1 found." in text(site.page("/admin/jobs?search=b-59"))


@pytest.mark.parametrize("path", ["", "/add", "/1", "/1/move", "/1/delete"])
def test_only_administrators_give_jobs(site, ada, path):
    job(site, ada)
    other = TestApp(site.browser.app)
    log_in(other)

    other.get(f"/admin/jobs{path}", status=403)
    other.post(f"/admin/jobs{path}", {"to": "up"}, status=403)
