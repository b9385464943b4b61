"""Audiences and courses of a server on a client, sentence by sentence of protocol 9."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from support import client_site
from support.client_site import FIRST, SECOND, body, lines
from support.lists import cohort, course, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client.runs import approve_run
from tconnect_pyramid.directory import audiences
from tconnect_pyramid.directory.audiences import AUDIENCES, GROUPS
from tconnect_pyramid.errors import Conflict

KINDS = [
    pytest.param((database, client_type), id=f"{client_type} on {database}", marks=marks)
    for database, marks in (("sqlite", ()), ("postgresql", pytest.mark.postgresql))
    for client_type in ("lms", "social")
]
ALICE, BEN, SUSPENDED, DELETED, UNKNOWN = 3, 4, 5, 6, 7
LOCAL, OTHERS = "local", "other"
"""Somebody of this site, and person 3 of another server: both added by hand."""


@dataclass(frozen=True)
class Row:
    """What was sent, sync by sync: the members of each collection, and who is in what afterwards.

    A collection is written as `cohort 1`; `add`, or `remove`, before it: members that somebody adds or removes
    behind the sync's back before the next one.
    """

    rule: str
    history: tuple[dict[str, tuple], ...]
    ends: dict[str, set]

    def __str__(self) -> str:
        return f"9 collections: {self.rule}"


# fmt: off
ROWS = [
    Row("audiences and courses", ({"cohort 1": (3, 4), "course 1": (4,)},), {"cohort 1": {3, 4}, "course 1": {4}}),
    Row("without members", ({"cohort 1": (), "course 2": ()},), {"cohort 1": set(), "course 2": set()}),
    Row("members that do not exist here are not there", ({"cohort 1": (3, UNKNOWN)},), {"cohort 1": {3}}),
    Row("suspended ones are included", ({"cohort 1": (3, SUSPENDED)},), {"cohort 1": {3, SUSPENDED}}),
    Row("deleted ones are not", ({"cohort 1": (3, DELETED)},), {"cohort 1": {3}}),
    Row("a member listed twice is there once", ({"cohort 1": (3, 3)},), {"cohort 1": {3}}),
    Row("a new member", ({"cohort 1": (3,)}, {"cohort 1": (3, 4)}), {"cohort 1": {3, 4}}),
    Row("a member that is not sent any more", ({"cohort 1": (3, 4)}, {"cohort 1": (4,)}), {"cohort 1": {4}}),
    Row("all members gone", ({"cohort 1": (3, 4), "cohort 2": (3,)}, {"cohort 1": (), "cohort 2": (3,)}), {"cohort 1": set(), "cohort 2": {3}}),
    Row("a collection that is no longer sent is deleted", ({"cohort 1": (3,), "cohort 2": (3,)}, {"cohort 2": (3,)}), {"cohort 2": {3}}),
    Row("a course that is no longer sent is deleted", ({"course 1": (3,), "cohort 1": (3,)}, {"cohort 1": (3,)}), {"cohort 1": {3}}),
    Row("one that is sent again", ({"cohort 1": (3,), "cohort 2": ()}, {"cohort 2": ()}, {"cohort 1": (4,), "cohort 2": ()}), {"cohort 1": {4}, "cohort 2": set()}),
    Row("hand-added others stay", ({"cohort 1": (3,)}, {"add cohort 1": (LOCAL, OTHERS)}, {"cohort 1": (4,)}), {"cohort 1": {4, LOCAL, OTHERS}}),
    Row("hand-added others stay where all members are gone", ({"cohort 1": (3,)}, {"add cohort 1": (LOCAL,)}, {"cohort 1": ()}), {"cohort 1": {LOCAL}}),
    Row("hand-added people of this server go", ({"cohort 1": (3,)}, {"add cohort 1": (4,)}, {"cohort 1": (3,)}), {"cohort 1": {3}}),
    Row("people of this server removed by hand come back", ({"cohort 1": (3, 4)}, {"remove cohort 1": (4,)}, {"cohort 1": (3, 4)}), {"cohort 1": {3, 4}}),
    Row("members are those of each kind, not of the same id", ({"cohort 1": (3,), "course 1": (4,)}, {"cohort 1": (4,), "course 1": (3,)}), {"cohort 1": {4}, "course 1": {3}}),
]
# fmt: on


@dataclass
class Place:
    """A client of a type, with its people."""

    site: client_site.ClientSite
    kept: audiences.Kept
    keys: dict

    def member(self, text: str):
        """The idnumber here of what the tables call `cohort 1`."""
        kind, id_ = text.split()
        return f"tc_{kind}_{id_}_{FIRST}"

    def send(self, sent: dict[str, tuple]) -> None:
        made: dict[str, list] = {"cohort": [], "course": []}
        for text, members in sent.items():
            kind, id_ = text.split()
            made[kind].append({"cohort": cohort, "course": course}[kind](int(id_), *members))
        self.site.server.cohorts, self.site.server.courses = made["cohort"], made["course"]

    def by_hand(self, act: str, where: str, members: tuple) -> None:
        """Change members in the tables: no command does it in a collection of a server."""
        id_ = self.sets()[self.member(where)].id
        with self.site.context.unit() as session:
            for member in members:
                row = (self.keys[member], id_)
                if act == "add":
                    names = ("account_key", self.kept.owner.key)
                    session.add(self.kept.members(**dict(zip(names, row, strict=True))))
                else:
                    session.delete(session.get(self.kept.members, row))

    def sets(self):
        return self.site.sets(self.kept)

    def seen(self) -> dict[str, set]:
        """The collections of the first server with their members, as the tables write them."""
        names = {key: member for member, key in self.keys.items()}
        return {
            " ".join(idnumber.split("_")[1:3]): {names[key] for key in it.members}
            for idnumber, it in self.sets().items()
            if idnumber.endswith(FIRST)
        }


@pytest.fixture(params=KINDS)
def place(request):
    database, client_type = request.param
    servers = ((FIRST, "http://server.example"), (SECOND, "http://second.example"))
    with client_site.fresh(database, client_type=client_type, servers=servers) as site:
        site.server.people = [person(id_, suspended=str(int(id_ == SUSPENDED))) for id_ in (3, 4, 5, 6)]
        site.sync()
        site.server.people[-1] = tombstone(DELETED)
        site.sync()
        second = site.transport.servers[1]
        second.people = [person(3)]
        site.sync("users", second)
        keys = {id_: site.key(id_) for id_ in (3, 4, 5, 6)}
        keys |= {LOCAL: site.add("local"), OTHERS: site.key(3, second)}
        yield Place(site, GROUPS if client_type == "social" else AUDIENCES, keys)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_rule_of_collections(place, row):
    ids: dict[str, set[int]] = {}
    for sent in row.history:
        if any(text.startswith(("add", "remove")) for text in sent):
            for text, members in sent.items():
                place.by_hand(*text.split(" ", 1), members)
            continue
        place.send(sent)
        assert place.site.sync("collections").state == "done"
        for idnumber, it in place.sets().items():
            ids.setdefault(idnumber, set()).add(it.id)

    assert place.seen() == row.ends
    assert all(it.component == "auth_connect" for it in place.sets().values())
    if row.rule != "one that is sent again":
        assert all(len(found) == 1 for found in ids.values()), "ours keep their id for life"
    assert [*place.site.sync("collections").lines] == [], "the same once more changes nothing"
    other = GROUPS if place.kept is AUDIENCES else AUDIENCES
    assert place.site.sets(other) == {}, "on a social site groups, on others audiences"


NAMES = [
    pytest.param(
        "cohort", {"name": "Staff", "description": "<p>All</p>"}, ("Staff", "<p>All</p>"), id="9 an audience's name and description"
    ),
    pytest.param(
        "course", {"fullname": "Safety", "summary": "<p>Fire</p>"}, ("Safety", "<p>Fire</p>"), id="9 a course's full name and summary"
    ),
    pytest.param("cohort", {"name": "N" * 254}, ("N" * 254, None), id="6 a name of 254 characters"),
    pytest.param("course", {"fullname": "Å" * 254}, ("Å" * 254, None), id="6 a full name of 254 characters"),
    pytest.param("cohort", {"description": None, "name": "X"}, ("X", ""), id="a null description is none"),
    pytest.param(
        "cohort", {"name": "X", "description": "<p onclick='x'>a<script>b</script></p>"}, ("X", "<p>a</p>"), id="HTML that runs is taken out"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "shown"), NAMES)
def test_9_named_and_described_as_on_the_server(place, kind, fields, shown):
    make = {"cohort": cohort, "course": course}[kind]
    for record in (make(1, 3), make(1, 3, **fields)):
        place.site.server.cohorts = [record] if kind == "cohort" else []
        place.site.server.courses = [record] if kind == "course" else []
        place.site.sync("collections")
        (it,) = place.sets().values()
    assert it.name == shown[0]
    assert shown[1] is None or it.description == shown[1]
    assert (it.idnumber, it.kind, it.component) == (f"tc_{kind}_1_{FIRST}", kind, "auth_connect")


def test_9_nobody_edits_them_by_hand(place):
    place.send({"cohort 1": (3,)})
    place.site.sync("collections")
    (it,) = place.sets().values()
    for change in (
        lambda: place.site.do(audiences.edit_audience, it.id, {"name": "Mine"}, kept=place.kept),
        lambda: place.site.do(audiences.delete_audience, it.id, kept=place.kept),
        lambda: place.site.do(audiences.add_members, it.id, [place.keys[LOCAL]], kept=place.kept),
        lambda: place.site.do(audiences.remove_members, it.id, [place.keys[3]], kept=place.kept),
    ):
        with pytest.raises(Conflict):
            change()


def test_9_what_was_made_by_hand_is_left_alone(place):
    own = place.site.do(audiences.add_audience, name="Own", idnumber="own", kept=place.kept)
    place.site.do(audiences.add_members, own.id, [place.keys[3], place.keys[LOCAL]], kept=place.kept)
    before = place.sets()["own"]
    for sent in ({"cohort 1": (4,), "cohort 2": ()}, {"cohort 2": ()}):
        place.send(sent)
        place.site.sync("collections")
    assert place.sets()["own"] == before


def test_9_two_servers_with_collections_of_one_id(place):
    first, second = place.site.transport.servers
    place.send({"cohort 1": (3,), "cohort 2": ()})
    second.cohorts = [cohort(1, 3, name="Theirs")]
    place.site.sync("collections", first)
    place.site.sync("collections", second)
    theirs = place.sets()[f"tc_cohort_1_{SECOND}"]
    assert theirs.members == (place.keys[OTHERS],)
    assert place.seen() == {"cohort 1": {3}, "cohort 2": set()}

    place.send({"cohort 2": (3,)})
    place.site.sync("collections", first)

    assert place.sets()[f"tc_cohort_1_{SECOND}"] == theirs
    assert place.seen() == {"cohort 2": {3}}


def test_10_the_order_of_users_and_collections_is_a_matter_of_speed_only(place):
    place.send({"cohort 1": (3, 8), "course 1": (8,)})
    place.site.sync("collections")
    place.site.server.people.append(person(8))
    place.site.sync("users")
    place.keys[8] = place.site.key(8)
    assert place.seen() == {"cohort 1": {3, 8}, "course 1": {8}}
    place.site.server.people.append(person(9))
    place.send({"cohort 1": (3, 8, 9)})
    place.site.sync("users")
    place.site.sync("collections")
    place.keys[9] = place.site.key(9)
    assert place.seen() == {"cohort 1": {3, 8, 9}}


def test_9_who_arrives_by_sign_in_is_a_member_too(place):
    place.send({"cohort 1": (3, 8)})
    place.site.sync("collections")
    assert place.site.sign_in(person(8)).signed_in
    place.keys[8] = place.site.key(8)
    assert place.seen() == {"cohort 1": {3, 8}}


@pytest.mark.parametrize("way", ["deleted there", "deleted by hand"])
def test_9_who_is_deleted_leaves_and_who_is_undeleted_is_back_with_the_next_run(place, way):
    place.send({"cohort 1": (3, 4)})
    place.site.sync("collections")
    everybody = place.site.server.people
    if way == "deleted there":
        place.site.server.people = [tombstone(4), *(it for it in everybody if it["id"] != "4")]
        place.site.sync()
    else:
        place.site.do(people.delete_person, place.keys[4])
    assert place.seen() == {"cohort 1": {3}}
    place.site.server.people = everybody
    place.site.sync()
    place.site.sync("collections")
    assert place.seen() == {"cohort 1": {3, 4}}


@pytest.mark.parametrize("way", ["sync", "sign-in"])
def test_9_an_account_whose_row_is_gone_is_no_member_and_its_successor_is(place, way):
    place.send({"cohort 1": (3, 4)})
    place.site.sync("collections")
    former = place.keys[4]
    place.site.drop_row(former)

    _ = place.site.sync() if way == "sync" else place.site.sign_in(person(4))
    place.site.sync("collections")

    place.keys[4] = place.site.key(4)
    assert place.keys[4] != former
    assert place.seen() == {"cohort 1": {3, 4}}


def test_9_who_is_missing_and_suspended_stays_a_member_while_sent(place):
    place.send({"cohort 1": (3, 4)})
    place.site.sync("collections")
    place.site.server.people = [it for it in place.site.server.people if it["id"] != "4"]
    place.site.sync()
    place.site.sync("collections")
    assert place.seen() == {"cohort 1": {3, 4}}
    place.send({"cohort 1": (3,)})
    place.site.sync("collections")
    assert place.seen() == {"cohort 1": {3}}


def test_9_an_empty_answer_is_held_by_the_guard(place):
    place.send({"cohort 1": (3,), "course 1": (4,)})
    place.site.sync("collections")
    before = place.sets()
    place.send({})
    held = place.site.sync("collections")
    assert (held.state, place.sets()) == ("held", before)
    assert approve_run(place.site.context, held.run, actor="command").state == "done"
    assert place.seen() == {}


ODD = {
    "no keys": [], "null": None, "only audiences": {"cohort": []}, "only courses": {"course": []},
    "null audiences": {"cohort": None, "course": []}, "null courses": {"cohort": [], "course": None},
    "a text": {"cohort": "x", "course": "y"},
}  # fmt: skip


def test_5_a_missing_key_deletes_nothing_here(place):
    place.send({"cohort 1": (3,), "course 1": (4,)})
    place.site.sync("collections")
    before = place.sets()
    for name, data in ODD.items():
        place.site.server.body = body(data)
        assert place.site.sync("collections").state == "failed", name
        assert place.sets() == before, name


def test_5_missing_members_empty_no_collection_here(place):
    place.send({"cohort 1": (3,), "cohort 2": (3,)})
    place.site.sync("collections")
    place.send({"cohort 1": (3,), "cohort 2": (4,)})
    del place.site.server.cohorts[0]["members"]
    report = place.site.sync("collections")
    assert report.state == "partial"
    assert lines(report)[1].startswith("skipped: ")
    assert place.seen() == {"cohort 1": {3}, "cohort 2": {4}}


def test_3_with_the_role_disabled_nothing_is_asked(place):
    place.send({"cohort 1": (3,)})
    place.site.set(enabled="false")
    asked = list(place.site.server.asked)
    for kind in ("users", "collections", "positions", "organisations"):
        assert place.site.sync(kind).state in {"failed", "done"}
    assert place.site.server.asked == asked
    assert place.sets() == {}
