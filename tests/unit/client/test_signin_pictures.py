"""Pictures of people: only a sign-in and a refresh of one person bring them (protocol 6 and 9)."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import String, orm
from sqlalchemy.orm import DeclarativeBase, mapped_column
from support import lists, peers, sites

from tconnect_pyramid.client import signin
from tconnect_pyramid.client.signin import Arrived
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import pictures
from tconnect_pyramid.directory.columnmap import ColumnMap, inverted
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.secretbox import new_token

RECORDED = Path(__file__).parents[2] / "data" / "wire"
WITH_PICTURE = json.loads((RECORDED / "get_user.json").read_text(encoding="utf-8"))["response"]["data"][
    "user"
]
NUMBER = int(WITH_PICTURE["picture"])
NONE = {**WITH_PICTURE, "picture": "0", "pictures": []}


def square(colour, *, size=100, kind="PNG") -> str:
    out = BytesIO()
    Image.new("RGB", (size, size), colour).save(out, kind)
    return base64.b64encode(out.getvalue()).decode()


def another(number: int, colour="red", **files) -> dict:
    return {
        **WITH_PICTURE,
        "picture": str(number),
        "pictures": files or {"f1.png": square(colour), "f2.png": square(colour, size=35)},
    }


@pytest.fixture
def peer():
    return peers.always(jsend.Success(WITH_PICTURE))


@pytest.fixture
def context(make_database, peer):
    with sites.context(make_database(), transport=peer, options=[("client.enabled", "true")]) as context:
        peer.check_idle = context.database.assert_idle
        yield context


@pytest.fixture
def server_id(context):
    return peers.add_server(context)


def arrive(context, peer, server_id, record) -> int:
    peer.answer = lambda url, form: jsend.Success(record)
    token = signin.start(context, server_id, "browser", "").partition("requesttoken=")[2]
    query = {
        "clientidnumber": peers.CLIENTIDNUMBER,
        "requesttoken": token,
        "ssotoken": new_token(),
        "result": "success",
    }
    outcome = signin.finish(context, query, "browser", signed_in=False)
    assert isinstance(outcome, Arrived), outcome
    return outcome.account_key


def refresh(context, peer, server_id, record) -> int:
    peer.answer = lambda url, form: jsend.Success({"user": record})
    return signin.refresh_person(context, server_id, 3).key


def picture_of(context, key) -> tuple[int, list[str]]:
    with context.reading() as session:
        number = context.accounts.fetch(session, [key], ["picture"])[key]["picture"]
        return number, list(pictures.names_of(session, [key]).get(key, ()))


def colour_of(context, key):
    with context.reading() as session:
        content = pictures.files_of(session, [key])[key]["f1.png"]
    return Image.open(BytesIO(content)).convert("RGB").getpixel((5, 5))


RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_a_new_person_arrives_with_a_picture(context, peer, server_id):
    key = arrive(context, peer, server_id, WITH_PICTURE)

    assert picture_of(context, key) == (NUMBER, ["f1.png", "f2.png", "f3.png"])


@pytest.mark.parametrize("how", [arrive, refresh])
def test_it_is_replaced_only_when_the_number_differs(context, peer, server_id, how):
    key = arrive(context, peer, server_id, another(7, "red"))
    assert how(context, peer, server_id, another(7, "blue")) == key
    assert colour_of(context, key) == RED

    how(context, peer, server_id, another(8, "blue"))

    assert colour_of(context, key) == BLUE
    assert picture_of(context, key) == (8, ["f1.png", "f2.png"])


@pytest.mark.parametrize("how", [arrive, refresh])
def test_number_0_removes_it(context, peer, server_id, how):
    key = arrive(context, peer, server_id, WITH_PICTURE)

    how(context, peer, server_id, NONE)

    assert picture_of(context, key) == (0, [])


BAD = {
    "no image": another(8, **{"f1.png": base64.b64encode(b"<script>").decode()}),
    "no base64": another(8, **{"f1.png": "?"}),
    "another format than its name": another(8, **{"f1.png": square("blue", kind="GIF")}),
    "too large": another(8, **{"f1.png": square("blue", size=2000)}),
    "one of two is bad": another(8, **{"f2.png": square("blue", size=35), "f1.png": "AAAA"}),
    "no files": {**WITH_PICTURE, "picture": "8", "pictures": []},
}


@pytest.mark.parametrize("how", [arrive, refresh])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_picture_is_left_out_with_a_warning_and_stops_nobody(
    context, peer, server_id, how, bad, caplog
):
    key = arrive(context, peer, server_id, another(7, "red"))
    caplog.clear()

    assert how(context, peer, server_id, {**bad, "city": "Oslo"}) == key

    assert (picture_of(context, key)[0], colour_of(context, key)) == (7, RED)
    assert "The picture of the person 3 of http://127.0.0.1:8101 was left out: " in caplog.text
    with context.reading() as session:
        assert context.accounts.fetch(session, [key], ["city"])[key]["city"] == "Oslo"


def test_what_is_kept_is_drawn_anew(context, peer, server_id):
    hidden = base64.b64encode(base64.b64decode(square("red")) + b"<script>x()</script>").decode()

    key = arrive(context, peer, server_id, another(7, **{"f1.png": hidden}))

    with context.reading() as session:
        assert b"script" not in pictures.files_of(session, [key])[key]["f1.png"]


def test_the_users_sync_never_touches_pictures(make_database):
    server = lists.ListingServer()
    with sites.context(make_database(), transport=server, options=[("client.enabled", "true")]) as context:
        server_id = lists.connect(context)
        server.people = [lists.person(3)]
        run_sync(context, "users", server_id)
        with context.unit() as session:
            (key,) = context.accounts.by_username(session, [f"tc_3_{'5' * 40}"]).values()
            pictures.put(session, context, key, {"f1.png": b"x"}, 7)
        server.people = [lists.person(3, city="Oslo", picture="8"), lists.person(4, picture="9")]

        run_sync(context, "users", server_id)

        assert picture_of(context, key) == (7, ["f1.png"])


def test_an_account_that_was_deleted_comes_back_with_its_picture(context, peer, server_id):
    key = arrive(context, peer, server_id, WITH_PICTURE)
    with context.unit() as session:
        context.accounts.mark_deleted(session, [key])
    assert picture_of(context, key) == (0, [])

    assert arrive(context, peer, server_id, WITH_PICTURE) == key

    assert picture_of(context, key)[0] == NUMBER


@pytest.mark.parametrize(
    ("record", "has"), [(WITH_PICTURE, (NUMBER, ["f1.png", "f2.png", "f3.png"])), (NONE, (0, []))]
)
def test_an_account_that_is_taken_over_has_the_servers_picture(context, peer, server_id, record, has):
    with context.unit() as session:
        set_option(session, context.settings, "client.migrate_accounts", "true", context.clock())
        (key,) = context.accounts.insert(session, [{"username": "alice", "email": "", "picture": 0}])
        # The very number that the server has for another picture.
        pictures.put(session, context, key, {"f1.jpg": b"x"}, NUMBER)

    assert arrive(context, peer, server_id, record) == key

    assert picture_of(context, key) == has


def test_single_sign_on_brings_neither_custom_profile_fields_nor_jobs(context, peer, server_id):
    key = arrive(context, peer, server_id, WITH_PICTURE)

    with context.reading() as session:
        assert lists.dump(context, (lists.Job, lists.ProfileValue, lists.Counterpart)) == {
            "tconnect_job": [],
            "tconnect_profile_value": [],
            "tconnect_counterpart": [],
        }
        assert context.accounts.fetch(session, [key], ["idnumber"])[key]["idnumber"] == ""


class Host(DeclarativeBase):
    pass


class User(Host):
    __tablename__ = "host_person"

    uid: orm.Mapped[int] = mapped_column(primary_key=True)
    login: orm.Mapped[str] = mapped_column(String(80), unique=True)
    mail: orm.Mapped[str] = mapped_column(String(100))
    is_active: orm.Mapped[bool]
    face: orm.Mapped[int] = mapped_column(default=0)


FIELDS = {"username": User.login, "email": User.mail, "suspended": inverted(User.is_active)}


@pytest.mark.parametrize(
    ("fields", "names"),
    [(FIELDS, []), ({**FIELDS, "picture": User.face}, ["f1.png", "f2.png", "f3.png"])],
    ids=["not kept", "kept"],
)
def test_on_a_hosts_table_pictures_are_kept_where_their_number_is(make_sqlite, peer, fields, names):
    options = [("client.enabled", "true")]
    columns = ColumnMap(User, fields, {"face": 0})
    with sites.context(make_sqlite(), transport=peer, accounts=columns, options=options) as context:
        Host.metadata.create_all(context.database.engine)
        server_id = peers.add_server(context)

        key = arrive(context, peer, server_id, WITH_PICTURE)

        assert picture_of(context, key) == (NUMBER if names else 0, names)


def test_a_number_that_a_hosts_column_cannot_hold_leaves_the_picture_out(make_sqlite, peer, caplog):
    options = [("client.enabled", "true")]
    columns = ColumnMap(User, {**FIELDS, "picture": User.face})
    with sites.context(make_sqlite(), transport=peer, accounts=columns, options=options) as context:
        Host.metadata.create_all(context.database.engine)
        server_id = peers.add_server(context)

        key = arrive(context, peer, server_id, another(2**40))

        assert picture_of(context, key) == (0, [])
        assert "picture is a larger number than an account here holds" in caplog.text
