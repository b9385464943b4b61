"""A client site that is connected to played servers: what they send, what an administrator does, what can be seen.

For tests that know the rules of the client role and nothing of how they are kept: they act by the real sync
and by a browser that signs in, and look at what the commands and pages show.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image
from sqlalchemy import delete, select
from support import databases, lists, sites
from support.webapp import app_context, make_app
from webtest import TestApp

from tconnect_pyramid import people
from tconnect_pyramid.cli.user import account_rows
from tconnect_pyramid.client import signin
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import (
    audiences,
    hierarchies,
    hierarchy_frameworks,
    hierarchy_items,
    jobs,
    pictures,
    profiles,
)
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import Link, Server
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.secretbox import new_token

URL = "http://client.example"
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
FIRST, SECOND = "5" * 40, "7" * 40
"""The idnumbers of the servers that are connected first and second."""
HASH = "$2y$10$BXwucLKzdxUO7Qj5P6i5PuCY7ohGrHlDZJ0nGJeHoOOTB255XtsS2"
ANOTHER_HASH = "$2y$10$0rrM25RmAeTKMcNIpAh8QOJ.R30LYswGW6aRl9V21zS0l5BWAzMbO"


class PlayedServer(lists.ListingServer):
    """One server: its lists, and what it answers to other services by their name (a result, or an exception)."""

    def __init__(self, idnumber: str, url: str) -> None:
        super().__init__()
        self.idnumber = idnumber
        self.url = url
        self.id = 0
        self.answers: dict[str, Any] = {
            "get_api_version": jsend.Success({"minapiversion": 1, "maxapiversion": 2}),
            "update_api_version": jsend.Success(),
        }

    def post(self, url, form, *, timeout, limit):
        answer = self.answers.get(dict(form)["service"])
        if answer is None or self.down:
            return super().post(url, form, timeout=timeout, limit=limit)
        self.on_call()
        self.asked.append(dict(form)["service"])
        if callable(answer):
            answer = answer(dict(form))
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer if isinstance(answer, bytes) else jsend.write(answer))


class PlayedServers:
    """The transport of a client: each call goes to the played server below whose address it is."""

    def __init__(self) -> None:
        self.servers: list[PlayedServer] = []

    def post(self, url, form, *, timeout, limit):
        asked = [server for server in self.servers if url.startswith(f"{server.url}/")]
        if not asked:
            raise PeerError("POST", url, "connect", "there is no such site")
        # A site may lie below the path of another one.
        server = max(asked, key=lambda each: len(each.url))
        return server.post(url, form, timeout=timeout, limit=limit)


@dataclass
class ClientSite:
    """A client; `server` is the one that was connected first."""

    context: Any
    database: str
    transport: PlayedServers
    ending: ExitStack
    app: Any = None
    keys: dict[Any, int] = field(default_factory=dict)
    """For tests that fill a site first: the accounts that they speak of, by their own names."""
    names: Any = field(default_factory=count)

    # --- arrange -----------------------------------------------------------------------------------

    @property
    def server(self) -> PlayedServer:
        return self.transport.servers[0]

    def connect(self, idnumber: str, url: str, *, apiversion: int = 2) -> PlayedServer:
        """One more server."""
        server = PlayedServer(idnumber, url)
        server.on_call = self.context.database.assert_idle
        server.id = lists.connect(self.context, idnumber=idnumber, url=url)
        with self.context.unit() as session:
            session.get(Server, server.id).apiversion = apiversion
        self.transport.servers.append(server)
        return server

    def set(self, **options: str) -> None:
        """Set options of the client role, written without `client.`."""
        with self.context.unit() as session:
            for name, value in options.items():
                set_option(session, self.context.settings, f"client.{name}", value, self.context.clock())

    def add(self, username: str = "", **fields) -> int:
        """A local account made by hand, with any standard fields; gives its key."""
        username = username or f"local{next(self.names)}"
        record = {**STANDARD_FIELDS, "username": username, "email": f"{username}@here.example", **fields}
        with self.context.unit() as session:
            (key,) = self.context.accounts.insert(session, [record])
        return key

    def write(self, key: int, **fields) -> None:
        """Put values straight into an account's row, as a program beside this one would."""
        with self.context.unit() as session:
            self.context.accounts.update(session, {key: fields})

    def do(self, function, *args, **more):
        """Call a function of the domain that takes a session and the site, as the commands do."""
        with self.context.unit() as session:
            return function(session, self.context, *args, **more)

    def drop_row(self, key: int) -> None:
        """Remove an account's row behind everybody's back."""
        with self.context.unit() as session:
            accounts = self.context.accounts
            session.execute(delete(accounts.columns.mapped_class).where(accounts.key == key))

    # --- act ---------------------------------------------------------------------------------------

    def sync(self, kind: str = "users", server: PlayedServer | None = None):
        """One run; gives its report."""
        return run_sync(self.context, kind, (server or self.server).id)

    def browser(self) -> TestApp:
        """A browser on the site."""
        if self.app is None:
            kind = self.context.settings.client_type
            self.app = make_app(self.database, URL, self.transport, self.context.clock, client__type=kind)
            self.ending.callback(app_context(self.app).database.engine.dispose)
        return TestApp(self.app, extra_environ={"HTTP_HOST": urlsplit(URL).netloc})

    def sign_in(self, record: dict, server: PlayedServer | None = None) -> Visit:
        """A browser goes to the server, comes back, and the server says that it is this person."""
        server = server or self.server
        browser = self.browser()
        server.answers["get_sso_user"] = jsend.Success(with_picture(record))
        away = browser.get(f"/auth/connect/sso_start.php?serverid={server.id}", status=303)
        asked = parse_qs(urlsplit(away.location).query)
        page = browser.get(
            "/auth/connect/sso_finish.php",
            {
                "clientidnumber": asked["clientidnumber"][0],
                "requesttoken": asked["requesttoken"][0],
                "ssotoken": new_token(),
                "result": "success",
            },
            status="*",
        )
        return Visit(browser, page.maybe_follow())

    def refresh(self, record: dict, server: PlayedServer | None = None) -> bool:
        """What coming back from the profile form at the server does; whether it brought the person."""
        server = server or self.server
        server.answers["get_user"] = jsend.Success({"user": with_picture(record)})
        return signin.refresh_person(self.context, server.id, int(record["id"])) is not None

    # --- see ---------------------------------------------------------------------------------------

    def client_idnumber(self, server: PlayedServer | None = None) -> str:
        """What a server calls this client."""
        with self.context.reading() as session:
            return session.get(Server, (server or self.server).id).client_idnumber

    def key(self, person_id: int, server: PlayedServer | None = None) -> int | None:
        """The key of the account of a person, also when its row is gone."""
        with self.context.reading() as session:
            return session.scalar(
                select(Link.account_key).where(
                    Link.person_id == person_id, Link.server_id == (server or self.server).id
                )
            )

    def rows(self) -> list[dict]:
        """What `tconnect user list --json` lists."""
        with self.context.reading() as session:
            return account_rows(session, self.context.accounts.page(session, limit=10_000, deleted=True))

    def shown(self, key: int | None) -> dict | None:
        """What `tconnect user show --json` shows of an account, and its password."""
        with self.context.reading() as session:
            view = None if key is None else self.context.accounts.view(session, key)
            if view is None:
                return None
            (row,) = account_rows(session, [view])
            kept = self.context.accounts.fetch(session, [key], STANDARD_FIELDS)[key]
            belongings = people.belongings(session, self.context, key)
        return {
            **kept,
            **row,
            "fields": belongings.fields,
            "picture": belongings.picture,
            "pictures": list(belongings.pictures),
            "jobs": [job.idnumber for job in belongings.jobs],
        }

    def person(self, person_id: int, server: PlayedServer | None = None) -> dict | None:
        """What is shown of the account of a person; None without one."""
        return self.shown(self.key(person_id, server))

    def state(self, person_id: int, server: PlayedServer | None = None) -> str:
        """One of `none`, `live`, `suspended`, `deleted`."""
        shown = self.person(person_id, server)
        if shown is None:
            return "none"
        return "deleted" if shown["deleted"] else "suspended" if shown["suspended"] else "live"

    def jobs(self, key: int) -> list:
        """An account's jobs in their order."""
        with self.context.reading() as session:
            return jobs.list_jobs(session, key)

    def sets(self, kept=audiences.AUDIENCES) -> dict[str, Any]:
        """Audiences (or groups) with their members, by idnumber."""
        with self.context.reading() as session:
            return {it.idnumber: it for it in audiences.list_audiences(session, kept=kept, members=True)}

    def items(self, hierarchy=hierarchies.POSITIONS) -> dict[str, Any]:
        """Items by idnumber, in the order in which they are listed."""
        with self.context.reading() as session:
            return {item.idnumber: item for item in hierarchy_items.list_items(session, hierarchy)}

    def frameworks(self, hierarchy=hierarchies.POSITIONS) -> dict[str, Any]:
        """Frameworks by idnumber, in their order."""
        with self.context.reading() as session:
            return {it.idnumber: it for it in hierarchy_frameworks.list_frameworks(session, hierarchy)}

    def picture(self, key: int) -> dict[str, bytes]:
        """The files of an account's picture."""
        with self.context.reading() as session:
            return pictures.files_of(session, [key]).get(key, {})


@dataclass(frozen=True)
class Visit:
    """Where a browser is after it came back from a server."""

    browser: TestApp
    page: Any

    @property
    def signed_in(self) -> bool:
        # By the form, not by its words: the page speaks the person's language.
        return 'action="/logout"' in self.browser.get("/").maybe_follow().text


def with_picture(record: dict) -> dict:
    """A record as `get_user` and `get_sso_user` send it: with the keys of the picture."""
    return {"picture": "0", "pictures": [], **record}


UNGUARDED = tuple((f"guard.{what}", "1000000 100") for what in ("people", "members", "items"))
"""Histories of many people in one run are about other rules than the guard's numbers."""


@contextmanager
def client_site(
    database: str,
    *,
    accounts=None,
    before=None,
    options=(),
    servers=((FIRST, "http://server.example"),),
    client_type="lms",
):
    """A client on an empty database, connected to these servers (idnumber, address).

    `before` is called with the context first of all: a host makes its table there.
    """
    transport = PlayedServers()
    with (
        ExitStack() as ending,
        sites.context(
            database,
            url=URL,
            transport=transport,
            accounts=accounts,
            options=[("client.enabled", "true"), *UNGUARDED, *options],
        ) as context,
    ):
        if before:
            before(context)
        settings = replace(context.settings, client_type=client_type)
        site = ClientSite(replace(context, settings=settings), database, transport, ending)
        for idnumber, url in servers:
            site.connect(idnumber, url)
        yield site


@contextmanager
def fresh(kind: str, **more):
    """A client on a database of its own of this kind, for tests that share one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        databases.maker(kind, Path(folder)) as make,
        client_site(make(), **more) as site,
    ):
        yield site


def log_in(browser: TestApp, username: str, password: str, status=303) -> None:
    """Fill in the login page."""
    form = browser.get("/login?nosso=1").forms["login"]
    form["username"], form["password"] = username, password
    form.submit(status=status)


def add_field(site: ClientSite, shortname: str, datatype: str = "text", choices=()) -> None:
    """A custom profile field of the site."""
    site.do(profiles.add_field, shortname, datatype=datatype, choices=choices)


def lines(report) -> dict[int | None, str]:
    """What a run tells of each person or thing: the action and why."""
    return {line.remote_id: f"{line.action}: {line.detail}" for line in report.lines}


def body(data: object) -> bytes:
    """A whole reply with this data, whatever that is."""
    return json.dumps({"status": "success", "data": data}).encode()


def full_person(site: ClientSite, id_: int) -> dict:
    """Somebody with a value in a custom field, which is made here too, with a job and with a password."""
    add_field(site, "shirt")
    return lists.person(
        id_,
        password=HASH,
        profile_fields=[lists.field("shirt", "M")],
        jobs=[lists.job(id_ * 10, "J1")],
    )


def photographed(record: dict, number: int = 7, colour: str = "red") -> dict:
    """Somebody with a picture, as `get_sso_user` and `get_user` send it."""
    files = {f"f{n}.png": square(colour, size) for n, size in ((1, 100), (2, 35), (3, 512))}
    return {**record, "picture": str(number), "pictures": files}


def square(colour: str, size: int = 100, kind: str = "PNG") -> str:
    """An image of one colour in base64."""
    out = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(out, kind)
    return base64.b64encode(out.getvalue()).decode()


def colour(content: bytes) -> tuple[int, ...]:
    """The colour in the corner of an image."""
    return Image.open(io.BytesIO(content)).convert("RGB").getpixel((5, 5))
