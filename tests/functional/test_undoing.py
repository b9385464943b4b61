"""Undoing a run of people on its page and by the command, and letting the sync go on."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from sqlalchemy import update
from support import lists
from support.admin import administered, notice, text
from support.webapp import add_person

from tconnect_pyramid.cli import main
from tconnect_pyramid.client.sync import former
from tconnect_pyramid.models import Link, Run, Undo
from tconnect_pyramid.secretbox import SecretBox

IDNUMBER = "5" * 40


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


@pytest.fixture
def run(site):
    """A run that made the account of ada."""
    key = add_person(site.context)
    server_id = lists.connect(site.context, idnumber=IDNUMBER, url="http://server.example")
    now = site.context.clock()
    with site.context.unit() as session:
        counts = {"created": 1}
        made = Run(
            kind="users", state="done", origin="schedule", counts=counts, server_id=server_id,
            server_idnumber=IDNUMBER, started=now,
        )  # fmt: skip
        session.add(made)
        session.flush()
        link = {"person_id": 7, "server_id": server_id, "timecreated": now, "created_by_run": made.id}
        session.add(Link(account_key=getattr(key, "key", key), **link))
        former.keep(session, site.context, made.id, [])
        return made.id


def states(site):
    return [row["state"] for row in site.command("client", "run", "list")]


def paused(site):
    return site.command("client", "server", "list")[0]["paused"]


def test_a_page_says_what_it_does_and_undoes_once(site, run):
    page = site.page(f"/admin/client/runs/{run}").click("Undo this run")
    assert "It suspends 1 account that the run made." in text(page)
    assert states(site) == ["done"]

    after = page.forms["ask"].submit(status=303).follow()
    assert notice(after) == f"Run {run} is undone."
    assert (states(site), paused(site)) == (["undone"], ["users"])
    assert site.command("user", "show", "ada")["suspended"]
    assert "Undo this run" not in text(after)
    assert "undone" in notice(site.page(f"/admin/client/runs/{run}/undo", status=303).follow())

    asked = after.click("Resume the synchronisation")
    assert paused(site) == ["users"]
    asked.forms["ask"].submit(status=303)
    assert paused(site) == []
    assert "Nothing is paused" in notice(site.page(f"/admin/client/runs/{run}/resume", status=303).follow())


def test_that_it_is_paused_is_said_wherever_somebody_looks_with_the_remedy(site, run):
    def lines():
        return [check for check in site.command("doctor", status=1)["checks"] if "undone" in check["found"]]

    said = f"Since run {run} was undone, people of"
    places = ["/admin/client/runs", "/admin/client/servers", "/admin/client/servers/1"]
    assert [said in text(site.page(place)) for place in places] == [False] * len(places)
    assert lines() == []
    site.command("client", "run", "undo", run)

    for place in places:
        page = site.page(place)
        assert said in text(page)
        assert "Resume what is paused" in text(page.click("Resume the synchronisation"))
    (line,) = lines()
    assert (line["state"], line["remedy"]) == (
        "warning",
        "run `tconnect client sync users --server 1 --resume`",
    )
    listed = CliRunner().invoke(main, ["-c", str(site.ini_file), "client", "run", "list"]).output
    assert "`tconnect client sync users --server 1 --resume` lets it go on" in " ".join(listed.split())
    site.page(f"/admin/client/runs/{run}/resume").forms["ask"].submit(status=303)
    assert [said in text(site.page(place)) for place in places] == [False] * len(places)
    assert lines() == []


def test_what_was_encrypted_by_a_key_that_is_lost_is_refused_with_the_remedy(site, run):
    lost = SecretBox(["a key that is not in the settings any more"])
    with site.context.unit() as session:
        session.execute(update(Undo).values(sealed=lost.seal("[]")))

    asked = site.page(f"/admin/client/runs/{run}").click("Undo this run")
    assert "tconnect.secret_keys" in notice(asked.forms["ask"].submit(status=303).follow())
    said = CliRunner().invoke(main, ["-c", str(site.ini_file), "client", "run", "undo", str(run)])
    assert said.exit_code == 1
    assert "Add the former key at the end of that list" in " ".join(said.output.split())
    assert (states(site), paused(site)) == (["done"], [])


@pytest.mark.parametrize("state", ["failed", "held", "rejected"])
def test_what_cannot_be_undone_has_no_button_and_is_refused_with_the_reason(site, run, state):
    with site.context.unit() as session:
        session.get(Run, run).state = state

    assert "Undo this run" not in text(site.page(f"/admin/client/runs/{run}"))
    reason = f"Run {run} cannot be undone: its state is {state}."
    assert notice(site.page(f"/admin/client/runs/{run}/undo", status=303).follow()) == reason
    said = CliRunner().invoke(main, ["-c", str(site.ini_file), "client", "run", "undo", str(run)])
    assert said.exit_code == 1
    assert reason in " ".join(said.output.split())


def test_it_wants_a_recent_log_in(site, run):
    site.grow_stale()
    for page in ("undo", "resume"):
        assert "/prove" in site.page(f"/admin/client/runs/{run}/{page}", status=303).location


@pytest.mark.parametrize("path", ["/99/undo", "/99/resume"])
def test_what_is_not_there_is_not_found(site, path):
    site.page(f"/admin/client/runs{path}", status=404)


def test_the_command_shows_it_first(site, run):
    planned = site.command("client", "run", "undo", run, "--dry-run")
    assert (planned["state"], planned["counts"]["suspended"]) == ("planned", 1)
    assert not site.command("user", "show", "ada")["suspended"]

    done = site.command("client", "run", "undo", run)
    assert (done["state"], [line["action"] for line in done["lines"]]) == ("undone", ["suspended"])
    site.command("client", "enable")
    (report,) = site.command("client", "sync", "users", status=3)
    assert (report["state"], report["run"]) == ("held", None)
    # It goes on, and fails of the server that is not there.
    site.command("client", "sync", "users", "--server", IDNUMBER, "--resume", status=1)
    assert paused(site) == []
