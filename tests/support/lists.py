"""A server that answers with the lists a test gives it, and what a client made of them."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path

from sqlalchemy import select

from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import (
    Account,
    Audience,
    AudienceMember,
    AwaitedMember,
    Collection,
    Counterpart,
    Group,
    GroupMember,
    Job,
    Link,
    Organisation,
    OrganisationFramework,
    OrganisationValue,
    Picture,
    Position,
    PositionFramework,
    PositionValue,
    ProfileValue,
    Server,
)

RECORDINGS = Path(__file__).parents[1] / "data" / "wire"
SERVER_URL = "http://server.example"
TABLES = (
    Account,
    Link,
    Audience,
    AudienceMember,
    Group,
    GroupMember,
    Collection,
    AwaitedMember,
    Counterpart,
    Job,
    Picture,
    ProfileValue,
    PositionFramework,
    Position,
    PositionValue,
    OrganisationFramework,
    Organisation,
    OrganisationValue,
)
"""All that a sync keeps, its own history apart."""


def recording(name: str) -> dict:
    """One recorded exchange."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


_ALICE = recording("get_users")["response"]["data"]["users"][1]


def person(id_: int, **fields) -> dict:
    """A person's record as a real server sends it; flags and numbers as on the wire."""
    record = copy.deepcopy(_ALICE)
    record.update(
        id=str(id_),
        username=f"person{id_}",
        firstname=f"First{id_}",
        lastname=f"Last{id_}",
        email=f"person{id_}@example.com",
        idnumber=f"N{id_}",
        # Those of the recording are one person's only.
        jobs=[],
    )
    record.update(fields)
    return record


def job(id_: int, idnumber: str, **fields) -> dict:
    """A job assignment as a real server sends it, without a position or an organisation."""
    record = copy.deepcopy(_ALICE["jobs"][1])
    record.update(id=str(id_), idnumber=idnumber, sortorder=str(id_), fullname=f"Job {id_}")
    record.update(fields)
    return record


def field(shortname: str, data: str | None, datatype: str = "text") -> dict:
    """What a person has in a custom profile field, as a real server sends it."""
    return {"shortname": shortname, "datatype": datatype, "data": data}


def tombstone(id_: int, **fields) -> dict:
    """The record of a person who was deleted on the server."""
    gone = {
        "deleted": "1",
        "username": f"deleted_{id_:032d}",
        "email": "",
        "idnumber": "",
        "password": None,
        "description": None,
        "descriptionformat": None,
    }
    record = person(id_, **gone, **fields)
    del record["profile_fields"], record["jobs"]
    return record


def cohort(id_: int, *members: int, **fields) -> dict:
    """An audience as a real server sends it."""
    record = copy.deepcopy(recording("get_user_collections")["response"]["data"]["cohort"][0])
    record.update(id=str(id_), name=f"Audience {id_}", members=[{"id": str(member)} for member in members])
    record.update(fields)
    return record


def course(id_: int, *members: int, **fields) -> dict:
    """A course as a real server sends it."""
    record = copy.deepcopy(recording("get_user_collections")["response"]["data"]["course"][0])
    record.update(id=str(id_), fullname=f"Course {id_}", members=[{"id": str(member)} for member in members])
    record.update(fields)
    return record


def framework(id_: int, *, kind: str = "positions", **fields) -> dict:
    """A framework of `kind` (`positions` or `organisations`) as a real server sends it."""
    record = copy.deepcopy(recording(f"get_{kind}")["response"]["data"]["frameworks"][0])
    record.update(id=str(id_), idnumber=f"F{id_}", fullname=f"Framework {id_}", sortorder=str(id_))
    record.update(fields)
    return record


def item(id_: int, framework_id: int, parent: int = 0, *, kind: str = "positions", **fields) -> dict:
    """An item of `kind` in a framework, below `parent`, as a real server sends it; without a type."""
    record = copy.deepcopy(recording(f"get_{kind}")["response"]["data"][kind][0])
    record.update(
        id=str(id_),
        idnumber=f"I{id_}",
        fullname=f"Item {id_}",
        shortname=f"i{id_}",
        frameworkid=str(framework_id),
        parentid=str(parent),
        sortthread=f"{id_:02}",
        typeid="0",
        typeidnumber=None,
        custom_fields=[],
    )
    record.update(fields)
    return record


def custom(shortname: str, data: str | None, datatype: str = "text", value: str | None = None) -> dict:
    """A custom field of an item as a real server sends it."""
    return {"shortname": shortname, "datatype": datatype, "data": data, "value": value}


class ListingServer:
    """The transport of a client whose only server answers with the lists of its attributes.

    `frameworks` and `items` have a list for each of `positions` and `organisations`, or None. `body` is
    answered instead when it is set; `down` cannot be reached. `asked` keeps the names of services.
    """

    def __init__(self) -> None:
        self.frameworks: dict[str, list | None] = {"positions": [], "organisations": []}
        self.items: dict[str, list | None] = {"positions": [], "organisations": []}
        self.asked: list[str] = []
        self.people: list = []
        self.cohorts: list = []
        self.courses: list = []
        self.body: bytes | None = None
        self.down = False
        self.on_call = lambda: None

    def post(self, url, form, *, timeout, limit):
        self.on_call()
        if self.down:
            raise PeerError("POST", url, "connect", "the connection was refused")
        self.asked.append(dict(form)["service"])
        data = {
            "get_positions": self._hierarchy("positions"),
            "get_organisations": self._hierarchy("organisations"),
            "get_users": {"users": self.people},
            "get_user": {"user": self._person(dict(form).get("userid"))},
            "get_user_collections": {"cohort": self.cohorts, "course": self.courses},
        }[dict(form)["service"]]
        body = json.dumps({"status": "success", "data": data}).encode() if self.body is None else self.body
        return io.BytesIO(body)

    def _person(self, id_: str | None) -> dict | None:
        found = [each for each in self.people if isinstance(each, dict) and each.get("id") == id_]
        return {"picture": "0", "pictures": [], **found[0]} if id_ and found else None

    def _hierarchy(self, kind: str) -> dict:
        return {"frameworks": self.frameworks[kind], kind: self.items[kind]}


def connect(context, *, idnumber: str = "5" * 40, secret: str = "6" * 40, url: str = SERVER_URL) -> int:
    """Connect a client to a server; gives the server's local id."""
    with context.unit() as session:
        row = Server(
            state="active",
            name="Head office",
            url=url,
            idnumber=idnumber,
            server_secret=context.box.seal(secret),
            client_idnumber=idnumber[::-1].replace("5", "c"),
            client_secret_hash="0" * 64,
            apiversion=2,
            timecreated=context.clock(),
            timemodified=context.clock(),
        )
        session.add(row)
        session.flush()
        return row.id


def dump(context, tables=TABLES) -> dict[str, list[tuple]]:
    """Every row of these tables."""
    with context.reading() as session:
        return {
            model.__tablename__: sorted(
                (tuple(row) for row in session.execute(select(model.__table__))), key=repr
            )
            for model in tables
        }


def nonzero(counts: dict[str, int]) -> dict[str, int]:
    """The counts that say that something was done, or found in order."""
    return {name: number for name, number in counts.items() if number}
