"""A real Celery worker with a real broker, started as an administrator does."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest
from redis import Redis
from sqlalchemy import select
from support import databases
from support.peers import add_server
from support.sites import context, ini

from tconnect_pyramid.models import SignInRequest

REDIS = "TCONNECT_TEST_REDIS"

pytestmark = pytest.mark.worker

NODE = "tasks@here"
CELERY = ["celery", "-A", "tconnect_pyramid.tasks"]
QUICK_CLEANUP = """
[celerybeat:cleanup]
type = timedelta
schedule = {"seconds": 1}
"""
BARE = "\n".join(
    ["[app:bare]", "use = egg:tconnect_pyramid", *(f"{key} = {value}" for key, value in ini().items()), ""]
)


class Site:
    """A site in a folder: its ini and its context."""

    def __init__(self, folder, database_url, site, name) -> None:
        self.context = site
        self.name = name
        self.path = folder / "site.ini"
        lines = [f"[app:{name}]", "use = egg:tconnect_pyramid", f"sqlalchemy.url = {database_url}"]
        lines += [f"{key} = {value}" for key, value in ini().items()]
        self.path.write_text("\n".join(lines) + QUICK_CLEANUP)
        self.uri = f"{self.path}#{name}"

    def write(self, text) -> None:
        with self.path.open("a") as file:
            file.write(text)

    def add_old_request(self) -> None:
        """A sign-in that was not finished: only the task `cleanup` removes it."""
        server_id = add_server(self.context)
        with self.context.unit() as session:
            session.add(
                SignInRequest(
                    token_hash="a" * 64,
                    token=b"",
                    server_id=server_id,
                    browser_hash="b" * 64,
                    wanted="/",
                    timecreated=0,
                )
            )

    def is_clean(self) -> bool:
        with self.context.reading() as session:
            return session.scalar(select(SignInRequest.id)) is None


@pytest.fixture
def site(tmp_path, make_sqlite):
    database_url = make_sqlite()
    with context(database_url, options=[("client.enabled", "true")]) as site:
        # A name that no other test's leftovers in a shared broker can have.
        yield Site(tmp_path, database_url, site, f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
def redis_url():
    url = os.environ.get(REDIS)
    if not url:
        databases.missing(f"Redis (set {REDIS} to its URL)")
    return url


@pytest.fixture(params=["filesystem", pytest.param("redis", marks=pytest.mark.redis)])
def brokered(request, site):
    """A site with each broker. Without a word in the ini it is the one of files."""
    if request.param == "filesystem":
        yield site
        return
    url = request.getfixturevalue("redis_url")
    site.write(f"[celery]\nbroker_url = {url}\n")
    yield site
    with Redis.from_url(url) as connection:
        for key in connection.scan_iter(f"*{site.name}*"):
            connection.delete(key)


def is_ready(process):
    return lambda: " ready." in process.said()


def asked(uri, question):
    """What the worker answers to `celery inspect`."""
    words = ("inspect", "-d", NODE, "--timeout", "20", "--ini", uri, question)
    return subprocess.run(
        [sys.executable, "-m", *CELERY, *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_worker_with_beat_runs_the_schedule_answers_and_stops(brokered, start, tmp_path):
    brokered.add_old_request()

    worker = start(*CELERY, "worker", "-B", "--ini", brokered.uri, "-n", NODE, "-c", "2", "-l", "INFO")
    worker.wait_for("clean-up", brokered.is_clean)
    worker.wait_for("readiness", is_ready(worker))
    # Through files a message can be read before it is written to its end, and is lost then: whoever asks, asks again.
    for _ in range(3):
        ping = asked(brokered.uri, "ping")
        if "pong" in ping.stdout:
            break
    assert "pong" in ping.stdout, ping.stdout + ping.stderr

    assert worker.stop() == 0
    assert not worker.others()
    assert "Traceback" not in worker.said()
    assert "aaaaaaaa" not in worker.said(), "a log shows no token"
    assert list(tmp_path.glob(f"var/{brokered.name}/beat*")), "the schedule is kept beside the site"
    assert (tmp_path / "var" / brokered.name / "broker").exists() == (
        "redis://" not in brokered.path.read_text()
    )


def test_a_beat_of_its_own_feeds_a_worker(site, start, tmp_path):
    site.add_old_request()

    beat = start(*CELERY, "beat", "--ini", site.uri)
    worker = start(*CELERY, "worker", "-P", "solo", "--ini", site.uri, "-l", "INFO")
    worker.wait_for("clean-up", site.is_clean)

    assert beat.stop() == 0
    assert worker.stop() == 0
    assert not [*tmp_path.glob("celerybeat*"), *tmp_path.glob("control")]


@pytest.mark.parametrize(
    ("command", "app", "text", "said"),
    [
        ("worker", "", "", "names no app"),
        ("worker", "#bare", BARE, "sqlalchemy.url: is missing"),
        (
            "beat",
            "#bare",
            f"{BARE}[celerybeat:people]\ntask = tconnect.people\n",
            "there is no task 'tconnect.people'",
        ),
    ],
)
def test_a_mistake_in_the_ini_is_said_plainly_before_anything_starts(site, command, app, text, said):
    site.write(text)

    refused = subprocess.run(
        [sys.executable, "-m", *CELERY, command, "--ini", f"{site.path}{app}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_worker_without_an_ini_is_told_what_is_missing():
    refused = subprocess.run(
        [sys.executable, "-m", *CELERY, "worker"], capture_output=True, text=True, timeout=60, check=False
    )

    assert refused.returncode == 2
    assert "--ini" in refused.stderr
