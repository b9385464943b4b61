"""The reference site by HTTP: logging in and out, the profile, and what it refuses."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import update
from support.peers import add_server
from support.sites import ini
from support.webapp import (
    CLIENT_URL,
    PASSWORD,
    SERVER_URL,
    TwoSites,
    add_person,
    app_context,
    connect,
    log_in,
    log_out,
    one_site,
    two_sites,
)
from webob import Request
from webtest import TestApp

from tconnect_pyramid import people
from tconnect_pyramid.directory.countries import COUNTRIES
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.models import Account, SignIn
from tconnect_pyramid.options import set_option
from tconnect_pyramid.site import configure, main
from tconnect_pyramid.views.profile_form import FIELDS
from tconnect_pyramid.views.prose import to_html, to_text


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


def account(context, key) -> Account:
    with context.reading() as session:
        return session.get(Account, key)


def text(response) -> str:
    """The words of a page's main part."""
    return " ".join(response.html.find("main").get_text(" ").split())


def submit_login(browser, username="ada", password=PASSWORD, path="/login", **more):
    form = browser.get(path).forms["login"]
    form["username"] = username
    form["password"] = password
    return form.submit(**more)


# --- what these tests stand on -----------------------------------------------------------------


def test_sites_with_the_same_settings_have_their_own_people_clock_and_registry(make_sqlite):
    with one_site(make_sqlite()) as (browser, context), one_site(make_sqlite()) as (other, apart):
        add_person(context)
        context.clock.tick(60)
        browser.app.registry["left here"] = 1

        submit_login(browser, status=303)
        assert "Hello, Ada" in text(browser.get("/"))
        submit_login(other, status=200)
        assert apart.clock() == context.clock() - 60
        assert "left here" not in other.app.registry


# --- logging in and out ------------------------------------------------------------------------


def test_home_tells_who_is_not_logged_in_how_to(browser):
    page = browser.get("/")

    assert "You are not logged in." in text(page)
    assert page.html.find("main").find("a", href="/login")


def test_a_person_logs_in_and_home_says_who_and_from_where(browser, ada):
    arrived = submit_login(browser, status=303).follow()

    assert arrived.request.path == "/"
    said = text(arrived)
    assert "Hello, Ada Lovelace" in said
    assert "Logged in through this site" in said


def test_blanks_and_capitals_of_a_phone_do_not_matter(browser, ada):
    submit_login(browser, username=" Ada ", status=303)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("ada", "wrong"),
        ("nobody", PASSWORD),
        ("ada", PASSWORD + "x" * 72),
        ("ad\0a", "\0"),
        ("ada", "\ud7ff" * 30),
    ],
)
def test_what_is_wrong_with_a_login_is_not_told(browser, ada, username, password):
    page = submit_login(browser, username, password, status=200)

    assert page.html.find(role="alert").get_text() == "The username or the password is wrong."
    assert page.html.find("input", id="password").get("value") in {None, ""}
    assert "You are not logged in." in text(browser.get("/"))


def test_a_suspended_person_is_refused_like_anybody(browser, context, ada):
    with context.unit() as session:
        people.suspend(session, context, ada)

    assert "The username or the password is wrong." in text(submit_login(browser, status=200))


def test_a_person_who_is_suspended_is_logged_out(browser, context, ada):
    log_in(browser)
    with context.unit() as session:
        people.suspend(session, context, ada)

    assert "You are not logged in." in text(browser.get("/"))


def test_an_account_of_a_server_cannot_log_in_by_password(browser, context, ada):
    with context.unit() as session:
        session.execute(update(Account).values(auth="connect"))

    assert "The username or the password is wrong." in text(submit_login(browser, status=200))


def test_a_login_without_a_word_of_where_to_go_leads_home(browser, ada):
    token = browser.get("/login").forms["login"]["csrf_token"].value

    reply = browser.post("/login", {"csrf_token": token, "username": "ada", "password": PASSWORD}, status=303)

    assert "Ada Lovelace" in reply.follow()


def test_an_empty_login_names_the_fields(browser):
    page = submit_login(browser, "", "", status=200)

    for name, said in (("username", "Enter your username."), ("password", "Enter your password.")):
        field = page.html.find("input", id=name)
        assert field["aria-invalid"] == "true"
        assert page.html.find(id=field["aria-describedby"]).get_text() == said
    assert page.html.title.get_text().startswith("Error: ")


def test_logging_out_takes_a_click(browser, ada):
    log_in(browser)

    page = browser.get("/logout")
    assert "You are logged in as Ada Lovelace." in text(page)

    left = page.forms["logout"].submit(status=303).follow()
    assert text(left) == "You are logged out. Test site: you are logged out. To the home page"
    assert "You are not logged in." in text(browser.get("/logout"))


def test_logging_out_ends_the_sign_in_for_a_copied_cookie_too(browser, ada):
    log_in(browser)
    copied = TestApp(browser.app)
    for cookie in browser.cookiejar:
        copied.cookiejar.set_cookie(cookie)
    assert "Hello" in text(copied.get("/"))

    log_out(browser)

    assert "You are not logged in." in text(copied.get("/"))


def test_logging_in_as_somebody_else_ends_the_former_sign_in(browser, context, ada):
    bob = add_person(context, "bob", firstname="Bob")
    form = browser.get("/login").forms["login"]
    log_in(browser)
    form["csrf_token"] = browser.get("/").html.find("input", {"name": "csrf_token"})["value"]
    form["username"] = "bob"
    form["password"] = PASSWORD
    assert "Hello, Bob" in text(form.submit(status=303).follow())

    with context.reading() as session:
        ended = {row.account_key: row.ended for row in session.query(SignIn)}
    assert ended[ada] is not None
    assert ended[bob] is None


def test_a_login_gives_a_new_browser_id_and_a_new_form_token(browser, ada):
    browser.get("/login")
    before = dict(browser.cookies)
    log_in(browser)
    log_out(browser)
    between = dict(browser.cookies)
    log_in(browser)

    assert before.keys() < browser.cookies.keys()
    # What the next page is to say is nothing that anybody is known by.
    known_by = {name: value for name, value in (before | between).items() if "_notice_" not in name}
    assert all(browser.cookies[name] != value for name, value in known_by.items())


def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(make_sqlite):
    with one_site(make_sqlite(), "https://learn.example") as (browser, context):
        browser.extra_environ["wsgi.url_scheme"] = "https"
        add_person(context)
        form = browser.get("/login")
        cookies = [*form.headers.getall("Set-Cookie")]
        form.forms["login"]["username"] = "ada"
        form.forms["login"]["password"] = PASSWORD
        arrived = form.forms["login"].submit(headers={"Referer": "https://learn.example/login"}, status=303)
        cookies += arrived.headers.getall("Set-Cookie")

    assert len(cookies) >= 3
    for cookie in cookies:
        flags = {part.strip().lower() for part in cookie.split(";")}
        assert {"httponly", "secure", "samesite=lax", "path=/"} <= flags


def settle(context, name, value):
    with context.unit() as session:
        set_option(session, context.settings, name, value, context.clock())


def test_the_login_page_offers_the_ways_in_the_chosen_order(browser, context):
    add_server(context)
    settle(context, "client.enabled", "true")

    def ways():
        main_part = browser.get("/login").html.find("main")
        return [found.name for found in main_part.find_all(["form", "ul"])]

    assert ways() == ["form", "ul"]
    settle(context, "auth.order", "connect manual")
    assert ways() == ["ul", "form"]
    settle(context, "auth.manual", "false")
    assert ways() == ["ul"]


def test_without_passwords_nobody_logs_in_by_one(browser, context, ada):
    add_server(context)
    settle(context, "client.enabled", "true")
    form = browser.get("/login").forms["login"]
    settle(context, "auth.manual", "false")
    assert "login" not in browser.get("/login?nosso=1").forms

    form["username"], form["password"] = "ada", PASSWORD
    assert "login" not in form.submit(status=200).forms
    assert "You are not logged in." in text(browser.get("/"))


def test_a_site_whose_servers_are_gone_says_that_nobody_can_log_in(browser, context):
    settle(context, "client.enabled", "true")
    settle(context, "auth.manual", "false")

    assert "Nobody can log in here at present." in text(browser.get("/login"))


# --- where one wanted to go --------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted", ["/profile", "/profile?a=b&c=%2Fd", "/totara/connect/nothing.php?x=1", "/?next=//evil.example"]
)
def test_after_login_one_is_where_one_wanted_to_go(browser, ada, wanted):
    page = browser.get("/login", {"next": wanted})
    form = page.forms["login"]
    form["username"] = "ada"
    form["password"] = "wrong"
    form = form.submit().forms["login"]
    form["username"] = "ada"
    form["password"] = PASSWORD

    assert form.submit(status=303).location == f"http://localhost{wanted}"
    assert browser.get("/login", {"next": wanted}, status=303).location == f"http://localhost{wanted}"


ELSEWHERE = [
    "",
    "profile",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/a\\b",
    "http://evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "/\r\nSet-Cookie: a=b",
    "\n/profile",
    " /profile",
    "/profile\0",
    "/pro file",
    "/../evil",
    "/%2e%2e/evil",
    "/./evil",
    "/søk",
    "/\u2028",
]


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_nobody_is_sent_elsewhere_after_login(browser, ada, wanted):
    form = browser.get("/login", {"next": wanted}).forms["login"]
    assert form["next"].value == ""

    form["username"] = "ada"
    form["password"] = PASSWORD
    form["next"].force_value(wanted)
    assert form.submit(status=303).location == "http://localhost/"
    assert browser.get("/login", {"next": wanted}, status=303).location == "http://localhost/"


@pytest.mark.parametrize("passed_on", [True, False], ids=["prefix passed on", "prefix kept by the proxy"])
def test_a_site_below_a_path_stays_below_it(make_sqlite, passed_on):
    with one_site(make_sqlite(), "http://localhost/learn") as (browser, context):
        add_person(context)
        before = "/learn" if passed_on else ""
        page = browser.get(f"{before}/login", {"next": "/learn/profile"})
        assert page.forms["login"].action == "/learn/login"
        assert page.html.find("link", rel="stylesheet")["href"].startswith("/learn/")

        def outcome(wanted):
            token = page.forms["login"]["csrf_token"].value
            sent = {"csrf_token": token, "username": "ada", "password": PASSWORD, "next": wanted}
            # A browser that logs in anew each time.
            fresh = TestApp(browser.app)
            fresh.cookiejar = type(browser.cookiejar)(policy=browser.cookiejar._policy)
            for cookie in browser.cookiejar:
                fresh.cookiejar.set_cookie(cookie)
            header = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookiejar)}
            return fresh.post(f"{before}/login", sent, headers=header, status=303).location

        assert outcome("/learn/profile") == "http://localhost/learn/profile"
        for wanted in ("/profile", "/learning", "/learn/../admin", "/learn/%2E%2e/admin", "//learn/profile"):
            assert outcome(wanted) == "http://localhost/learn/"


def test_a_closed_page_is_reached_by_logging_in(browser, ada):
    page = browser.get("/profile?notice=saved", status=303).follow()
    page.forms["login"]["username"] = "ada"
    page.forms["login"]["password"] = PASSWORD

    assert page.forms["login"].submit(status=303).location == "http://localhost/profile?notice=saved"


def test_a_notice_is_one_of_ours(browser):
    assert "You are logged in already." in text(browser.get("/?notice=already-signed-in"))
    assert "evil" not in browser.get("/?notice=evil").text


# --- the profile -------------------------------------------------------------------------------


@pytest.fixture
def profile(browser, ada):
    log_in(browser)
    return lambda: browser.get("/profile").click("Edit your profile").forms["profile"]


def test_a_profile_is_saved(profile, context, ada):
    new = {
        "firstname": "Åsa",
        "lastname": "O'Brien-李",
        "email": "asa@example.org",
        "phone1": "+46 8 123",
        "city": "Göteborg",
        "country": "SE",
        "institution": "A & B",
        "department": "<Research>",
        "timezone": "Europe/Stockholm",
    }
    form = profile()
    for name, value in new.items():
        form[name] = value
    form["description"] = "One line <b>of mine</b>\r\nand another & more"

    page = form.submit(status=303).follow()

    assert "Your profile is saved." in text(page)
    stored = account(context, ada)
    assert {name: getattr(stored, name) for name in new} == new
    assert stored.description == "One line &lt;b&gt;of mine&lt;/b&gt;<br>and another &amp; more"
    shown = text(page)
    assert all(value in shown for value in (*new.values(), "Sweden") if value != "SE")
    assert "One line <b>of mine</b> and another & more" in shown
    again = profile()
    assert {name: again[name].value for name in new} == new
    assert again["description"].value == "One line <b>of mine</b>\nand another & more"
    assert "Hello, Åsa O'Brien-李" in text(page.click("Test site"))


def test_what_was_not_touched_is_not_rewritten(profile, context, ada):
    rich = "<p>A <em>rich</em> text</p>"
    with context.unit() as session:
        session.execute(update(Account).values(description=rich, timezone="Mars/Olympus", country="XK"))

    form = profile()
    form["city"] = "London"
    form.submit(status=303)

    stored = account(context, ada)
    assert (stored.city, stored.description) == ("London", rich)
    assert (stored.timezone, stored.country) == ("Mars/Olympus", "XK")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("firstname", "", "Enter your first name."),
        ("firstname", "   ", "Enter your first name."),
        ("lastname", "x" * 101, "At most 100 characters are possible; this has 101."),
        ("city", "x" * 121, "At most 120 characters are possible; this has 121."),
        ("phone1", "1" * 21, "At most 20 characters are possible; this has 21."),
        ("email", "nowhere", "Expected an address such as ana@example.org."),
        ("institution", "a\0b", "invisible characters"),
        ("department", "a\nb", "line ends"),
        ("description", "x" * 5_001, "At most 5000 characters are possible"),
        ("country", "ZZ", "Not a valid choice"),
        ("timezone", "Mars/Olympus", "Not a valid choice"),
    ],
)
def test_a_value_that_cannot_be_taken_is_told_at_its_field(profile, context, ada, name, value, said):
    form = profile()
    form["city"] = "London"
    form[name].force_value(value)
    page = form.submit(status=200)

    field = page.html.find(id=name)
    assert field["aria-invalid"] == "true"
    assert said in page.html.find(id=f"{name}-error").get_text()
    assert f"{name}-error" in field["aria-describedby"].split()
    assert page.html.find(role="alert").find("a", href=f"#{name}")
    assert page.html.title.get_text().startswith("Error: ")
    if name != "city":
        assert page.forms["profile"]["city"].value == "London"
    assert account(context, ada).city == ""


def test_markup_in_a_name_is_only_text(profile, browser):
    form = profile()
    form["firstname"] = "<script>alert(1)</script>"
    form["lastname"] = '"><img src=x>'
    page = form.submit(status=303).follow()

    for shown in (page, browser.get("/"), browser.get("/logout")):
        assert "<script>" not in shown.text
        assert "<img" not in shown.text


def test_only_the_fields_of_the_form_can_be_sent(profile, browser, context, ada):
    form = profile()
    sent = dict(form.submit_fields())
    more = {"admin": "1", "auth": "connect", "username": "root", "idnumber": "HR1", "theme": "x", "id": "7"}
    browser.post(form.action, {**sent, **more}, status=303)

    stored = account(context, ada)
    assert (stored.admin, stored.auth, stored.username) == (False, "manual", "ada")
    assert (stored.idnumber, stored.theme) == ("", "")


def test_a_connect_account_shows_its_profile_but_leaves_it_to_the_server(profile, browser, context, ada):
    form = profile()
    with context.unit() as session:
        session.execute(update(Account).values(auth="connect", country="SE", description="<p>Rich</p>"))

    page = browser.get("/profile")
    assert "comes from the server of your account" in text(page)
    assert "Country Sweden" in text(page)
    assert "About you Rich" in text(page)
    assert "Edit on the server" not in text(page), "nobody knows which one that is"
    here = page.click("Edit on this site").forms["profile"]
    assert "firstname" not in here.fields

    form["firstname"] = "Eve"
    form["emailstop"] = "1"
    form.submit(status=303)
    assert (account(context, ada).firstname, account(context, ada).emailstop) == ("Ada", 1)


def test_the_profile_is_of_the_person_of_this_sign_in(browser, context, profile):
    bob = add_person(context, "bob", firstname="Bob")
    form = profile()
    form["firstname"] = "Changed"
    form.submit(status=303)

    assert account(context, bob).firstname == "Bob"


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>One</p>\n<p>Two &amp; three</p>", "One\nTwo & three"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>x</li><li>y</li></ul>", "x\ny"),
        ("a\n   b", "a b"),
    ],
)
def test_a_description_is_shown_as_text(html, shown):
    assert to_text(html) == shown


@pytest.mark.parametrize(
    "typed", ["", "a", "a\nb", "a\n\nb", "1 < 2 & 3 > 2", '<b title="x">', "&amp;", "åß李"]
)
def test_a_description_comes_back_as_it_was_typed(typed):
    assert to_text(to_html(typed)) == typed


def test_the_lists_offer_what_an_account_can_have():
    assert len({code for code, _ in COUNTRIES}) == len(COUNTRIES)
    assert all(len(code) == people.LENGTHS["country"] for code, _ in COUNTRIES)
    assert set(FIELDS) <= set(people.EDITABLE)


# --- protection --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/logout", "/profile", "/user/edit.php", "/tconnect/stop-acting"])
@pytest.mark.parametrize("token", [None, "", "guessed"])
def test_a_form_of_another_site_changes_nothing(browser, context, ada, path, token):
    log_in(browser)
    sent = {"username": "ada", "password": PASSWORD, "firstname": "Eve"}

    page = browser.post(path, {**sent, **({} if token is None else {"csrf_token": token})}, status=400)

    assert "This form has expired" in text(page)
    assert account(context, ada).firstname == "Ada"
    assert "Hello, Ada" in text(browser.get("/"))


@pytest.mark.parametrize("path", ["/nothing", "/login/", "/profile/1", "/tconnect-static/nothing.css"])
def test_a_page_that_is_not_there(browser, path):
    page = browser.get(path, status=404)

    assert text(page).startswith("Page not found")


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("method", "path", "kind", "body"),
    [
        ("GET", "/login?next=%ff", "", b""),
        ("GET", "/login?%ff=1", "", b""),
        ("GET", "/%ff", "", b""),
        ("POST", "/%ff", FORM, b"a=b"),
        ("POST", "/login", FORM, b"username=%ff"),
        ("POST", "/login", FORM, b"\xff\xfe"),
        ("POST", "/login", "multipart/form-data", b"\xff\xfe"),
        ("POST", "/login", "multipart/form-data; boundary=", b"x"),
        ("POST", "/login", "multipart/form-data; boundary=b", b"--b\r\nnonsense"),
        ("POST", "/login", "application/json", b"{}"),
        ("POST", "/login", FORM, b"a=" + b"b" * 1_000_000),
        ("GET", "/user/edit.php?id=%ff", "", b""),
        ("POST", "/user/edit.php", FORM, b"csrf_token=%ff"),
        ("POST", "/user/edit.php", "multipart/form-data", b"\xff\xfe"),
        ("POST", "/user/edit.php", "multipart/form-data; boundary=b", b"--b\r\nnonsense"),
        ("POST", "/user/edit.php", FORM, b"a=" + b"b" * 22_000_000),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/learn"])
def test_what_cannot_be_read_is_refused(make_sqlite, method, path, kind, body, prefix):
    with one_site(make_sqlite(), f"http://localhost{prefix}") as (browser, _):
        # Not by the browser of the tests, which cannot send such things.
        asked = Request.blank(path, method=method, content_type=kind, body=body)
        page = asked.get_response(browser.app)

    assert page.status_code in {400, 413}
    assert page.content_type == "text/html"


def test_a_file_in_the_place_of_a_text_is_refused(browser, ada):
    token = browser.get("/login").forms["login"]["csrf_token"].value
    files = [("username", "a.txt", b"ada"), ("password", "b.txt", b"b")]

    browser.post("/login", {"csrf_token": token}, upload_files=files, status=400)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_no_way_in(browser, ada, method):
    log_in(browser)

    for path in ("/", "/login", "/logout", "/profile", "/user/edit.php"):
        assert browser.request(path, method=method, status="*").status_int < 500
    assert "Hello, Ada" in text(browser.get("/"))


def test_every_page_carries_the_protecting_headers(browser, ada):
    log_in(browser)
    paths = ("/", "/logout", "/profile", "/user/edit.php", "/user/edit.php?id=99", "/nothing", "/login")
    pages = [browser.get(path, status="*") for path in paths]
    pages += [browser.post(path, {}, status=400) for path in ("/profile", "/user/edit.php")]

    for page in pages:
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert page.headers["Content-Security-Policy"].endswith("; form-action 'self'")
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"


def test_pages_need_no_script_and_no_style_of_their_own(browser, ada):
    pages = [browser.get("/login"), browser.get("/")]
    log_in(browser)
    pages += [browser.get(path) for path in ("/", "/profile", "/user/edit.php", "/logout")]

    for page in pages:
        assert page.html.html["lang"] == "en"
        assert page.html.find("a", class_="skip")["href"] == "#main"
        assert page.html.find("main", id="main")
        assert not page.html.find_all("style")
        assert all(script["src"] and not script.get_text() for script in page.html.find_all("script"))
        assert not page.html.find_all(style=True)
        for field in page.html.find_all(["input", "select", "textarea"]):
            if field.get("type") != "hidden":
                assert page.html.find("label", attrs={"for": field["id"]})


def test_pages_have_titles_of_their_own(browser, ada):
    titles = [browser.get("/login").html.title.get_text()]
    log_in(browser)
    titles += [
        browser.get(path, status="*").html.title.get_text()
        for path in ("/", "/profile", "/user/edit.php", "/logout", "/x")
    ]

    assert titles == [
        f"{title} · Test site"
        for title in ("Log in", "Home", "Your profile", "Edit your profile", "Log out", "Page not found")
    ]


def test_the_style_sheet_is_there(browser):
    href = browser.get("/").html.find("link", rel="stylesheet")["href"]

    assert browser.get(href).content_type == "text/css"


def test_a_mistake_of_ours_shows_nothing_of_itself(make_sqlite, caplog):
    def trip(request):
        raise RuntimeError("the secret is 42")

    config = configure({**ini("http://localhost"), "sqlalchemy.url": make_sqlite()})
    config.add_route("trip", "/trip")
    config.add_view(trip, route_name="trip")
    app = config.make_wsgi_app()

    with caplog.at_level(logging.ERROR):
        page = TestApp(app).get("/trip?token=abc", status=500)

    assert text(page).startswith("Something went wrong")
    assert "42" not in page.text
    assert "RuntimeError" not in page.text
    assert "the secret is 42" in caplog.text
    assert "abc" not in caplog.text
    app_context(app).database.engine.dispose()


# --- starting ----------------------------------------------------------------------------------


def test_a_site_without_a_database_says_so():
    with pytest.raises(ConfigurationProblem, match=r"sqlalchemy\.url"):
        main({}, **ini())


def test_a_site_makes_the_folder_of_its_database_and_reads_nothing_from_it(tmp_path):
    file = tmp_path / "new" / "folder" / "site.sqlite"

    main({}, **ini(), **{"sqlalchemy.url": f"sqlite:///{file}"})

    assert file.parent.is_dir()
    assert not file.exists()


# --- two sites ---------------------------------------------------------------------------------


def test_two_sites_of_one_host_share_no_cookie(make_sqlite):
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        assert isinstance(sites, TwoSites)
        add_person(sites.server)
        log_in(sites.browser, url=SERVER_URL)

        assert "Hello, Ada" in text(sites.browser.get(f"{SERVER_URL}/"))
        assert "Welcome to Test client" in text(sites.browser.get(f"{CLIENT_URL}/"))
        sites.browser.get(f"{CLIENT_URL}/login")
        log_out(sites.browser, SERVER_URL)
        assert "You are not logged in." in text(sites.browser.get(f"{SERVER_URL}/"))
        names = {cookie.name for cookie in sites.browser.cookiejar}
        assert len([name for name in names if name.startswith("csrf_")]) == 2


@pytest.mark.parametrize(
    "path", ["/totara/connect/sep.php", "/auth/connect/sep.php", "/auth/connect/sep_setup.php"]
)
def test_peers_need_no_token_of_our_forms(browser, path):
    answer = browser.post(path, {"serviceCall": "nothing"}, status=200)

    assert answer.content_type == "application/json"


def test_a_site_that_is_not_connected_gets_a_plain_page(browser):
    page = browser.get("/totara/connect/sso_request.php?clientidnumber=x&requesttoken=y", status=404)

    assert text(page).startswith("Unknown site")
    assert page.html.find("link", rel="stylesheet")


@pytest.fixture
def sites(make_sqlite):
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        add_person(sites.server)
        connect(sites)
        yield sites


SIGN_IN = "Log in using your account on: Test server"


@pytest.mark.parametrize("path", ["/", "/login"])
def test_a_client_offers_the_account_of_its_server(sites, path):
    page = sites.browser.get(f"{CLIENT_URL}{path}")

    assert page.html.find("a", string=SIGN_IN)["href"].startswith("/auth/connect/sso_start.php?serverid=")
    assert "Log in using" not in sites.browser.get(f"{SERVER_URL}{path}").text


def test_the_server_tells_which_site_asks_and_the_way_back(sites):
    page = sites.browser.get(f"{CLIENT_URL}/login").click(SIGN_IN).maybe_follow()

    assert "Test client asks you to log in here." in text(page)
    again = page.forms["login"]
    again["username"] = "ada"
    again["password"] = "wrong"
    page = again.submit()
    back = page.html.find("a", string="Return to Test client")["href"]
    assert back.startswith(f"{CLIENT_URL}/")
    returned = sites.browser.get(back, status="*")
    assert "You did not log in." in text(returned)
    assert "asks you to log in here." in text(returned.click("Try again").maybe_follow())


def test_a_person_of_the_server_is_known_on_the_client_and_their_profile_too(sites):
    page = sites.browser.get(f"{CLIENT_URL}/profile").follow().click(SIGN_IN).maybe_follow()
    form = page.forms["login"]
    form["username"] = "ada"
    form["password"] = PASSWORD
    page = form.submit().maybe_follow()

    assert page.request.url == f"{CLIENT_URL}/profile"
    assert "comes from Test server" in text(page)
    assert "First name Ada" in text(page)
    assert "Logged in through Test server" in text(sites.browser.get(f"{CLIENT_URL}/"))
    assert "Logged in through this site" in text(sites.browser.get(f"{SERVER_URL}/"))

    assert "You are logged out." in text(
        sites.browser.get(f"{CLIENT_URL}/logout").forms["logout"].submit().follow()
    )
    assert "You are not logged in." in text(sites.browser.get(f"{SERVER_URL}/"))
