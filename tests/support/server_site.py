"""A server site with people, audiences and clients, and client sites that live in memory."""

from __future__ import annotations

import io
import itertools
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event, insert

from tconnect_pyramid import sessions
from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import (
    Account,
    Audience,
    AudienceMember,
    Client,
    ClientAudience,
    ClientCourse,
    ClientOrganisationFramework,
    ClientPositionFramework,
    Course,
    Enrolment,
    Job,
    Organisation,
    OrganisationFramework,
    OrganisationType,
    OrganisationTypeField,
    OrganisationValue,
    Position,
    PositionFramework,
    PositionType,
    PositionTypeField,
    PositionValue,
    ProfileField,
    ProfileValue,
)
from tconnect_pyramid.options import set_option
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server import services, signin


@dataclass(frozen=True)
class Tables:
    """Where positions, or organisations, are kept."""

    word: str
    framework: Any
    type: Any
    type_field: Any
    item: Any
    value: Any
    allowed: Any

    @property
    def service(self) -> str:
        return f"get_{self.word}s"


POSITIONS = Tables(
    "position",
    PositionFramework,
    PositionType,
    PositionTypeField,
    Position,
    PositionValue,
    ClientPositionFramework,
)
ORGANISATIONS = Tables(
    "organisation",
    OrganisationFramework,
    OrganisationType,
    OrganisationTypeField,
    Organisation,
    OrganisationValue,
    ClientOrganisationFramework,
)


@contextmanager
def statements(context):
    """Collects the text of every SELECT that is made meanwhile."""
    made = []

    def note(connection, cursor, statement, *_):
        if statement.startswith("SELECT"):
            made.append(statement)

    event.listen(context.database.engine, "after_cursor_execute", note)
    try:
        yield made
    finally:
        event.remove(context.database.engine, "after_cursor_execute", note)


@dataclass
class ClientSite:
    """A client site as far as a server can tell: whom it knows, who is signed in there, whether it is up."""

    url: str
    id: int = 0
    idnumber: str = ""
    server_secret: str = ""
    requests: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    down: bool = False

    def answer(self, form: dict[str, str]) -> dict:
        match form["service"]:
            case "validate_sso_request_token":
                if form["requesttoken"] in self.requests:
                    return {"status": "success", "data": []}
                return {"status": "error", "message": "sso request timed out"}
            case "is_sso_user_active":
                return {"status": "success", "data": {"active": form["ssotoken"] in self.active}}
            case "kill_sso_user":
                self.sessions.discard(form["ssotoken"])
                return {"status": "success", "data": []}
            case service:
                return {"status": "error", "message": f"invalid client service name: {service}"}


class ClientSites:
    """A transport to client sites in memory, which refuses a call while a transaction is open."""

    def __init__(self) -> None:
        self.sites: dict[str, ClientSite] = {}
        self.check_idle = lambda: None
        self.timeouts: list[float] = []

    def post(self, url, form, *, timeout, limit):
        self.check_idle()
        self.timeouts.append(timeout)
        site = self.sites.get(url.partition("/auth/connect/")[0])
        if site is None or site.down:
            raise PeerError("POST", url, "connect", "it is down")
        return io.BytesIO(json.dumps(site.answer(dict(form))).encode())


class ServerSite:
    """A server site and short ways to fill it and to call it."""

    def __init__(self, context, clients: ClientSites) -> None:
        self.context = context
        self.clock = context.clock
        self.clients = clients
        self._numbers = itertools.count(1)
        with context.reading() as session:
            self.idnumber = context.idnumber(session)

    def option(self, name: str, value: str) -> None:
        with self.context.unit() as session:
            set_option(session, self.context.settings, name, value, self.clock())

    def add(self, row):
        with self.context.unit() as session:
            session.add(row)
            session.flush()
            return row.id

    def add_person(self, username: str | None = None, **fields) -> int:
        username = username or f"person{next(self._numbers)}"
        return self.add(
            Account(
                **{
                    "username": username,
                    "firstname": username.title(),
                    "lastname": "Person",
                    "email": f"{username}@example.com",
                    **fields,
                }
            )
        )

    def change_person(self, key: int, **fields) -> None:
        with self.context.unit() as session:
            for name, value in fields.items():
                setattr(session.get_one(Account, key), name, value)

    def add_audience(self, *members: int, name: str = "Audience") -> int:
        audience_id = self.add(Audience(name=name, timecreated=self.clock(), timemodified=self.clock()))
        with self.context.unit() as session:
            for key in members:
                session.execute(insert(AudienceMember).values(audience_id=audience_id, account_key=key))
        return audience_id

    def drop_audience(self, audience_id: int) -> None:
        with self.context.unit() as session:
            session.delete(session.get_one(Audience, audience_id))

    def add_course(self, *active: int, inactive: tuple[int, ...] = ()) -> int:
        number = next(self._numbers)
        course_id = self.add(
            Course(
                fullname=f"Course {number}",
                shortname=f"C{number}",
                timecreated=self.clock(),
                timemodified=self.clock(),
            )
        )
        with self.context.unit() as session:
            for key in (*active, *inactive):
                session.execute(
                    insert(Enrolment).values(course_id=course_id, account_key=key, active=key in active)
                )
        return course_id

    def add_framework(self, tables: Tables, **fields) -> int:
        number = next(self._numbers)
        return self.add(
            tables.framework(
                **{
                    "idnumber": f"F{number}",
                    "fullname": f"Framework {number}",
                    "sortorder": number,
                    "timecreated": self.clock(),
                    "timemodified": self.clock(),
                    **fields,
                }
            )
        )

    def add_type(self, tables: Tables, idnumber: str, **fields: str) -> tuple[int, dict[str, int]]:
        """A type with fields, each a shortname with its datatype; gives its id, and theirs."""
        type_id = self.add(
            tables.type(
                idnumber=idnumber, fullname=idnumber, timecreated=self.clock(), timemodified=self.clock()
            )
        )
        return type_id, {
            shortname: self.add(
                tables.type_field(type_id=type_id, shortname=shortname, datatype=datatype, sortorder=order)
            )
            for order, (shortname, datatype) in enumerate(fields.items(), start=1)
        }

    def add_item(self, tables: Tables, framework_id: int, *, parent: int | None = None, **fields) -> int:
        number = next(self._numbers)
        with self.context.reading() as session:
            above = None if parent is None else session.get_one(tables.item, parent)
        item_id = self.add(
            tables.item(
                **{
                    "idnumber": f"I{number}",
                    "fullname": f"Item {number}",
                    "framework_id": framework_id,
                    "parent_id": parent,
                    "depthlevel": 1 if above is None else above.depthlevel + 1,
                    "sortthread": f"{number:02}",
                    "timecreated": self.clock(),
                    "timemodified": self.clock(),
                    **fields,
                }
            )
        )
        with self.context.unit() as session:
            session.get_one(tables.item, item_id).path = f"{above.path if above else ''}/{item_id}"
        return item_id

    def insert(self, table, **values) -> None:
        with self.context.unit() as session:
            session.execute(insert(table).values(**values))

    def add_job(self, key: int, **fields) -> int:
        number = next(self._numbers)
        return self.add(
            Job(
                **{
                    "account_key": key,
                    "idnumber": f"J{number}",
                    "positionassignmentdate": self.clock(),
                    "sortorder": 1,
                    "timecreated": self.clock(),
                    "timemodified": self.clock(),
                    **fields,
                }
            )
        )

    def add_field(self, shortname: str, datatype: str = "text", **fields) -> int:
        number = next(self._numbers)
        return self.add(
            ProfileField(
                **{
                    "shortname": shortname,
                    "name": shortname.title(),
                    "datatype": datatype,
                    "sortorder": number,
                    **fields,
                }
            )
        )

    def set_value(self, key: int, field_id: int, data: str) -> None:
        self.insert(ProfileValue, account_key=key, field_id=field_id, data=data)

    def add_client(
        self,
        *,
        audiences=(),
        courses=(),
        position_frameworks=(),
        organisation_frameworks=(),
        state="active",
        apiversion=2,
        **fields,
    ) -> ClientSite:
        number = next(self._numbers)
        site = ClientSite(f"http://client{number}.example", idnumber=new_token(), server_secret=new_token())
        site.id = self.add(
            Client(
                state=state,
                name=f"Client {number}",
                url=site.url,
                idnumber=site.idnumber,
                client_secret=self.context.box.seal(new_token()),
                server_secret_hash=digest(site.server_secret),
                apiversion=apiversion,
                clienttype="totaralms",
                timecreated=self.clock(),
                timemodified=self.clock(),
                **fields,
            )
        )
        for audience_id in audiences:
            self.insert(ClientAudience, client_id=site.id, audience_id=audience_id)
        for course_id in courses:
            self.insert(ClientCourse, client_id=site.id, course_id=course_id)
        for tables, ids in ((POSITIONS, position_frameworks), (ORGANISATIONS, organisation_frameworks)):
            for framework_id in ids:
                self.insert(tables.allowed, client_id=site.id, framework_id=framework_id)
        self.clients.sites[site.url] = site
        return site

    def sign_in(self, key: int) -> sessions.SignedIn:
        browser = sessions.new_browser_id()
        with self.context.unit() as session:
            sessions.start(session, browser, key, self.clock())
        return self.signed_in(browser)

    def signed_in(self, browser: str):
        with self.context.reading() as session:
            return sessions.look_up(session, self.context, browser)

    def requesting(self, client: ClientSite) -> signin.RequestingClient:
        with self.context.reading() as session:
            return signin.requesting_client(session, self.context, client.idnumber)

    def grant(self, signed_in, client: ClientSite) -> str:
        """Carry a sign-in on to a client; gives the address to send the browser to."""
        request = new_token()
        client.requests.add(request)
        return signin.grant(self.context, signed_in, self.requesting(client), request)

    def ssotoken(self, signed_in, client: ClientSite) -> str:
        """An ssotoken that has not been redeemed."""
        _, _, after = self.grant(signed_in, client).partition("ssotoken=")
        return after.partition("&")[0]

    def open_session(self, signed_in, client: ClientSite) -> str:
        """Sign in at a client; gives the ssotoken that now names the session."""
        token = self.ssotoken(signed_in, client)
        assert self.call(client, "get_sso_user", ssotoken=token)["status"] == "success"
        client.sessions.add(token)
        return token

    def call(self, client: ClientSite, service: str, **parameters: str) -> dict:
        """Call a service as the client does; gives the parsed reply."""
        form = {
            "serveridnumber": self.idnumber,
            "serversecret": client.server_secret,
            "service": service,
            **parameters,
        }
        return self.answer(form)

    def answer(self, form: dict[str, str]) -> dict:
        reply = services.answer(self.context, form)
        if isinstance(reply, bytes):
            return json.loads(reply)
        with reply:
            return json.loads(reply.read())
