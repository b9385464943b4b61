"""The `tconnect` command: sign-ins, the outbox, the schedule and what `doctor` finds."""

from __future__ import annotations

import pytest
from sqlalchemy import text, update
from support.ports import free_port

from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.models import Client, ClientSession, Notice, SignIn


def sign_in(site, *, account=1, browser="b", signin=1):
    site.change(
        SignIn.__table__.insert().values(
            id=signin, browser_hash=browser, account_key=account, timecreated=1, last_seen=2, end_reason=""
        )
    )


def test_sign_ins_are_shown_and_ended(site):
    for name in ("ana", "bo"):
        site("user", "add", name, "--no-password")
    for number, account in enumerate((1, 1, 2), 1):
        sign_in(site, account=account, browser=f"b{number}", signin=number)

    assert [row["username"] for row in site.json("session", "list")] == ["ana", "ana", "bo"]
    assert site.json("session", "list", "bo") == [
        {
            "id": 3,
            "account": 2,
            "username": "bo",
            "acted_by": None,
            "timecreated": 1,
            "last_seen": 2,
            "server": None,
            "clients": [],
        }
    ]
    site.change(update(SignIn).where(SignIn.id == 3).values(acted_by=1))
    assert site.json("session", "list", "bo")[0]["acted_by"] == 1
    assert "\tbo\tana\t" in site("session", "list").stdout
    assert site.json("session", "end", "--user", "ana", "--dry-run")["would_end"] == [1, 2]
    assert len(site.json("session", "list")) == 3
    assert site.json("session", "end", 3)["ended"] == [3]
    assert site.json("session", "end", "--user", "ana")["ended"] == [1, 2]
    assert site.json("session", "list") == []
    for words in (["3"], [], ["1", "--user", "ana"]):
        site("session", "end", *words, status=2)


@pytest.mark.parametrize(
    "way", [("session", "end", 1), ("user", "suspend", "ana"), ("user", "delete", "ana")]
)
def test_ending_a_sign_in_tells_the_clients(site, way):
    """The notice is tried at once; a client that cannot be reached leaves it to the sweep."""
    site("user", "add", "ana", "--no-password")
    sign_in(site)
    with_client(site)
    site.change(
        ClientSession.__table__.insert().values(
            token_hash="t",
            token=sealed(site, "f" * 40),
            client_id=1,
            signin_id=1,
            account_key=1,
            timecreated=1,
        )
    )

    site(*way)

    (notice,) = site.json("outbox", "list")
    assert (notice["role"], notice["service"], notice["attempts"]) == ("client", "kill_sso_user", 1)
    assert notice["peer"] == "c" * 40
    assert site.json("outbox", "retry", status=1) == {"retried": 1, "confirmed": 0, "failed": 1}


def sealed(site, value):
    opened = Site(site.ini)
    try:
        return opened.context().box.seal(value)
    finally:
        opened.close()


def with_client(site):
    """A client that nobody serves."""
    site.change(
        Client.__table__.insert().values(
            id=1,
            state="active",
            name="Gone",
            url=f"http://127.0.0.1:{free_port()}",
            idnumber="c" * 40,
            client_secret=sealed(site, "e" * 40),
            server_secret_hash="h",
            apiversion=2,
            clienttype="totaralms",
            timecreated=1,
            timemodified=1,
        )
    )


def test_the_doctor_finds_what_is_wrong_with_the_outbox_and_a_peer(site):
    assert site.json("doctor")["ok"]
    with_client(site)
    site.change(
        Notice.__table__.insert().values(
            role="client", peer_id=1, service="kill_sso_user", parameters=b"", timecreated=1, due=1
        )
    )

    report = site("doctor", status=1)
    checks = {check["name"]: check for check in site.json("doctor", status=1)["checks"]}

    assert "tconnect outbox retry" in checks["outbox"]["remedy"]
    assert "connect" in checks["client Gone"]["found"]
    assert checks["database"]["ok"]
    assert checks["clock"]["ok"]
    assert checks["accounts"]["ok"]
    assert checks["broker"]["ok"]
    assert "problem  client Gone" in report.stdout


def test_the_doctor_finds_that_people_are_sent_to_a_server_that_is_not_there(site):
    site("settings", "set", "client.auto_sign_in", 7)

    (check,) = [each for each in site.json("doctor")["checks"] if each["name"] == "client.auto_sign_in"]

    assert check["state"] == "warning"
    assert "server 7" in check["found"]
    site("settings", "set", "client.auto_sign_in", "")
    assert "auto_sign_in" not in site("doctor").stdout


def test_the_doctor_finds_a_broker_that_is_down(site, tmp_path):
    with (tmp_path / "site.ini").open("a", encoding="utf-8") as file:
        file.write(f"[celery]\nbroker_url = amqp://me:hidden@127.0.0.1:{free_port()}//\n")

    result = site("doctor", status=1)

    assert "problem  broker: " in result.stdout
    assert "hidden" not in result.stdout


def test_the_doctor_finds_a_schedule_that_cannot_be(site, tmp_path):
    with (tmp_path / "site.ini").open("a", encoding="utf-8") as file:
        file.write("[celerybeat:users]\ntask = tconnect.usres\n")

    checks = [check for check in site.json("doctor", status=1)["checks"] if not check["ok"]]

    assert {check["name"] for check in checks} == {"broker"}
    assert "did you mean tconnect.users" in checks[0]["found"]


def test_the_doctor_finds_a_clock_that_is_wrong(site, monkeypatch):
    # As seen from a site whose computer is an hour behind its database's.
    monkeypatch.setattr("time.time", lambda: 1.0)

    checks = {check["name"]: check for check in site.json("doctor", status=1)["checks"]}

    assert not checks["clock"]["ok"]


def test_the_doctor_finds_an_account_table_that_is_not_there(site):
    site.change(text("ALTER TABLE tconnect_account RENAME COLUMN city TO town"))

    checks = {check["name"]: check for check in site.json("doctor", status=1)["checks"]}

    assert "city" in checks["accounts"]["found"]
    assert checks["accounts"]["remedy"]


def test_the_schedule_is_that_of_the_ini(site, tmp_path):
    ini = tmp_path / "site.ini"
    with ini.open("a", encoding="utf-8") as file:
        file.write('[celerybeat:users]\ntype = crontab\nschedule = {"minute": "*/5"}\n')

    rows = {row["name"]: row for row in site.json("schedule")}

    assert rows["users"]["task"] == "tconnect.users"
    assert "*/5" in rows["users"]["when"]
    assert "outbox" in rows
    with ini.open("a", encoding="utf-8") as file:
        file.write("[celerybeat:frob]\ntask = tconnect.frob\n")
    assert "tconnect.frob" in site("schedule", status=1).stderr
