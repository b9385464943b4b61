"""Small input that costs much: a server, or a person who is logged in, keeps no worker busy for long.

Without the limits each of these takes minutes; the tests do not look at the clock, they would just not end.
"""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from sqlalchemy import select
from support import lists, peers
from support.peers import PlayedPeer
from support.webapp import add_person, log_in, one_site
from webob import Request
from webtest import Upload

from tconnect_pyramid.client import servers
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import hierarchy_types, profiles
from tconnect_pyramid.directory.hierarchies import POSITIONS
from tconnect_pyramid.directory.markup import MOST_TAGS, clean_html
from tconnect_pyramid.directory.pictures import MOST_SCANS
from tconnect_pyramid.models import Account, Job, Picture, Position, PositionValue, ProfileValue
from tconnect_pyramid.protocol import jsend, paths

DEEP = "<div>" * 150_000 + "Hello <b>world</b> &amp; &lt;b&gt;"
WORDS = "Hello world &amp; &lt;b&gt;"
EDIT = "/user/edit.php"


@pytest.fixture
def answers():
    return {}


@pytest.fixture
def site(make_sqlite, answers):
    peer = PlayedPeer(lambda url, form: jsend.Success(answers[form["service"]]))
    with one_site(make_sqlite(), "http://localhost:6544", transport=peer) as (browser, context):
        with context.unit() as session:
            servers.enable(session, context, on=True, actor="command")
        peers.add_server(context)
        yield browser, context


def text(page) -> str:
    return " ".join(page.html.find("main").get_text(" ").split())


def drawn_often(times: int, side: int) -> bytes:
    """A JPEG that draws its last scan again and again."""
    out = io.BytesIO()
    Image.new("L", (side, side), 200).save(out, "JPEG", progressive=True)
    image = out.getvalue()[:-2]
    last = image[image.rindex(b"\xff\xda") :]
    return image + last * times + b"\xff\xd9"


# --- a server ----------------------------------------------------------------------------------------


def test_of_html_that_is_nothing_but_tags_only_the_words_are_kept(site, answers):
    _, context = site
    with context.unit() as session:
        profiles.add_field(session, context, "story", name="Story", datatype="textarea", actor="command")
        type_id = hierarchy_types.add_type(
            session, context, POSITIONS, fullname="Type", idnumber="T", actor="command"
        ).id
        hierarchy_types.add_type_field(
            session,
            context,
            POSITIONS,
            type_id,
            shortname="story",
            name="Story",
            datatype="textarea",
            actor="command",
        )
    answers["get_positions"] = {
        "frameworks": [lists.framework(1, description=DEEP)],
        "positions": [
            lists.item(
                5,
                1,
                description=DEEP,
                typeidnumber="T",
                custom_fields=[lists.custom("story", DEEP, "textarea")],
            )
        ],
    }
    person = lists.person(
        3,
        description=DEEP,
        profile_fields=[lists.field("story", DEEP, "textarea")],
        jobs=[lists.job(1, "J", description=DEEP)],
    )
    answers["get_users"] = {"users": [person]}
    for kind in ("positions", "users"):
        assert run_sync(context, kind, 1).state == "done"
        assert run_sync(context, kind, 1).counts["updated"] == 0
    with context.reading() as session:
        kept = [
            session.scalar(select(column))
            for column in (
                Position.description,
                PositionValue.data,
                Account.description,
                ProfileValue.data,
                Job.description,
            )
        ]
    assert [" ".join(said.split()) for said in kept] == [WORDS] * 5


@pytest.mark.parametrize(
    "harm",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "&lt;script&gt;",
        "<<b>script>",
        "<",
        "<b\n<i>",
    ],
)
def test_words_that_are_left_of_tags_are_no_tags(harm):
    kept = clean_html("<i>" * (MOST_TAGS + 1) + harm)
    assert "<" not in kept
    assert ">" not in kept


def test_html_with_many_tags_is_html_still():
    rows = "<tr><td>1</td></tr>" * (MOST_TAGS // 4 - 2)
    page = f"<table><tbody>{rows}</tbody></table>"
    assert clean_html(page) == page


def test_a_picture_that_draws_itself_without_end_is_left_out(site, answers, caplog):
    browser, context = site
    often = drawn_often(100_000, 512)
    assert len(often) < 2_000_000
    files = {"f3.jpg": base64.b64encode(often).decode()}
    answers["get_sso_user"] = lists.person(3, picture="7", pictures=files)
    sent = browser.get(f"{paths.SSO_START}?serverid=1", status=303).location
    browser.get(
        paths.SSO_FINISH,
        {
            "clientidnumber": peers.CLIENTIDNUMBER,
            "requesttoken": sent.partition("requesttoken=")[2],
            "ssotoken": "7" * 40,
            "result": "success",
        },
        status=303,
    )
    assert "You are logged in" in browser.get("/") or "Hello" in browser.get("/")
    assert f"more than {MOST_SCANS} times" in caplog.text
    with context.reading() as session:
        assert session.scalar(select(Picture.name)) is None


# --- a person ----------------------------------------------------------------------------------------


def test_a_picture_that_draws_itself_without_end_is_told_to_be_none(site):
    browser, context = site
    add_person(context)
    log_in(browser)
    form = browser.get(EDIT).forms["profile"]
    form["picture"] = Upload("ada.jpg", drawn_often(100_000, 4000), "image/jpeg")
    page = form.submit(status=200)
    assert f"The image draws itself more than {MOST_SCANS} times. Save it as an ordinary JPEG." in text(page)

    form = page.forms["profile"]
    form["picture"] = Upload("ada.jpg", drawn_often(20, 400), "image/jpeg")
    form.submit(status=303)


MANY = b"&".join([b"a"] * 900_000)
PARTS = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 18_000 + b"--b--\r\n"
HEADS = b"--b\r\n" + b"a: b\r\n" * 160_000 + b'Content-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
INSIDE = (
    b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n" + HEADS.replace(b"--b", b"--c") + b"--b--\r\n"
)
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"

LONG = pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(MANY, URLENCODED, id="fields"),
        pytest.param(PARTS, MULTIPART, id="parts"),
        pytest.param(PARTS, 'multipart/form-data; BOUNDARY="b"', id="parts, written otherwise"),
        pytest.param(HEADS, MULTIPART, id="heads"),
        pytest.param(INSIDE, MULTIPART, id="heads of parts of a part"),
        pytest.param(PARTS, "multipart/form-data", id="no boundary"),
        pytest.param(PARTS, "multipart/form-data; boundary=\xe9", id="odd boundary"),
    ],
)


@LONG
def test_a_form_that_is_long_to_read_is_not_read_for_strangers(site, body, kind):
    browser, _ = site
    for path in (EDIT, "/tconnect/stop-acting", "/login", "/logout"):
        assert browser.post(path, body, content_type=kind, status="*").status_int in {400, 413}


@LONG
def test_a_form_that_is_long_to_read_is_not_read_for_people(site, body, kind):
    browser, context = site
    add_person(context)
    log_in(browser)
    for path in (EDIT, "/tconnect/stop-acting", "/logout"):
        assert browser.post(path, body, content_type=kind, status="*").status_int in {400, 413}


def test_a_form_without_a_length_is_not_read(site):
    browser, context = site
    add_person(context)
    log_in(browser)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookiejar)
    for path in (EDIT, "/logout"):
        request = Request.blank(path, headers={"Cookie": cookies}, method="POST", content_type=URLENCODED)
        request.environ.update({"wsgi.input": io.BytesIO(b"a=1"), "wsgi.input_terminated": True})
        request.environ.pop("CONTENT_LENGTH", None)
        assert request.get_response(browser.app).status_int == 411, path


def test_a_profile_may_speak_of_what_would_be_long_to_read(site):
    browser, context = site
    key = add_person(context)
    log_in(browser)
    said = "multipart & --b\n--b\n" * 100
    form = browser.get(EDIT).forms["profile"]
    form["description"] = said
    form["picture"] = Upload("ada.jpg", drawn_often(1, 40), "image/jpeg")
    form.submit(status=303)
    with context.reading() as session:
        assert session.get(Account, key).description.startswith("multipart &amp; --b<br>")
