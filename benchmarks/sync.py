"""How fast a sync of people is, in ratios within one run, beside what the database itself takes for the rows.

    python benchmarks/sync.py --people 10000 --people 100000
    python benchmarks/sync.py --database postgresql+psycopg://…/an_empty_database
    python benchmarks/sync.py --members 1000000

Each step is a process of its own on one database; seconds are those of the whole run (file read, guard, the
run's record), CPU is what the process itself computed, RSS is its peak. The answer of the server is a file: no network is measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
from sqlalchemy import Engine, Table, create_engine, event, make_url, select, text

from tconnect_pyramid import schema, sqlite
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.context import Context, make_idnumber
from tconnect_pyramid.database import Database
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.directory.bulk import know_size, put
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS, own_accounts
from tconnect_pyramid.models import Account, Counterpart, Job, Link, ProfileField, ProfileValue, Server, Undo
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import replies
from tconnect_pyramid.protocol.collections import write_cohort
from tconnect_pyramid.protocol.plain_users import PlainUser, parse_users, relevant
from tconnect_pyramid.protocol.stream import cut_list
from tconnect_pyramid.protocol.users import write_job, write_profile_field, write_user
from tconnect_pyramid.secretbox import SecretBox
from tconnect_pyramid.server.callers import Caller
from tconnect_pyramid.server.lists import write_users
from tconnect_pyramid.settings import read_settings

NOW = 1_800_000_000
EVERYTHING = Caller(
    id=1,
    idnumber="c" * 40,
    state="active",
    apiversion=2,
    restrict_audience_id=None,
    sends_passwords=True,
    sends_profile_fields=True,
    sends_jobs=True,
    plugin_services=False,
)
SERVER = "5" * 40
FIELDS = ("shirt", "badge", "shift")
STEPS = (
    "digest",
    "bare",
    "first",
    "unchanged",
    "changed",
    "reconcile",
    "joined",
    "members",
    "produce",
    "copied",
    "moved",
    "undo",
    "undo_first",
)
"""`digest` reads the file and does nothing else; `bare` writes the same rows into the same tables, by no rule.
`changed` is a hundredth of the people who have moved, `moved` are all others. `joined` brings an audience to which
everybody belongs, and `members` brings it once more. `produce` is the other side: the server's reply for so many people;
`copied` is what PostgreSQL alone takes to make JSON of the same rows. `undo` takes back what `moved` did, and
`undo_first` what `first` did."""
PEOPLE_AS_JSON = """
    SELECT row_to_json(person) FROM (
        SELECT account.*, fields.sent AS profile_fields, jobs.sent AS jobs
        FROM tconnect_account account
        LEFT JOIN (
            SELECT account_key, json_agg(
                json_build_object('shortname', field.shortname, 'datatype', field.datatype, 'data', value.data)
            ) AS sent
            FROM tconnect_profile_value value
            JOIN tconnect_profile_field field ON field.id = value.field_id
            GROUP BY account_key
        ) fields ON fields.account_key = account.id
        LEFT JOIN (
            SELECT account_key, json_agg(job) AS sent FROM tconnect_job job GROUP BY account_key
        ) jobs ON jobs.account_key = account.id
        ORDER BY account.id
    ) person"""
MEMBERS_A_SECOND = 200_000
LIMITS = {
    # The steps of a gate, its greatest ratio.
    ("first", "bare", "sqlite"): 2.0,
    ("first", "bare", "postgresql"): 2.5,
    ("unchanged", "digest", ""): 2.0,
    ("changed", "unchanged", ""): 2.5,
    ("reconcile", "unchanged", ""): 5.0,
    ("produce", "copied", "postgresql"): 1.5,
    ("undo", "moved", ""): 1.0,
    ("undo_first", "first", ""): 1.0,
}


def write_people(path: Path, people: int, *, every: int = 0) -> None:
    """A reply of `get_users`; every so many people one has moved: another city, room, and job."""
    with path.open("wb") as file:
        file.write(replies.USERS_HEAD)
        for number in range(1, people + 1):
            if number > 1:
                file.write(replies.BETWEEN_RECORDS)
            file.write(msgspec.json.encode(_person(number, has_moved=bool(every) and number % every == 0)))
        file.write(replies.LIST_TAIL)


def _person(number: int, *, has_moved: bool = False) -> dict[str, object]:
    values = {
        "id": number,
        "username": f"person{number}",
        "firstname": f"First{number}",
        "lastname": f"Last{number}",
        "email": f"person{number}@example.org",
        "idnumber": f"ID{number}",
        "password": f"$2y$10${'a' * 53}",
        "city": "Bremen" if has_moved else "Berlin",
        "country": "DE",
        "description": f"<p>What person {number} says of themselves, in as many words as people use.</p>",
        "institution": "Institute",
        "department": "Department",
        "phone1": "0123 456789",
        "address": "1 Long Street",
        "timecreated": NOW - number,
        "timemodified": NOW - number,
        "lastaccess": NOW,
        "lastip": "192.0.2.1",
    }
    job = {
        "id": number,
        "fullname": "Captain" if has_moved else "Engineer",
        "shortname": "eng",
        "idnumber": f"J{number}",
        "startdate": NOW - number,
        "sortorder": 1,
    }
    return write_user(
        values,
        version=2,
        profile_fields=[
            write_profile_field(name, "text", f"{name} {'at sea ' if has_moved else ''}of {number}")
            for name in FIELDS
        ],
        jobs=[write_job(job, warn=_unexpected)],
        warn=_unexpected,
    )


def write_audience(path: Path, people: int) -> None:
    """A reply of `get_user_collections`: one audience of all people."""
    values = {"id": 1, "name": "Everybody", "idnumber": "all", "timecreated": NOW, "timemodified": NOW}
    record = write_cohort(values, range(1, people + 1), warn=_unexpected)
    with path.open("wb") as file:
        file.write(replies.COLLECTIONS_HEAD)
        file.write(msgspec.json.encode(record))
        file.write(replies.COLLECTIONS_MIDDLE)
        file.write(replies.LIST_TAIL)


def _unexpected(warning: str) -> None:
    raise AssertionError(warning)


class FileTransport:
    """Every call is answered with one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def post(self, url: str, form: Sequence[tuple[str, str]], *, timeout: float, limit: int) -> BinaryIO:
        """The file."""
        del url, form, timeout, limit
        return self.path.open("rb")


def make_context(engine: Engine, answer: Path) -> Context:
    """A site on the database, whose server answers with the file."""
    settings = read_settings(
        {
            "tconnect.site_url": "http://client.example",
            "tconnect.site_name": "Benchmark",
            "tconnect.secret_keys": "insecure-benchmark-key-0123456789-0123456789",
            "tconnect.development": "true",
        }
    )
    return Context(
        settings=settings,
        database=Database(engine),
        accounts=Accounts(own_accounts()),
        box=SecretBox(settings.secret_keys),
        clock=lambda: NOW,
        transport=FileTransport(answer),
    )


def prepare(engine: Engine, answer: Path) -> None:
    """An empty site that is connected to one server and asks for three custom fields."""
    with engine.begin() as connection:
        schema.upgrade(connection)
    context = make_context(engine, answer)
    with context.unit() as session:
        make_idnumber(session)
        set_option(session, context.settings, "client.enabled", "true", NOW)
        for place, name in enumerate(FIELDS, 1):
            session.add(ProfileField(shortname=name, name=name, datatype="text", choices="", sortorder=place))
        session.add(
            Server(
                state="active",
                name="Server",
                url="http://server.example",
                idnumber=SERVER,
                server_secret=context.box.seal("6" * 40),
                client_idnumber="c" * 40,
                client_secret_hash="0" * 64,
                apiversion=2,
                timecreated=NOW,
                timemodified=NOW,
            )
        )


def read_only(answer: Path) -> None:
    """Read and digest: what nobody can do without who wants to know whether anything has changed."""
    encode = msgspec.msgpack.Encoder().encode
    with answer.open("rb") as file:
        for records in cut_list(file, "users", parse_users):
            for record in records:
                blake2b(encode(relevant(cast("PlainUser", record))), digest_size=16).digest()


def write_bare(engine: Engine, answer: Path) -> None:
    """The rows that a first sync makes, written by the database's fastest means with no rule at all."""
    context = make_context(engine, answer)
    account, link, value, job, counterpart = (
        cast("Table", each.__table__) for each in (Account, Link, ProfileValue, Job, Counterpart)
    )
    jobs = [column.key for column in job.columns]
    with context.unit() as session, answer.open("rb") as file:
        for raws in cut_list(file, "users"):
            # As they came: the database makes numbers of the texts.
            records = cast("list[dict[str, Any]]", raws)
            put(
                session,
                account,
                ("id", *STANDARD_FIELDS),
                (
                    (each["id"], *(each.get(name, default) for name, default in STANDARD_FIELDS.items()))
                    for each in records
                ),
            )
            put(
                session,
                link,
                ("person_id", "server_id", "account_key", "suspended_by_sync", "digest", "timecreated"),
                ((each["id"], 1, each["id"], False, b"0123456789abcdef", NOW) for each in records),
            )
            put(
                session,
                value,
                ("account_key", "field_id", "data"),
                (
                    (each["id"], number, sent["data"])
                    for each in records
                    for number, sent in enumerate(each["profile_fields"], 1)
                ),
            )
            made = [(sent, each["id"]) for each in records for sent in each["jobs"]]
            put(
                session,
                job,
                jobs,
                ([key if name == "account_key" else sent.get(name) for name in jobs] for sent, key in made),
            )
            put(
                session,
                counterpart,
                ("remote_id", "kind", "server_id", "local_id"),
                ((sent["id"], "job", 1, sent["id"]) for sent, _ in made),
            )


def fill(engine: Engine, answer: Path, people: int) -> None:
    """Accounts and links of so many people, as a sync leaves them; nothing that they have besides."""
    context = make_context(engine, answer)
    account, link = cast("Table", Account.__table__), cast("Table", Link.__table__)
    numbers = range(1, people + 1)
    with context.unit() as session:
        people_here = map(_person, numbers)
        put(
            session,
            account,
            ("id", *STANDARD_FIELDS),
            (
                (each["id"], *(each.get(name, default) for name, default in STANDARD_FIELDS.items()))
                for each in people_here
            ),
        )
        put(
            session,
            link,
            ("person_id", "server_id", "account_key", "suspended_by_sync", "timecreated"),
            ((number, 1, number, False, NOW) for number in numbers),
        )
        know_size(session, [account, link])


def copy_as_json(engine: Engine) -> int:
    """Let the database make JSON of what a reply holds; gives how much. Nothing where it is none that does so by itself."""
    if engine.dialect.name != "postgresql":
        return 0
    statement = f"COPY ({PEOPLE_AS_JSON}) TO STDOUT"
    with engine.connect() as connection:
        driver: Any = connection.connection
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            return sum(len(piece) for piece in copy)


def take_back(context: Context, *, is_first: bool) -> dict[str, int]:
    """Undo the first or the last run that can be; gives what became of how many."""
    with context.reading() as session:
        runs = session.scalars(select(Undo.run_id).distinct().order_by(Undo.run_id)).all()
    report = undo_run(context, runs[0 if is_first else -1], actor="command")
    # The lines are told as well, as whoever asked for it will have them.
    told = sum(1 for _ in report.lines)
    return {**{what: number for what, number in report.counts.items() if number}, "lines": told}


def step(name: str, url: str, answer: Path) -> dict[str, Any]:
    """Do one step in this process; gives what it took."""
    engine = create_engine(url)
    sqlite.configure(engine)
    writes: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: _note(writes, args[2]))
    context = make_context(engine, answer)
    began, computed = time.perf_counter(), time.process_time()
    if name == "digest":
        read_only(answer)
        counts: dict[str, int] = {}
    elif name == "bare":
        write_bare(engine, answer)
        counts = {}
    elif name == "produce":
        with write_users(context, EVERYTHING) as reply:
            counts = {"bytes": reply.seek(0, 2)}
    elif name == "copied":
        counts = {"bytes": copy_as_json(engine)}
    elif name in {"undo", "undo_first"}:
        counts = take_back(context, is_first=name == "undo_first")
    else:
        kind = "collections" if name in {"joined", "members"} else "users"
        report = run_sync(context, kind, 1, reconcile=name == "reconcile")
        if report.state != "done":
            raise AssertionError(report.message)
        counts = {what: number for what, number in report.counts.items() if number}
    seconds = time.perf_counter() - began
    engine.dispose()
    return {
        "seconds": seconds,
        "cpu": time.process_time() - computed,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "writes": len(writes),
        "counts": counts,
    }


def _note(writes: list[str], statement: str) -> None:
    first = statement.split(None, 1)[0].upper()
    if first in {"INSERT", "UPDATE", "DELETE"} and not any(
        ours in statement for ours in ("tconnect_run ", "tconnect_lease")
    ):
        writes.append(statement)


@dataclass
class Place:
    """Where databases are made: a folder for SQLite, or a PostgreSQL database that is emptied."""

    base: str
    folder: Path

    @property
    def dialect(self) -> str:
        """The database's name."""
        return make_url(self.base).get_backend_name() if self.base else "sqlite"

    def fresh(self) -> str:
        """An empty database's URL."""
        if not self.base:
            path = self.folder / "site.sqlite"
            for each in self.folder.glob("site.sqlite*"):
                each.unlink()
            return f"sqlite:///{path}"
        engine = create_engine(self.base)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA IF EXISTS tconnect_benchmark CASCADE"))
            connection.execute(text("CREATE SCHEMA tconnect_benchmark"))
        engine.dispose()
        query = {"options": "-csearch_path=tconnect_benchmark"}
        return make_url(self.base).update_query_dict(query).render_as_string(hide_password=False)


def measure(place: Place, people: int, rounds: int) -> dict[str, dict[str, Any]]:
    """All steps, the median of `rounds` for each."""
    plain, changed, moved = (place.folder / f"{name}.json" for name in ("people", "changed", "moved"))
    write_people(plain, people)
    write_people(changed, people, every=100)
    write_people(moved, people, every=1)
    audience = place.folder / "audience.json"
    write_audience(audience, people)
    answers = {
        "changed": changed,
        "reconcile": changed,
        "moved": moved,
        "joined": audience,
        "members": audience,
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in STEPS}
    for _ in range(rounds):
        for name in STEPS:
            if name in {"bare", "first"}:
                url = place.fresh()
                engine = create_engine(url)
                sqlite.configure(engine)
                prepare(engine, plain)
                engine.dispose()
            elif name == "digest":
                url = "sqlite://"
            found[name].append(_in_a_process(name, url, answers.get(name, plain)))
    return {name: _median(taken) for name, taken in found.items()}


def measure_members(place: Place, people: int, rounds: int) -> dict[str, dict[str, Any]]:
    """The steps of an audience alone, among people who were not brought by a sync."""
    audience = place.folder / "audience.json"
    write_audience(audience, people)
    url = place.fresh()
    engine = create_engine(url)
    sqlite.configure(engine)
    prepare(engine, audience)
    fill(engine, audience, people)
    engine.dispose()
    joined = _in_a_process("joined", url, audience)
    taken = [_in_a_process("members", url, audience) for _ in range(rounds)]
    return {"joined": joined, "members": _median(taken)}


def _median(taken: Sequence[dict[str, Any]]) -> dict[str, Any]:
    times = {name: statistics.median(each[name] for each in taken) for name in ("seconds", "cpu")}
    return {**taken[-1], **times}


def _in_a_process(name: str, url: str, answer: Path) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, __file__, "--step", name, "--url", url, "--answer", str(answer)],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def show(place: Place, measured: dict[int, dict[str, dict[str, Any]]]) -> Iterator[str]:
    """The table, and the ratios beside their gates."""
    for people, steps in measured.items():
        yield from _table(place, people, steps)
        for (above, below, dialect), most in LIMITS.items():
            if dialect in {"", place.dialect}:
                ratio = steps[above]["seconds"] / steps[below]["seconds"]
                yield f"  {above} : {below} = {ratio:.2f} ({'within' if ratio <= most else 'over'} {most})"
    sizes = sorted(measured)
    for small, large in pairwise(sizes):
        for name in ("first", "unchanged"):
            ratio = measured[large][name]["seconds"] / measured[small][name]["seconds"]
            yield f"  {name}, {large:,} : {small:,} people = {ratio:.1f}"


def _table(place: Place, people: int, steps: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"{place.dialect}, {people:,} people"
    yield f"  {'step':10}{'seconds':>9}{'CPU':>8}{'RSS MB':>8}{'writes':>8}  counts"
    for name, taken in steps.items():
        yield f"  {name:10}{taken['seconds']:9.2f}{taken['cpu']:8.2f}{taken['rss']:8}{taken['writes']:8}  {taken['counts']}"
    speed = people / steps["members"]["seconds"]
    is_enough = "within" if speed >= MEMBERS_A_SECOND else "below"
    yield f"  members: {speed:,.0f} a second ({is_enough} {MEMBERS_A_SECOND:,})"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--people", type=int, action="append", help="how many; may be given again")
    arguments.add_argument(
        "--members", type=int, action="append", help="measure an audience of so many people, and nothing else"
    )
    arguments.add_argument("--database", default="", help="SQLAlchemy URL of PostgreSQL instead of SQLite")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments.add_argument("--url", help=argparse.SUPPRESS)
    arguments.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.step:
        print(json.dumps(step(asked.step, asked.url, asked.answer)))
        return
    folder = Path(tempfile.mkdtemp(prefix="tconnect-benchmark-"))
    try:
        place = Place(asked.database, folder)
        for members in asked.members or ():
            for line in _table(place, members, measure_members(place, members, asked.rounds)):
                print(line)
        sizes = asked.people or ([] if asked.members else [10_000, 100_000])
        for line in show(place, {people: measure(place, people, asked.rounds) for people in sizes}):
            print(line)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
