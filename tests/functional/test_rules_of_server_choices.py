"""The rules of the protocol's page for what a server's administrator chooses for a client: section 8.

Each row is one choice: what the client is answered before it and after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import CliRunner
from support import lists, server_by_http
from support.server_by_http import DATABASES, OFF, ON, ServerByHttp, error, table
from support.server_site import ORGANISATIONS, POSITIONS, ClientSite
from support.sites import ini

from tconnect_pyramid.cli import main
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import audiences, courses, hierarchies, hierarchy_frameworks
from tconnect_pyramid.models import AudienceMember
from tconnect_pyramid.secretbox import new_token

HASH = "$2y$10$BXwucLKzdxUO7Qj5P6i5PuCY7ohGrHlDZJ0nGJeHoOOTB255XtsS2"


@pytest.fixture(scope="module", params=DATABASES)
def server(request, tmp_path_factory):
    with server_by_http.running(request.param, tmp_path_factory.mktemp("server")) as made:
        made.option("client.enabled", ON)
        made.far = lists.connect(made.context)
        yield made


@pytest.fixture
def tconnect(server, tmp_path):
    """The command on the server's database; gives what it prints."""
    settings = {**ini(server_by_http.URL), "sqlalchemy.url": server.database_url}
    lines = [f"{name} = {value.replace('%', '%%')}" for name, value in settings.items()]
    file = tmp_path / "site.ini"
    file.write_text("\n".join(["[app:main]", "use = egg:tconnect_pyramid", *lines, ""]), encoding="utf-8")

    def run(*words: object) -> None:
        result = CliRunner().invoke(main, ["-c", str(file), *map(str, words)], catch_exceptions=False)
        assert result.exit_code == 0, result.output

    return run


# --- each choice ------------------------------------------------------------------------------------------


class Place:
    """One of everything, and two people: `inside` an audience and `outside`; both belong to everything else."""

    def __init__(self, server: ServerByHttp) -> None:
        self.server = server
        self.inside, self.outside = server.add_person(password=HASH), server.add_person(password=HASH)
        self.names = {self.inside: "inside", self.outside: "outside"}
        self.audience = server.add_audience(self.inside)
        self.all = server.add_audience(self.inside, self.outside)
        self.course = server.add_course(self.inside, self.outside)
        self.position, self.organisation = (server.add_framework(it) for it in (POSITIONS, ORGANISATIONS))
        field_id = server.add_field(new_token())
        for key in self.names:
            server.set_value(key, field_id, "x")
            server.add_job(key)
        self.client = server.add_client()

    def people(self) -> list[str]:
        records = self.server.users(self.client)
        return [self.names[int(it["id"])] for it in records if int(it["id"]) in self.names]

    def members(self) -> dict[str, list[list[str]]]:
        data = self.server.data(self.client, "get_user_collections")
        return {
            kind: [[self.names[int(member["id"])] for member in it["members"]] for it in records]
            for kind, records in data.items()
        }

    def frameworks(self, kind: str) -> list[str]:
        return [it["id"] for it in self.server.data(self.client, f"get_{kind}")["frameworks"]]

    def asks(self, key: str) -> list[object]:
        """What three services say in this key of a person's record."""
        token = self.server.ssotoken(self.server.sign_in(self.inside), self.client)
        records = [
            self.server.listed(self.client, self.inside),
            self.server.user(self.client, self.inside),
            self.server.data(self.client, "get_sso_user", ssotoken=token),
        ]
        return [None if record[key] is None else "sent" for record in records]


@dataclass(frozen=True)
class Choice:
    says: str
    chosen: Callable[[Place], dict[str, Any]]
    asks: Callable[[Place], object]
    before: object
    after: Callable[[Place], object]
    first: Callable[[Place], dict[str, Any]] = field(default=lambda _: {})


@table(
    Choice(
        "8 restrict to audience: affects users",
        lambda it: {"restrict_audience_id": it.audience},
        Place.people,
        ["inside", "outside"],
        lambda _: ["inside"],
    ),
    Choice(
        "8 restrict to audience: and the members of every collection",
        lambda it: {"restrict_audience_id": it.audience},
        Place.members,
        {"cohort": [["inside"], ["inside", "outside"]], "course": [["inside", "outside"]]},
        lambda _: {"cohort": [["inside"], ["inside"]], "course": [["inside"]]},
        first=lambda it: {"audiences": (it.audience, it.all), "courses": (it.course,)},
    ),
    Choice(
        "8 restrict to audience: taken back",
        lambda _: {"restrict_audience_id": None},
        Place.people,
        ["inside"],
        lambda _: ["inside", "outside"],
        first=lambda it: {"restrict_audience_id": it.audience},
    ),
    Choice(
        "8 synchronised audiences",
        lambda it: {"audiences": (it.all,)},
        Place.members,
        {"cohort": [], "course": []},
        lambda _: {"cohort": [["inside", "outside"]], "course": []},
    ),
    Choice(
        "8 synchronised audiences: taken back",
        lambda _: {"audiences": ()},
        Place.members,
        {"cohort": [["inside", "outside"]], "course": []},
        lambda _: {"cohort": [], "course": []},
        first=lambda it: {"audiences": (it.all,)},
    ),
    Choice(
        "8 synchronised courses",
        lambda it: {"courses": (it.course,)},
        Place.members,
        {"cohort": [], "course": []},
        lambda _: {"cohort": [], "course": [["inside", "outside"]]},
    ),
    Choice(
        "8 add new audiences and courses: not those that are there",
        lambda _: {"add_new_audiences": True, "add_new_courses": True},
        Place.members,
        {"cohort": [], "course": []},
        lambda _: {"cohort": [], "course": []},
    ),
    Choice(
        "8 and 6 send custom profile fields: null when they are not",
        lambda _: {"profile_fields": False},
        lambda it: it.asks("profile_fields"),
        ["sent", "sent", "sent"],
        lambda _: [None, None, None],
    ),
    Choice(
        "8 send custom profile fields: jobs are another choice",
        lambda _: {"profile_fields": False},
        lambda it: it.asks("jobs"),
        ["sent", "sent", "sent"],
        lambda _: ["sent", "sent", "sent"],
    ),
    Choice(
        "8 and 6 send job assignments: null when they are not",
        lambda _: {"jobs": False},
        lambda it: it.asks("jobs"),
        ["sent", "sent", "sent"],
        lambda _: [None, None, None],
    ),
    Choice(
        "8 position frameworks",
        lambda it: {"position_frameworks": (it.position,)},
        lambda it: it.frameworks("positions"),
        [],
        lambda it: [str(it.position)],
    ),
    Choice(
        "8 position frameworks: organisations are another choice",
        lambda it: {"position_frameworks": (it.position,)},
        lambda it: it.frameworks("organisations"),
        [],
        lambda _: [],
    ),
    Choice(
        "8 organisation frameworks",
        lambda it: {"organisation_frameworks": (it.organisation,)},
        lambda it: it.frameworks("organisations"),
        [],
        lambda it: [str(it.organisation)],
    ),
    Choice(
        "8 allow plugin services",
        lambda _: {"plugin_services": True},
        lambda it: it.server.call(it.client, "echo", component="local_shop")["status"],
        "error",
        lambda _: "success",
    ),
    Choice(
        "8 name and comment change nothing",
        lambda _: {"name": "Another name", "comment": "A <b>comment</b>"},
        Place.people,
        ["inside", "outside"],
        lambda _: ["inside", "outside"],
    ),
)
def test_a_choice(server, row):
    place = Place(server)
    server.choose(place.client, **row.first(place))

    assert row.asks(place) == row.before
    server.choose(place.client, **row.chosen(place))
    assert row.asks(place) == row.after(place)


def test_8_the_client_is_called_at_its_new_url(server):
    place = Place(server)
    signed_in = server.sign_in(place.inside)
    token = server.open_session(signed_in, place.client)
    moved = ClientSite(f"http://moved{place.client.id}.example", sessions={token})
    server.peers.sites[moved.url] = moved

    server.choose(place.client, url=moved.url)
    server.call(place.client, "force_sso_logout", ssotoken=token)

    assert (place.client.sessions, moved.sessions) == ({token}, set())


# --- later ones are added by themselves -----------------------------------------------------------------


def _by_hand(server, tconnect, kind, name):
    if kind == "cohort":
        server.do(audiences.add_audience, name=name)
    else:
        server.do(courses.add_course, fullname=name)


def _by_command(server, tconnect, kind, name):
    tconnect("audience" if kind == "cohort" else "course", "add", name)


def _by_sync(server, tconnect, kind, name):
    """The site is a client itself: an audience that its server begins to send, made of either kind there."""
    above = server.peers.above
    {"cohort": above.cohorts, "course": above.courses}[kind].append(
        lists.cohort(len(above.cohorts) + 1, name=name)
        if kind == "cohort"
        else lists.course(len(above.courses) + 1, fullname=name)
    )
    assert run_sync(server.context, "collections", server.far).state == "done"


@dataclass(frozen=True)
class New:
    """Something is made in this way, of this kind over there; it comes here as `comes_as` and needs `switch`."""

    says: str
    make: Callable[..., None]
    made: str
    comes_as: str
    switch: str


SWITCHES = ("add_new_audiences", "add_new_courses")


@table(
    New("8 add new audiences: made by hand", _by_hand, "cohort", "cohort", "add_new_audiences"),
    New("8 add new audiences: made by the command", _by_command, "cohort", "cohort", "add_new_audiences"),
    New("8 add new audiences: made by a sync", _by_sync, "cohort", "cohort", "add_new_audiences"),
    New("8 add new audiences: made by a sync of a course", _by_sync, "course", "cohort", "add_new_audiences"),
    New("8 add new courses: made by hand", _by_hand, "course", "course", "add_new_courses"),
    New("8 add new courses: made by the command", _by_command, "course", "course", "add_new_courses"),
)
def test_each_later_one_is_added(server, tconnect, row):
    """For clients that get each new one, and only for these: not the other kind's, not one that has left."""
    (other_switch,) = set(SWITCHES) - {row.switch}
    getting = server.add_client(**{row.switch: True})
    both = server.add_client(add_new_audiences=True, add_new_courses=True)
    neither, other = server.add_client(), server.add_client(**{other_switch: True})
    gone = server.add_client(add_new_audiences=True, add_new_courses=True)
    server.call(gone, "delete_client")
    before = {client.id: sent(server, client) for client in (getting, both, neither, other)}
    name = f"New {new_token()}"

    row.make(server, tconnect, row.made, name)

    getters = {getting.id, both.id}
    for client in (getting, both, neither, other):
        now = sent(server, client)
        new = {kind: [it for it in names if it not in before[client.id][kind]] for kind, names in now.items()}
        added = {row.comes_as: [name]} if client.id in getters else {}
        assert new == {"cohort": [], "course": [], **added}
    assert (server.view(gone).audiences, server.view(gone).courses) == ((), ())


def sent(server, client) -> dict[str, list[str]]:
    data = server.data(client, "get_user_collections")
    return {
        "cohort": [it["name"] for it in data["cohort"]],
        "course": [it["fullname"] for it in data["course"]],
    }


def test_8_new_audiences_are_added_with_members_inside_the_restriction(server):
    place = Place(server)
    server.choose(place.client, add_new_audiences=True, restrict_audience_id=place.audience)

    made = server.do(audiences.add_audience, name=new_token()).id
    server.do(audiences.add_members, made, [place.inside, place.outside])

    assert place.members() == {"cohort": [["inside"]], "course": []}


# --- what was chosen is removed ---------------------------------------------------------------------------


def _audience_by_hand(place, tconnect):
    place.server.do(audiences.delete_audience, place.audience)


def _audience_by_command(place, tconnect):
    tconnect("audience", "delete", place.audience)


def _course_by_hand(place, tconnect):
    place.server.do(courses.delete_course, place.course)


def _course_by_command(place, tconnect):
    tconnect("course", "delete", place.course)


def _framework_by_hand(place, tconnect):
    place.server.do(hierarchy_frameworks.delete_framework, hierarchies.POSITIONS, place.position)


def _framework_by_command(place, tconnect):
    tconnect("position", "delete-framework", place.position)


@dataclass(frozen=True)
class Removed:
    says: str
    remove: Callable[..., None]
    asks: Callable[[Place], object]
    after: object


@table(
    Removed(
        "5 a chosen audience is removed by hand",
        _audience_by_hand,
        Place.members,
        {"cohort": [["inside", "outside"]], "course": [["inside", "outside"]]},
    ),
    Removed(
        "5 a chosen audience is removed by the command",
        _audience_by_command,
        Place.members,
        {"cohort": [["inside", "outside"]], "course": [["inside", "outside"]]},
    ),
    Removed(
        "5 a chosen course is removed by hand",
        _course_by_hand,
        Place.members,
        {"cohort": [["inside"], ["inside", "outside"]], "course": []},
    ),
    Removed(
        "5 a chosen course is removed by the command",
        _course_by_command,
        Place.members,
        {"cohort": [["inside"], ["inside", "outside"]], "course": []},
    ),
    Removed(
        "5 a chosen framework is removed by hand",
        _framework_by_hand,
        lambda it: it.frameworks("positions"),
        [],
    ),
    Removed(
        "5 a chosen framework is removed by the command",
        _framework_by_command,
        lambda it: it.frameworks("positions"),
        [],
    ),
)
def test_what_was_chosen_is_removed(server, tconnect, row):
    # Another framework stays, as a site without any answers otherwise.
    server.add_framework(POSITIONS)
    place = Place(server)
    server.choose(
        place.client,
        audiences=(place.audience, place.all),
        courses=(place.course,),
        position_frameworks=(place.position,),
    )

    row.remove(place, tconnect)

    assert row.asks(place) == row.after
    # And what is left can still be chosen.
    server.choose(place.client, comment="still there")


@pytest.mark.parametrize(
    "remove", [_audience_by_hand, _audience_by_command], ids=["by hand", "by the command"]
)
def test_5_without_the_restricting_audience_nobody_is_sent_nor_signed_in(server, tconnect, remove):
    place = Place(server)
    server.choose(
        place.client, restrict_audience_id=place.audience, audiences=(place.all,), courses=(place.course,)
    )
    signed_in = server.sign_in(place.inside)
    token = server.ssotoken(signed_in, place.client)

    remove(place, tconnect)
    # A later audience has an id of its own, whatever the database would give it.
    server.add_audience(place.inside, place.outside)

    assert place.people() == []
    assert server.user(place.client, place.inside) is None
    assert place.members() == {"cohort": [[]], "course": [[]]}
    assert server.call(place.client, "get_sso_user", ssotoken=token) == error("invalid user session")
    assert "result=error" in server.grant(server.sign_in(place.inside), place.client)


def test_5_an_audience_that_a_sync_removes_restricts_to_nobody(server):
    above = server.peers.above
    above.cohorts.append(lists.cohort(77, name="Far"))
    run_sync(server.context, "collections", server.far)
    place = Place(server)
    with server.context.reading() as session:
        (far,) = (it for it in audiences.list_audiences(session) if it.name == "Far")
    server.insert(AudienceMember, audience_id=far.id, account_key=place.inside)
    server.choose(place.client, restrict_audience_id=far.id, audiences=(far.id,))
    assert place.people() == ["inside"]

    above.cohorts = [it for it in above.cohorts if it["id"] != "77"] or [lists.cohort(78)]
    assert run_sync(server.context, "collections", server.far).state == "done"

    assert place.people() == []
    assert place.members() == {"cohort": [], "course": []}


# --- for the whole server -----------------------------------------------------------------------------------


def test_8_at_first_a_server_is_not_enabled_and_syncs_no_passwords(tmp_path):
    with server_by_http.running("sqlite", tmp_path, enabled=False) as server:
        client, person = server.add_client(), server.add_person(password=HASH)

        assert server.call(client, "get_users") == error("connect server not enabled")
        server.option("server.enabled", ON)
        assert server.listed(client, person)["password"] is None


@dataclass(frozen=True)
class Password:
    """What is stored of a password, and what is sent of it with *Sync user passwords* on."""

    says: str
    stored: str | None
    sent: str | None


@table(
    Password("6 password: the crypt-style hash", HASH, HASH),
    Password("6 password: of another cost", "$2b$04$" + HASH[7:], "$2b$04$" + HASH[7:]),
    Password("6 password: somebody who has none", None, None),
)
def test_sync_user_passwords(server, row):
    client = server.add_client()
    person = server.add_person(password=row.stored)
    for switch, sent_hash in ((OFF, None), (ON, row.sent), (OFF, None)):
        with server.switched("server.sync_passwords", switch, back=OFF):
            token = server.ssotoken(server.sign_in(person), client)
            records = [
                server.listed(client, person),
                server.user(client, person),
                server.data(client, "get_sso_user", ssotoken=token),
            ]
        assert [record["password"] for record in records] == [sent_hash] * 3
