"""The picture of the README, made from the running sites: `make pictures` keeps it, a test run does not."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.listening import two_listening
from support.webapp import connect

from tconnect_pyramid.site.seed import SAMPLE_PASSWORD, SAMPLE_USER, seed

pytestmark = pytest.mark.browser

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SIZE = {"width": 640, "height": 590}
SHEET = """
<div style="padding:16px;display:inline-flex;gap:16px;background:#d9dde3">
{images}
</div>
"""


@pytest.fixture
def demo(make_sqlite):
    with two_listening(make_sqlite, "Demo server", "Demo client") as pair:
        seed(pair.server)
        connect(pair)
        yield pair


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


def test_the_demo_as_the_readme_shows_it(chromium, demo, tmp_path):
    context = chromium.new_context(viewport=SIZE, color_scheme="light")
    page = context.new_page()
    page.goto(f"{demo.client_url}/login")
    shots = [page.screenshot()]
    page.get_by_role("link", name="Log in using your account on: Demo server").click()
    page.get_by_label("Username").fill(SAMPLE_USER)
    page.get_by_label("Password").fill(SAMPLE_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Demo server").first).to_be_visible()
    assert page.url == f"{demo.client_url}/"
    shots.append(page.screenshot())
    context.close()
    folder = PICTURES if os.environ.get("TCONNECT_PICTURES") else tmp_path
    keep(chromium, shots, folder / "demo.png")
    assert (folder / "demo.png").stat().st_size > 10_000
