"""The pages in a real Chromium, over real HTTP: two sites on two ports, as a person meets them."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from PIL import Image
from playwright.sync_api import expect
from support.listening import Pair, listening
from support.webapp import PASSWORD, add_person, connect

pytestmark = pytest.mark.browser

PHONE = {"width": 320, "height": 640}
SIGN_IN = "Log in using your account on: Test server"


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
    page.get_by_role("link", name="Edit your profile").click()
    page.get_by_label("First name", exact=True).fill("Augusta")
    page.get_by_label("About you").fill("Two\nlines")
    assert widest(page) <= PHONE["width"]
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Your profile is saved.")
    expect(page.get_by_role("definition").filter(has_text="Two")).to_have_text("Two\nlines")
    assert widest(page) <= PHONE["width"]

    page.goto(pair.client_url)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="You are logged out.")).to_be_visible()
    page.goto(pair.server_url)
    expect(page.get_by_text("You are not logged in.")).to_be_visible()


def test_a_profile_is_edited_on_the_server_and_back_on_the_client_it_is_new(page, pair, tmp_path):
    portrait = tmp_path / "me.png"
    Image.new("RGB", (300, 200), "teal").save(portrait)
    page.goto(f"{pair.client_url}/profile")
    page.get_by_role("link", name=SIGN_IN).click()
    log_in(page)
    expect(page).to_have_url(f"{pair.client_url}/profile")

    page.get_by_role("link", name="Edit on Test server").click()
    expect(page).to_have_title("Edit your profile · Test server")
    page.get_by_label("First name", exact=True).fill("Augusta")
    page.get_by_label("New picture").set_input_files(portrait)
    page.get_by_text("More about you").click()
    page.get_by_label("Middle name").fill("King")
    assert widest(page) <= PHONE["width"]
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("status")).to_have_text("Your profile is as it is at the server of your account.")
    assert page.url.startswith(f"{pair.client_url}/profile")
    expect(page.get_by_role("definition").filter(has_text="Augusta")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text="King")).to_be_visible()
    assert (
        page.get_by_role("img").evaluate("async image => (await image.decode(), image.naturalWidth)") == 100
    )
    assert widest(page) <= PHONE["width"]

    page.get_by_role("link", name="Edit on Test server").click()
    expect(page.get_by_label("First name", exact=True)).to_have_value("Augusta")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", name="Your profile")).to_be_visible()
    assert page.url.startswith(f"{pair.client_url}/profile")


def test_an_administrator_acts_as_somebody_and_goes_back(page, pair):
    add_person(pair.server, "root", admin=True, firstname="Root")
    page.goto(f"{pair.server_url}/login")
    page.get_by_label("Username").fill("root")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Act as").click()
    page.get_by_label("Person").fill("ada")
    page.get_by_role("button", name="Act as this person").click()

    expect(page.get_by_text("You are acting as Ada")).to_be_visible()
    assert widest(page) <= PHONE["width"]
    page.goto(f"{pair.client_url}/login")
    page.get_by_role("link", name=SIGN_IN).click()
    expect(page.get_by_role("heading", name="You are acting as somebody else")).to_be_visible()
    assert widest(page) <= PHONE["width"]
    page.get_by_role("button", name="Log out of acting").click()

    expect(page).to_have_url(f"{pair.client_url}/")
    expect(page.get_by_role("heading", name="Hello, Root")).to_be_visible()


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
    expect(page.get_by_role("heading", name="You are logged out.")).to_be_visible()
    page.go_back()

    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.get_by_role("heading", name="Your profile")).not_to_be_visible()


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


def test_a_sign_in_goes_on_through_a_site_that_is_itself_a_client(page, make_sqlite):
    """Browsers hold the form at the first site to its policy with every redirect, up to the last site."""
    with (
        listening(make_sqlite(), "First") as (first, first_url),
        listening(make_sqlite(), "Second") as (second, second_url),
        listening(make_sqlite(), "Third") as (third, third_url),
    ):
        add_person(first, firstname="Ada")
        connect(Pair(first, second, first_url, second_url))
        connect(Pair(second, third, second_url, third_url))
        page.goto(f"{third_url}/profile")
        page.get_by_role("link", name="Log in using your account on: Second").click()
        expect(page.get_by_role("link", name="Return to Third")).to_be_visible()
        page.get_by_role("link", name="Log in using your account on: First").click()
        expect(page.get_by_role("link", name="Return to Second")).to_be_visible()
        log_in(page)

        expect(page).to_have_url(f"{third_url}/profile")
        expect(page.get_by_role("heading", name="Your profile")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_text("Second: you are logged out.")).to_be_visible()
