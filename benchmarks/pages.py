"""How long lists of the administration pages take, and in how many statements, by how many people there are.

    python benchmarks/pages.py --people 1000 --people 100000
    python benchmarks/pages.py --database postgresql+psycopg://…/an_empty_database

Each size is a database of its own with 1,000 clients, 100 servers and 1,000 runs. Pages are asked for in this
process as a browser would ask; no network is measured. The last column is the ratio of the largest size to the
smallest, which says more than times of one machine do.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

from sqlalchemy import Engine, Table, create_engine, event
from sqlalchemy.orm import Session
from sync import Place
from webtest import TestApp

from tconnect_pyramid import context_of, models, people, schema, sqlite
from tconnect_pyramid.client import runs
from tconnect_pyramid.context import Context, make_idnumber
from tconnect_pyramid.directory import audiences, courses, jobs
from tconnect_pyramid.directory.bulk import know_size, put
from tconnect_pyramid.directory.hierarchies import POSITIONS
from tconnect_pyramid.directory.hierarchy_pages import page_of_items
from tconnect_pyramid.directory.paging import Asked, Page
from tconnect_pyramid.server import overview
from tconnect_pyramid.site import configure

NOW = 1_800_000_000
CLIENTS, SERVERS, RUNS = 1_000, 100, 1_000
PASSWORD = "a password of nobody"  # noqa: S105 - of a site that lives as long as this process
SETTINGS = {
    "tconnect.site_url": "http://localhost",
    "tconnect.site_name": "Benchmark",
    "tconnect.secret_keys": "insecure-benchmark-key-0123456789-0123456789",
    "tconnect.development": "true",
}
SMALLEST = 1_000
"""Members of a collection that everybody's number does not touch, and the least people for the rest."""

Rule = Callable[[Session, Context, Asked], Page[Any]]


@dataclass(frozen=True, slots=True)
class List:
    """A list: its page, what finds one of its rows and what many (empty where nothing can be looked for), its rule."""

    path: str
    one: str
    many: str
    rule: Rule


LISTS = (
    List("/admin/people", "person777@", "last7", lambda s, c, asked: c.accounts.page_of_people(s, asked)),
    List(
        "/admin/people?only=suspended",
        "person700@",
        "last7",
        lambda s, c, asked: c.accounts.page_of_people(s, asked, "suspended"),
    ),
    List("/admin/audiences", "AUD7.", "aud1", lambda s, _, asked: audiences.page_of_audiences(s, asked)),
    List(
        "/admin/audiences/1/members",
        "person400@",
        "last7",
        lambda s, c, asked: audiences.page_of_members(s, c, 1, asked),
    ),
    List("/admin/courses", "CRS7.", "crs1", lambda s, _, asked: courses.page_of_courses(s, asked)),
    List(
        "/admin/courses/1/enrolled",
        "person400@",
        "last7",
        lambda s, c, asked: courses.page_of_enrolled(s, c, 1, asked),
    ),
    List("/admin/jobs", "JOB777.", "person7", jobs.page_of_jobs),
    List(
        "/admin/positions/frameworks/1",
        "POS77.",
        "position 1",
        lambda s, _, asked: page_of_items(s, POSITIONS, 1, asked),
    ),
    List(
        "/admin/server/clients",
        "client777.",
        "client 7",
        lambda s, _, asked: overview.page_of_clients(s, asked),
    ),
    List("/admin/client/runs", "", "", lambda s, _, asked: runs.page_of_runs(s, asked)),
    List("/admin/client/runs/1", "", "", lambda s, _, asked: runs.page_of_lines(s, 1, asked)[1]),
)
PAGES = (
    "/admin/",
    "/admin/people/777",
    "/admin/audiences/1",
    "/admin/courses/1",
    "/admin/positions",
    "/admin/server/clients/1",
    "/admin/server/clients/1/edit",
    "/admin/client/servers",
    "/admin/client/servers/1",
    "/admin/client/runs/1/approve",
)
PICKED = {"person": "person777", "audience": "AUD7.", "course": "CRS7.", "position": "POS77."}


def fill(session: Session, context: Context, number: int) -> None:
    """A site with so many people, and what goes with them."""

    def into(model: type[models.Base], columns: str, rows: Iterator[Sequence[Any]]) -> None:
        put(session, cast("Table", model.__table__), columns.split(), rows)

    everybody = range(1, number + 1)
    collections = range(1, max(number // 100, 10) + 1)
    into(
        models.Account,
        "id username firstname lastname email idnumber city suspended description timecreated timemodified",
        (
            (
                *(each, f"person{each}", f"First{each * 7919 % number}", f"Last{each * 104729 % number}"),
                *(f"person{each}@example.org", f"ID{each}", "Berlin", int(each % 50 == 0)),
                *(f"<p>What person {each} says of themselves, in as many words as people use.</p>", NOW, NOW),
            )
            for each in everybody
        ),
    )
    for model, member, column in (
        (models.Audience, models.AudienceMember, "audience_id"),
        (models.Course, models.Enrolment, "course_id"),
    ):
        is_course = model is models.Course
        word = "CRS" if is_course else "AUD"
        into(
            model,
            f"id {'fullname shortname' if is_course else 'name'} idnumber timecreated timemodified",
            (
                (each, f"{word}{each}. of the site", *([f"{word}{each}"] * (1 + is_course)), NOW, NOW)
                for each in collections
            ),
        )
        # The first one has half of all people, each other one a hundred.
        into(
            member,
            f"account_key {column}",
            (
                (key, each)
                for each in collections
                for key in (
                    everybody[: number // 2]
                    if each == 1
                    else {(each * 100 + place) % number + 1 for place in range(100)}
                )
            ),
        )
    into(
        models.PositionFramework,
        "id idnumber fullname sortorder timecreated timemodified",
        iter([(1, "F", "Framework", 1, NOW, NOW)]),
    )
    into(
        models.Position,
        "id framework_id idnumber fullname path sortthread timecreated timemodified",
        (
            (each, 1, f"POS{each}.", f"Position {each}", f"/{each}", f"{each:06}", NOW, NOW)
            for each in range(1, number // 10 + 1)
        ),
    )
    into(
        models.Job,
        "id account_key fullname idnumber position_id positionassignmentdate sortorder timecreated timemodified",
        (
            (each, each, "Engineer", f"JOB{each}.", each % (number // 10) + 1, NOW, 1, NOW, NOW)
            for each in everybody
        ),
    )
    into(
        models.Client,
        "id state name url idnumber client_secret server_secret_hash apiversion clienttype add_new_audiences "
        "add_new_courses comment timecreated timemodified",
        (
            (
                *(each, "active", f"Client {each}", f"https://client{each}.example", f"{each:040x}"),
                *(context.box.seal("5" * 40), f"{each:064x}", 2, "totaralms", False, False, "", NOW, NOW),
            )
            for each in range(1, CLIENTS + 1)
        ),
    )
    for model, column in ((models.ClientAudience, "audience_id"), (models.ClientCourse, "course_id")):
        into(
            model,
            f"client_id {column}",
            ((each, place) for each in range(1, CLIENTS + 1) for place in collections[:5]),
        )
    into(
        models.Server,
        "id state name url idnumber server_secret client_idnumber client_secret_hash apiversion comment "
        "timecreated timemodified",
        (
            (
                *(each, "active", f"Server {each}", f"https://server{each}.example", f"{each:040x}"),
                *(context.box.seal("6" * 40), f"{each:040x}", "0" * 64, 2, "", NOW, NOW),
            )
            for each in range(1, SERVERS + 1)
        ),
    )
    into(
        models.Run,
        "id kind server_id server_idnumber state origin started seconds counts message",
        (
            (
                *(
                    each,
                    ("users", "collections")[each % 2 == 0],
                    each % SERVERS + 1,
                    f"{each % SERVERS + 1:040x}",
                ),
                *("held" if each == 1 else "done", "schedule", NOW + each, 1.0, '{"updated": 1}', ""),
            )
            for each in range(1, RUNS + 1)
        ),
    )
    into(
        models.RunLine,
        "run_id action remote_id subject detail",
        ((1, ("updated", "deleted")[each % 2], each, f"person{each}", "") for each in everybody),
    )
    know_size(session, models.Base.metadata.tables.values())


@contextmanager
def site(url: str, number: int) -> Iterator[tuple[TestApp, Context]]:
    """A browser of the administrator of a site with so many people."""
    engine = create_engine(url)
    sqlite.configure(engine)
    with engine.begin() as connection:
        schema.upgrade(connection)
    engine.dispose()
    app = configure(
        {
            **SETTINGS,
            "tconnect.client.enabled": "true",
            "tconnect.server.enabled": "true",
            "sqlalchemy.url": url,
        }
    ).make_wsgi_app()
    context = context_of(app.registry)
    try:
        with context.unit() as session:
            make_idnumber(session)
            fill(session, context, number)
        with context.unit() as session:
            if engine.dialect.name == "postgresql":
                _move_ids_on(session)
            people.add_person(session, context, username="root", password=PASSWORD, admin=True)
        browser = TestApp(app, extra_environ={"HTTP_HOST": "localhost"})
        form = browser.get("/login").forms["login"]
        form["username"], form["password"] = "root", PASSWORD
        form.submit(status=303)
        yield browser, context
    finally:
        context.database.engine.dispose()


def _move_ids_on(session: Session) -> None:
    # Rows that came with an id have not moved the sequence along, as they do on SQLite.
    session.connection().exec_driver_sql(
        "SELECT setval(pg_get_serial_sequence('tconnect_account', 'id'), max(id)) FROM tconnect_account"
    )


def addresses(browser: TestApp, context: Context) -> Iterator[tuple[str, str]]:
    """What is measured: in words that are the same for every size, and its address."""
    for each in LISTS:
        page = browser.get(each.path)
        yield each.path, each.path
        if each.one:
            yield f"{each.path} one found", _with(each.path, search=each.one)
            yield f"{each.path} many found", _with(each.path, search=each.many)
            yield f"{each.path} none found", _with(each.path, search="nowhere to be found")
        for link in page.html.select("th[aria-sort] a"):
            address = link["href"]
            yield f"{each.path} by {parse_qs(urlsplit(address).query)['sort'][0]}", address
        with context.reading() as session:
            total = each.rule(session, context, Asked(limit=1)).total
            deep = each.rule(session, context, Asked(limit=max(total // 2, 1))).after
        yield f"{each.path} from the middle", _with(each.path, cursor=deep)
    for path in PAGES:
        yield path, path
    for kind, words in PICKED.items():
        yield f"/admin/pick/{kind} one found", _with(f"/admin/pick/{kind}", search=words)
        yield f"/admin/pick/{kind} none found", _with(f"/admin/pick/{kind}", search="nowhere to be found")


def _with(path: str, **query: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


def measure(url: str, number: int, rounds: int) -> dict[str, tuple[float, int]]:
    """The median of milliseconds, and the number of statements, of each page."""
    with site(url, number) as (browser, context), counting(context.database.engine) as statements:
        found = {}
        for what, address in addresses(browser, context):
            browser.get(address)
            taken = []
            for _ in range(rounds):
                statements.clear()
                began = time.perf_counter()
                browser.get(address)
                taken.append((time.perf_counter() - began) * 1000)
            found[what] = (statistics.median(taken), len(statements))
        return found


@contextmanager
def counting(engine: Engine) -> Iterator[list[str]]:
    """The statements that are made meanwhile."""
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    yield statements


def show(measured: dict[int, dict[str, tuple[float, int]]]) -> Iterator[str]:
    """The table: milliseconds and statements for each size, and the ratio of the largest to the smallest."""
    sizes = sorted(measured)
    yield f"{'':52}" + "".join(f"{f'{size:,} people':>20}" for size in sizes) + f"{'ratio':>8}"
    for what in measured[sizes[0]]:
        cells = "".join("{:14.1f} ms{:3}".format(*measured[size][what]) for size in sizes)
        yield f"{what:52}{cells}{measured[sizes[-1]][what][0] / measured[sizes[0]][what][0]:8.1f}"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--people", type=int, action="append", help="how many; may be given again")
    arguments.add_argument("--database", default="", help="SQLAlchemy URL of PostgreSQL instead of SQLite")
    arguments.add_argument("--rounds", type=int, default=5)
    asked = arguments.parse_args()
    sizes = asked.people or [1_000, 100_000]
    if min(sizes) < SMALLEST:
        arguments.error(f"at least {SMALLEST:,} people")
    folder = Path(tempfile.mkdtemp(prefix="tconnect-benchmark-"))
    try:
        place = Place(asked.database, folder)
        measured = {size: measure(place.fresh(), size, asked.rounds) for size in sizes}
        print(f"{place.dialect}: {CLIENTS:,} clients, {SERVERS} servers, {RUNS:,} runs")
        for line in show(measured):
            print(line)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
