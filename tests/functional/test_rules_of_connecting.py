"""Being connected to a server, the schedule, the settings (protocol 3, 9 and 10), and two servers side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select
from support import client_site
from support.client_site import FIRST, SECOND
from support.lists import cohort, course, person, tombstone

from tconnect_pyramid.client import authmethods, connecting, leaving, servers
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.errors import Conflict, PeerError
from tconnect_pyramid.models import SignInRequest
from tconnect_pyramid.options import list_options
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.tasks import jobs as tasks
from tconnect_pyramid.tasks import schedule_of

ROOT = Path(__file__).parents[2]
MODES = ("keep", "suspend", "delete")
OK = {"status": "success", "data": []}


def error(message: str) -> dict:
    return {"status": "error", "message": message}


@pytest.fixture(params=client_site.DATABASES)
def site(request):
    """A client without any server, which one called `http://new.example` can call and be called by."""
    with client_site.fresh(request.param, servers=()) as made:
        played = client_site.PlayedServer("1" * 40, "http://new.example")
        made.transport.servers.append(played)
        yield made


def invite(site) -> str:
    with site.context.unit() as session:
        return connecting.open_invitation(session, site.context, actor="command").setup_secret


def form(site, **changes) -> dict:
    """What a server posts; `None` leaves a parameter out."""
    values = {
        "setupsecret": "", "serveridnumber": "1" * 40, "serversecret": "2" * 40, "serverurl": "http://new.example",
        "servername": "Head office", "clientidnumber": "3" * 40, "clientsecret": "4" * 40, "minapiversion": "1",
        "maxapiversion": "2", **changes,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


def post(site, values, query=""):
    reply = site.browser().post(f"/auth/connect/sep_setup.php{query}", values)
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    return reply.json


def connected(site) -> list[tuple]:
    with site.context.reading() as session:
        return [
            (it.name, it.url, it.idnumber, it.client_idnumber, it.apiversion, it.state)
            for it in list_servers(session)
        ]


@dataclass(frozen=True)
class Row:
    """A registration: what it says, what is answered, and the version that is agreed on if it succeeds."""

    rule: str
    says: dict
    answer: dict
    version: int = 2

    def __str__(self) -> str:
        return f"3 connecting: {self.rule}"


KNOWN = {"serveridnumber": FIRST}
ROWS = [
    Row("as always", {}, OK),
    Row("the highest version that both speak", {"maxapiversion": "7"}, OK),
    Row("the highest version that both speak", {"maxapiversion": "1"}, OK, 1),
    Row("none in common", {"minapiversion": "3", "maxapiversion": "4"}, error("api version not supported")),
    Row("none in common", {"minapiversion": "0", "maxapiversion": "0"}, error("api version not supported")),
    Row("a setup secret that is another", {"setupsecret": "e" * 40}, error("invalid setup secret")),
    Row("a setup secret that is missing", {"setupsecret": None}, error("invalid setup secret")),
    Row("a setup secret that is empty", {"setupsecret": ""}, error("invalid setup secret")),
    Row("a setup secret that is short", {"setupsecret": "abc"}, error("invalid setup secret")),
    Row("a server that is known already", KNOWN, error("dupplicate server idnumber")),
    Row("a client idnumber that is known already", {"clientidnumber": "c" * 40}, error("dupplicate client idnumber")),
    Row("the version is checked before what is known", {**KNOWN, "minapiversion": "3", "maxapiversion": "4"}, error("api version not supported")),
    Row("the secret is checked first", {**KNOWN, "setupsecret": "e" * 40, "maxapiversion": "0"}, error("invalid setup secret")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_rule_of_a_registration(site, row):
    site.connect(FIRST, "http://known.example")
    secret = invite(site)
    before = connected(site)

    answer = post(site, form(site, **{"setupsecret": secret, **row.says}))

    assert answer == row.answer
    if answer == OK:
        assert connected(site)[1:] == [
            ("Head office", "http://new.example", "1" * 40, "3" * 40, row.version, "active")
        ]
        assert post(site, form(site, setupsecret=secret, serveridnumber="8" * 40)) == error(
            "invalid setup secret"
        ), "it is gone"
    else:
        assert connected(site) == before
        assert post(site, form(site, setupsecret=secret)) == OK, "a failed try leaves the setup secret valid"


def test_3_slashes_at_the_end_of_addresses_are_dropped(site):
    assert post(site, form(site, setupsecret=invite(site), serverurl="http://new.example/")) == OK
    assert connected(site)[0][1] == "http://new.example"


@pytest.mark.parametrize(("client_type", "word"), [("lms", "totaralms"), ("social", "totarasocial")])
def test_3_the_server_is_called_back_before_anything_is_stored(client_type, word):
    with client_site.fresh("sqlite", servers=(), client_type=client_type) as site:
        server = client_site.PlayedServer("1" * 40, "http://new.example")
        site.transport.servers.append(server)
        seen = []

        def called_back(said):
            seen.append((said, connected(site)))
            return jsend.Success()

        server.answers["update_api_version"] = called_back
        assert post(site, form(site, setupsecret=invite(site))) == OK
        ((said, stored),) = seen
        assert stored == []
        assert said == {
            "serveridnumber": "1" * 40, "serversecret": "2" * 40, "service": "update_api_version", "apiversion": "2",
            "clienttype": word,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (jsend.Error("invalid server secret or idnumber"), error("invalid server secret or idnumber")),
        (jsend.Fail({"clienttype": "no"}), {"status": "fail", "data": {"clienttype": "no"}}),
        (PeerError("POST", "http://new.example", "connect", "refused"), None),
        (b"<html>", None),
    ],
    ids=["an error", "a fail", "down", "no JSON"],
)
def test_3_a_call_back_that_does_not_succeed_is_passed_on(site, reply, answer):
    secret = invite(site)
    site.server.answers["update_api_version"] = reply
    said = post(site, form(site, setupsecret=secret))
    assert said == answer if answer else said["status"] == "error"
    assert connected(site) == []
    site.server.answers["update_api_version"] = jsend.Success()
    assert post(site, form(site, setupsecret=secret)) == OK


def test_3_only_one_invitation_is_open_at_a_time_and_it_stays_until_used_or_cancelled(site):
    secret = invite(site)
    assert re.fullmatch(r"[0-9a-f]{40}", secret)
    site.context.clock.tick(30 * 24 * 3600)
    tasks.cleanup(site.context)
    assert invite(site) == secret
    assert site.do(connecting.cancel_invitation, actor="command")
    assert post(site, form(site, setupsecret=secret)) == error("invalid setup secret")
    assert invite(site) != secret


def test_3_with_connect_disabled_the_setup_secret_is_invalid(site):
    secret = invite(site)
    site.set(enabled="false")
    assert post(site, form(site, setupsecret=secret)) == error("invalid setup secret")
    with pytest.raises(Conflict):
        invite(site)
    site.set(enabled="true")
    assert post(site, form(site, setupsecret=secret)) == OK


def test_3_secrets_in_the_address_are_not_read(site):
    secret = invite(site)
    assert post(site, form(site, setupsecret=None), f"?setupsecret={secret}") == error("invalid setup secret")


def test_seed_a_new_option_becomes_available_on_the_login_page(site):
    words = "Log in using your account on"
    assert words not in site.browser().get("/login").text
    post(site, form(site, setupsecret=invite(site)))
    page = site.browser().get("/login")
    assert words in page.text
    assert "Head office" in page.text
    away = page.click(description="Head office")
    assert away.location.startswith("http://new.example/totara/connect/sso_request.php?clientidnumber=")
    site.set(enabled="false")
    assert words not in site.browser().get("/login").text


def test_seed_the_authentication_method_is_enabled_to_begin_with():
    with client_site.fresh("sqlite", servers=()) as site:
        for on in (False, True):
            site.do(authmethods.enable_method, "connect", on=on, actor="command")
            with site.context.reading() as session:
                methods = {it.title: it.enabled for it in authmethods.list_methods(session, site.context)}
            assert methods["Totara Connect client"] is on


# --- settings -----------------------------------------------------------------------------------------

DEFAULTS = {
    "client.enabled": "false", "client.auto_sign_in": "none", "client.migrate_accounts": "false",
    "client.account_mapping": "username", "client.removed_person": "suspend", "client.sync_profile_fields": "true",
    "client.sync_jobs": "true", "client.sync_positions": "true", "client.sync_organisations": "true",
    "client.sync_idnumber": "false", "client.plugin_services": "false",
}  # fmt: skip


def test_9_settings_and_their_defaults(site):
    site.set(enabled="")
    with site.context.reading() as session:
        found = {it.name: it.value or "none" for it in list_options(session, site.context.settings)}
    assert {name: found[name] for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("value", ["99", "1"], ids=["unknown", "being left"])
def test_seed_automatic_sign_on_needs_a_server_that_is_connected(value):
    with client_site.fresh("sqlite") as site:
        site.set(auto_sign_in=value)
        if value == "1":
            site.server.answers["delete_client"] = jsend.Error("connect server not enabled")
            tasks.handshake(site.context)
            leaving.leave(site.context, 1, accounts="keep", actor="command")
        page = site.browser().get("/login")
        assert page.status_code == 200
        assert page.forms["login"]


def test_seed_automatic_sign_on_goes_to_the_chosen_server():
    with client_site.fresh("sqlite") as site:
        site.set(auto_sign_in=str(site.server.id))
        page = site.browser().get("/login", status=303)
        while not page.location.startswith(site.server.url):
            page = page.follow(status=303)
        assert "sso_request.php" in page.location
        assert site.browser().get("/login?nosso=1").forms["login"]


# --- the schedule ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoken", "offered", "asked", "after"),
    [
        (1, (1, 2), ["get_api_version", "update_api_version"], 2),
        (2, (1, 1), ["get_api_version", "update_api_version"], 1),
        (2, (1, 2), ["get_api_version"], 2),
        (2, (3, 4), ["get_api_version"], 2),
    ],
    ids=["up", "down", "as it is", "none in common"],
)
def test_10_the_handshake_updates_the_version_when_it_differs(spoken, offered, asked, after):
    with client_site.fresh("sqlite", servers=()) as site:
        server = site.connect(FIRST, "http://server.example", apiversion=spoken)
        server.answers["get_api_version"] = jsend.Success(
            dict(zip(("minapiversion", "maxapiversion"), offered, strict=True))
        )
        tasks.handshake(site.context)
        assert server.asked == asked
        assert connected(site)[0][4] == after


def test_10_cleanup_removes_sign_in_requests_older_than_an_hour(site):
    server = site.connect(FIRST, "http://server.example")

    def requests():
        with site.context.reading() as session:
            return session.scalar(select(func.count()).select_from(SignInRequest))

    start = f"/auth/connect/sso_start.php?serverid={server.id}"
    site.browser().get(start)
    site.context.clock.tick(3599)
    site.browser().get(start)
    tasks.cleanup(site.context)
    assert requests() == 2
    site.context.clock.tick(2)
    tasks.cleanup(site.context)
    assert requests() == 1
    with site.context.unit() as session:
        servers.enable(session, site.context, on=False, actor="command")
    tasks.cleanup(site.context)
    assert requests() == 0


def test_10_when_the_tasks_run():
    found = {it.name: it.when for it in schedule_of(f"{ROOT / 'development.ini'}#client")}
    assert found["handshake"] == "every day at 00:00 UTC"
    hourly = ("positions", "organisations", "users", "collections", "cleanup")
    minutes = [int(found[name].removeprefix("every hour at minute ")) for name in hourly]
    assert minutes == sorted(set(minutes)), "in this order, users before collections"


@pytest.mark.parametrize("kind", ["users", "collections", "positions", "organisations"])
def test_10_a_task_goes_to_every_server_also_when_one_is_down(kind):
    servers = ((FIRST, "http://server.example"), (SECOND, "http://second.example"))
    with client_site.fresh("sqlite", servers=servers) as site:
        first, second = site.transport.servers
        first.down = True
        getattr(tasks, kind)(site.context)
        assert second.asked == [
            {"users": "get_users", "collections": "get_user_collections"}.get(kind, f"get_{kind}")
        ]


# --- two servers side by side -----------------------------------------------------------------------------


@pytest.fixture(params=client_site.DATABASES)
def two(request):
    """A client of two servers, each of which has a person 3 and a person 4."""
    servers = ((FIRST, "http://server.example"), (SECOND, "http://server.example/second"))
    with client_site.fresh(request.param, servers=servers) as made:
        for server, place in zip(made.transport.servers, ("A", "B"), strict=True):
            server.people = [person(3, city=place), person(4, city=place)]
            server.cohorts = [cohort(1, 3), cohort(2, 4)]
            server.courses = [course(1, 3, 4)]
            made.sync("users", server)
            made.sync("collections", server)
        yield made


def test_9_people_of_two_servers_with_the_same_id_are_two_people(two):
    first, second = two.transport.servers

    assert [two.person(3, server)["city"] for server in (first, second)] == ["A", "B"]
    assert {row["username"] for row in two.rows()} == {
        f"tc_{n}_{idn}" for n in (3, 4) for idn in (FIRST, SECOND)
    }


@pytest.mark.parametrize("mode", MODES)
def test_9_what_one_server_does_is_nothing_to_the_people_of_another(two, mode):
    first, second = two.transport.servers
    two.set(removed_person=mode)
    first.people = [person(3, city="New")]
    first.cohorts, first.courses = [cohort(1)], []

    two.sync("users", first)
    two.sync("collections", first)
    first.people = [tombstone(3)]
    two.sync("users", first)

    assert two.state(3, first) == "deleted"
    assert [two.state(id_, second) for id_ in (3, 4)] == ["live", "live"]
    assert two.person(3, second)["city"] == "B"
    assert [name for name in two.sets() if name.endswith(FIRST)] == [f"tc_cohort_1_{FIRST}"]
    members = {name: it.members for name, it in two.sets().items() if name.endswith(SECOND)}
    key = {id_: two.key(id_, second) for id_ in (3, 4)}
    assert members == {
        f"tc_cohort_1_{SECOND}": (key[3],),
        f"tc_cohort_2_{SECOND}": (key[4],),
        f"tc_course_1_{SECOND}": (key[3], key[4]),
    }
