"""What a browser, or somebody who plays one, may send: never a fault of ours, and never a way in."""

from __future__ import annotations

import time

import pytest
from support import peers, quick_passwords
from support.webapp import PASSWORD, add_person, log_in, one_site

from tconnect_pyramid.security.cookies import cookie_name, site_hash

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def site(make_sqlite):
    with one_site(make_sqlite()) as (browser, context):
        add_person(context)
        yield browser, context


@pytest.fixture
def any_site(make_database):
    with one_site(make_database()) as (browser, context):
        add_person(context)
        yield browser, context


def send(browser, body: bytes, content_type=FORM):
    token = browser.get("/login").forms["login"]["csrf_token"].value
    if content_type == FORM:
        body = b"csrf_token=" + token.encode() + b"&" + body
    return browser.post("/login", body, content_type=content_type, status="*")


@pytest.mark.parametrize(
    "body",
    [
        b"username=a%00da&password=" + PASSWORD.encode(),
        b"username=ada%00&password=" + PASSWORD.encode(),
        b"username=ada&password=" + PASSWORD.encode() + b"%00",
        b"username=ada&password=",
        b"username=%ff&password=%ff",
        b"username=a%ED%A0%80&password=x",
        b"username=%25&password=" + PASSWORD.encode(),
        b"username=ad_&password=" + PASSWORD.encode(),
        b"username=" + b"a" * 9_000 + b"&password=x",
        b"username=ada&password=" + b"a" * 9_000,
        b"username[]=ada&password[]=" + PASSWORD.encode(),
        b"a=&" * 3_000 + b"username=ada&password=x",
        b"username=ada&password=x&next=%00%0d%0aSet-Cookie:a=b",
    ],
    ids=lambda body: repr(body[-40:]),
)
def test_what_is_no_name_and_password_does_not_log_in(any_site, body):
    browser, context = any_site
    assert send(browser, body).status_int == 200
    assert cookie_name(context.settings) not in browser.cookies


def test_ten_megabytes_are_refused(site):
    browser, _ = site
    assert send(browser, b"username=ada&password=" + b"a" * 10_000_000).status_int == 413


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=x", "text/plain"]
)
def test_a_form_of_another_kind_is_refused(site, content_type):
    browser, _ = site
    assert send(browser, b"--x\r\n\r\n", content_type).status_int == 400


@pytest.mark.parametrize("path", ["/", "/login", "/auth/connect/sso_start.php?serverid=1"])
@pytest.mark.parametrize(
    "value",
    ['"\\377"', '"\\377\\376.x"', "\xff.\xff", "é.abc", "." * 4000, "a.b.c.d", "", "a" * 8000],
    ids=lambda value: repr(value[:20]),
)
@pytest.mark.parametrize("cookie", ["ours", "csrf"])
def test_a_planted_cookie_is_no_cookie(site, path, value, cookie):
    browser, context = site
    peers.add_server(context)
    names = {"ours": cookie_name(context.settings), "csrf": f"csrf_{site_hash(context.settings.site_url)}"}
    page = browser.get(path, headers={"Cookie": f"{names[cookie]}={value}"}, status="*")
    assert page.status_int in {200, 303}


@pytest.mark.parametrize("value", ['"\\377"', "\xff", "a" * 4000])
def test_a_cookie_that_a_neighbour_planted_logs_nobody_out(site, value):
    browser, _ = site
    log_in(browser)
    ours = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookiejar)
    browser.reset()
    for header in (f"planted={value}; {ours}", f"{ours}; planted={value}"):
        assert "Ada Lovelace" in browser.get("/", headers={"Cookie": header})


def test_a_form_with_a_planted_csrf_cookie_is_no_fault_of_ours(site):
    browser, context = site
    name = f"csrf_{site_hash(context.settings.site_url)}"
    page = browser.post("/login", {"csrf_token": "x"}, headers={"Cookie": f'{name}="\\377"'}, status="*")
    assert page.status_int == 400


def test_a_hash_that_a_server_sent_is_not_even_compared(site):
    browser, context = site
    cheap = "$2b$04$abcdefghijklmnopqrstuuAbCdEfGhIjKlMnOpQrStUvWxYz01234"
    key = add_person(context, "tess")
    with context.unit() as session:
        context.accounts.update(session, {key: {"auth": "connect", "password": cheap}})
    with quick_passwords.real():
        began = time.perf_counter()
        assert send(browser, b"username=tess&password=" + PASSWORD.encode()).status_int == 200
        # The work of a comparison at the cost of local hashes, whatever the server's costs.
        assert time.perf_counter() - began > 0.05


def test_a_connect_account_does_not_log_in_by_a_password_that_is_right(site):
    browser, context = site
    key = add_person(context, "tess")
    with context.unit() as session:
        context.accounts.update(session, {key: {"auth": "connect"}})
    assert send(browser, b"username=tess&password=" + PASSWORD.encode()).status_int == 200


@pytest.mark.parametrize("change", [{"confirmed": 0}, {"suspended": 1}, {"deleted": 1}, {"auth": "nologin"}])
def test_an_account_that_is_not_in_use_does_not_log_in(site, change):
    browser, context = site
    key = add_person(context, "tess")
    with context.unit() as session:
        context.accounts.update(session, {key: change})
    page = send(browser, b"username=tess&password=" + PASSWORD.encode())
    assert page.status_int == 200
    assert "The username or the password is wrong." in page


@pytest.mark.parametrize("change", [{"suspended": 1}, {"deleted": 1}])
def test_a_living_cookie_of_somebody_who_is_kept_out_is_worth_nothing(site, change):
    browser, context = site
    log_in(browser)
    with context.unit() as session:
        context.accounts.update(session, {1: change})
    assert "Ada Lovelace" not in browser.get("/")
    assert browser.get("/profile").status_int == 303


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "/%5c%5cevil.example/..",
        "http://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "/.//evil.example",
        "/..//evil.example",
        "/%2e%2e//evil.example",
        "\\\\evil.example",
        "http:///evil.example",
        "/ü",
        "",
    ],
)
def test_login_leads_nowhere_else(site, wanted):
    browser, _ = site
    form = browser.get("/login", params={"next": wanted}).forms["login"]
    form["username"], form["password"] = "ada", PASSWORD
    form["next"].force_value(wanted)
    assert form.submit(status=303).location == "http://localhost/"


def test_login_that_leads_to_the_logout_logs_nobody_out(site):
    browser, _ = site
    form = browser.get("/login?next=/logout").forms["login"]
    form["username"], form["password"] = "ada", PASSWORD
    assert "You are logged in as Ada" in form.submit(status=303).follow()
    assert "Ada Lovelace" in browser.get("/")


def test_a_form_without_its_token_changes_nothing(site):
    browser, _ = site
    log_in(browser)
    assert browser.post("/logout", status="*").status_int == 400
    assert browser.post("/profile", {"firstname": "Eve"}, status="*").status_int == 400
    assert browser.put("/logout", status="*").status_int == 400
    assert "Ada Lovelace" in browser.get("/")
    browser.reset()
    assert browser.post("/login", {"username": "ada", "password": PASSWORD}, status="*").status_int == 400


@pytest.mark.parametrize(
    "path", ["/", "/login", "/profile", "/logout", "/nowhere", "/auth/connect/sso_start.php"]
)
def test_nothing_is_kept_framed_or_told_to_others(site, path):
    browser, _ = site
    log_in(browser)
    headers = browser.get(path, status="*").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_cookies_of_a_site_on_https_are_for_it_alone(make_sqlite):
    with one_site(make_sqlite(), "https://localhost/learn") as (browser, context):
        add_person(context)
        browser.extra_environ.update({"wsgi.url_scheme": "https", "SCRIPT_NAME": "/learn"})
        page = browser.get("/login")
        form = page.forms["login"]
        sent = browser.post(
            "/login",
            {"csrf_token": form["csrf_token"].value, "username": "ada", "password": PASSWORD},
            headers={"Cookie": page.headers["Set-Cookie"].partition(";")[0], "Origin": "https://localhost"},
        )
        cookies = [*page.headers.getall("Set-Cookie"), *sent.headers.getall("Set-Cookie")]
    assert len(cookies) == 3
    for cookie in cookies:
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert attributes >= {"path=/learn/", "secure", "httponly", "samesite=lax"}
