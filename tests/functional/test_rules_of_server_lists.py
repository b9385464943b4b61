"""The rules of the protocol's page for what a server lists: people, collections, positions, organisations (5).

Each row is a sentence of the page and names its section. All rows look at one small world, in which
everybody is known by name; nobody changes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select
from support import lists, server_by_http
from support.server_by_http import DATABASES, ON, ServerByHttp, error, fail, success, table
from support.server_site import ORGANISATIONS, POSITIONS, ClientSite

from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import (
    audiences,
    courses,
    hierarchies,
    hierarchy_frameworks,
    hierarchy_items,
    hierarchy_types,
)
from tconnect_pyramid.models import Client, Enrolment, Link

COLLECTIONS = lists.recording("get_user_collections")["response"]["data"]
NO_USERID = fail("if", "missing server user id number")


@pytest.fixture(scope="module", params=DATABASES)
def server(request, tmp_path_factory):
    with server_by_http.running(request.param, tmp_path_factory.mktemp("server")) as made:
        yield made


# --- people -----------------------------------------------------------------------------------------


class World:
    """People, audiences and courses by name.

    The audience *gone* was deleted with its members in it; *empty* never had any. *Far* people came
    from another server, whose client this site is.
    """

    def __init__(self, server: ServerByHttp) -> None:
        self.server = server
        self.people: dict[str, int] = {}
        self.audiences = {
            name: server.do(audiences.add_audience, name=name).id
            for name in ("staff", "board", "empty", "gone", "unchosen")
        }
        self.courses = {
            name: server.do(courses.add_course, fullname=name).id for name in ("maths", "idle", "other")
        }
        self._add("ada", "staff", "board", "gone")
        self._add("suspended", "staff", suspended=1)
        self._add("unconfirmed", "staff", confirmed=0)
        self._add("nologin", auth="nologin")
        self._add("boss", admin=True)
        self._add("guest", "staff", "board")
        for name, was_in in (
            ("dead", ("staff",)),
            ("dead of two", ("staff", "board")),
            ("dead of none", ()),
            ("dead of gone", ("gone",)),
        ):
            self._add(name, *was_in)
            server.delete(self.people[name])
        self._add("left and died", "staff")
        server.do(audiences.remove_members, self.audiences["staff"], [self.people["left and died"]])
        server.delete(self.people["left and died"])
        # As in a host's own table, where nothing ends the membership.
        self._add("flagged", "staff")
        server.change_person(self.people["flagged"], deleted=1)
        # As in a host's own table again: back without any rule of ours.
        self._add("back", "staff")
        server.delete(self.people["back"])
        server.change_person(self.people["back"], deleted=0, username="back")
        self._sync_far_people()
        server.do(
            courses.enrol,
            self.courses["maths"],
            [self.people[name] for name in ("ada", "suspended", "nologin", "far", "guest")],
        )
        server.insert(
            Enrolment,
            course_id=self.courses["maths"],
            account_key=self.people["unconfirmed"],
            active=False,
        )
        server.insert(Enrolment, course_id=self.courses["maths"], account_key=self.people["flagged"])
        server.do(audiences.delete_audience, self.audiences["gone"])
        self.names = {key: name for name, key in self.people.items()}

    def _add(self, name: str, *audience_names: str, **fields: Any) -> None:
        self.people[name] = self.server.add_person(name, **fields)
        self._join(name, *audience_names)

    def _join(self, name: str, *audience_names: str) -> None:
        for audience in audience_names:
            self.server.do(audiences.add_members, self.audiences[audience], [self.people[name]])

    def _sync_far_people(self) -> None:
        """All but one are deleted over there; three of these come back, of whom one is deleted once more."""
        names = {3: "far", 4: "far dead", 5: "far back", 6: "far elsewhere", 7: "far dead again"}
        server = self.server
        server.option("client.enabled", ON)
        far = lists.connect(server.context)
        above = server.peers.above
        above.people = [lists.person(id_) for id_ in names]
        self._sync(far)
        with server.context.reading() as session:
            links = dict(session.execute(select(Link.person_id, Link.account_key)).all())
        self.people |= {name: links[id_] for id_, name in names.items()}
        for id_ in (4, 5, 6, 7):
            self._join(names[id_], "staff")
        for deleted in ((4, 5, 6, 7), (4,), (4, 7)):
            above.people = [lists.tombstone(id_) if id_ in deleted else lists.person(id_) for id_ in names]
            self._sync(far)
        self._join("far elsewhere", "board")

    def _sync(self, far: int) -> None:
        report = run_sync(self.server.context, "users", far)
        assert report.state == "done", report

    def client(self, restrict_to: str | None, **more: Any) -> ClientSite:
        restriction = None if restrict_to is None else self.audiences[restrict_to]
        return self.server.add_client(restrict_audience_id=restriction, **more)

    def named(self, records: list[dict]) -> list[str]:
        return [self.names[int(record["id"])] for record in records]


@pytest.fixture(scope="module")
def world(server):
    return World(server)


@dataclass(frozen=True)
class Listed:
    """Who is sent to a client that is restricted to this audience, in this order."""

    says: str
    restrict_to: str | None
    people: list[str]


STAFF = [
    "ada",
    "suspended",
    "unconfirmed",
    "dead",
    "dead of two",
    "flagged",
    "far dead",
]


@table(
    Listed(
        "5 get_users: every user but the guest, lowest id first, deleted ones included",
        None,
        [
            "ada",
            "suspended",
            "unconfirmed",
            "nologin",
            "boss",
            "dead",
            "dead of two",
            "dead of none",
            "dead of gone",
            "left and died",
            "flagged",
            "back",
            "far",
            "far dead",
            "far back",
            "far elsewhere",
            "far dead again",
        ],
    ),
    Listed("5 get_users: members only, and those who were members when deleted", "staff", STAFF),
    Listed(
        "5 get_users: who was in two audiences when deleted is sent for each",
        "board",
        ["ada", "dead of two", "far elsewhere"],
    ),
    Listed("5 get_users: of an audience without members nobody", "empty", []),
    Listed("5 get_users: if the restricting audience is gone, nobody is sent", "gone", []),
)
def test_get_users(world, row):
    sent = world.server.users(world.client(row.restrict_to))

    assert world.named(sent) == row.people
    assert [record["deleted"] for record in sent] == [
        "1" if {"dead", "died", "flagged"} & set(name.split()) else "0" for name in row.people
    ]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("restrict_to", [None, "staff", "board", "empty", "gone"])
def test_5_get_user_applies_the_restriction_of_get_users(world, restrict_to, version):
    client = world.client(restrict_to, apiversion=version)
    listed = {record["id"]: record for record in world.server.users(client)}

    for name, key in world.people.items():
        found = world.server.user(client, key)
        if str(key) not in listed:
            assert found is None, name
            continue
        assert {
            field: value for field, value in found.items() if field not in {"picture", "pictures"}
        } == listed[str(key)]
        assert (found["picture"], found["pictures"]) == ("0", []), name


@dataclass(frozen=True)
class SignsIn:
    says: str
    who: str
    restrict_to: str | None
    succeeds: bool


@table(
    SignsIn("5 get_users: a member signs in", "ada", "staff", succeeds=True),
    SignsIn("5 get_users: anybody signs in where nothing restricts", "nologin", None, succeeds=True),
    SignsIn("5 get_users: nobody else", "nologin", "staff", succeeds=False),
    SignsIn(
        "5 get_users: if the restricting audience is gone, nobody can sign in", "ada", "gone", succeeds=False
    ),
    SignsIn("5 get_users: the guest never", "guest", "staff", succeeds=False),
    SignsIn("5 get_users: the guest nowhere", "guest", None, succeeds=False),
    SignsIn("5 get_sso_user: a former member not, who came back", "far back", "staff", succeeds=False),
)
def test_who_can_sign_in(world, row):
    server = world.server
    client = world.client(None)
    signed_in = server.sign_in(world.people[row.who])
    if row.who == "guest":
        assert "result=error" in server.grant(signed_in, client)
        return
    token = server.ssotoken(signed_in, client)
    restriction = None if row.restrict_to is None else world.audiences[row.restrict_to]
    # Chosen between the redirect and the call, so that it is the call that decides.
    with server.context.unit() as session:
        session.get_one(Client, client.id).restrict_audience_id = restriction

    reply = server.call(client, "get_sso_user", ssotoken=token)

    assert reply.get("message") == (None if row.succeeds else "invalid user session")


# --- collections ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """Which audiences and courses a client gets, with which members."""

    says: str
    restrict_to: str | None
    cohorts: dict[str, list[str]]
    courses: dict[str, list[str]]


@table(
    Sent(
        "5 get_user_collections: members who are not deleted, not the guest; active enrolments",
        None,
        {"staff": ["ada", "suspended", "unconfirmed"], "board": ["ada", "far elsewhere"], "empty": []},
        {"maths": ["ada", "suspended", "nologin", "far"], "idle": []},
    ),
    Sent(
        "5 get_user_collections: members inside the restricting audience",
        "board",
        {"staff": ["ada"], "board": ["ada", "far elsewhere"], "empty": []},
        {"maths": ["ada"], "idle": []},
    ),
    Sent(
        "5 get_user_collections: with another restriction other members",
        "staff",
        {"staff": ["ada", "suspended", "unconfirmed"], "board": ["ada"], "empty": []},
        {"maths": ["ada", "suspended"], "idle": []},
    ),
    Sent("5 get_user_collections: nothing is chosen: both keys are there", None, {}, {}),
    Sent("5 get_user_collections: audiences only: both keys are there", None, {"empty": []}, {}),
    Sent("5 get_user_collections: courses only: both keys are there", None, {}, {"idle": []}),
    *(
        Sent(
            f"5 get_user_collections: no members where {why}",
            restriction,
            {"staff": [], "board": []},
            {"maths": []},
        )
        for restriction, why in (("empty", "the audience is empty"), ("gone", "the audience is gone"))
    ),
)
def test_get_user_collections(world, row):
    client = world.client(
        row.restrict_to,
        # In an order that is not theirs.
        audiences=[world.audiences[name] for name in reversed(row.cohorts)],
        courses=[world.courses[name] for name in reversed(row.courses)],
    )

    data = world.server.data(client, "get_user_collections")

    assert list(data) == ["cohort", "course"]
    assert [(it["name"], world.named(it["members"])) for it in data["cohort"]] == list(row.cohorts.items())
    assert [(it["fullname"], world.named(it["members"])) for it in data["course"]] == list(
        row.courses.items()
    )
    for kind, records in data.items():
        ids = [int(record["id"]) for record in records]
        assert ids == sorted(ids)
        for record in records:
            assert list(record) == list(COLLECTIONS[kind][0])
            assert all(member.keys() == {"id"} for member in record["members"])


@dataclass(frozen=True)
class Field:
    """A field that clients use, as it was given and as it is sent."""

    says: str
    kind: str
    given: dict[str, str]
    sent: dict[str, str]


@table(
    Field(
        "5 cohort: name, idnumber, description, descriptionformat",
        "cohort",
        {"name": "Åll <staff>", "idnumber": "A-1", "description": "<p>Everyone</p>"},
        {
            "name": "Åll <staff>",
            "idnumber": "A-1",
            "description": "<p>Everyone</p>",
            "descriptionformat": "1",
        },
    ),
    Field(
        "5 cohort: without idnumber and description",
        "cohort",
        {"name": "Plain"},
        {"name": "Plain", "idnumber": "", "description": "", "descriptionformat": "1"},
    ),
    Field(
        "5 course: fullname, shortname, idnumber, summary, summaryformat",
        "course",
        {"fullname": "Fire säfety", "shortname": "FIRE", "idnumber": "C-1", "summary": "<p>Stop</p>"},
        {
            "fullname": "Fire säfety",
            "shortname": "FIRE",
            "idnumber": "C-1",
            "summary": "<p>Stop</p>",
            "summaryformat": "1",
        },
    ),
    Field(
        "5 course: without idnumber and summary",
        "course",
        {"fullname": "Bare", "shortname": "BARE"},
        {"fullname": "Bare", "shortname": "BARE", "idnumber": "", "summary": "", "summaryformat": "1"},
    ),
)
def test_the_fields_that_clients_use(server, row):
    add = audiences.add_audience if row.kind == "cohort" else courses.add_course
    made = server.do(add, **row.given).id
    chosen = {"cohort": "audiences", "course": "courses"}[row.kind]
    client = server.add_client(**{chosen: [made]})

    (record,) = server.data(client, "get_user_collections")[row.kind]

    assert {name: record[name] for name in row.sent} == row.sent
    assert record["id"] == str(made)


# --- positions and organisations -----------------------------------------------------------------------

KINDS = {
    "positions": (POSITIONS, hierarchies.POSITIONS),
    "organisations": (ORGANISATIONS, hierarchies.ORGANISATIONS),
}
BOTH = pytest.mark.parametrize("kind", KINDS)


class Trees:
    """Three frameworks of a kind; the items are made in an order that is not the one in which they are sent.

    `company`, first in sort order though made second, has boss > (head > clerk, aide) and, before it, chair.
    """

    def __init__(self, server: ServerByHttp, kind: str) -> None:
        self.server, self.kind = server, kind
        self.tables, self.hierarchy = KINDS[kind]
        self.frameworks = {
            name: self._do(hierarchy_frameworks.add_framework, fullname=name).id
            for name in ("school", "company", "hidden")
        }
        self._do(hierarchy_frameworks.move_framework, self.frameworks["company"], 1)
        with server.context.unit() as session:
            row = session.get_one(self.tables.framework, self.frameworks["hidden"])
            row.visible, row.hidecustomfields = 0, 1
        self.type = self._do(hierarchy_types.add_type, fullname="Typed", idnumber=f"T {kind}").id
        for shortname, datatype in (("band", "text"), ("since", "datetime"), ("tick", "checkbox")):
            self._do(hierarchy_types.add_type_field, self.type, shortname=shortname, datatype=datatype)
        self.items: dict[str, int] = {}
        self._add("clerk", "company")
        self._add("aide", "company")
        self._add("head", "company", type_id=self.type, fields={"band": "A", "tick": "1"})
        self._add("boss", "company", type_id=self.type)
        self._add("chair", "company")
        self._add("pupil", "school")
        self._add("teacher", "school")
        self._add("ghost", "hidden", type_id=self.type, fields={"band": "secret"})
        self._move("head", "boss")
        self._move("aide", "boss")
        self._move("clerk", "head")
        self._do(hierarchy_items.move_item, self.items["chair"], before=self.items["boss"])
        self._move("pupil", "teacher")
        with server.context.unit() as session:
            session.get_one(self.tables.item, self.items["ghost"]).visible = 0
        self.names = {id_: name for name, id_ in self.items.items()}

    def _do(self, rule, *words, **more):
        return self.server.do(rule, self.hierarchy, *words, **more)

    def _add(self, name: str, framework: str, **more: Any) -> None:
        self.items[name] = self._do(
            hierarchy_items.add_item, fullname=name, framework=self.frameworks[framework], **more
        ).id

    def _move(self, name: str, parent: str) -> None:
        self._do(hierarchy_items.move_item, self.items[name], parent=self.items[parent])

    def client(self, *allowed: str, other: tuple[int, ...] = (), **more: Any) -> ClientSite:
        """A client with these frameworks of the kind; `other` are ids of frameworks of the other kind."""
        mine = f"{self.tables.word}_frameworks"
        (others,) = {"position_frameworks", "organisation_frameworks"} - {mine}
        ids = [self.frameworks[name] for name in allowed]
        return self.server.add_client(**{mine: ids, others: other}, **more)

    def ask(self, client: ClientSite) -> tuple[list[dict], list[dict]]:
        data = self.server.data(client, f"get_{self.kind}")
        assert list(data) == ["frameworks", self.kind]
        return data["frameworks"], data[self.kind]


@pytest.fixture(scope="module")
def trees(server):
    return {kind: Trees(server, kind) for kind in KINDS}


@dataclass(frozen=True)
class Allowed:
    """The frameworks that a client is allowed, and what is sent, in this order."""

    says: str
    allowed: tuple[str, ...]
    frameworks: list[str]
    items: list[str]


ALLOWED = [
    Allowed("5 none is allowed: two empty lists, not null", (), [], []),
    Allowed(
        "5 by depth, then parent, then sortthread",
        ("company",),
        ["company"],
        ["chair", "boss", "head", "aide", "clerk"],
    ),
    Allowed("5 only the frameworks that are allowed", ("school",), ["school"], ["teacher", "pupil"]),
    Allowed("5 what is hidden there is sent", ("hidden",), ["hidden"], ["ghost"]),
]


@BOTH
@table(*ALLOWED)
def test_positions_and_organisations(trees, kind, row):
    these = trees[kind]

    frameworks, items = these.ask(these.client(*row.allowed))

    assert [framework["fullname"] for framework in frameworks] == row.frameworks
    assert [these.names[int(item["id"])] for item in items] == row.items


@BOTH
def test_5_frameworks_come_in_sort_order_and_all_items_by_depth_parents_first(trees, kind):
    these = trees[kind]

    frameworks, items = these.ask(these.client("school", "hidden", "company"))

    assert [framework["fullname"] for framework in frameworks] == ["company", "school", "hidden"]
    assert {these.names[int(item["id"])] for item in items} == set(these.items)
    places = [(int(item["depthlevel"]), int(item["parentid"]), item["sortthread"]) for item in items]
    assert places == sorted(places)
    seen = {"0"}
    for item in items:
        assert item["parentid"] in seen
        seen.add(item["id"])


@BOTH
def test_5_frameworks_of_the_other_kind_do_not_count(trees, kind):
    """Their ids are the same numbers."""
    these = trees[kind]
    (other,) = set(KINDS) - {kind}

    client = these.client(other=tuple(trees[other].frameworks.values()))

    assert these.ask(client) == ([], [])


@dataclass(frozen=True)
class Item:
    says: str
    framework: str
    name: str
    sent: dict[str, Any]


def custom(shortname: str, datatype: str, data: str) -> dict:
    return {"shortname": shortname, "datatype": datatype, "data": data, "value": None}


@BOTH
@table(
    Item(
        "5 typeidnumber: null without a type",
        "company",
        "chair",
        {"typeidnumber": None, "typeid": "0", "custom_fields": []},
    ),
    Item(
        "5 typeidnumber: the type's idnumber",
        "company",
        "boss",
        {"typeidnumber": "T {kind}", "custom_fields": []},
    ),
    Item(
        "5 custom_fields: shortname, datatype, data, value",
        "company",
        "head",
        {
            "typeidnumber": "T {kind}",
            "custom_fields": [custom("band", "text", "A"), custom("tick", "checkbox", "1")],
        },
    ),
    Item(
        "5 custom_fields: those of a framework that hides them are sent",
        "hidden",
        "ghost",
        {"visible": "0", "custom_fields": [custom("band", "text", "secret")]},
    ),
    Item("9 an item at the top has the parent 0", "company", "boss", {"parentid": "0", "depthlevel": "1"}),
    Item("9 a moved item has the depth of its place", "company", "clerk", {"depthlevel": "3"}),
)
def test_an_item(trees, kind, row):
    these = trees[kind]

    _, items = these.ask(these.client(row.framework))

    (item,) = (item for item in items if item["id"] == str(these.items[row.name]))
    recorded = lists.recording(f"get_{kind}")["response"]["data"]
    assert list(item) == list(recorded[kind][0])
    expected = {
        name: value.replace("{kind}", kind) if isinstance(value, str) else value
        for name, value in row.sent.items()
    }
    assert {name: item[name] for name in expected} == expected


@BOTH
def test_5_the_keys_of_a_framework_are_those_of_the_recordings(trees, kind):
    these = trees[kind]

    (framework,), _ = these.ask(these.client("hidden"))

    assert list(framework) == list(lists.recording(f"get_{kind}")["response"]["data"]["frameworks"][0])
    assert (framework["visible"], framework["hidecustomfields"]) == ("0", "1")


@BOTH
def test_5_custom_fields_carry_the_parameter_beside_a_value(trees, kind):
    these = trees[kind]
    item = these.server.add_item(these.tables, these.frameworks["school"], type_id=these.type)
    with these.server.context.reading() as session:
        field = session.scalar(
            select(these.tables.type_field.id).where(
                these.tables.type_field.type_id == these.type, these.tables.type_field.shortname == "since"
            )
        )
    these.server.insert(these.tables.value, item_id=item, field_id=field, data="1448874000", value="7")
    try:
        _, items = these.ask(these.client("school"))
    finally:
        these.server.do(hierarchy_items.delete_item, these.hierarchy, item)

    (found,) = (each for each in items if each["id"] == str(item))
    assert found["custom_fields"] == [{**custom("since", "datetime", "1448874000"), "value": "7"}]


@BOTH
def test_5_version_1_knows_neither(trees, kind):
    these = trees[kind]

    reply = these.server.call(these.client("company", apiversion=1), f"get_{kind}")

    assert reply == error(f"get_{kind} not available in api version 1")


@BOTH
def test_5_a_site_without_the_one_may_have_the_other(tmp_path, kind):
    """Nulls for the kind that the site is without, for both keys, whatever of the other kind there is."""
    (other,) = set(KINDS) - {kind}
    with server_by_http.running("sqlite", tmp_path) as server:
        these = Trees(server, kind)
        client = these.client("school")

        assert server.call(client, f"get_{other}") == success({"frameworks": None, other: None})
        assert [framework["fullname"] for framework in these.ask(client)[0]] == ["school"]
        assert server.call(server.add_client(), f"get_{kind}") == success({"frameworks": [], kind: []})
