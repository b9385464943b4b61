"""Editing a profile: on the site itself, and on a server on behalf of a client, there and back (protocol 7.8)."""

from __future__ import annotations

import io
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image
from pyramid.config import Configurator
from sqlalchemy import func, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support import sites as test_sites
from support.host import HostPolicy
from support.peers import add_client
from support.webapp import PASSWORD, add_person, connect, log_in, log_out, one_site, two_sites
from webtest import TestApp, Upload

from tconnect_pyramid import context_of, people
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.directory import (
    audiences,
    hierarchies,
    hierarchy_frameworks,
    hierarchy_items,
    jobs,
    pictures,
    profiles,
)
from tconnect_pyramid.directory.columnmap import inverted, joined
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.models import Account, AuditEntry, Client, Link, Server, SignIn
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import paths

SIGN_IN = "Log in using your account on: Test server"
EDIT = "/user/edit.php"


@pytest.fixture
def site(make_sqlite):
    with one_site(make_sqlite()) as (browser, context):
        yield browser, context


@pytest.fixture
def browser(site):
    return site[0]


@pytest.fixture
def context(site):
    return site[1]


@pytest.fixture
def ada(context):
    return add_person(context)


@pytest.fixture
def sites(make_database):
    """Ada is signed in on both sites, in one browser."""
    with two_sites(make_database(), make_database()) as sites:
        add_person(sites.server)
        connect(sites)
        sign_in(sites.browser, sites)
        yield sites


def sign_in(browser, sites):
    log_in(browser, url=sites.server_url)
    browser.get(f"{sites.client_url}/login").click(SIGN_IN).maybe_follow()


def text(page) -> str:
    return " ".join(page.html.find("main").get_text(" ").split())


def stored(context, key) -> Account:
    with context.reading() as session:
        return session.get(Account, key)


def local(sites) -> Account:
    """Ada's account on the client."""
    with sites.client.reading() as session:
        return session.scalar(select(Account).where(Account.auth == "connect"))


def image(form="PNG", size=(80, 60)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, form)
    return out.getvalue()


def change(context, **values) -> None:
    with context.unit() as session:
        session.execute(update(Account).values(**values))


# --- on the site itself ------------------------------------------------------------------------------


def test_whoever_is_not_logged_in_does_so_first_and_comes_back(browser, ada):
    page = browser.get(f"{EDIT}?id={ada}", status=303).follow()
    form = page.forms["login"]
    form["username"], form["password"] = "ada", PASSWORD

    assert form.submit(status=303).location == f"http://localhost{EDIT}?id={ada}"


def test_every_field_that_people_may_change_is_kept(browser, context, ada):
    log_in(browser)
    new = {
        "middlename": "King",
        "alternatename": "The Enchantress",
        "firstnamephonetic": "ey-duh",
        "lastnamephonetic": "luv-lays",
        "phone2": "+46 70",
        "address": "St James's Square 12",
        "url": "https://ada.example/",
        "imagealt": "Ada, seated",
        "skype": "ada",
        "icq": "1",
        "yahoo": "y",
        "aim": "a",
        "msn": "m",
        "lang": "de",
        "emailstop": "1",
        "mailformat": "0",
        "maildigest": "2",
        "maildisplay": "0",
        "autosubscribe": "0",
        "trackforums": "1",
    }
    form = browser.get(EDIT).forms["profile"]
    for name, value in new.items():
        form[name] = value

    assert form.submit(status=303).location == "http://localhost/profile?notice=saved"
    row = stored(context, ada)
    assert {name: str(getattr(row, name)) for name in new} == new
    assert set(form.fields) - {"csrf_token", "picture", None} < set(people.EDITABLE)
    assert "idnumber" not in form.fields, "other systems know people by it"


def test_an_unchanged_profile_is_saved_without_a_change(browser, context, ada):
    log_in(browser)
    change(context, timemodified=5, department="x" * 255, description="<p>" + "long " * 1200 + "</p>")
    browser.get(EDIT).forms["profile"].submit(status=303)

    assert stored(context, ada).timemodified == 5


def test_nobody_edits_somebody_else(browser, context, ada):
    bob = add_person(context, "bob")
    log_in(browser)
    own = browser.get(EDIT).forms["profile"]
    for id_ in (str(bob), "99", "0", "-1", "01", "x", "9" * 30):
        assert "You may edit your own profile only." in text(browser.get(EDIT, {"id": id_}, status=403))
        sent = dict(own.submit_fields())
        browser.post(f"{EDIT}?id={id_}", {**sent, "firstname": "Eve"}, status=403)

    assert stored(context, bob).firstname == "Ada"


def test_an_administrator_edits_anybody_and_the_id_number_too(browser, context, ada):
    add_person(context, "root", admin=True)
    log_in(browser, "root")
    page = browser.get(EDIT, {"id": ada})
    assert page.html.find("h1").get_text() == "Edit the profile of Ada Lovelace"
    form = page.forms["profile"]
    form["firstname"], form["idnumber"] = "Augusta", "HR-1"
    said = form.submit(status=303).follow()

    assert "The profile is saved." in text(said)
    assert (stored(context, ada).firstname, stored(context, ada).idnumber) == ("Augusta", "HR-1")
    with context.reading() as session:
        entry = session.scalar(select(AuditEntry).where(AuditEntry.action == "account.edited"))
    assert (entry.actor, entry.detail["id"]) == ("account:2", ada)
    for id_ in ("99", "x"):
        browser.get(EDIT, {"id": id_}, status=404)
    with context.unit() as session:
        people.delete_person(session, context, ada)
    browser.get(EDIT, {"id": ada}, status=404)


@pytest.mark.parametrize("returnto", ["", "x", "tc_", f"tc_{'0' * 40}", "https://evil.example", "profile"])
def test_an_unknown_way_back_is_ignored(browser, ada, returnto):
    log_in(browser)
    page = browser.get(EDIT, {"id": ada, "returnto": returnto})

    assert page.html.find("a", string="Cancel")["href"] == "/profile"
    assert page.forms["profile"].submit(status=303).location == "http://localhost/profile?notice=saved"


def test_a_form_of_another_sign_in_changes_nothing(browser, context, ada):
    log_in(browser)
    form = browser.get(EDIT).forms["profile"]
    form["firstname"] = "Eve"
    log_out(browser)
    assert "This form has expired" in text(form.submit(status=400))
    log_in(browser)
    assert "This form has expired" in text(form.submit(status=400))

    assert stored(context, ada).firstname == "Ada"


def test_markup_of_a_profile_is_shown_as_text(browser, context, ada):
    log_in(browser)
    form = browser.get(EDIT).forms["profile"]
    for name in ("firstname", "department", "imagealt", "description"):
        form[name] = '"><script>alert(1)</script>'
    form["picture"] = Upload("me.png", image())
    page = form.submit(status=303).follow()

    for each in (page, browser.get(EDIT)):
        assert "<script>" not in each.text


# --- pictures ----------------------------------------------------------------------------------------


def test_a_picture_is_given_seen_and_removed(browser, context, ada):
    log_in(browser)
    form = browser.get(EDIT).forms["profile"]
    assert "remove_picture" not in form.fields
    form["picture"] = Upload("me.jpg", image("JPEG"), "image/jpeg")
    page = form.submit(status=303).follow()

    source = page.html.find("main").find("img")["src"]
    shown = browser.get(source)
    assert (shown.content_type, shown.headers["X-Content-Type-Options"]) == ("image/jpeg", "nosniff")
    assert shown.headers["Cache-Control"] == "no-store"
    assert Image.open(io.BytesIO(shown.body)).size == (100, 100)
    assert stored(context, ada).picture > 0

    TestApp(browser.app).get(source, status=403)
    for missing in ("/tconnect/picture/1/f4", "/tconnect/picture/99/f1", "/tconnect/picture/x/f1"):
        browser.get(missing, status=404)

    form = browser.get(EDIT).forms["profile"]
    form["remove_picture"] = True
    assert not form.submit(status=303).follow().html.find("main").find("img")
    assert stored(context, ada).picture == 0


@pytest.mark.parametrize(
    "content", [b"<script>alert(1)</script>", image("PNG")[:60], image("BMP")], ids=["html", "cut", "bmp"]
)
def test_a_file_that_is_no_picture_is_told_at_its_field_and_nothing_is_stored(browser, context, ada, content):
    log_in(browser)
    form = browser.get(EDIT).forms["profile"]
    form["city"] = "London"
    form["picture"] = Upload("me.png", content, "image/png")
    page = form.submit(status=200)

    assert "no sound image" in page.html.find(id="picture-error").get_text()
    assert page.forms["profile"]["city"].value == "London"
    assert (stored(context, ada).picture, stored(context, ada).city) == (0, "")


def test_a_file_in_the_place_of_a_text_is_refused(browser, context, ada):
    log_in(browser)
    token = browser.get(EDIT).forms["profile"]["csrf_token"].value
    browser.post(EDIT, {"csrf_token": token}, upload_files=[("city", "a.txt", b"x")], status=400)
    browser.post(EDIT, {}, upload_files=[("csrf_token", "a.txt", token.encode())], status=400)


# --- custom fields and jobs --------------------------------------------------------------------------


@pytest.fixture
def custom(context):
    with context.unit() as session:
        for shortname, datatype, choices in (
            ("shoe", "text", ()),
            ("firstname", "text", ()),
            ("bio", "textarea", ()),
            ("driver", "checkbox", ()),
            ("hired", "date", ()),
            ("seen", "datetime", ()),
            ("size", "menu", ("S", "M", "L")),
        ):
            profiles.add_field(
                session, context, shortname, name=f"My {shortname}", datatype=datatype, choices=choices
            )


def values(context, key) -> dict[str, str]:
    with context.reading() as session:
        return profiles.values_of(session, [key]).get(key, {})


def test_custom_fields_are_asked_for_and_shown(browser, context, ada, custom):
    log_in(browser)
    typed = {
        "shoe": "44",
        "firstname": "another",
        "bio": "One\r\nTwo <3",
        "driver": "1",
        "hired": "2024-05-31",
        "seen": "2024-05-31T10:30",
        "size": "M",
    }
    labels = {f"My {name}": value for name, value in typed.items()}
    page = browser.get(EDIT)
    form = page.forms["profile"]
    for label, value in labels.items():
        found = page.html.find("label", string=lambda said, label=label: said and said.startswith(label))
        form[found["for"]] = value
    page = form.submit(status=303).follow()

    assert values(context, ada) == {
        "shoe": "44",
        "firstname": "another",
        "bio": "One<br>Two &lt;3",
        "driver": "1",
        "hired": "1717113600",
        "seen": "1717151400",
        "size": "M",
    }
    assert stored(context, ada).firstname == "Ada"
    said = text(page)
    for shown in (
        "My driver Yes",
        "My hired 31 May 2024",
        "My seen 31 May 2024, 10:30 UTC",
        "My bio One Two <3",
    ):
        assert shown in said

    # Unchanged they are left alone; emptied they are gone.
    form = browser.get(EDIT).forms["profile"]
    form.submit(status=303)
    assert values(context, ada)["seen"] == "1717151400"
    with context.reading() as session:
        assert session.scalar(
            select(func.count()).select_from(AuditEntry).where(AuditEntry.action == "account.field_set")
        ) == len(typed)
    for name in form.fields:
        if name and name.startswith("profile_field_"):
            form[name] = ""
    form.submit(status=303)
    assert values(context, ada) == {}


def test_a_custom_value_that_cannot_be_taken_is_told_at_its_field(browser, context, ada, custom):
    log_in(browser)
    page = browser.get(EDIT)
    form = page.forms["profile"]
    name = page.html.find("label", string="My hired")["for"]
    form["city"] = "London"
    form[name] = "yesterday"
    page = form.submit(status=200)

    assert "expected a date" in page.html.find(id=f"{name}-error").get_text().lower()
    assert page.html.find("details", open=True), "what is wrong is not folded away"
    assert (values(context, ada), stored(context, ada).city) == ({}, "")


def test_jobs_are_shown_on_the_profile(browser, context, ada):
    with context.unit() as session:
        framework = hierarchy_frameworks.add_framework(
            session, context, hierarchies.POSITIONS, fullname="Positions", actor="command"
        )
        item = hierarchy_items.add_item(
            session,
            context,
            hierarchies.POSITIONS,
            fullname="Analyst",
            framework=framework.id,
            actor="command",
        )
        jobs.add_job(
            session, context, ada, idnumber="J1", fullname="First job", position=item.id,
            startdate=1717113600, actor="command",
        )  # fmt: skip
        jobs.add_job(session, context, ada, idnumber="J2", actor="command")
    log_in(browser)

    said = text(browser.get("/profile"))
    assert "First job Analyst; from 31 May 2024" in said
    assert "J2" in said


# --- for a client, there and back --------------------------------------------------------------------


def go_to_edit(sites):
    """From the client's profile page to the server's form."""
    page = sites.browser.get(f"{sites.client_url}/profile")
    return page.click("Edit on Test server").maybe_follow()


def test_a_profile_is_edited_on_the_server_and_is_new_on_the_client(sites):
    page = go_to_edit(sites)
    address = urlsplit(page.request.url)
    with sites.client.reading() as session:
        (server,) = list_servers(session)
    assert address.path == EDIT
    assert page.request.url.startswith(sites.server_url)
    assert parse_qs(address.query) == {"id": ["1"], "returnto": [f"tc_{server.client_idnumber}"]}
    form = page.forms["profile"]
    form["firstname"], form["description"] = "Augusta", "New & <better>"
    form["picture"] = Upload("me.png", image())
    came_back = form.submit(status=303)

    assert came_back.location == (
        f"{sites.client_url}{paths.CLIENT_USER_EDIT_FINISH}"
        f"?serveruserid=1&clientidnumber={server.client_idnumber}"
    )
    page = came_back.follow(status=303).follow()
    assert page.request.url.startswith(f"{sites.client_url}/profile")
    assert "Your profile is as it is at the server of your account." in text(page)
    assert "First name Augusta" in text(page)
    assert (local(sites).firstname, local(sites).description) == ("Augusta", "New &amp; &lt;better&gt;")


def test_the_picture_comes_along(sites):
    form = go_to_edit(sites).forms["profile"]
    form["picture"] = Upload("me.png", image())
    page = form.submit(status=303).maybe_follow()

    assert local(sites).picture == stored(sites.server, 1).picture > 0
    source = page.html.find("main").find("img")["src"]
    assert sites.browser.get(f"{sites.client_url}{source}").content_type == "image/png"
    with sites.client.reading() as session:
        key = session.scalar(select(Link.account_key))
        assert set(pictures.names_of(session, [key])[key]) == {"f1.png", "f2.png", "f3.png"}


def test_a_mistake_in_the_form_does_not_lose_the_way_back(sites):
    form = go_to_edit(sites).forms["profile"]
    form["firstname"] = ""
    page = form.submit(status=200)
    assert page.html.find("a", string="Cancel")["href"].startswith(sites.client_url)
    form = page.forms["profile"]
    form["firstname"] = "Augusta"

    assert form.submit(status=303).maybe_follow().request.url.startswith(sites.client_url)
    assert local(sites).firstname == "Augusta"


def test_cancelling_comes_back_too_and_fetches_what_is_there(sites):
    page = go_to_edit(sites)
    change(sites.server, city="London")
    page = page.click("Cancel").maybe_follow()

    assert page.request.url.startswith(f"{sites.client_url}/profile")
    assert local(sites).city == "London"


def test_what_the_person_may_keep_here_is_edited_here(sites):
    page = sites.browser.get(f"{sites.client_url}/profile").click("Edit on this site")
    form = page.forms["profile"]
    assert set(form.fields) - {"csrf_token", None} == {
        "lang", "emailstop", "maildigest", "autosubscribe", "trackforums",
    }  # fmt: skip
    assert "First name Ada" in text(page)
    assert "Edit on Test server" in text(page)
    form["emailstop"] = "1"
    sent = {**dict(form.submit_fields()), "firstname": "Eve", "remove_picture": "y"}
    sites.browser.post(f"{sites.client_url}{form.action}", sent, status=303)

    assert (local(sites).emailstop, local(sites).firstname) == (1, "Ada")
    assert stored(sites.server, 1).emailstop == 0


def test_who_is_signed_in_only_on_the_client_logs_in_on_the_way(sites):
    with sites.server.unit() as session:
        session.execute(update(SignIn).values(ended=1))
    page = go_to_edit(sites)
    assert urlsplit(page.request.url).path == "/login"
    form = page.forms["login"]
    form["username"], form["password"] = "ada", PASSWORD

    assert urlsplit(form.submit(status=303).maybe_follow().request.url).path == EDIT


def test_another_person_at_the_server_edits_nothing_of_this_one(sites):
    add_person(sites.server, "bob")
    with sites.server.unit() as session:
        session.execute(update(SignIn).values(ended=1))
    form = go_to_edit(sites).forms["login"]
    form["username"], form["password"] = "bob", PASSWORD

    assert "You may edit your own profile only." in text(form.submit(status=303).follow(status=403))


# --- what the server refuses to send anybody back to --------------------------------------------------


@pytest.mark.parametrize("fault", ["client removed", "server switched off", "outside the audience"])
def test_the_browser_goes_back_only_to_an_active_client_that_may_see_the_person(sites, fault):
    with sites.client.reading() as session:
        (server,) = list_servers(session)
    with sites.server.unit() as session:
        if fault == "client removed":
            session.execute(update(Client).values(state="deleted"))
        elif fault == "server switched off":
            set_option(session, sites.server.settings, "server.enabled", "false", 1)
        else:
            audience = audiences.add_audience(session, sites.server, name="Others")
            session.execute(update(Client).values(restrict_audience_id=audience.id))
    page = sites.browser.get(f"{sites.server_url}{EDIT}?id=1&returnto=tc_{server.client_idnumber}")

    assert page.html.find("a", string="Cancel")["href"] == "/profile"
    assert page.forms["profile"].submit(status=303).location == f"{sites.server_url}/profile?notice=saved"


# --- what the client refuses --------------------------------------------------------------------------


def client_page(sites, path, **query):
    return sites.browser.get(f"{sites.client_url}{path}", query, status=303)


def own(sites) -> dict[str, dict[str, str]]:
    with sites.client.reading() as session:
        (server,) = list_servers(session)
    return {
        paths.CLIENT_USER_EDIT: {"userid": str(local(sites).id)},
        paths.CLIENT_USER_EDIT_FINISH: {"serveruserid": "1", "clientidnumber": server.client_idnumber},
    }


PAGES = (paths.CLIENT_USER_EDIT, paths.CLIENT_USER_EDIT_FINISH)


@pytest.mark.parametrize("path", PAGES)
def test_both_pages_of_the_client_need_a_sign_in_here(sites, path):
    query = own(sites)[path]
    log_out(sites.browser, url=sites.client_url)
    sent = client_page(sites, path, **query)

    assert urlsplit(sent.location).path == "/login"
    wanted = parse_qs(urlsplit(sent.location).query)["next"][0]
    assert urlsplit(wanted).path == path
    page = sent.follow().click(SIGN_IN).maybe_follow().forms["login"]
    page["username"], page["password"] = "ada", PASSWORD
    assert urlsplit(page.submit().maybe_follow().request.url).path in {EDIT, "/profile"}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("value", ["", "0", "01", "2", "99", "-1", "x", "1' OR 1=1", "9" * 40])
def test_anything_unknown_goes_home(sites, path, value):
    change(sites.server, firstname="Augusta")
    query = own(sites)[path]
    for name in query:
        if query[name] != value:
            assert client_page(sites, path, **{**query, name: value}).location == f"{sites.client_url}/"
    assert client_page(sites, path).location == f"{sites.client_url}/"
    assert local(sites).firstname == "Ada"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("fault", ["client disabled", "server not active", "link gone"])
def test_a_server_that_is_not_in_use_leads_home(sites, path, fault):
    query = own(sites)[path]
    with sites.client.unit() as session:
        if fault == "client disabled":
            set_option(session, sites.client.settings, "client.enabled", "false", 1)
        elif fault == "server not active":
            session.execute(update(Server).values(state="leaving"))
        else:
            session.delete(session.scalar(select(Link)))

    assert client_page(sites, path, **query).location == f"{sites.client_url}/"
    assert "Edit on Test server" not in sites.browser.get(f"{sites.client_url}/profile")


@pytest.mark.parametrize("path", PAGES)
def test_only_the_persons_own_account_is_touched(sites, path):
    query = own(sites)[path]
    add_person(sites.client, "cleo", admin=True)
    change(sites.server, firstname="Augusta")
    other = sites.new_browser()
    log_in(other, "cleo", url=sites.client_url)

    assert other.get(f"{sites.client_url}{path}", query, status=303).location == f"{sites.client_url}/"
    assert local(sites).firstname == "Ada"


@pytest.mark.parametrize("fault", ["server down", "deleted there", "outside the audience"])
def test_a_profile_that_cannot_be_fetched_is_shown_as_it_was_with_a_message(sites, fault):
    with sites.server.unit() as session:
        if fault == "deleted there":
            people.delete_person(session, sites.server, 1)
        elif fault == "outside the audience":
            audience = audiences.add_audience(session, sites.server, name="Others")
            session.execute(update(Client).values(restrict_audience_id=audience.id))
        else:
            sites.transport.down.add(sites.server_url)
    before = local(sites)
    page = client_page(sites, paths.CLIENT_USER_EDIT_FINISH, **own(sites)[paths.CLIENT_USER_EDIT_FINISH])
    # Deleting a person on the server ends the sign-in at the client as well; the account is what it was.
    page = page.follow()

    assert "could not be fetched" in text(page)
    after = local(sites)
    assert (after.username, after.firstname, after.deleted) == (before.username, before.firstname, 0)


def test_coming_back_twice_is_no_harm(sites):
    query = own(sites)[paths.CLIENT_USER_EDIT_FINISH]
    for _ in range(3):
        assert "notice=profile-fetched" in client_page(sites, paths.CLIENT_USER_EDIT_FINISH, **query).location


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_of_the_client_are_links_only(sites, path):
    page = sites.browser.post(f"{sites.client_url}{path}", own(sites)[path], status="*")
    assert page.status_int in {400, 405}


# --- on a host ----------------------------------------------------------------------------------------


class HostBase(DeclarativeBase):
    pass


class User(HostBase):
    __tablename__ = "users"

    uid: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    mail: Mapped[str] = mapped_column(unique=True)
    town: Mapped[str]
    full_name: Mapped[str]
    is_active: Mapped[bool]
    is_boss: Mapped[bool] = mapped_column(default=False)


@pytest.fixture
def make_host(make_sqlite):
    engines = []

    def make(fields=None, **settings):
        config = Configurator(
            settings={
                **test_sites.ini("http://localhost"),
                "sqlalchemy.url": make_sqlite(),
                "tm.manager_hook": "pyramid_tm.explicit_manager",
                **settings,
            }
        )
        config.include("tconnect_pyramid")
        config.set_security_policy(HostPolicy())
        config.set_tconnect_accounts(
            User,
            fields={
                "username": User.login,
                "email": User.mail,
                "city": User.town,
                "suspended": inverted(User.is_active),
                "firstname": joined(User.full_name, "firstname", "lastname"),
                "admin": User.is_boss,
            },
        )
        config.add_route("enter", "/enter")
        config.add_route("me", "/people/me")
        config.set_tconnect_login_route("enter")
        config.set_tconnect_profile_route("me")
        if fields is not None:
            config.set_tconnect_profile_fields(fields)
        app = config.make_wsgi_app()
        context = context_of(app.registry)
        engines.append(context.database.engine)
        HostBase.metadata.create_all(context.database.engine)
        with context.unit() as session:
            for login in ("ann", "bob"):
                session.add(
                    User(login=login, mail=f"{login}@example.com", town="", full_name=login, is_active=True)
                )
        return TestApp(app), context

    yield make
    for engine in engines:
        engine.dispose()


def user(context, uid=1) -> User:
    with context.reading() as session:
        return session.get(User, uid)


def test_people_of_a_host_edit_what_its_table_keeps_and_can_show(make_host):
    app, context = make_host(**{"tconnect.server.enabled": "true"})
    client = add_client(context)
    with context.reading() as session:
        row = session.get(Client, client)
    assert app.get(EDIT, status=303).location.startswith("http://localhost/enter?next=")
    app.set_cookie("host_user", "1")
    page = app.get(f"{EDIT}?id=1&returnto=tc_{row.idnumber}")
    form = page.forms["profile"]
    assert set(form.fields) - {"csrf_token", None} == {"email", "city"}, "a joined name cannot be shown"
    form["city"] = "Åre"
    back = form.submit(status=303)

    assert back.location.startswith(f"{row.url}{paths.CLIENT_USER_EDIT_FINISH}?serveruserid=1&")
    assert user(context).town == "Åre"
    assert app.get(EDIT).html.find("a", string="Cancel")["href"] == "/people/me"
    assert app.get(f"{EDIT}?id=2", status=403)


def test_a_rule_of_the_hosts_table_is_told_and_nothing_is_stored(make_host):
    app, context = make_host(**{"tconnect.server.enabled": "true"})
    app.set_cookie("host_user", "1")
    form = app.get(EDIT).forms["profile"]
    form["email"], form["city"] = "bob@example.com", "Rom"
    page = form.submit(status=200)

    assert "Perhaps somebody else has the same" in page.html.find(role="alert").get_text()
    assert (user(context).mail, user(context).town) == ("ann@example.com", "")


def test_a_form_for_a_host_without_sessions_is_protected_all_the_same(make_host):
    app, context = make_host(**{"tconnect.server.enabled": "true"})
    app.set_cookie("host_user", "1")
    form = app.get(EDIT).forms["profile"]
    token = form["csrf_token"].value
    for wrong in ({}, {"csrf_token": ""}, {"csrf_token": "1"}, {"csrf_token": token + "0"}):
        app.post(EDIT, {"city": "Rom", **wrong}, status=400)
    fresh = TestApp(app.app)
    fresh.set_cookie("host_user", "2")
    fresh.post(EDIT, {"city": "Rom", "csrf_token": token}, status=400)
    fresh.get(EDIT)
    fresh.post(EDIT, {"city": "Rom", "csrf_token": token}, status=400)

    assert (user(context).town, user(context, 2).town) == ("", "")


def test_a_host_says_what_its_people_may_change(make_host):
    app, context = make_host(["city"], **{"tconnect.server.enabled": "true"})
    app.set_cookie("host_user", "1")
    form = app.get(EDIT).forms["profile"]
    assert set(form.fields) - {"csrf_token", None} == {"city"}
    app.post(
        EDIT, {"csrf_token": form["csrf_token"].value, "city": "Rom", "email": "x@example.com"}, status=303
    )

    assert (user(context).town, user(context).mail) == ("Rom", "ann@example.com")
    with pytest.raises(ConfigurationProblem, match="town is no standard field"):
        make_host(["town"])


def test_a_host_that_is_no_server_keeps_its_own_pages_for_that(make_host):
    app, _ = make_host()
    app.set_cookie("host_user", "1")

    assert app.get(EDIT, status=404)
    assert app.post(EDIT, {}, status=400)
