"""Two sites for the browser, and a Chromium."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import sync_playwright
from support.databases import missing
from support.listening import two_listening
from support.webapp import add_person, connect


@pytest.fixture
def pair(make_sqlite):
    with two_listening(make_sqlite, "Test server", "Test client") as pair:
        add_person(pair.server, firstname="Ada" * 30)
        connect(pair)
        yield pair


@pytest.fixture(scope="session")
def chromium():
    program = shutil.which("chromium")
    if program is None:
        missing("a browser (install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
