"""*Site administration* and what every page of it has in common, by HTTP."""

from __future__ import annotations

import pytest
from support.admin import administered, notice, text
from support.webapp import PASSWORD, add_person, log_in
from webtest import TestApp


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


def tree(page) -> list[str]:
    return [link.get_text() for link in page.html.select("nav.tree a")]


def test_it_is_found_with_and_without_a_slash(site):
    assert site.page("/admin", status=303).location == "http://localhost/admin/"
    assert text(site.page("/admin/")).startswith("Site administration")
    assert site.browser.get("/").html.find("a", href="/admin/")


def test_the_sections_of_a_role_appear_when_it_is_enabled(site):
    assert "Client systems" not in tree(site.page("/admin/"))
    form = site.page("/admin/features").forms["features"]
    form["server_enabled"] = True
    done = form.submit(status=303).follow()

    assert notice(done) == "The features are saved."
    assert "Client systems" in tree(done)
    assert site.command("server", "status")["enabled"] is True
    assert "should be hosted via a secure protocol (https)" in text(done)
    form = done.forms["features"]
    form["server_enabled"] = False
    assert "Client systems" not in tree(form.submit(status=303).follow())


def test_what_the_ini_fixes_cannot_be_switched(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path, server__enabled="true") as site:
        page = site.page("/admin/features")
        assert "This is fixed in the ini file of the site." in text(page)
        form = page.forms["features"]
        form["server_enabled"] = False

        assert "is fixed by the ini file" in text(form.submit(status=200))


def test_the_settings_of_the_server_are_kept(site):
    site.command("server", "enable")
    form = site.page("/admin/server/settings").forms["settings"]
    form["session_timeout"] = "59"
    refused = form.submit(status=200)
    assert refused.html.find(id="session_timeout-error")
    form["session_timeout"] = "3600"
    form["sync_passwords"] = True

    assert notice(form.submit(status=303).follow()) == "The settings are saved."
    kept = {row["name"]: row["value"] for row in site.command("settings", "list")}
    assert (kept["session.timeout"], kept["server.sync_passwords"]) == ("3600", "true")


@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/features", "/admin/server/settings", "/admin/prove", "/admin"]
)
def test_it_is_for_administrators_alone(site, path):
    add_person(site.context)
    other = TestApp(site.browser.app)
    assert "/login?next=" in other.get(path, status=303).location
    log_in(other)
    other.get(path, status=403)
    other.post(path, {"server_enabled": "y"}, status=403)
    assert site.command("server", "status")["enabled"] is False


def test_whoever_acts_as_somebody_administers_nothing(site):
    add_person(site.context)
    form = site.page("/admin/act-as").forms["act-as"]
    form["who"] = "ada"
    form.submit(status=303)

    site.page("/admin/", status=403)


def test_a_form_without_its_token_changes_nothing(site):
    assert "This form has expired" in site.browser.post(
        "/admin/features", {"server_enabled": "y"}, status=400
    )
    assert site.command("server", "status")["enabled"] is False


def test_whoever_has_no_password_here_logs_in_again(site):
    with site.context.unit() as session:
        site.context.accounts.update(session, {site.root: {"auth": "connect"}})
    site.grow_stale()
    asked = site.page(f"/admin/people/{site.root}/delete", status=303).follow()

    login = asked.forms["log-in-again"].submit(status=303)

    assert login.location == f"http://localhost/login?next=%2Fadmin%2Fpeople%2F{site.root}%2Fdelete"
    assert "You are not logged in." in site.browser.get("/").text


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_the_question_who_one_is_leads_to_pages_of_this_site_only(site, wanted):
    page = site.browser.get("/admin/prove", {"next": wanted})
    page.forms["prove"]["password"] = PASSWORD

    assert page.forms["prove"].submit(status=303).location == "http://localhost/admin/"
