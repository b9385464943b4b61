"""The pages in a real Chromium, over real HTTP: two sites on two ports, as a person meets them."""

from __future__ import annotations

import shutil
import socket
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect, sync_playwright
from support.databases import missing
from support.webapp import PASSWORD, add_person, connect, make_app
from waitress import wasyncore
from waitress.server import create_server

from tconnect_pyramid import context_of
from tconnect_pyramid.context import Context

pytestmark = pytest.mark.browser

PHONE = {"width": 320, "height": 640}
SIGN_IN = "Log in using your account on: Test server"


@dataclass(frozen=True)
class Pair:
    """Two sites that listen on ports of this computer."""

    server: Context
    client: Context
    server_url: str
    client_url: str


@contextmanager
def listening(database_url, name):
    """A site on a free port; gives its context and address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://localhost:{listener.getsockname()[1]}"
        app = make_app(database_url, url, transport="http", clock="real", site_name=name)
        sockets = {}
        waitress = create_server(app, map=sockets, sockets=[listener], threads=4)
        thread = threading.Thread(target=waitress.run, daemon=True)
        thread.start()
        try:
            yield context_of(app.registry), url
        finally:
            # The loop ends with its last socket, and a browser keeps its connections open.
            waitress.trigger.pull_trigger(lambda: wasyncore.close_all(sockets, ignore_all=True))
            thread.join(20)
            waitress.task_dispatcher.shutdown()
            context_of(app.registry).database.engine.dispose()
        assert not thread.is_alive()


@pytest.fixture
def pair(make_sqlite):
    with (
        listening(make_sqlite(), "Test server") as (server, server_url),
        listening(make_sqlite(), "Test client") as (client, client_url),
    ):
        pair = Pair(server, client, server_url, client_url)
        add_person(server, firstname="Ada" * 30)
        connect(pair)
        yield pair


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium")
    if program is None:
        missing("a browser (install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page on a phone; whatever the browser complains of fails the test."""
    with ExitStack() as stack:
        context = chromium.new_context(viewport=PHONE, java_script_enabled=True)
        stack.callback(context.close)
        page = context.new_page()
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert not complaints


def log_in(page):
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def widest(page) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


def test_a_person_goes_through_every_page_on_a_phone(page, pair):
    page.goto(pair.client_url)
    assert widest(page) <= PHONE["width"]

    page.get_by_role("link", name=SIGN_IN).click()
    expect(page).to_have_title("Log in · Test server")
    expect(page.get_by_role("link", name="Return to Test client")).to_be_visible()
    assert widest(page) <= PHONE["width"]

    # A form whose answer is a redirect to another site: a policy with form-action would stop it here.
    log_in(page)
    expect(page).to_have_url(f"{pair.client_url}/")
    expect(page.get_by_role("definition").filter(has_text="Test server")).to_be_visible()
    assert widest(page) <= PHONE["width"]

    page.get_by_role("link", name="Your profile").click()
    expect(page.get_by_text("What is shown here comes from Test server")).to_be_visible()
    assert widest(page) <= PHONE["width"]

    page.goto(f"{pair.server_url}/profile")
    page.get_by_label("First name").fill("Augusta")
    page.get_by_label("About you").fill("Two\nlines")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Your profile is saved.")
    expect(page.get_by_label("About you")).to_have_value("Two\nlines")
    assert widest(page) <= PHONE["width"]

    page.goto(pair.client_url)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.goto(pair.server_url)
    expect(page.get_by_text("You are not logged in.")).to_be_visible()


def test_the_pages_work_with_the_keyboard_alone(page, pair):
    page.goto(f"{pair.server_url}/login")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The username or the password is wrong.")
    page.get_by_label("Password").focus()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()


def test_after_logging_out_the_back_button_shows_nothing(page, pair):
    page.goto(f"{pair.server_url}/login")
    log_in(page)
    page.get_by_role("link", name="Your profile").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.go_back()

    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.get_by_label("First name")).not_to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_both_schemes(page, pair, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{pair.server_url}/login")
    colours = page.evaluate(
        "[getComputedStyle(document.querySelector('h1')).color,"
        " getComputedStyle(document.querySelector('.card')).backgroundColor]"
    )
    text, ground = (sum(int(part) for part in colour[4:-1].split(",")) for colour in colours)

    assert (text < 150 and ground > 700) if scheme == "light" else (text > 600 and ground < 150)
