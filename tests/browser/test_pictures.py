"""The pictures of the documentation, made from the running sites: `make pictures` keeps them, a test run does not."""

from __future__ import annotations

import base64
import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect
from support.databases import maker
from support.listening import two_listening
from support.webapp import connect

from tconnect_pyramid.client.sync.engine import KINDS, run_sync
from tconnect_pyramid.site.seed import ADMIN_USER, SAMPLE_PASSWORD, SAMPLE_USER, seed

pytestmark = pytest.mark.browser

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SIZE = {"width": 640, "height": 590}
WINDOW = {"width": 1344, "height": 800}
TALLEST = 1000
"""A longer page is cut below."""
MOST_BYTES = 120_000
SHEET = """
<div style="padding:16px;display:inline-flex;gap:16px;background:#d9dde3">
{images}
</div>
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with (
        maker("sqlite", tmp_path_factory.mktemp("pictures")) as make,
        two_listening(make, "Demo server", "Demo client") as pair,
    ):
        # So many that their letters are in the fonts of most computers.
        seed(pair.server, people=10)
        seed(pair.client, people=0)
        connect(pair)
        for kind in KINDS:
            run_sync(pair.client, kind, 1, origin="command")
        yield pair


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport=WINDOW, device_scale_factor=1, color_scheme="light")
    yield context.new_page()
    context.close()


@pytest.fixture
def folder(tmp_path):
    return PICTURES if os.environ.get("TCONNECT_PICTURES") else tmp_path


def log_in(page, username):
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(SAMPLE_PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in", exact=True).click()


def administer(page, url, *entries):
    """Log in as the administrator and go to the page that the entries of the tree lead to."""
    page.goto(f"{url}/login")
    log_in(page, ADMIN_USER)
    page.get_by_role("link", name="Site administration").click()
    for entry in entries:
        page.get_by_role("navigation", name="Site administration").get_by_role("link", name=entry).click()
        expect(page.locator("[aria-current=page]", has_text=entry)).to_be_visible()


def keep_part(page, part, path):
    """Put a part of a page into one file, in few colours."""
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    box = page.locator(part).bounding_box()
    shot = page.screenshot(full_page=True, clip={**box, "height": min(box["height"], TALLEST)})
    path.parent.mkdir(exist_ok=True)
    Image.open(BytesIO(shot)).convert("RGB").quantize(256).save(path, optimize=True)
    assert 5_000 < path.stat().st_size < MOST_BYTES


def keep(chromium, shots, path):
    """Put pictures side by side into one file."""
    images = "".join(
        f'<img width="{SIZE["width"]}" style="border-radius:8px" '
        f'src="data:image/png;base64,{base64.b64encode(shot).decode()}">'
        for shot in shots
    )
    page = chromium.new_page(viewport={"width": 1400, "height": 700})
    page.set_content(SHEET.format(images=images))
    path.parent.mkdir(exist_ok=True)
    page.locator("div").screenshot(path=path)
    page.close()


def test_the_demo_as_the_readme_shows_it(chromium, demo, folder):
    context = chromium.new_context(viewport=SIZE, color_scheme="light")
    page = context.new_page()
    page.goto(f"{demo.client_url}/login")
    shots = [page.screenshot()]
    page.get_by_role("link", name="Log in using your account on: Demo server").click()
    log_in(page, SAMPLE_USER)
    expect(page.get_by_text("Demo server").first).to_be_visible()
    assert page.url == f"{demo.client_url}/"
    shots.append(page.screenshot())
    context.close()
    keep(chromium, shots, folder / "demo.png")
    assert (folder / "demo.png").stat().st_size > 10_000


def test_the_features_of_a_server(page, demo, folder):
    administer(page, demo.server_url, "Advanced features")
    expect(page.get_by_label("Enable Totara Connect server")).to_be_checked()
    page.set_viewport_size({**WINDOW, "width": 1000})
    keep_part(page, "main", folder / "admin-features.png")


def test_the_people(page, demo, folder):
    administer(page, demo.server_url, "People")
    expect(page.get_by_text("Östberg").first).to_be_visible()
    keep_part(page, ".page", folder / "people.png")


def test_adding_a_client(page, demo, folder):
    administer(page, demo.server_url, "Client systems")
    page.get_by_role("link", name="Add client").click()
    page.get_by_label("Name", exact=True).fill("Our client")
    page.get_by_label("Client URL").fill("https://client.example.org")
    page.get_by_label("Client setup secret").fill("a" * 40)
    picker = page.get_by_role("group", name="Restrict to audience")
    picker.get_by_label("Look for one").fill("a")
    picker.locator(".found").get_by_role("checkbox").first.check()
    expect(picker.locator(".chosen").get_by_role("checkbox")).to_be_checked()
    keep_part(page, ".page", folder / "add-client.png")


def test_the_ways_to_log_in(page, demo, folder):
    administer(page, demo.client_url, "Manage authentication")
    expect(page.get_by_role("button", name="Disable Totara Connect client")).to_be_visible()
    keep_part(page, ".page", folder / "manage-authentication.png")


def test_connecting_to_a_server(page, demo, folder):
    administer(page, demo.client_url, "Servers")
    page.get_by_role("button", name="Connect to new server").click()
    expect(page.get_by_text("Client setup secret").first).to_be_visible()
    # The list above it is scrolled sideways, which a picture cannot be.
    keep_part(page, "#invitation", folder / "connect-to-server.png")
