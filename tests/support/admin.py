"""A site with an administrator who is logged in, and the command on the same database to read back what a page did."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from support.sites import ini
from support.webapp import Browser, add_person, log_in, one_site
from webtest import TestApp

from tconnect_pyramid.cli import main
from tconnect_pyramid.context import Context


def text(response) -> str:
    """The words of a page's main part, without the tree of pages beside it."""
    page = response.html.find("div", class_="page") or response.html.find("main")
    return " ".join(page.get_text(" ").split())


def notice(response) -> str:
    """What the page says once to somebody who was sent to it."""
    found = response.html.find(class_="notice", role=["status", "alert"])
    return "" if found is None else " ".join(found.get_text(" ").split())


def command(ini_file: Path, *words: object, stdin: str | None = None, status: int = 0) -> Any:
    """What `tconnect … --json` prints."""
    result = CliRunner().invoke(main, ["-c", str(ini_file), *map(str, words), "--json"], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def write_ini(folder: Path, context: Context, name: str = "site") -> Path:
    """An ini file of the site with this context, for the command."""
    url = context.database.engine.url.render_as_string(hide_password=False)
    settings = {**ini(context.settings.site_url), "sqlalchemy.url": url.replace("%", "%%")}
    lines = [
        "[app:main]",
        "use = egg:tconnect_pyramid",
        *(f"{key} = {value}" for key, value in settings.items()),
    ]
    path = folder / f"{name}.ini"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Administered:
    """`browser` is that of the administrator `root`, whose key is `root`; `command` reads back, as JSON."""

    browser: TestApp | Browser
    context: Context
    root: int
    ini_file: Path

    def command(self, *words: object, stdin: str | None = None, status: int = 0) -> Any:
        return command(self.ini_file, *words, stdin=stdin, status=status)

    def page(self, path: str, status: int = 200):
        """A page of Site administration, such as `/admin/audiences`."""
        return self.browser.get(path, status=status)

    def grow_stale(self) -> None:
        """Let so much time pass that acts which cannot be undone ask for the password."""
        self.context.clock.tick(1000)


@contextmanager
def administered(database_url: str, folder: Path, **settings):
    """A site by itself with its administrator."""
    with one_site(database_url, **settings) as (browser, context):
        root = add_person(context, "root", admin=True, firstname="Rosa", lastname="Root")
        log_in(browser, "root")
        yield Administered(browser, context, root, write_ini(folder, context))
