"""What the tasks do on a site, run by Celery's own eager mode: no broker, no worker."""

from __future__ import annotations

import inspect

import pytest
from celery import Celery, current_app
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from support.peers import PlayedPeer, add_server
from support.sites import NOW
from support.webapp import app_context, make_app

from tconnect_pyramid.client.sync import lease
from tconnect_pyramid.client.sync.engine import KINDS
from tconnect_pyramid.errors import ConfigurationProblem, PeerError, SyncBusy
from tconnect_pyramid.models import Account, Notice, Run, Server, SignIn, SignInRequest
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol.jsend import Success
from tconnect_pyramid.secretbox import new_token
from tconnect_pyramid.tasks import TASKS, app
from tconnect_pyramid.tasks.glue import make_app as make_tasks
from tconnect_pyramid.tasks.jobs import JOBS
from tconnect_pyramid.tasks.record import task_request

DOWN = "http://down.example"


def answer(url, form):
    if url.startswith(DOWN):
        return PeerError("POST", url, "connect", "connection refused")
    if form["service"] == "get_api_version":
        return Success({"minapiversion": 1, "maxapiversion": 2})
    if form["service"] == "delete_client":
        return Success([])
    lists = ("users", "cohort", "course", "frameworks", "positions", "organisations")
    return Success({name: [] for name in lists})


class Site:
    """A site whose servers are played, and its tasks."""

    def __init__(self, database_url) -> None:
        self.peer = PlayedPeer(answer)
        self.app = make_app(database_url, transport=self.peer)
        self.context = app_context(self.app)
        self.peer.check_idle = self.context.database.assert_idle
        self.tasks = make_tasks()
        self.tasks.config_from_object({"task_always_eager": True})
        self.tasks.registry = self.app.registry

    def enable_client(self) -> None:
        with self.context.unit() as session:
            set_option(session, self.context.settings, "client.enabled", "true", NOW)

    def add_server(self, url="http://up.example", **more) -> int:
        return add_server(self.context, url=url, idnumber=new_token(), client_idnumber=new_token(), **more)

    def run(self, name, **kwargs):
        return self.tasks.tasks[f"tconnect.{name}"].apply(kwargs=kwargs)

    def all(self, statement):
        with self.context.reading() as session:
            return session.scalars(statement).all()


@pytest.fixture
def site(make_sqlite):
    site = Site(make_sqlite())
    yield site
    site.context.database.engine.dispose()


def test_every_task_of_the_table_is_registered_and_does_what_the_table_says_it_takes():
    assert {info.name for info in TASKS} == JOBS.keys()
    for info in TASKS:
        assert info.task in app.tasks
        assert ("servers" in inspect.signature(JOBS[info.name]).parameters) is info.per_server


def test_a_hosts_own_celery_application_is_left_alone():
    assert current_app._get_current_object() is not app
    assert not [name for name in Celery("host", set_as_current=False).tasks if name.startswith("tconnect.")]


def test_the_application_is_empty_until_an_ini_fills_it():
    assert app.registry is None
    with pytest.raises(ConfigurationProblem, match="--ini"):
        make_tasks().tasks["tconnect.cleanup"].apply().get()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sync_runs_with_every_active_server_and_is_recorded_as_scheduled(site, kind):
    site.enable_client()
    first, second = site.add_server(), site.add_server(url=DOWN)
    site.add_server(state="leaving")

    assert site.run(kind).state == "SUCCESS"

    runs = {run.server_id: run for run in site.all(select(Run))}
    assert {server_id: run.state for server_id, run in runs.items()} == {first: "done", second: "failed"}
    assert {(run.kind, run.origin) for run in runs.values()} == {(kind, "schedule")}


def test_a_sync_of_some_servers_leaves_the_others_alone(site):
    site.enable_client()
    site.add_server()
    wanted = site.add_server()

    site.run("users", servers=[wanted])

    assert [run.server_id for run in site.all(select(Run))] == [wanted]


@pytest.mark.parametrize("kind", ["positions", "organisations"])
def test_what_is_off_or_unknown_to_a_server_is_passed_over_without_a_word(site, caplog, kind):
    site.enable_client()
    site.add_server(apiversion=1, name="Old")
    new = site.add_server(name="New")

    assert site.run(kind).get() == "New: done"
    assert [run.server_id for run in site.all(select(Run))] == [new]

    with site.context.unit() as session:
        set_option(session, site.context.settings, f"client.sync_{kind}", "false", NOW)
    caplog.clear()
    assert site.run(kind).get() == "nothing to do"
    assert (site.peer.services, caplog.messages) == ([f"get_{kind}"], [])


@pytest.mark.parametrize("name", ["handshake", *KINDS])
def test_no_server_is_called_while_the_client_role_is_off(site, name):
    site.add_server()

    assert site.run(name).get() == "nothing to do"
    assert site.peer.calls == []


def test_only_a_server_with_which_another_run_is_under_way_is_tried_again(site):
    site.enable_client()
    free, busy = site.add_server(), site.add_server()

    with lease.held(site.context, f"server:{busy}", "a test"):
        result = site.run("users")

    # Eager retries follow one another at once, until the hour's are used up.
    assert isinstance(result.result, SyncBusy)
    assert [run.server_id for run in site.all(select(Run))] == [free]


def test_a_handshake_with_a_server_that_is_down_does_not_keep_the_others_from_theirs(site):
    site.enable_client()
    site.add_server(url=DOWN, name="Sleeper")
    site.add_server(name="Early bird")

    assert site.run("handshake").get() == "Sleeper: failed; Early bird: version 2"


def test_cleaning_up_removes_what_both_roles_and_the_sign_ins_left(site):
    site.enable_client()
    server_id = site.add_server()
    with site.context.unit() as session:
        session.add(
            SignInRequest(
                token_hash="a" * 64,
                token=b"",
                server_id=server_id,
                browser_hash="b" * 64,
                wanted="/",
                timecreated=NOW - 3601,
            )
        )
        session.add(
            SignIn(
                browser_hash="c" * 64, account_key=1, timecreated=0, last_seen=0, ended=0, end_reason="logout"
            )
        )

    assert site.run("cleanup").state == "SUCCESS"

    assert site.all(select(SignInRequest)) == []
    assert site.all(select(SignIn)) == []


def test_cleaning_up_asks_servers_again_that_have_not_let_this_site_go(site):
    site.add_server(state="leaving", url="http://old.example")
    deaf = site.add_server(state="leaving", url=DOWN)
    active = site.add_server()

    assert site.run("cleanup").state == "SUCCESS"

    assert site.peer.services == ["delete_client", "delete_client"]
    assert [url.partition("/totara")[0] for url, _ in site.peer.calls] == ["http://old.example", DOWN]
    assert site.all(select(Server.id).order_by(Server.id)) == [deaf, active]


def test_sign_ins_that_have_timed_out_are_ended(site):
    with site.context.unit() as session:
        session.add(SignIn(browser_hash="c" * 64, account_key=1, timecreated=0, last_seen=0))

    site.run("sessions")

    assert [row.end_reason for row in site.all(select(SignIn))] == ["timeout"]


def test_notices_that_are_due_are_sent(site):
    server_id = site.add_server()
    with site.context.unit() as session:
        session.add(
            Notice(
                role="server",
                peer_id=server_id,
                service="force_sso_logout",
                parameters=site.context.box.seal('[["ssotoken", "%s"]]' % ("d" * 40)),
                timecreated=NOW,
                due=NOW,
            )
        )

    assert site.run("outbox").get() == "1 confirmed, 0 failed"
    assert site.all(select(Notice)) == []


def test_the_request_of_a_task_commits_on_leaving_and_rolls_back_on_an_error(site):
    accounts = select(func.count()).select_from(Account)
    with task_request(site.app.registry) as request:
        request.dbsession.add(Account(username="kept"))
        assert request.application_url == site.context.settings.site_url
    with pytest.raises(IntegrityError), task_request(site.app.registry) as request:
        request.dbsession.add_all([Account(username="lost"), Account(username="kept")])

    assert site.all(accounts) == [1]
    site.context.database.assert_idle()
