"""Leaving a server, sentence by sentence of protocol 9; what somebody sees before, in between and afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import bcrypt
import pytest
from support import client_site, host_accounts
from support.client_site import FIRST, SECOND, lines
from support.lists import cohort, course, framework, item, job, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client import connecting, leaving
from tconnect_pyramid.client.authmethods import enable_method
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.directory import audiences, hierarchy_frameworks, hierarchy_items, jobs
from tconnect_pyramid.directory.audiences import AUDIENCES, GROUPS
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.errors import Conflict, PeerError, TConnectError
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.tasks import jobs as tasks

CHOICES = ("keep", "suspend", "delete")
LIVE, SUSPENDED, BY_HAND, DELETED, HASHED, LOCAL, OTHERS = 3, 4, 5, 6, 7, "local", "other"
# The cheapest hash that is taken: tests log in often.
PASSWORD_HASH = bcrypt.hashpw(b"correct horse battery", bcrypt.gensalt(4)).decode()
SERVERS = ((FIRST, "http://server.example"), (SECOND, "http://second.example"))


def leave(site, accounts="keep", **more):
    return leaving.leave(site.context, site.server.id, accounts=accounts, actor="command", **more)


def state_of(site, server) -> str:
    """`active`, `leaving`, or `none` when the server is not connected any more."""
    with site.context.reading() as session:
        return {it.id: it.state for it in list_servers(session)}.get(server.id, "none")


def fill(site) -> dict:
    """People of every kind, what they have, and the keys of their accounts."""
    first, second = site.transport.servers
    site.server.answers["delete_client"] = jsend.Success()
    for server in (first, second):
        server.frameworks = {
            "positions": [framework(1)],
            "organisations": [framework(1, kind="organisations")],
        }
        server.items = {
            "positions": [item(11, 1), item(12, 1, 11)],
            "organisations": [item(21, 1, kind="organisations")],
        }
        server.cohorts, server.courses = [cohort(1, 3, 4)], [course(1, 3)]
        server.people = [
            person(3, jobs=[{**job(1, "J"), "positionid": "12", "organisationid": "21"}]),
            person(4, suspended="1"), person(5), person(6), person(7, password=PASSWORD_HASH),
        ]  # fmt: skip
        for kind in ("positions", "organisations", "users", "collections"):
            assert site.sync(kind, server).state == "done"
    site.do(people.suspend, site.key(BY_HAND))
    first.people = [tombstone(6) if it["id"] == "6" else it for it in first.people]
    site.sync()
    keys = {id_: site.key(id_) for id_ in (LIVE, SUSPENDED, BY_HAND, DELETED, HASHED)}
    return keys | {LOCAL: site.add("local"), OTHERS: site.key(3, second)}


@pytest.fixture(params=client_site.DATABASES)
def site(request):
    with client_site.fresh(request.param, servers=SERVERS) as made:
        made.keys.update(fill(made))
        yield made


# --- what becomes of accounts -----------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """An account, and whether it is suspended and deleted after each of `CHOICES`; None: just as before."""

    who: object
    rule: str
    after: tuple[tuple[bool, bool], ...] | None

    def __str__(self) -> str:
        return f"9 leaving: {self.rule}"


ROWS = [
    Row(LIVE, "an account is kept, suspended or deleted", ((False, False), (True, False), (False, True))),
    Row(SUSPENDED, "one that a sync suspended", ((True, False), (True, False), (True, True))),
    Row(BY_HAND, "one that was suspended by hand", ((True, False), (True, False), (True, True))),
    Row(DELETED, "one that is deleted stays deleted", ((False, True), (False, True), (False, True))),
    Row(LOCAL, "a local account is nobody's business", None),
    Row(OTHERS, "people of another server are nobody's business", None),
]


@pytest.mark.parametrize("accounts", CHOICES)
@pytest.mark.parametrize("new_auth", ["manual", "nologin"])
def test_each_account_is_kept_suspended_or_deleted_and_moved_to_another_auth_method(site, accounts, new_auth):
    before = {row.who: site.shown(site.keys[row.who]) for row in ROWS}

    left = leave(site, accounts, new_auth=new_auth)

    assert (left.confirmed, left.ended, state_of(site, site.server)) == (True, True, "none")
    for row in ROWS:
        shown = site.shown(site.keys[row.who])
        if row.after is None:
            assert shown == before[row.who], row
            continue
        assert (shown["suspended"], shown["deleted"]) == row.after[CHOICES.index(accounts)], row
        assert (shown["server"], shown["person_id"]) == (None, None), "all mappings go"
        if shown["deleted"]:
            assert shown["username"].startswith("deleted_")
            assert (shown["email"], shown["password"], shown["jobs"]) == ("", None, [])
        else:
            assert shown["auth"] == new_auth, row
            assert shown["username"] == f"tc_{row.who}_{FIRST}", "the tc_ usernames stay"
            same = ("email", "firstname", "lastname", "city", "password", "jobs")
            assert [shown[name] for name in same] == [before[row.who][name] for name in same]


@pytest.mark.parametrize("accounts", CHOICES)
def test_9_sessions_end_of_kept_accounts_too(site, accounts):
    visit, other = site.sign_in(person(3)), site.sign_in(person(3), site.transport.servers[1])
    assert (visit.signed_in, other.signed_in) == (True, True)
    leave(site, accounts)
    assert (visit.signed_in, other.signed_in) == (False, True)


@pytest.mark.parametrize(("accounts", "new_auth", "gets_in"), [
    ("keep", "manual", True), ("keep", "nologin", False), ("suspend", "manual", False), ("delete", "manual", False),
])  # fmt: skip
def test_7_a_synchronised_hash_becomes_the_password(site, accounts, new_auth, gets_in):
    def log_in():
        browser = site.browser()
        client_site.log_in(browser, f"tc_7_{FIRST}", "correct horse battery", status="*")
        return "log out" in browser.get("/").maybe_follow().text.lower()

    assert not log_in()
    leave(site, accounts, new_auth=new_auth)
    assert log_in() is gets_in


def test_an_administrator_is_kept(site):
    site.do(people.set_admin, site.keys[LIVE], on=True)
    leave(site, "delete")
    shown = site.shown(site.keys[LIVE])
    assert (shown["deleted"], shown["admin"], shown["auth"]) == (False, True, "manual")


@pytest.mark.parametrize("accounts", CHOICES)
def test_9_on_a_hosts_table(accounts):
    more = {"accounts": host_accounts.columns(), "before": host_accounts.make_tables}
    with client_site.fresh("sqlite", servers=SERVERS, **more) as site:
        keys = fill(site)
        leave(site, accounts)
        shown = site.shown(keys[LIVE])
        assert (shown["suspended"], shown["deleted"]) == (accounts == "suspend", accounts == "delete")
        assert shown["server"] is None
        assert not site.shown(keys[OTHERS])["suspended"]


# --- what becomes of the rest -------------------------------------------------------------------------


@pytest.mark.parametrize("accounts", CHOICES)
def test_9_collections_become_ordinary_audiences_with_their_members(site, accounts):
    before = site.sets()
    leave(site, accounts)
    after = site.sets()
    keys = site.keys
    gone = set(keys.values()) - {keys[OTHERS]} if accounts == "delete" else set()
    assert after.keys() == before.keys()
    for idnumber, it in before.items():
        now = after[idnumber]
        assert (now.id, now.name, set(now.members)) == (it.id, it.name, set(it.members) - gone)
        assert now.component == ("" if idnumber.endswith(FIRST) else "auth_connect")
    mine = after[f"tc_cohort_1_{FIRST}"]
    site.do(audiences.edit_audience, mine.id, {"name": "Ours now"})
    site.do(audiences.add_members, mine.id, [keys[LOCAL]])
    site.do(audiences.delete_audience, after[f"tc_course_1_{FIRST}"].id)


def test_9_groups_of_a_social_site_likewise():
    with client_site.fresh("sqlite", servers=SERVERS, client_type="social") as site:
        fill(site)
        leave(site)
        assert {name: it.component for name, it in site.sets(GROUPS).items() if name.endswith(FIRST)} == {
            f"tc_cohort_1_{FIRST}": "",
            f"tc_course_1_{FIRST}": "",
        }
        assert site.sets(AUDIENCES) == {}


@pytest.mark.parametrize("confirmed", [True, False], ids=["confirmed", "not confirmed"])
def test_9_all_mappings_go_and_what_they_were_of_is_this_sites_own(site, confirmed):
    if not confirmed:
        site.server.answers["delete_client"] = jsend.Error("connect server not enabled")
    assert leave(site).confirmed is confirmed
    for kept in (POSITIONS, ORGANISATIONS):
        with site.context.reading() as session:
            frameworks = hierarchy_frameworks.list_frameworks(session, kept)
            items = hierarchy_items.list_items(session, kept)
        assert sorted((it.server or "", it.fullname) for it in frameworks) == [
            ("", "Framework 1"),
            (SECOND, "Framework 1"),
        ]
        mine = [it for it in items if it.server is None]
        assert len(mine) == len(items) // 2
        assert all(it.remote_id is None for it in mine)
        site.do(hierarchy_items.edit_item, kept, mine[-1].id, {"fullname": "Ours now"})
        site.do(hierarchy_items.add_item, kept, fullname="New", framework=mine[0].framework)
    (held,) = site.jobs(site.keys[LIVE])
    assert (held.server, held.remote_id, held.idnumber) == (None, None, "J")
    assert held.position is not None
    assert held.organisation is not None
    site.do(jobs.edit_job, held.id, {"fullname": "Ours now"})
    site.do(people.edit_person, site.keys[LIVE], {"city": "Ours now"})


def test_9_the_other_server_goes_on_as_before(site):
    second = site.transport.servers[1]
    leave(site, "delete")
    second.people[0]["city"] = "New"
    for kind in ("positions", "organisations", "users", "collections"):
        report = site.sync(kind, second)
        assert report.state == "done"
        assert len(report.lines) == (1 if kind == "users" else 0)
    assert site.shown(site.keys[OTHERS])["city"] == "New"
    assert site.sign_in(person(3), second).signed_in


# --- until the server has confirmed ----------------------------------------------------------------------

CONFIRMED = {
    "success": jsend.Success(),
    "it does not know the secret any more": jsend.Error("invalid server secret or idnumber"),
    "it has removed the client": jsend.Error("connect client is not active"),
}
NOT_CONFIRMED = {
    "down": PeerError("POST", "http://server.example", "connect", "refused"),
    "its role is off": jsend.Error("connect server not enabled"),
    "an old version": jsend.Error("unsupported api version"),
    "another error": jsend.Error("invalid parameters"),
    "a fail with those words": jsend.Fail({"x": "connect client is not active"}),
    "no JSON": b"<html>gone</html>",
    "nothing": b"",
}


@pytest.mark.parametrize("reply", CONFIRMED.values(), ids=CONFIRMED)
def test_9_what_counts_as_confirmed(site, reply):
    site.server.answers["delete_client"] = reply
    left = leave(site)
    assert (left.confirmed, left.ended, state_of(site, site.server)) == (True, True, "none")


@pytest.mark.parametrize("reply", NOT_CONFIRMED.values(), ids=NOT_CONFIRMED)
def test_9_until_the_server_has_confirmed_the_row_stays_and_it_is_retried_by_itself(site, reply):
    site.server.answers["delete_client"] = reply
    left = leave(site, "suspend")
    assert (left.confirmed, left.ended, state_of(site, site.server)) == (False, False, "leaving")
    assert site.shown(site.keys[LIVE])["auth"] == "manual", "here all is done"
    assert site.shown(site.keys[LIVE])["suspended"]
    site.do(people.unsuspend, site.keys[LIVE])

    asked = site.server.asked.count("delete_client")
    tasks.cleanup(site.context)
    assert state_of(site, site.server) == "leaving"
    site.server.answers["delete_client"] = jsend.Success()
    tasks.cleanup(site.context)

    assert state_of(site, site.server) == "none"
    if not isinstance(reply, PeerError):
        assert site.server.asked.count("delete_client") == asked + 2
    assert not site.shown(site.keys[LIVE])["suspended"], "nothing is done a second time"


def test_9_force_ends_it_without_the_server(site):
    site.server.answers["delete_client"] = NOT_CONFIRMED["down"]
    left = leave(site, force=True)
    assert (left.confirmed, left.ended, state_of(site, site.server)) == (False, True, "none")


def test_9_force_may_come_later(site):
    site.server.answers["delete_client"] = NOT_CONFIRMED["its role is off"]
    leave(site)
    left = leave(site, None, force=True)
    assert (left.ended, state_of(site, site.server)) == (True, "none")


@pytest.mark.parametrize("confirmed", [False, True], ids=["not confirmed", "confirmed"])
def test_9_nobody_is_signed_in_or_synchronised_any_more(site, confirmed):
    if not confirmed:
        site.server.answers["delete_client"] = NOT_CONFIRMED["down"]
    leave(site)
    before, asked = site.rows(), list(site.server.asked)

    browser = site.browser()
    assert (
        "server.example" not in browser.get(f"/auth/connect/sso_start.php?serverid={site.server.id}").location
    )
    assert browser.get("/login?nosso=1").text.count("Log in using your account on") == 1, "the other server's"
    for kind in ("users", "collections", "positions", "organisations"):
        if confirmed:
            with pytest.raises(TConnectError):
                site.sync(kind)
        else:
            assert site.sync(kind).state == "failed"
    tasks.users(site.context)
    tasks.handshake(site.context)

    assert site.rows() == before
    assert site.server.asked == asked


def test_9_sign_ins_are_stopped_first(site):
    seen = []

    def look(form):
        browser = site.browser()
        seen.append(browser.get(f"/auth/connect/sso_start.php?serverid={site.server.id}").location)
        return jsend.Success()

    site.server.answers["delete_client"] = look
    leave(site)
    assert seen
    assert "sso_request" not in seen[0]


# --- and again -------------------------------------------------------------------------------------------


def register(site, *, idnumber=FIRST, client="d" * 40) -> dict:
    """The server registers itself by an invitation, and gives its reply."""
    with site.context.unit() as session:
        secret = connecting.open_invitation(session, site.context, actor="command").setup_secret
    form = {
        "setupsecret": secret, "serveridnumber": idnumber, "serversecret": "a" * 40, "serverurl": site.server.url,
        "servername": "Head office", "clientidnumber": client, "clientsecret": "b" * 40, "minapiversion": "1",
        "maxapiversion": "2",
    }  # fmt: skip
    reply = site.browser().post("/auth/connect/sep_setup.php", form).json
    with site.context.reading() as session:
        ids = {it.idnumber: it.id for it in list_servers(session)}
    site.server.id = ids.get(idnumber, site.server.id)
    return reply


def test_3_while_it_is_being_left_it_cannot_be_registered_twice(site):
    client = site.client_idnumber()
    site.server.answers["delete_client"] = NOT_CONFIRMED["down"]
    leave(site)
    assert register(site) == {"status": "error", "message": "dupplicate server idnumber"}
    assert register(site, idnumber="9" * 40, client=client) == {
        "status": "error",
        "message": "dupplicate client idnumber",
    }


@pytest.mark.parametrize("accounts", CHOICES)
def test_9_registered_again_the_former_accounts_are_strangers(site, accounts):
    leave(site, accounts)
    assert register(site) == {"status": "success", "data": []}
    report = site.sync()
    if accounts == "delete":
        assert site.state(3) == "live", "the name is free"
        assert site.key(3) != site.keys[LIVE]
    else:
        assert "belongs to another account" in lines(report)[3]
        assert site.key(3) is None
    assert site.state(6) == "none"


def test_9_registered_again_people_find_their_accounts_by_the_unique_id(site):
    leave(site)
    register(site)
    site.set(migrate_accounts="true", account_mapping="uniqueid")
    assert site.sync().state == "done"
    for who in (LIVE, SUSPENDED, BY_HAND, HASHED):
        assert site.key(who) == site.keys[who]
    assert site.shown(site.keys[LIVE])["auth"] == "connect"
    assert site.shown(site.keys[BY_HAND])["suspended"]
    assert site.sync("collections").state in {"done", "partial"}
    assert site.sign_in(person(3)).signed_in


def test_9_registered_again_trees_and_audiences_are_made_beside_those_that_stayed(site):
    leave(site)
    register(site)
    for kind in ("positions", "organisations", "users", "collections"):
        site.sync(kind)
        again = site.sync(kind)
        assert {line.action for line in again.lines} <= {"skipped"}, kind
    with site.context.reading() as session:
        frameworks = [it.server for it in hierarchy_frameworks.list_frameworks(session, POSITIONS)]
        cohorts = [it for it in audiences.list_audiences(session) if it.idnumber == f"tc_cohort_1_{FIRST}"]
    assert sorted(server or "" for server in frameworks) == ["", FIRST, SECOND]
    assert sorted(it.component for it in cohorts) == ["", "auth_connect"]


def test_9_the_last_way_in_is_not_left(site):
    site.do(enable_method, "manual", on=False, actor="command")
    leave(site)
    with pytest.raises(Conflict):
        leaving.leave(site.context, site.transport.servers[1].id, accounts="keep", actor="command")
    assert state_of(site, site.transport.servers[1]) == "active"
