"""The pages of scheduled tasks by HTTP, without any worker, and what is written down of each run."""

from __future__ import annotations

import threading
from types import MappingProxyType

import pytest
from support.admin import administered, notice, text
from support.statements import listening
from support.webapp import add_person

from tconnect_pyramid.models import TaskState
from tconnect_pyramid.tasks import record
from tconnect_pyramid.tasks.config import read_config
from tconnect_pyramid.tasks.jobs import JOBS, Outcome
from tconnect_pyramid.tasks.record import list_tasks, note_schedules, perform, schedules_of

NAMES = [
    "Handshake task",
    "Positions sync task",
    "Organisations sync task",
    "Users sync task",
    "User collections sync task",
    "Users comparison task",
    "General cleanup task",
    "Sign-ins task",
    "Notices task",
]


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


@pytest.fixture
def registry(site):
    return site.browser.app.registry


@pytest.fixture
def replace(monkeypatch):
    """Stand in for the job of a task."""

    def put(name, job):
        monkeypatch.setattr(record, "JOBS", MappingProxyType({**JOBS, name: job}))

    return put


def row(site, name) -> TaskState:
    with site.context.reading() as session:
        return session.get(TaskState, name)


def press(page, name):
    return next(form for form in page.forms.values() if form.action.endswith(f"/{name}/run")).submit(
        status=303
    )


def cells(page, name) -> list[str]:
    found = next(each for each in page.html.select("tbody tr") if name in each.find("th").get_text())
    return [" ".join(cell.get_text(" ").split()) for cell in found.find_all("td")]


@pytest.mark.parametrize(
    ("role", "names"),
    [("client", NAMES), ("server", ["General cleanup task", "Sign-ins task", "Notices task"])],
)
def test_the_tasks_of_a_role_are_listed_and_that_no_worker_has_run(site, role, names):
    page = site.page(f"/admin/{role}/tasks")

    headings = [each.find(string=True) for each in page.html.select("tbody th")]
    assert headings == names
    assert "No worker has run here yet" in text(page)
    assert "celery -A tconnect_pyramid.tasks worker" in text(page)
    assert cells(page, "Notices task")[:4] == [
        "every minute",
        "Not yet",
        "When a worker runs",
        "It has not run yet",
    ]
    assert page.html.find(attrs={"data-await": True}) is None


def test_one_that_is_quick_runs_without_any_worker(site):
    page = press(site.page("/admin/server/tasks"), "cleanup").follow()

    assert notice(page).startswith("General cleanup task has run: removed: 0 of the client role")
    shown = cells(page, "General cleanup task")
    assert shown[1].endswith("by an administrator")
    assert shown[3].startswith("Succeeded removed: 0")
    found = row(site, "cleanup")
    assert (found.origin, found.started, found.finished, found.succeeded) == (
        f"account:{site.root}",
        site.context.clock(),
        site.context.clock(),
        True,
    )


def test_one_that_is_slow_goes_on_and_the_page_shows_how_it_went(site, registry, replace):
    may_end = threading.Event()
    calls = []

    def slow(context):
        calls.append(context)
        assert may_end.wait(20)
        return Outcome("slept")

    replace("outbox", slow)
    registry["tconnect.wait_seconds"] = 0.05
    page = press(site.page("/admin/server/tasks"), "outbox").follow()
    try:
        assert notice(page) == "Notices task is under way. This page shows how it went."
        assert cells(page, "Notices task")[3] == "Under way"
        waiting = page.html.find(attrs={"data-await": True})["data-await"]
        site.page(waiting, status=204)
        # Asked for once more, it is the same run.
        press(page, "outbox")
    finally:
        may_end.set()
    registry["tconnect.wait_seconds"] = 20
    for _ in range(200):
        if site.browser.get(waiting).status_int == 200:
            break
        threading.Event().wait(0.05)

    assert cells(site.page("/admin/server/tasks"), "Notices task")[3] == "Succeeded slept"
    assert len(calls) == 1


def test_one_that_fails_says_what_went_wrong(site, replace):
    def fail(context):
        raise RuntimeError("the disk is full")

    replace("cleanup", fail)
    page = press(site.page("/admin/client/tasks"), "cleanup").follow()

    assert notice(page) == "General cleanup task failed. What went wrong stands below."
    assert cells(page, "General cleanup task")[3] == "Failed RuntimeError: the disk is full"
    assert not row(site, "cleanup").succeeded


def test_one_that_is_busy_says_so(site, replace):
    asked = []

    def busy(context, servers=None, origin="schedule"):
        asked.append(origin)
        return Outcome("Main: busy", (1,))

    replace("users", busy)
    page = press(site.page("/admin/client/tasks"), "users").follow()

    assert "another run with the same server is under way (Main: busy)" in notice(page)
    assert cells(page, "Users sync task")[3] == "Failed Main: busy"
    # The run itself is one that a page asked for.
    assert asked == ["page"]


def test_one_that_did_not_succeed_everywhere_says_so(site, replace):
    replace("handshake", lambda context: Outcome("Main: failed", failed=True))

    page = press(site.page("/admin/client/tasks"), "handshake").follow()
    assert notice(page) == "Handshake task did not succeed: Main: failed"


def test_the_page_shows_what_the_ini_of_the_worker_says(site, tmp_path):
    ini = tmp_path / "worker.ini"
    ini.write_text(
        site.ini_file.read_text(encoding="utf-8")
        + '\n[celery]\ntimezone = Europe/Berlin\n[celerybeat:cleanup]\ntype = crontab\nschedule = {"minute": "5", '
        '"hour": "3"}\n[celerybeat:sessions]\nschedule = never\n[celerybeat:outbox]\ntype = timedelta\n'
        'schedule = {"minutes": 2}\n',
        encoding="utf-8",
    )
    note_schedules(site.context, schedules_of(read_config(str(ini))))
    now = site.context.clock()
    with site.context.reading() as session:
        tasks = {task.name: task for task in list_tasks(session, site.context)}

    assert tasks["cleanup"].when == "every day at 03:05 Europe/Berlin"
    # 2027-01-15 08:00 UTC is after 03:05 in Berlin, which is 02:05 UTC of the next day.
    assert tasks["cleanup"].next_run == now - now % 86400 + 86400 + 2 * 3600 + 5 * 60
    page = site.page("/admin/server/tasks")
    assert "No worker has run here yet" not in text(page)
    assert cells(page, "Sign-ins task")[:3] == ["Never by itself: the ini file says so.", "Not yet", "Never"]
    assert cells(page, "Notices task")[0] == "every 2 minutes"
    press(page, "outbox")
    site.context.clock.tick(110)
    assert "late" not in cells(site.page("/admin/server/tasks"), "Notices task")[2]
    site.context.clock.tick(600)
    assert cells(site.page("/admin/server/tasks"), "Notices task")[2].endswith("late, no worker has taken it")


def test_one_whose_process_was_ended_is_told_from_one_that_runs(site):
    with site.context.unit() as session:
        session.add(
            TaskState(name="outbox", origin="schedule", started=site.context.clock(), succeeded=False)
        )
    page = site.page("/admin/server/tasks")
    assert cells(page, "Notices task")[3] == "Under way"
    assert cells(page, "Notices task")[1].endswith("by its schedule")
    site.context.clock.tick(1900)
    page = site.page("/admin/server/tasks")

    assert cells(page, "Notices task")[3].startswith("Interrupted")
    assert page.html.find(attrs={"data-await": True}) is None


def test_a_record_that_cannot_be_written_does_not_fail_the_job(site, registry, replace):
    replace("outbox", lambda context: Outcome("3 confirmed, 0 failed"))
    with site.context.unit() as session:
        session.connection().exec_driver_sql("DROP TABLE tconnect_task")

    assert perform(registry, "outbox").text == "3 confirmed, 0 failed"


def test_the_run_that_began_last_has_the_record(site, registry, replace):
    def older(context):
        context.clock.tick(5)
        replace("outbox", lambda context: Outcome("newer"))
        perform(registry, "outbox", origin="account:1")
        return Outcome("older")

    replace("outbox", older)
    perform(registry, "outbox")

    assert (row(site, "outbox").result, row(site, "outbox").origin) == ("newer", "account:1")


def test_the_record_costs_two_statements(site, registry, replace):
    replace("outbox", lambda context: Outcome("ok"))
    perform(registry, "outbox")
    with listening(site.context.database.engine) as seen:
        perform(registry, "outbox")

    assert [statement.split()[0] for statement in seen if "tconnect_task" in statement] == [
        "UPDATE",
        "UPDATE",
    ]


def test_nothing_runs_by_looking_and_what_is_not_there_is_not_found(site):
    site.page("/admin/server/tasks/cleanup/run", status=303)
    site.page("/admin/server/tasks/users/run", status=404)
    site.page("/admin/client/tasks/nothing/run", status=404)

    assert row(site, "cleanup") is None


@pytest.mark.parametrize("role", ["server", "client"])
def test_only_administrators_get_in(site, role):
    add_person(site.context)
    site.browser.get("/logout").forms["logout"].submit()
    form = site.browser.get("/login").forms["login"]
    form["username"], form["password"] = "ada", "correct horse battery"
    form.submit(status=303)

    site.page(f"/admin/{role}/tasks", status=403)
    site.browser.post(f"/admin/{role}/tasks/cleanup/run", status=403)
    assert row(site, "cleanup") is None
