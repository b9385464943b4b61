"""The settings of the client role by HTTP, and the page before accounts are migrated, read back by the command."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from support.admin import administered, command, notice, text, write_ini
from support.webapp import CLIENT_URL, SERVER_URL, add_person, connect, log_in, two_sites

PAGE = "/admin/client/settings"


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        site.command("client", "enable")
        yield site


@pytest.fixture
def pair(make_sqlite, tmp_path):
    """A client with its administrator logged in, connected to a server."""
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        connect(sites)
        add_person(sites.client, "root", admin=True, firstname="Rosa", lastname="Root")
        log_in(sites.browser, "root", url=CLIENT_URL)
        ini_file = write_ini(tmp_path, sites.client)
        yield SimpleNamespace(
            sites=sites,
            command=lambda *words, **more: command(ini_file, *words, **more),
            page=lambda path=PAGE, **more: sites.browser.get(f"{CLIENT_URL}{path}", **more),
        )


def options(site) -> dict[str, str]:
    return {row["name"]: row["value"] for row in site.command("settings", "list")}


def changed(site, before) -> dict[str, str]:
    return {name: value for name, value in options(site).items() if value != before[name]}


def form_of(site):
    return site.page(PAGE).forms["settings"]


def test_the_page_has_the_words_of_the_document(site):
    shown = text(site.page(PAGE))
    for words in (
        "Automatic single sign-on via server",
        (
            "When enabled, local accounts are migrated to Totara Connect accounts. Totara Connect accounts can log in only "
            "via single sign-on."
        ),
        (
            "You should make sure the selected account mapping cannot be abused by Totara Connect server users to hijack "
            "existing client accounts. For example when mapping via username, users should not be allowed to sign up for "
            "new accounts on the Totara Connect server."
        ),
        (
            "Choose the field you want to use to map user accounts by during migration. You should make sure this field "
            "is locked and cannot be modified by ordinary users or customised during user self registration, both on the "
            "server and clients."
        ),
        (
            "Please note that any synchronised users who are deleted from the server will also be deleted from the local "
            "site."
        ),
        "For security reasons all Totara Connect clients should be hosted via a secure protocol (https).",
    ):
        assert words in shown, words
    form = form_of(site)
    assert [text for _, _, text in form["account_mapping"].options] == [
        "Username",
        "Email address",
        "ID number",
        "Totara Connect unique ID",
    ]
    assert [text for _, _, text in form["removed_person"].options] == [
        "Keep internal user",
        "Suspend internal user",
        "Full delete internal user",
    ]


def test_saving_the_form_as_it_is_changes_nothing(site):
    before = options(site)

    assert notice(form_of(site).submit(status=303).follow()) == "The settings are saved."
    assert changed(site, before) == {}
    assert [row["action"] for row in site.command("audit", "list")].count("option.set") == 0


def test_every_field_is_stored(site):
    before = options(site)
    form = form_of(site)
    form["account_mapping"] = "email"
    form["removed_person"] = "delete"
    for name in ("profile_fields", "jobs", "positions", "organisations"):
        form[f"sync_{name}"] = False
    form["sync_idnumber"] = form["plugin_services"] = True
    form["protected_accounts"] = " boss\r\nsupport  root "
    form["guard_people"], form["guard_members"], form["guard_items"] = "1 2", "3  4", "5 100"
    form.submit(status=303)

    assert changed(site, before) == {
        "client.account_mapping": "email",
        "client.removed_person": "delete",
        "client.sync_profile_fields": "false",
        "client.sync_jobs": "false",
        "client.sync_positions": "false",
        "client.sync_organisations": "false",
        "client.sync_idnumber": "true",
        "client.plugin_services": "true",
        "client.protected_accounts": "boss support root",
        "guard.people": "1 2",
        "guard.members": "3 4",
        "guard.items": "5 100",
    }
    form = form_of(site)
    assert form["protected_accounts"].value.strip() == "boss support root"
    form["protected_accounts"] = ""
    form.submit(status=303)
    assert options(site)["client.protected_accounts"] == ""


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("guard_people", "", "Enter a number and a percentage, as in 20 5."),
        ("guard_members", "20", "Enter a number and a percentage, as in 20 5."),
        ("guard_items", "20 101", "Enter a number and a percentage, as in 20 5."),
        ("account_mapping", "password", "Not a valid choice."),
        ("removed_person", "promote", "Not a valid choice."),
        ("auto_sign_in", "7", "Not a valid choice."),
    ],
)
def test_what_cannot_be_taken_is_said_at_its_field(site, field, value, said):
    before = options(site)
    form = form_of(site)
    form["sync_jobs"] = False
    form[field].force_value(value)
    refused = form.submit(status=200)

    assert refused.html.find(id=f"{field}-error").get_text() == said
    assert changed(site, before) == {}


def test_what_the_ini_fixes_is_shown_and_stays(make_sqlite, tmp_path):
    fixed = {
        "client__removed_person": "keep",
        "client__sync_jobs": "true",
        "guard__people": "7 8",
        "client__auto_sign_in": "3",
    }
    with administered(make_sqlite(), tmp_path, **fixed) as site:
        page = site.page(PAGE)
        assert text(page).count("This is fixed in the ini file of the site.") == len(fixed)
        for name in ("removed_person", "sync_jobs", "guard_people", "auto_sign_in"):
            assert page.html.find(id=name).has_attr("disabled")
        sent = {
            "csrf_token": page.forms["settings"]["csrf_token"].value,
            "removed_person": "delete",
            "guard_people": "0 0",
            "auto_sign_in": "none",
            "account_mapping": "idnumber",
            "guard_members": "1 1",
            "guard_items": "1 1",
        }
        assert notice(site.browser.post(PAGE, sent, status=303).follow()) == "The settings are saved."
        shown = text(site.page(PAGE))
        form = site.page(PAGE).forms["settings"]
        assert (form["removed_person"].value, form["guard_people"].value) == ("keep", "7 8")
        assert form["sync_jobs"].checked
        assert form["account_mapping"].value == "idnumber"
        assert "A server that is not connected (id 3)" in shown


def test_a_server_is_chosen_for_automatic_sign_on(pair):
    form = form_of(pair)
    assert [text for _, _, text in form["auto_sign_in"].options] == ["None", "Test server"]
    form["auto_sign_in"] = "1"
    form.submit(status=303)
    assert options(pair)["client.auto_sign_in"] == "1"
    form = form_of(pair)
    form["auto_sign_in"] = "none"
    form.submit(status=303)
    assert options(pair)["client.auto_sign_in"] == "none"


def people_of_both(pair):
    """On the server four people; here their accounts, one of them twice, one an administrator, one protected."""
    for name in ("ida", "twice", "chief", "boss", "stranger"):
        add_person(pair.sites.server, name)
    add_person(pair.sites.client, "ida")
    add_person(pair.sites.client, "one", email="twice@example.org")
    add_person(pair.sites.client, "other", email="Twice@example.org")
    add_person(pair.sites.client, "chief", admin=True)
    add_person(pair.sites.client, "boss")
    pair.command("settings", "set", "client.protected_accounts", "boss")


def synchronise(pair):
    pair.page("/admin/client/servers/1").forms["sync"].submit(status=200)


def ask_for_migration(pair, mapping="email"):
    form = form_of(pair)
    form["migrate_accounts"] = True
    form["account_mapping"] = mapping
    form["sync_jobs"] = False
    return form.submit(status=303).follow()


def test_before_accounts_are_migrated_a_page_says_which(pair):
    people_of_both(pair)
    before = options(pair)
    accounts = pair.command("user", "list")
    page = ask_for_migration(pair)

    shown = text(page)
    assert "Migrate local accounts by: Email address?" in shown
    assert "1 local account would be taken over by the next synchronisation." in shown
    assert "cannot be abused by Totara Connect server users to hijack" in shown
    groups = {
        heading.get_text(): heading.find_next("ul").get_text(" ") for heading in page.html.find_all("h3")
    }
    assert [title.split(" (")[0] for title in groups] == [
        "Taken over",
        "Not taken over, as the match is ambiguous",
        "Not taken over, as they are administrators",
        "Not taken over, as they are protected",
    ]
    for found, names in zip(groups.values(), (["ida"], ["one", "other"], ["chief"], ["boss"]), strict=True):
        assert all(name in found for name in names), (found, names)
    assert "stranger" not in shown
    # Everything but migration is saved; nothing was written by looking.
    assert changed(pair, before) == {"client.sync_jobs": "false"}
    assert pair.command("user", "list") == accounts
    assert pair.command("client", "run", "list") == []

    done = page.forms["migrate"].submit(status=303).follow()
    assert notice(done) == "Local accounts are migrated from now on, by: Email address."
    assert changed(pair, before) == {
        "client.sync_jobs": "false",
        "client.migrate_accounts": "true",
        "client.account_mapping": "email",
    }
    synchronise(pair)
    (run,) = (run for run in pair.command("client", "run", "list") if run["kind"] == "users")
    assert run["counts"]["linked"] == 1


def test_those_who_have_an_account_here_are_not_in_the_preview(pair):
    people_of_both(pair)
    with pair.sites.client.unit() as session:
        pair.sites.client.change_options(
            session, {"client.migrate_accounts": True, "client.account_mapping": "username"}, actor="command"
        )
    page = pair.page("/admin/client/settings/migration/username")
    assert "1 local account would be taken over" in text(page)
    synchronise(pair)
    # Whoever has an account here takes over no other.
    add_person(pair.sites.client, "stranger")

    assert "0 local accounts would be taken over" in text(
        pair.page("/admin/client/settings/migration/username")
    )


def test_another_mapping_is_asked_about_while_accounts_are_migrated_and_nothing_else_is(pair):
    ask_for_migration(pair).forms["migrate"].submit(status=303)
    form = form_of(pair)
    form["sync_jobs"] = True
    assert "migration" not in form.submit(status=303).location
    form = form_of(pair)
    form["account_mapping"] = "idnumber"
    assert form.submit(status=303).location.endswith("/migration/idnumber")
    assert options(pair)["client.account_mapping"] == "email"
    form = form_of(pair)
    form["migrate_accounts"] = False
    form["account_mapping"] = "idnumber"
    assert notice(form.submit(status=303).follow()) == "The settings are saved."
    assert options(pair)["client.migrate_accounts"] == "false"


def test_a_server_that_is_down_is_told_and_migration_can_be_switched_on_all_the_same(pair):
    pair.sites.transport.apps.pop(SERVER_URL)
    page = ask_for_migration(pair, "username")
    assert "Test server This server could not be asked" in text(page)
    page.forms["migrate"].submit(status=303)

    assert options(pair)["client.migrate_accounts"] == "true"


def test_without_a_server_it_is_said_that_nothing_is_known(site):
    form = form_of(site)
    form["migrate_accounts"] = True

    assert "This site is connected to no server yet" in text(form.submit(status=303).follow())


def test_switching_migration_on_wants_a_recent_log_in(site):
    form = form_of(site)
    form["migrate_accounts"] = True
    asks = form.submit(status=303)
    site.grow_stale()
    asked = asks.follow(status=303).follow()
    assert "Enter your password once more" in text(asked)
    site.browser.post(f"{PAGE}/migration/username", {"csrf_token": form["csrf_token"].value}, status=303)
    assert options(site)["client.migrate_accounts"] == "false"
    asked.forms["prove"]["password"] = "correct horse battery"
    page = asked.forms["prove"].submit(status=303).follow()
    page.forms["migrate"].submit(status=303)
    assert options(site)["client.migrate_accounts"] == "true"


def test_a_mapping_that_there_is_not_is_not_found(site):
    site.page(f"{PAGE}/migration/password", status=404)


def test_what_the_ini_forbids_cannot_be_confirmed(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path, client__migrate_accounts="false") as site:
        page = site.page(f"{PAGE}/migration/email")

        assert "is fixed by the ini file" in text(page.forms["migrate"].submit(status=200))


def test_only_administrators_get_in(site):
    add_person(site.context)
    before = options(site)
    site.browser.get("/logout").forms["logout"].submit()
    log_in(site.browser, "ada")
    for path in (PAGE, f"{PAGE}/migration/email"):
        site.browser.get(path, status=403)
        site.browser.post(path, {"plugin_services": "y"}, status=403)
    assert changed(site, before) == {}


def test_what_becomes_of_accounts_is_changed_after_a_recent_log_in_only(site):
    form = form_of(site)
    before = options(site)
    form["removed_person"] = "delete"
    site.grow_stale()

    assert "/admin/prove" in form.submit(status=303).location

    assert changed(site, before) == {}
    assert "/admin/prove" in site.page(PAGE, status=303).location
