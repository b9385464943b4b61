"""`make demo` as a stranger meets it: over HTTP, in a folder and on ports of its own."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import shlex
import signal
import subprocess
import urllib.parse
import urllib.request
from html import unescape
from pathlib import Path

import pytest
from support.ports import free_ports

from tconnect_pyramid.protocol.paths import SSO_START

INI = Path(__file__).parents[2] / "development.ini"

pytestmark = [pytest.mark.slow, pytest.mark.worker]


@pytest.fixture
def ini(tmp_path):
    """A copy of development.ini in another folder with other ports."""
    server, client = free_ports(2)
    text = INI.read_text(encoding="utf-8").replace("6543", str(server)).replace("6544", str(client))
    path = tmp_path / "development.ini"
    path.write_text(text, encoding="utf-8")
    yield path
    for pid in processes_of(path):
        os.kill(pid, signal.SIGKILL)


def processes_of(ini: Path, *words: str) -> list[int]:
    """Whatever was started for this ini, with these words in its command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(str(ini) in part for part in command) and set(words) <= set(command):
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def demo(start, ini):
    """Gives a function that starts the demo and waits until it says that all is there."""

    def started():
        process = start("tconnect_pyramid.site.demo", str(ini))
        process.wait_for("announcement", lambda: "Ctrl-C" in process.said())
        return process

    return started


class Browser:
    def __init__(self) -> None:
        jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def get(self, url: str, form: dict[str, str] | None = None) -> str:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        with self.opener.open(url, data, timeout=30) as reply:
            return reply.read().decode()

    def log_in(self, site: str, username: str, password: str) -> str:
        page = self.get(f"{site}/login")
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        return self.get(f"{site}/login", {"csrf_token": token, "username": username, "password": password})


def announced(said: str) -> tuple[str, str, str, str, str]:
    """Server, client, user, password and sync command as they were printed, in this order."""
    addresses = re.findall(r"http://\S+", said)
    server, client = addresses
    user, password = re.search(r"user (\S+) password (\S+)", said.split(client)[1]).groups()
    return server, client, user, password, re.search(r"\S*tconnect -c .+", said)[0]


def assert_same_on_both(ini: Path, sync: str) -> None:
    """The client has got whatever the server's sample people have, types and custom fields too."""

    def listed(app: str, *words: str) -> list[dict[str, object]]:
        done = subprocess.run(
            [shlex.split(sync)[0], "-c", f"{ini}#{app}", *words, "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        found = json.loads(done.stdout)
        return found if isinstance(found, list) else [found]

    for words, names in (
        (("position", "list"), ("idnumber", "fullname", "depth", "sortthread", "type", "fields")),
        (("organisation", "list"), ("idnumber", "fullname", "depth", "sortthread", "type", "fields")),
        (("job", "list"), ("idnumber", "fullname", "startdate", "enddate", "sortorder")),
        (("user", "show", "maja@example.org"), ("firstname", "fields")),
    ):
        there, here = (
            sorted(([row[name] for name in names] for row in listed(app, *words)), key=str)
            for app in ("server", "client")
        )
        assert there
        assert here == there, words
    assert {row["server"] is None for row in listed("client", "position", "list")} == {False}
    assert len([row for row in listed("client", "audience", "list") if row["component"]]) == 5
    jobs = listed("client", "job", "list")
    assert all(job["position"] and job["organisation"] for job in jobs)


def test_a_stranger_takes_the_demo_into_use(demo, start, ini):
    process = demo()
    server, client, user, password, sync = announced(process.said())
    browser = Browser()

    assert password not in browser.get(f"{server}/")
    home = browser.log_in(server, user, password)
    name = re.search(r"Maja \w+", home)[0]
    link = re.search(rf'href="({re.escape(SSO_START)}[^"]+)"', browser.get(f"{client}/login"))[1]
    assert name in browser.get(client + unescape(link))
    assert name in browser.get(f"{client}/")

    done = subprocess.run(
        [*shlex.split(sync), "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    [run] = json.loads(done.stdout)
    assert run["state"] == "done"
    assert run["counts"]["unchanged"] >= 20, "the first sync was done before"

    assert_same_on_both(ini, sync)

    second = start("tconnect_pyramid.site.demo", str(ini))
    assert second.process.wait(60) == 1
    assert f"something else answers at {server}" in second.said()

    assert process.stop(signal.SIGINT) == 0
    assert processes_of(ini) == []
    logs = [process.said(), *(log.read_text() for log in ini.parent.glob("var/*/*.log"))]
    assert len(logs) == 5
    assert not [log for log in logs if "Traceback" in log]


def test_a_second_start_goes_on_and_a_process_that_ends_is_reported(demo, ini):
    first = demo()
    assert first.stop(signal.SIGTERM) == 0
    assert processes_of(ini) == []

    second = demo()
    _, client, user, password, _ = announced(second.said())
    assert "Connecting" not in second.said()
    page = Browser().log_in(client, user, password)
    assert 'role="alert"' in page, "who came by a sync has no password here"

    [web_server] = processes_of(ini, "pyramid.scripts.pserve", "client")
    os.kill(web_server, signal.SIGKILL)
    assert second.process.wait(60) == 1
    assert "The client ended by itself" in second.said()
    assert f"Serving on {client}" in second.said(), "the end of the log is shown"
    assert processes_of(ini) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[app:client]", "[app:other]"), "there is no app 'client'"),
        (("tconnect.site_name = Demo client", "tconnect.site_nmae = x"), "did you mean tconnect.site_name"),
        (("[server:client]", "[server:other]"), "The client ended by itself"),
    ],
)
def test_a_broken_ini_is_reported_and_leaves_nothing_running(start, ini, change, said):
    ini.write_text(ini.read_text(encoding="utf-8").replace(*change), encoding="utf-8")

    process = start("tconnect_pyramid.site.demo", str(ini))

    assert process.process.wait(60) == 1
    assert said in process.said()
    assert processes_of(ini) == []


def test_without_an_ini_it_says_how_it_is_used(start):
    process = start("tconnect_pyramid.site.demo")

    assert process.process.wait(60) == 2
    assert "usage:" in process.said()
