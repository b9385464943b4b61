"""Registering, changing and removing clients."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import pytest
from sqlalchemy import event, func, select
from support import sites
from support.http_peer import answering, http_peer, reply
from support.server_site import ORGANISATIONS, POSITIONS, statements

from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound, PeerError
from tconnect_pyramid.models import (
    AuditEntry,
    Base,
    Client,
    ClientAudience,
    ClientCourse,
    ClientOrganisationFramework,
    ClientPositionFramework,
    ClientSession,
    Notice,
)
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server import clients, services
from tconnect_pyramid.server.clients import ClientWishes
from tconnect_pyramid.transport import HttpTransport

ATTACHED = (ClientAudience, ClientCourse, ClientPositionFramework, ClientOrganisationFramework)
URL = "http://new.example/site"
SUCCESS = {"status": "success", "data": []}


class NewClient:
    """A client site that waits for its server: the transport to it, and its half of protocol 3.3."""

    def __init__(self, *, version: str = "2") -> None:
        self.setup_secret = new_token()
        self.version = version
        self.server: dict[str, str] = {}
        self.context = None
        self.replies: list[dict] = []

    def post(self, url, form, *, timeout, limit):
        self.context.database.assert_idle()
        assert url == f"{URL}/auth/connect/sep_setup.php"
        return BytesIO(json.dumps(self.set_up(dict(form))).encode())

    def set_up(self, form: dict[str, str]) -> dict:
        if form["setupsecret"] != self.setup_secret:
            return {"status": "error", "message": "invalid setup secret"}
        self.server = form
        answer = self.call("update_api_version", apiversion=self.version, clienttype="totarasocial")
        if answer["status"] != "success":
            self.server = {}
            return answer
        self.replies = [self.call("get_users")]
        return SUCCESS

    def call(self, service: str, **parameters: str) -> dict:
        form = {
            "serveridnumber": self.server["serveridnumber"],
            "serversecret": self.server["serversecret"],
            "service": service,
            **parameters,
        }
        answer = services.answer(self.context, form)
        if isinstance(answer, bytes):
            return json.loads(answer)
        with answer:
            return json.loads(answer.read())


@pytest.fixture
def new_client(server):
    client = NewClient()
    server.context = client.context = replace(server.context, transport=client)
    return client


def register(server, new_client, *, timeout=5.0, **wishes):
    return clients.register_client(
        server.context,
        ClientWishes(**{"name": "New", "url": URL, **wishes}),
        new_client.setup_secret,
        actor="command",
        timeout=timeout,
    )


def use_http(server) -> None:
    transport = HttpTransport(
        private_networks=server.context.settings.private_networks,
        allow_http=True,
        check_idle=server.context.database.assert_idle,
    )
    server.context = replace(server.context, transport=transport)


def rows(server) -> dict[str, int]:
    """How many rows each table has."""
    with server.context.reading() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table))
            for table in Base.metadata.sorted_tables
        }


def test_a_client_is_registered_while_it_calls_back(server, new_client):
    audience, course = server.add_audience(server.add_person()), server.add_course()
    server.add_framework(POSITIONS)
    positions, organisations = server.add_framework(POSITIONS), server.add_framework(ORGANISATIONS)

    view = register(
        server,
        new_client,
        name="  New client ",
        url=f"{URL}/",
        restrict_audience_id=audience,
        audiences=(audience, audience),
        courses=(course,),
        add_new_courses=True,
        position_frameworks=(positions, positions),
        organisation_frameworks=(organisations,),
        profile_fields=False,
        jobs=False,
        plugin_services=True,
        comment="ours",
    )

    assert (view.state, view.name, view.url) == ("active", "New client", URL)
    assert (view.apiversion, view.clienttype) == (2, "totarasocial")
    assert (view.restrict_to, view.audiences, view.courses) == (audience, (audience,), (course,))
    assert (view.add_new_audiences, view.add_new_courses, view.comment) == (False, True, "ours")
    assert (view.position_frameworks, view.organisation_frameworks) == ((positions,), (organisations,))
    assert (view.profile_fields, view.jobs, view.plugin_services) == (False, False, True)
    assert new_client.replies == [{"status": "error", "message": "connect client is not active"}]
    assert new_client.call("get_users")["status"] == "success"
    with server.context.reading() as session:
        assert (
            clients.find_client(session, view.idnumber) == clients.find_client(session, str(view.id)) == view
        )
        assert clients.list_clients(session) == [view]
        row = session.get_one(Client, view.id)
        (entry,) = session.query(AuditEntry).all()
    assert server.context.box.open(row.client_secret) == new_client.server["clientsecret"]
    assert row.server_secret_hash == digest(new_client.server["serversecret"])
    assert (entry.actor, entry.action, entry.subject) == ("command", "client.add", view.idnumber)
    assert list(new_client.server)[1:5] == ["serveridnumber", "serversecret", "serverurl", "servername"]
    assert new_client.server["serverurl"] == "http://server.example"
    assert new_client.server["clientidnumber"] == view.idnumber


def refusing(message: str):
    return lambda client: setattr(client, "set_up", lambda form: {"status": "error", "message": message})


def breaking(error: BaseException):
    def break_(client):
        def post(*args, **named):
            raise error

        client.post = post

    return break_


def forgetful(client):
    client.setup_secret = new_token()
    client.set_up = lambda form: {"status": "error", "message": "invalid setup secret"}


@pytest.mark.parametrize(
    ("go_wrong", "error", "words"),
    [
        (forgetful, InvalidInput, "new connection request"),
        (refusing("api version not supported"), Conflict, "no version of the protocol"),
        (refusing("dupplicate server idnumber"), Conflict, "connected to this server already"),
        (refusing("dupplicate client idnumber"), Conflict, "try again"),
        (refusing("out of order"), Conflict, "The client refused: out of order"),
        (lambda client: setattr(client, "version", "9"), Conflict, "apiversion: unsupported"),
        (breaking(PeerError("POST", URL, "tls", "not trusted")), PeerError, "not trusted$"),
        (breaking(KeyboardInterrupt("stop")), KeyboardInterrupt, "stop"),
        (breaking(SystemExit(3)), SystemExit, "3"),
        (breaking(ValueError("bug")), ValueError, "bug"),
    ],
    ids=[
        "setup secret",
        "version",
        "server known",
        "client known",
        "other words",
        "call-back",
        "peer error",
        "interrupt",
        "exit",
        "bug",
    ],
)
def test_a_failed_registration_leaves_no_trace(server, new_client, go_wrong, error, words):
    audience, course = server.add_audience(), server.add_course()
    go_wrong(new_client)
    frameworks = (server.add_framework(ORGANISATIONS),)
    before = rows(server)

    with pytest.raises(error, match=words):
        register(
            server, new_client, audiences=(audience,), courses=(course,), organisation_frameworks=frameworks
        )

    assert rows(server) == before


def test_a_registration_can_be_tried_again(server, new_client):
    new_client.version = "9"
    with pytest.raises(Conflict):
        register(server, new_client)
    new_client.version = "1"

    assert register(server, new_client).apiversion == 1


def test_a_registration_that_was_cleaned_up_meanwhile_is_not_revived(server, new_client):
    def set_up(form):
        with server.context.unit() as session:
            clients.forget(session, [row.id for row in session.query(Client)])
        return SUCCESS

    new_client.set_up = set_up

    with pytest.raises(Conflict, match="cleaned up"):
        register(server, new_client)

    assert rows(server)["tconnect_client"] == 0


@pytest.mark.parametrize(
    ("wishes", "error", "field"),
    [
        ({"name": "  "}, InvalidInput, "name"),
        ({"name": "x" * 256}, InvalidInput, "name"),
        ({"url": ""}, InvalidInput, "url"),
        ({"url": "ftp://new.example"}, InvalidInput, "url"),
        ({"url": "http://user:word@new.example"}, InvalidInput, "url"),
        ({"url": "http://new.example/?a=b"}, InvalidInput, "url"),
        ({"url": "http://new_host.example"}, InvalidInput, "url"),
        ({"url": "http://nëw.example"}, InvalidInput, "url"),
        ({"url": "http://new.example/" + "x" * 240}, InvalidInput, "url"),
        ({"url": "http://SERVER.example:80/"}, Conflict, None),
        ({"url": "http://client.example:80"}, Conflict, None),
        ({"url": "http://half.example"}, Conflict, None),
        ({"restrict_audience_id": 99}, InvalidInput, "restrict_to"),
        ({"audiences": (99,)}, InvalidInput, "audiences"),
        ({"courses": (99,)}, InvalidInput, "courses"),
        ({"position_frameworks": (99,)}, InvalidInput, "position_frameworks"),
        ({"organisation_frameworks": (99,)}, InvalidInput, "organisation_frameworks"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused_before_anybody_is_called(server, new_client, wishes, error, field):
    for url, state in (("http://client.example", "active"), ("http://half.example", "registering")):
        client = server.add_client(state=state)
        with server.context.unit() as session:
            session.get_one(Client, client.id).url = url
    new_client.post = None
    before = rows(server)

    with pytest.raises(error) as raised:
        register(server, new_client, **wishes)

    assert getattr(raised.value, "field", None) == field
    assert "word" not in str(raised.value)
    assert rows(server) == before


@pytest.mark.parametrize("setup_secret", ["", "abc", "A" * 40, "g" * 40])
def test_a_setup_secret_that_is_none_is_refused_before_anybody_is_called(server, new_client, setup_secret):
    new_client.post, new_client.setup_secret = None, setup_secret

    with pytest.raises(InvalidInput, match="40 characters"):
        register(server, new_client)


def test_a_site_that_is_no_server_registers_nobody(server, new_client):
    server.option("server.enabled", "false")

    with pytest.raises(Conflict, match="tconnect server enable"):
        register(server, new_client)


def test_a_url_is_free_again_when_its_client_has_left(server, new_client):
    register(server, new_client)
    new_client.call("delete_client")

    assert register(server, new_client).state == "active"
    with server.context.reading() as session:
        assert [view.state for view in clients.list_clients(session, deleted=True)] == ["deleted", "active"]


def test_http_is_refused_unless_allowed(make_sqlite):
    with sites.context(make_sqlite(), options=[("server.enabled", "true")]) as context:
        strict = replace(context, settings=replace(context.settings, allow_http=False))

        with pytest.raises(InvalidInput, match=r"tconnect\.network\.allow_http"):
            clients.register_client(strict, ClientWishes("New", URL), new_token(), actor="command", timeout=1)


def test_of_two_registrations_of_one_url_at_once_one_succeeds(server, new_client):
    both_looked = threading.Barrier(2)

    @event.listens_for(server.context.database.engine, "after_cursor_execute")
    def meet(connection, cursor, statement, *_):
        if statement.startswith("SELECT tconnect_client.id, tconnect_client.url"):
            # Whoever is kept from looking while the other is about to write never comes here in time.
            with suppress(threading.BrokenBarrierError):
                both_looked.wait(0.5)

    def attempt(_):
        try:
            return register(server, new_client).state
        except Conflict as conflict:
            return "already" if "already" in str(conflict) else str(conflict)

    with ThreadPoolExecutor(max_workers=2) as pool:
        assert sorted(pool.map(attempt, range(2))) == ["active", "already"]


def test_a_client_that_never_answers_fails_in_time_and_says_what_to_do(server):
    use_http(server)
    before = rows(server)
    with http_peer(lambda conversation: conversation.wait()) as peer:
        started = time.monotonic()
        with pytest.raises(PeerError, match="one request at a time") as raised:
            register(server, NewClient(), url=f"http://127.0.0.1:{peer.port}", timeout=0.5)

    assert time.monotonic() - started < 5
    assert raised.value.layer == "timeout"
    assert "tconnect server client add" in str(raised.value)
    assert rows(server) == before


def test_an_answer_that_is_no_answer_is_the_peers_error(server):
    use_http(server)
    with (
        http_peer(answering(reply(b"<html>"))) as peer,
        pytest.raises(PeerError, match="HTML") as raised,
    ):
        register(server, NewClient(), url=f"http://127.0.0.1:{peer.port}")

    assert raised.value.layer == "json"
    assert rows(server)["tconnect_client"] == 0


# --- changing and removing ------------------------------------------------------------------------


def wishes_of(view: clients.ClientView, **changes) -> ClientWishes:
    same = {
        name: getattr(view, "restrict_to" if name == "restrict_audience_id" else name)
        for name in ClientWishes.__slots__
    }
    return ClientWishes(**{**same, **changes})


def test_options_of_a_client_can_be_changed(server):
    old, new = server.add_audience(), server.add_audience()
    client = server.add_client(audiences=[old], restrict_audience_id=old)
    server.clock.tick(5)

    with server.context.unit() as session:
        view = clients.find_client(session, client.idnumber)
        wishes = wishes_of(view, name="Renamed", audiences=(new,), restrict_audience_id=None)
        changed = clients.edit_client(session, server.context, client.id, wishes, actor="page")

    with server.context.reading() as session:
        assert clients.find_client(session, client.idnumber) == changed
        (entry,) = session.query(AuditEntry).all()
    assert (changed.name, changed.audiences, changed.restrict_to) == ("Renamed", (new,), None)
    assert (changed.url, changed.timecreated) == (view.url, view.timecreated)
    assert (entry.action, entry.detail) == ("client.edit", {"changed": ["name", "restrict_to", "audiences"]})


def test_what_is_sent_to_a_client_can_be_changed_and_each_change_is_noted(server):
    positions, others = server.add_framework(POSITIONS), server.add_framework(POSITIONS)
    organisations = server.add_framework(ORGANISATIONS)
    client = server.add_client(position_frameworks=[positions], organisation_frameworks=[organisations])
    bystander = server.add_client(position_frameworks=[positions])
    with server.context.reading() as session:
        view, untouched = clients.list_clients(session)
    assert (view.profile_fields, view.jobs, view.plugin_services) == (True, True, False)

    with server.context.unit() as session:
        wishes = wishes_of(
            view,
            profile_fields=False,
            jobs=False,
            plugin_services=True,
            position_frameworks=(others, positions),
            organisation_frameworks=(),
        )
        clients.edit_client(session, server.context, client.id, wishes, actor="page")

    with server.context.reading() as session:
        changed, other = clients.list_clients(session)
        (entry,) = session.query(AuditEntry).all()
    assert (changed.position_frameworks, changed.organisation_frameworks) == ((positions, others), ())
    assert (changed.profile_fields, changed.jobs, changed.plugin_services) == (False, False, True)
    assert (other, other.id) == (untouched, bystander.id)
    assert set(entry.detail["changed"]) == {
        "profile_fields",
        "jobs",
        "plugin_services",
        "position_frameworks",
        "organisation_frameworks",
    }


def test_a_list_of_clients_costs_the_same_for_any_number(server):
    audience = server.add_audience()
    numbers = []
    for _ in range(2):
        for _ in range(5):
            server.add_client(audiences=[audience])
        with statements(server.context) as made, server.context.reading() as session:
            clients.list_clients(session)
        numbers.append(len(made))

    assert numbers[0] == numbers[1] <= 5


def test_a_client_cannot_be_given_the_url_of_another(server):
    client, other = server.add_client(), server.add_client()

    with server.context.unit() as session:
        wishes = wishes_of(clients.find_client(session, str(client.id)), url=other.url)
        with pytest.raises(Conflict, match=other.url):
            clients.edit_client(session, server.context, client.id, wishes, actor="page")


@pytest.mark.parametrize("who", ["", "99", "abc", "9" * 30, "²"])
def test_an_unknown_client_is_not_found(server, who):
    with server.context.reading() as session, pytest.raises(NotFound, match="server client list"):
        clients.find_client(session, who)


@pytest.mark.parametrize("state", ["registering", "deleted"])
def test_only_an_active_client_can_be_changed_or_removed(server, state):
    client = server.add_client(state=state)

    with server.context.unit() as session:
        wishes = wishes_of(clients.find_client(session, str(client.id)))
        with pytest.raises(Conflict, match=state):
            clients.edit_client(session, server.context, client.id, wishes, actor="page")
    with pytest.raises(Conflict, match=state):
        clients.remove_client(server.context, client.id, actor="page")
    with pytest.raises(NotFound):
        clients.remove_client(server.context, client.id + 1, actor="page")


@pytest.mark.parametrize("down", [False, True])
def test_removing_a_client_signs_everybody_out_there(server, down):
    client = server.add_client(
        audiences=[server.add_audience()],
        courses=[server.add_course()],
        position_frameworks=[server.add_framework(POSITIONS)],
        organisation_frameworks=[server.add_framework(ORGANISATIONS)],
    )
    other = server.add_client()
    people = [server.sign_in(server.add_person()) for _ in range(60)]
    for signed_in in people:
        server.open_session(signed_in, client)
    kept = server.open_session(people[0], other)
    client.down = down

    clients.remove_client(server.context, client.id, actor="command")

    assert bool(client.sessions) == down
    assert other.sessions == {kept}
    assert server.call(client, "get_users") == {"status": "error", "message": "connect client is not active"}
    with server.context.reading() as session:
        assert session.query(ClientSession.client_id).all() == [(other.id,)]
        assert session.query(Notice).count() == 0
        for table in ATTACHED:
            assert session.query(table).count() == 0
        (entry,) = session.query(AuditEntry).all()
    assert (entry.action, entry.detail["untold"]) == ("client.remove", 60 if down else 0)


def test_the_server_role_is_switched_on_and_off(server):
    client = server.add_client()
    with server.context.unit() as session:
        clients.enable(session, server.context, False, actor="command")
    off = server.call(client, "get_users")
    with server.context.unit() as session:
        clients.enable(session, server.context, True, actor="command")

    assert off == {"status": "error", "message": "connect server not enabled"}
    assert server.call(client, "get_users")["status"] == "success"
    with server.context.reading() as session:
        assert [entry.action for entry in session.query(AuditEntry).order_by(AuditEntry.id)] == [
            "server.disable",
            "server.enable",
        ]
