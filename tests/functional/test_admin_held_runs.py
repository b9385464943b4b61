"""A run that the guard holds, by HTTP: whom it would remove, and that approving lets exactly that through."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from sqlalchemy import delete
from support import lists
from support.admin import administered, notice, text
from support.client_site import DATABASES
from support.databases import maker
from support.lists import cohort, course, person
from support.served import served_client
from support.webapp import PASSWORD

from tconnect_pyramid.cli import main
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import Lease, Pause

RUNS = "/admin/client/runs"


@pytest.fixture
def server():
    """Five people, an audience of all of them and a course of two."""
    server = lists.ListingServer()
    server.people = [person(id_) for id_ in range(1, 6)]
    server.cohorts = [cohort(1, 1, 2, 3, 4, 5)]
    server.courses = [course(1, 1, 2)]
    return server


@pytest.fixture
def site(make_sqlite, tmp_path, server):
    """A client that has all of that, and holds whatever would be removed from now on."""
    with administered(make_sqlite(), tmp_path, transport=server, client__enabled="true") as site:
        site.command("settings", "set", "client.sync_idnumber", "true")
        lists.connect(site.context)
        for kind in ("users", "collections"):
            assert sync(site, kind).state == "done"
        for guard in ("guard.people", "guard.members"):
            site.command("settings", "set", guard, "0 0")
        yield site


def sync(site, kind):
    return run_sync(site.context, kind, 1, origin="schedule")


def suspended(site) -> set[str]:
    """The ID numbers of the suspended people of the server."""
    return {row["idnumber"] for row in site.command("user", "list") if row["suspended"]}


def members(site) -> dict[str, int]:
    """How many belong to each audience."""
    return {row["name"]: len(row["members"]) for row in site.command("audience", "list", "--members")}


def run(site, id_) -> dict:
    return site.command("client", "run", "show", id_)


def decide(site, id_, what, status=303):
    """Press the button of the run's page, and that of the page that asks."""
    page = site.page(f"{RUNS}/{id_}").click(what.capitalize(), href=f"/{what}$")
    return page.forms["ask"].submit(status=status)


def test_a_held_run_of_people_is_shown_with_whom_it_would_remove(site, server):
    server.people = server.people[2:]
    held = sync(site, "users").run

    listed = site.page(f"{RUNS}?state=held")
    assert f"Run {held}" in text(listed)
    shown = text(listed.click(f"{held}"))
    assert "Held, waits for a decision" in shown
    assert "2 of 5 people that came from the server would be removed here" in shown
    assert "First1 Last1" in shown
    assert "First2 Last2" in shown
    assert "First3" not in shown
    asked = text(site.page(f"{RUNS}/{held}/approve"))
    assert "It would suspend 2." in asked
    assert "It would delete" not in asked
    assert "These are: First1 Last1, First2 Last2" in asked
    assert "First3" not in asked
    assert suspended(site) == set()


def test_approving_removes_exactly_the_people_that_were_listed(site, server):
    server.people = server.people[2:]
    held = sync(site, "users").run

    page = decide(site, held, "approve").follow()

    assert notice(page) == f"Run {held} is approved and done anew: Done."
    done = site.command("client", "run", "list")[0]
    assert page.request.path == f"{RUNS}/{done['run']}"
    assert (done["state"], done["origin"], done["counts"]["suspended"]) == ("done", "page", 2)
    assert run(site, held)["state"] == "approved"
    assert "Approved" in text(site.page(f"{RUNS}/{held}"))
    assert f"Run {done['run']} took its place." in text(site.page(f"{RUNS}/{held}"))
    assert suspended(site) == {"N1", "N2"}


def test_whoever_is_missing_besides_those_that_were_listed_is_not_removed(site, server):
    server.people = server.people[2:]
    held = sync(site, "users").run
    page = site.page(f"{RUNS}/{held}/approve")
    server.people = server.people[1:]

    page = page.forms["ask"].submit(status=303).follow()

    assert "Held, waits for a decision" in notice(page)
    assert suspended(site) == set()
    again = site.command("client", "run", "list")[0]["run"]
    assert page.request.path == f"{RUNS}/{again}"
    assert "It would suspend 3." in text(site.page(f"{RUNS}/{again}/approve"))
    decide(site, again, "approve")
    assert suspended(site) == {"N1", "N2", "N3"}


def test_approving_wants_a_recent_log_in_also_of_a_form_that_was_left_open(site, server):
    server.people = []
    held = sync(site, "users").run
    form = site.page(f"{RUNS}/{held}/approve").forms["ask"]
    site.grow_stale()

    proof = form.submit(status=303).follow()

    assert "Is it you?" in text(proof)
    assert suspended(site) == set()
    assert run(site, held)["state"] == "held"
    proof.forms["prove"]["password"] = PASSWORD
    page = proof.forms["prove"].submit(status=303).follow()
    assert page.request.path == f"{RUNS}/{held}/approve"
    page.forms["ask"].submit(status=303)
    assert suspended(site) == {"N1", "N2", "N3", "N4", "N5"}


def test_whoever_is_listed_again_is_told_on_the_page_that_answers(site, server):
    everybody = server.people
    server.people = everybody[2:]
    held = sync(site, "users").run
    server.people = everybody[1:]

    page = decide(site, held, "approve").follow()

    assert notice(page) == f"Run {held} is approved and done anew: Done."
    told = "approved to be suspended, and not wanted any more: the server lists them again"
    assert [point.get_text() for point in page.html.select(".notice + ul li")] == [f"First2 Last2: {told}"]
    assert f"not wanted any more First2 Last2 {told}" in text(page)
    assert suspended(site) == {"N1"}


@pytest.fixture(params=DATABASES)
def client(request, tmp_path):
    with maker(request.param, tmp_path) as make, served_client(make(), tmp_path) as made:
        yield made


def test_the_command_lists_whoever_is_listed_again(client):
    everybody = [person(id_) for id_ in range(1, 6)]
    told = "approved to be suspended, and not wanted any more: the server lists them again"
    client.server.people = everybody
    client("client", "sync", "users")
    client("settings", "set", "guard.people", "0 0")

    def held(listed):
        client.server.people = listed
        (report,) = client.json("client", "sync", "users", status=3)
        return report["run"]

    first = held(everybody[3:])
    client.server.people = everybody
    answer = client.json("client", "run", "approve", first)

    assert [(line["remote_id"], line["detail"]) for line in answer["unwanted"]] == [
        (id_, told) for id_ in (1, 2, 3)
    ]
    assert client.json("client", "run", "show", answer["run"])["lines"] == answer["unwanted"]
    (explained,) = client.json("client", "explain", "person:2")
    assert any(f"unwanted: {told}" in sentence for sentence in explained["sentences"])
    second = held(everybody[:2])
    client.server.people = everybody[:4]
    printed = client("client", "run", "approve", second).stdout
    listed = printed.partition("Approved, and not wanted any more:\n")[2]
    assert f"First3 Last3\t{told}" in listed
    assert f"First4 Last4\t{told}" in listed
    assert "First5" not in listed


def hold(site, server, people) -> int:
    server.people = people
    return sync(site, "users").run


def words(site, *asked) -> str:
    """What a command prints for people."""
    return CliRunner().invoke(main, ["-c", str(site.ini_file), *map(str, asked)]).stdout


@pytest.mark.parametrize("ends", ["busy", "failed"])
def test_an_approval_that_waits_for_the_next_run_is_seen_and_can_be_taken_back(site, server, ends):
    held = hold(site, server, server.people[2:])
    if ends == "busy":
        with site.context.unit() as session:
            lease = {"token": "e" * 40, "holder": "x", "expires": site.context.clock() + 60}
            session.add(Lease(name="server:1", **lease))
    server.down = ends == "failed"

    page = decide(site, held, "approve").follow()

    assert f"Run {held} stays approved: the next run within 24 hours does it." in notice(page)
    assert page.request.path == f"{RUNS}/{held}"
    assert "by Rosa Root" not in text(page)
    assert "Rosa Root" in text(page)
    assert "It is approved: the next synchronisation within 24 hours of that does it." in text(page)
    assert "Held, approved" in text(site.page(f"{RUNS}?state=held"))
    # The newest run: the one that failed, or else the held one.
    newest = {"busy": "Held, approved", "failed": "Failed"}[ends]
    assert f"Users: {newest}" in text(site.page("/admin/client/servers/1"))
    shown = run(site, held)
    assert (shown["state"], shown["approved_by"], shown["approved"]) == (
        "held",
        f"account:{site.root}",
        site.context.clock(),
    )
    assert f"account:{site.root}" in words(site, "client", "run", "show", held)
    assert "held, approved" in " ".join(words(site, "client", "run", "list").split())
    with site.context.unit() as session:
        session.execute(delete(Lease))
    server.down = False

    decide(site, held, "reject")

    assert run(site, held)["approved_by"] is None
    assert sync(site, "users").state == "held"
    assert suspended(site) == set()


def test_the_schedule_does_what_was_approved_while_another_run_was_under_way(site, server):
    held = hold(site, server, server.people[2:])
    server.down = True
    decide(site, held, "approve")
    server.down = False

    assert sync(site, "users").state == "done"

    assert suspended(site) == {"N1", "N2"}
    page = text(site.page(f"{RUNS}/{held}"))
    assert "Rosa Root" in page
    assert "It is approved: the next" not in page
    assert run(site, held)["state"] == "approved"


def test_approving_what_is_paused_or_not_synchronised_says_so(site, server):
    held = hold(site, server, server.people[2:])
    with site.context.unit() as session:
        session.add(Pause(server_id=1, kind="users", run_id=1))

    page = decide(site, held, "approve").follow()

    assert "Paused, as run 1 was undone" in notice(page)
    assert f"Run {held} stays approved" in notice(page)
    assert run(site, held)["state"] == "held"


@pytest.mark.parametrize("kind", ["users", "collections"])
def test_rejecting_changes_nothing(site, server, kind):
    server.people, server.cohorts, server.courses = [], [], []
    held = sync(site, kind).run
    before = lists.dump(site.context)

    page = decide(site, held, "reject").follow()

    assert notice(page) == f"Run {held} is rejected."
    assert page.html.find("a", href=f"{RUNS}/{held}/approve") is None
    assert run(site, held)["state"] == "rejected"
    assert lists.dump(site.context) == before
    # Nor has it allowed anything.
    assert sync(site, kind).state == "held"


def test_a_held_run_of_members_is_shown_and_approving_lets_exactly_those_go(site, server):
    server.cohorts = [cohort(1, 1, 2)]
    held = sync(site, "collections").run

    shown = text(site.page(f"{RUNS}/{held}"))
    assert "3 of 7 members that came from the server would be removed here" in shown
    assert "Audience 1" in shown
    assert "Course 1" not in shown
    assert "1 updated, 1 unchanged, 3 members removed" in shown
    assert "member removed First3 Last3 cohort Audience 1" in shown
    page = site.page(f"{RUNS}/{held}/approve")
    assert "It would end 3 memberships." in text(page)
    names = ", ".join(f"First{id_} Last{id_} (cohort Audience 1)" for id_ in (3, 4, 5))
    assert f"These are: {names}" in text(page)
    assert "It would delete" not in text(page)
    assert "It would suspend" not in text(page)
    assert members(site) == {"Audience 1": 5, "Course 1": 2}

    page = page.forms["ask"].submit(status=303).follow()

    assert notice(page) == f"Run {held} is approved and done anew: Done."
    assert members(site) == {"Audience 1": 2, "Course 1": 2}
    assert run(site, held)["state"] == "approved"


def test_an_audience_that_lost_more_members_meanwhile_keeps_all_of_them(site, server):
    server.cohorts = [cohort(1, 1, 2)]
    held = sync(site, "collections").run
    server.cohorts = [cohort(1, 1)]

    assert "Held, waits for a decision" in notice(decide(site, held, "approve").follow())
    assert members(site) == {"Audience 1": 5, "Course 1": 2}


def test_as_many_others_as_were_approved_keep_their_memberships(site, server):
    server.cohorts = [cohort(1, 1, 2)]
    held = sync(site, "collections").run
    server.cohorts = [cohort(1, 4, 5)]

    page = decide(site, held, "approve").follow()

    assert "Held, waits for a decision" in notice(page)
    assert [point.get_text() for point in page.html.select(".notice + ul li")] == [
        f"First{id_} Last{id_}: approved to leave cohort Audience 1, and not wanted any more: "
        "the server lists them again"
        for id_ in (4, 5)
    ]
    assert members(site) == {"Audience 1": 5, "Course 1": 2}


def test_collections_that_would_be_deleted_are_named_and_go_when_that_is_approved(site, server):
    server.cohorts, server.courses = [], []
    held = sync(site, "collections").run

    asked = text(site.page(f"{RUNS}/{held}/approve"))
    assert "It would delete 2." in asked
    assert "cohort Audience 1 (not sent any more; 5 members leave it)" in asked
    assert "course Course 1 (not sent any more; 2 members leave it)" in asked
    decide(site, held, "approve")

    assert members(site) == {}
    assert suspended(site) == set()
