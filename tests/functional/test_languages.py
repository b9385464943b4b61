"""Pages come in the reader's language: their own, else what the browser asks for, else English."""

from __future__ import annotations

import pytest
from support import lists
from support.admin import administered, notice, text

from tconnect_pyramid import people
from tconnect_pyramid.client.sync.engine import run_sync


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


def speak(site, language) -> None:
    with site.context.unit() as session:
        people.edit_person(session, site.context, site.root, {"lang": language})


def test_a_person_reads_in_their_own_language(site):
    speak(site, "de")

    page = site.browser.get("/admin/", headers={"Accept-Language": "en"})

    assert page.html.html["lang"] == "de"
    assert page.html.h1.get_text() == "Website-Administration"


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("en,de;q=0.5", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("", "en"),
        ("de;q=0", "en"),
        (";;,q=", "en"),
        ("\u00ff", "en"),
    ],
)
def test_strangers_read_in_the_language_of_their_browser(site, asked, language):
    site.browser.reset()

    page = site.browser.get("/login", headers={"Accept-Language": asked})

    assert page.html.html["lang"] == language
    assert page.html.h1.get_text() == {"de": "Anmelden", "en": "Log in"}[language]


def test_what_a_rule_refuses_and_what_is_done_are_said_in_german_too(site):
    speak(site, "de")
    form = site.page("/admin/people/add").forms["form"]
    form["username"] = "bob"
    form["password"] = "kurz"
    refused = form.submit(status=200)
    assert refused.html.find(id="password-error").get_text().startswith("Das Passwort hat 4 Zeichen")
    assert refused.html.title.get_text().startswith("Fehler: ")
    form["password"] = ""
    done = form.submit(status=303).follow()

    assert "bob" in notice(done)
    assert "has an account" not in notice(done)


def test_what_people_have_typed_is_never_translated(site):
    with site.context.unit() as session:
        people.edit_person(
            session, site.context, site.root, {"lang": "de", "city": "Back", "firstname": "Home"}
        )

    said = text(site.page(f"/admin/people/{site.root}"))

    assert "Back" in said
    assert "Home Root" in said


def test_lists_of_choices_and_countries_are_in_the_language(site):
    speak(site, "de")
    page = site.browser.get("/user/edit.php")
    countries = [option.get_text() for option in page.html.select("#country option")]

    assert "Deutschland" in countries
    assert countries.index("Österreich") < countries.index("Portugal")


def test_numbers_and_times_are_written_as_the_language_does(site):
    speak(site, "de")

    page = site.page(f"/admin/people/{site.root}")
    words = [time.get_text() for time in page.html.find_all("time")]

    assert words
    assert all(word.startswith("15.01.2027, ") for word in words)


def test_what_a_task_did_and_when_it_runs_is_said_in_the_readers_language(site):
    page = site.page("/admin/client/tasks")
    next(form for form in page.forms.values() if form.action.endswith("/outbox/run")).submit(status=303)
    assert "0 confirmed, 0 failed" in text(site.page("/admin/client/tasks"))

    speak(site, "de")

    german = text(site.page("/admin/client/tasks"))
    assert "0 bestätigt, 0 fehlgeschlagen" in german
    assert "jede Minute" in german
    assert "jeden Tag um 00:00 UTC" in german


def test_what_a_run_did_is_said_in_the_readers_language(make_sqlite, tmp_path):
    server = lists.ListingServer()
    with administered(make_sqlite(), tmp_path, transport=server, client__enabled="true") as site:
        id_ = lists.connect(site.context)
        server.people = [lists.person(3), lists.person(4)]
        run_sync(site.context, "users", id_)
        server.people = [lists.person(3, city="Bremen")]
        run = run_sync(site.context, "users", id_).run
        server.people = []
        held = run_sync(site.context, "users", id_).run
        assert "not in the server's list any more" in text(site.page(f"/admin/client/runs/{run}"))

        speak(site, "de")

        page = text(site.page(f"/admin/client/runs/{run}"))
        assert "nicht mehr in der Liste des Servers" in page
        assert "→ 'Bremen'" in page
        assert "Der Server hat gar keine" in text(site.page(f"/admin/client/runs/{held}"))
        (line,) = [
            line
            for line in site.command("client", "run", "show", str(run))["lines"]
            if line["remote_id"] == 4
        ]
        assert line["detail"] == "not in the server's list any more"
