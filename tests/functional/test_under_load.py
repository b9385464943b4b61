"""Twenty people signing in and out of two real sites on SQLite, with workers and syncs beside them."""

from __future__ import annotations

import http.cookiejar
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from html import unescape
from pathlib import Path

import bcrypt
import pytest
from support.ports import free_ports

from tconnect_pyramid import context_of, people
from tconnect_pyramid.tasks.glue import open_site

PEOPLE = 20
SECONDS = float(os.environ.get("TCONNECT_TEST_LOAD_SECONDS", "60"))
LATEST_NOTICE = 150
PASSWORD = "correct horse battery"
INI = Path(__file__).parents[2] / "development.ini"

pytestmark = [pytest.mark.slow, pytest.mark.worker]


@pytest.fixture
def demo(tmp_path):
    """The demo on ports of its own; gives its ini and the addresses of server and client."""
    server_port, client_port = free_ports(2)
    ini = tmp_path / "development.ini"
    text = INI.read_text(encoding="utf-8")
    ini.write_text(text.replace("6543", str(server_port)).replace("6544", str(client_port)), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "tconnect_pyramid.site.demo", str(ini)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ctrl-C"):
            break
    else:
        pytest.fail("".join(said))
    yield ini, f"http://127.0.0.1:{server_port}", f"http://127.0.0.1:{client_port}"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


class Person(threading.Thread):
    """One browser that signs in by the client's link, looks around, and signs out, on either side in turn."""

    def __init__(self, name: str, server: str, client: str, until: float) -> None:
        super().__init__()
        self.username = name
        self.server, self.client, self.until = server, client, until
        self.statuses: Counter[int] = Counter()
        self.problems: list[str] = []
        self.rounds = 0
        self.late = 0
        jar = http.cookiejar.CookieJar()
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def run(self) -> None:
        while time.monotonic() < self.until:
            try:
                self.once()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                self.problems.append(f"{self.username}, round {self.rounds}: {error!r}")
            self.rounds += 1

    def once(self) -> None:
        login = self.open(f"{self.client}/login")
        link = re.search(r'href="(/auth/connect/sso_start\.php[^"]+)"', login)
        page = self.open(self.client + unescape(link[1]))
        page = self.submit(page, self.server, "login", username=self.username, password=PASSWORD)
        self.must(
            f"Person {self.username}" in page, "is not signed in on the client after the single sign-on"
        )
        for site in (self.client, self.server, self.client):
            self.must(self.is_in(site), f"lost the session at {site}")
        where = (self.client, self.server)[self.rounds % 2]
        self.submit(self.open(f"{where}/logout"), where, "logout")
        self.must(not self.is_in(where), f"is still signed in at {where}, where the button was pressed")
        other = self.server if where == self.client else self.client
        began = time.monotonic()
        while self.is_in(other):
            # A site that is too busy to take the notice within 2 s gets it again from the worker.
            self.must(time.monotonic() < began + LATEST_NOTICE, f"is still signed in at {other}")
            time.sleep(0.5)
        self.late += time.monotonic() - began > 1

    def is_in(self, site: str) -> bool:
        return f"Person {self.username}" in self.open(f"{site}/")

    def must(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            raise AssertionError(otherwise)

    def submit(self, page: str, site: str, form: str, **values: str) -> str:
        text = re.search(rf'<form id="{form}".*?</form>', page, re.DOTALL)[0]
        action = re.search(r'action="([^"]+)"', text)[1]
        hidden = dict(re.findall(r'name="(csrf_token|next)"[^>]*value="([^"]*)"', text))
        sent = {name: unescape(value) for name, value in hidden.items()} | values
        return self.open(site + unescape(action), urllib.parse.urlencode(sent).encode())

    def open(self, url: str, data: bytes | None = None) -> str:
        try:
            with self.browser.open(url, data, timeout=60) as reply:
                self.statuses[reply.status] += 1
                return reply.read().decode()
        except urllib.error.HTTPError as error:
            self.statuses[error.code] += 1
            said = re.search(r'<p role="alert">(.*?)</p>', error.read().decode(), re.DOTALL)
            where = urllib.parse.urlsplit(error.url).path
            raise AssertionError(f"{error.code} at {where}: {said and said[1]}") from error


def test_twenty_people_for_a_minute(demo):
    ini, server, client = demo
    context = context_of(open_site(f"{ini}#server"))
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    names = [f"load{number}" for number in range(PEOPLE)]
    with context.unit() as session:
        for name in names:
            added = people.add_person(
                session,
                context,
                username=name,
                email=f"{name}@example.org",
                firstname="Person",
                lastname=name,
            )
            # The cheapest hash that is taken: the sites are to be tried, not bcrypt.
            context.accounts.update(session, {added.key: {"password": hashed}})
    context.database.engine.dispose()
    until = time.monotonic() + SECONDS
    crowd = [Person(name, server, client, until) for name in names]
    for person in crowd:
        person.start()
    syncs = []
    while time.monotonic() < until:
        sync = subprocess.run(
            [Path(sys.executable).with_name("tconnect"), "-c", f"{ini}#client", "client", "sync", "users"],
            capture_output=True,
            text=True,
            check=False,
        )
        syncs.append((sync.returncode, sync.stderr))
        time.sleep(2)
    for person in crowd:
        person.join()
    statuses = sum((person.statuses for person in crowd), Counter())
    problems = [problem for person in crowd for problem in person.problems]
    rounds = sum(person.rounds for person in crowd)
    late = sum(person.late for person in crowd)
    summary = (
        f"{rounds} rounds in {SECONDS:.0f} s, {late} late log-outs, answers {dict(statuses)}, "
        f"{len(syncs)} syncs"
    )
    logging.getLogger(__name__).info(summary)
    assert not problems, (summary, problems[:10])
    assert set(statuses) == {200}, summary
    assert rounds >= PEOPLE, summary
    assert [sync for sync in syncs if sync[0] != 0] == []
