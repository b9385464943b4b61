"""Custom profile fields and job assignments of people on a client, sentence by sentence of protocol 9."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from support import client_site, host_accounts
from support.client_site import FIRST, SECOND, add_field, lines
from support.lists import field, framework, item, job, person, tombstone

from tconnect_pyramid import people, sessions
from tconnect_pyramid.directory import jobs, profiles
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.directory.hierarchy_items import list_items
from tconnect_pyramid.errors import Conflict

FIRST_PERSON = 100
LEFT_OUT = object()
"""The key is not in the record at all, as with a server of version 1."""
KINDS = [*client_site.DATABASES, "host on sqlite"]


@dataclass(frozen=True)
class Row:
    """A person: what was sent about them and done by hand, one after the other, and what they end up with.

    A list, None or LEFT_OUT is sent with a sync; a dict is given by hand.
    """

    rule: str
    history: tuple
    ends: object
    off: object = None
    """What they end up with while the setting is off: nothing of it is touched."""

    def __str__(self) -> str:
        return f"9 {self.rule}"


# --- custom profile fields -------------------------------------------------------------------------

LOCAL_FIELDS = {
    "shirt": "text", "shoe": "text", "about": "textarea", "size": "menu", "news": "checkbox", "born": "date", "joined": "datetime",
}  # fmt: skip
EACH = [
    field("shirt", "M"), field("about", "Two\nlines", "textarea"), field("size", "L", "menu"), field("news", "1", "checkbox"),
    field("born", "0", "date"), field("joined", "1448874000", "datetime"),
]  # fmt: skip
AS_KEPT = {"shirt": "M", "about": "Two\nlines", "size": "L", "news": "1", "born": "0", "joined": "1448874000"}

# fmt: off
FIELDS = [
    Row("fields: every type, as kept on the server", (EACH,), AS_KEPT, {}),
    Row("fields: a checkbox that is off is a value", ([field("news", "0", "checkbox")],), {"news": "0"}, {}),
    Row("fields: updated", ([field("shirt", "M")], [field("shirt", "L")]), {"shirt": "L"}, {}),
    Row("fields: unknown ones are ignored", ([field("hat", "7"), field("shirt", "M")],), {"shirt": "M"}, {}),
    Row("fields: another datatype does not match", ([field("shirt", "1", "menu")],), {}, {}),
    Row("fields: another datatype does not match, the local value is removed", ({"shirt": "M"}, [field("shirt", "1", "menu")]), {}, {"shirt": "M"}),
    Row("fields: a local value without a sent one is removed", ({"shoe": "40"}, [field("shirt", "M")]), {"shirt": "M"}, {"shoe": "40"}),
    Row("fields: a local value beside a sent one is replaced", ({"shirt": "S"}, [field("shirt", "M")]), {"shirt": "M"}, {"shirt": "S"}),
    Row("fields: a sent value that is not sent any more is removed", (EACH, [field("shirt", "M")]), {"shirt": "M"}, {}),
    Row("fields: [] has none", ([field("shirt", "M")], []), {}, {}),
    Row("fields: [] has none, local values are removed", ({"shoe": "40"}, []), {}, {"shoe": "40"}),
    Row("fields: null leaves all", ([field("shirt", "M")], None), {"shirt": "M"}, {}),
    Row("fields: null leaves all, local values too", ({"shoe": "40"}, None), {"shoe": "40"}, {"shoe": "40"}),
    Row("fields: absent, as with version 1, leaves all", ([field("shirt", "M")], LEFT_OUT), {"shirt": "M"}, {}),
    Row("fields: null first, then a list", (None, [field("shirt", "M")]), {"shirt": "M"}, {}),
    Row("fields: null in between", ([field("shirt", "M")], None, [field("shirt", "L")]), {"shirt": "L"}, {}),
    Row("fields: as kept on the server, an empty value too", ([field("shirt", "M")], [field("shirt", "")]), {"shirt": ""}, {}),
    Row("fields: a null value is none", ([field("shirt", "M")], [field("shirt", None)]), {}, {}),
    Row("fields: deleted people have none", ([field("shirt", "M")], "deleted"), {}, {}),
    Row("fields: undeleted people have them again", ([field("shirt", "M")], "deleted", [field("shirt", "L")]), {"shirt": "L"}, {}),
    Row("fields: missing people keep them", ([field("shirt", "M")], "missing"), {"shirt": "M"}, {}),
]
# fmt: on

# --- job assignments -------------------------------------------------------------------------------


def at(job_: dict, position: int | None = None, organisation: int | None = None) -> dict:
    """A job with a position and an organisation of the server."""
    ids = {"positionid": position, "organisationid": organisation}
    return {**job_, **{name: None if id_ is None else str(id_) for name, id_ in ids.items()}}


A, B, C = job(1, "A"), job(2, "B"), job(3, "C")


def placed(*jobs_: dict) -> list[dict]:
    """Jobs in this order."""
    return [{**each, "sortorder": str(place)} for place, each in enumerate(jobs_, start=1)]


def by_hand(idnumber: str, **more) -> dict:
    """A job that is made by hand."""
    return {"idnumber": idnumber, **more}


# fmt: off
JOBS = [
    Row("jobs: made", ([A, B],), ["A Job 1", "B Job 2"], []),
    Row("jobs: mapped by id, brought up to date", ([A], [{**A, "fullname": "New", "idnumber": "Z"}]), ["Z New"], []),
    Row("jobs: mapped by id, not by idnumber", ([A, B], [{**B, "idnumber": "A"}]), ["A Job 2"], []),
    Row("jobs: not sent any more", ([A, B], [B]), ["B Job 2"], []),
    Row("jobs: [] has none", ([A, B], []), [], []),
    Row("jobs: null leaves them alone", ([A, B], None), ["A Job 1", "B Job 2"], []),
    Row("jobs: absent, as with version 1, leaves them alone", ([A, B], LEFT_OUT), ["A Job 1", "B Job 2"], []),
    Row("jobs: null first, then a list", (None, [A]), ["A Job 1"], []),
    Row("jobs: made by hand, untouched", (by_hand("mine", fullname="Mine"), [A]), {"mine Mine", "A Job 1"}, {"mine Mine"}),
    Row("jobs: made by hand, untouched by []", (by_hand("mine", fullname="Mine"), [A], []), {"mine Mine"}, {"mine Mine"}),
    Row("jobs: made by hand, untouched by null", (by_hand("mine", fullname="Mine"), None), {"mine Mine"}, {"mine Mine"}),
    Row("jobs: made by hand with the same idnumber gives way", (by_hand("A", fullname="Mine"), [A]), ["A Job 1"], ["A Mine"]),
    Row("jobs: made by hand gives way to a changed idnumber", ([A], by_hand("Z", fullname="Mine"), [{**A, "idnumber": "Z"}]), ["Z Job 1"], ["Z Mine"]),
    Row("jobs: made by hand with another case of the idnumber is another one", (by_hand("a", fullname="Mine"), [A]), {"a Mine", "A Job 1"}, {"a Mine"}),
    Row("jobs: of several made by hand only that one gives way",
        (by_hand("A", fullname="Mine"), by_hand("B", fullname="Mine"), [A]), {"B Mine", "A Job 1"}, {"A Mine", "B Mine"}),
    Row("jobs: the order follows the server", (placed(B, A, C), ), ["B Job 2", "A Job 1", "C Job 3"], []),
    Row("jobs: the order follows the server", (placed(A, B, C), placed(C, A, B)), ["C Job 3", "A Job 1", "B Job 2"], []),
    Row("jobs: the order follows the server, a new one in front", (placed(A, B), placed(C, A, B)), ["C Job 3", "A Job 1", "B Job 2"], []),
    Row("jobs: the order follows the server by sortorder", (list(reversed(placed(A, B, C))),), ["A Job 1", "B Job 2", "C Job 3"], []),
    Row("jobs: two swap idnumbers", ([A, B], [{**A, "idnumber": "B"}, {**B, "idnumber": "A"}]), ["B Job 1", "A Job 2"], []),
    Row("jobs: three pass their idnumbers on",
        ([A, B, C], [{**A, "idnumber": "B"}, {**B, "idnumber": "C"}, {**C, "idnumber": "A"}]), ["B Job 1", "C Job 2", "A Job 3"], []),
    Row("jobs: a new one gets the idnumber of one that goes", ([A], [{**B, "idnumber": "A"}]), ["A Job 2"], []),
    Row("jobs: a new one gets the idnumber that another one gives up", ([A], [{**A, "idnumber": "Z"}, {**B, "idnumber": "A"}]), ["Z Job 1", "A Job 2"], []),
    Row("jobs: with a position and an organisation", ([at(A, 11, 21)],), ["A Job 1 I11 O21"], []),
    Row("jobs: another position", ([at(A, 11, 21)], [at(A, 12, 21)]), ["A Job 1 I12 O21"], []),
    Row("jobs: none any more", ([at(A, 11, 21)], [at(A)]), ["A Job 1"], []),
    Row("jobs: unknown ones become null", ([at(A, 99, 21)],), ["A Job 1 O21"], []),
    Row("jobs: unknown ones become null", ([at(A, 11, 21)], [at(A, 99, 99)]), ["A Job 1"], []),
    Row("jobs: deleted people have none", ([A], "deleted"), [], []),
    Row("jobs: deleted people have none made by hand either", (by_hand("mine"), [A], "deleted"), [], []),
    Row("jobs: undeleted people have them again", ([A], "deleted", [A]), ["A Job 1"], []),
    Row("jobs: missing people keep them", ([A], "missing"), ["A Job 1"], []),
]
# fmt: on


def with_ids_of(row: Row, id_: int) -> Row:
    """The row with jobs whose ids are this person's own."""

    def own(step):
        if isinstance(step, list) and step and "sortorder" in step[0]:
            return [{**each, "id": f"{id_}{each['id']}"} for each in step]
        return step

    return replace(row, history=tuple(own(step) for step in row.history))


def records(id_: int, key: str, sent: object) -> list[dict]:
    """What is listed for somebody."""
    if sent in ("missing", "deleted"):
        return [tombstone(id_)] if sent == "deleted" else []
    record = person(id_, **{"profile_fields": None, "jobs": None, key: sent})
    if sent is LEFT_OUT:
        del record["profile_fields"], record["jobs"]
    return [record]


def give(site, key: int, what: str, given: dict) -> None:
    """Do by hand what a step says."""
    if what == "jobs":
        site.do(jobs.add_job, key, **given)
        return
    for shortname, text in given.items():
        site.do(profiles.set_value, key, shortname, text)


def play(site, what: str, rows: list[Row]) -> tuple[list[dict], dict]:
    """Play rows at the same time; gives what everybody has after each sync, and what a last run tells."""
    rest = {FIRST_PERSON + n: list(with_ids_of(row, FIRST_PERSON + n).history) for n, row in enumerate(rows)}
    sent: dict[int, object] = dict.fromkeys(rest)
    after = []
    site.server.people = [person(id_, profile_fields=None, jobs=None) for id_ in (3, *rest)]
    site.sync()
    while any(rest.values()):
        for id_, steps in rest.items():
            while steps and isinstance(steps[0], dict):
                give(site, site.key(id_), what, steps.pop(0))
            if steps:
                sent[id_] = steps.pop(0)
        site.server.people = [person(3)] + [it for id_ in rest for it in records(id_, what, sent[id_])]
        assert site.sync().state == "done"
        after.append({id_: have(site, id_, what) for id_ in rest})
    again = lines(site.sync())
    assert {id_: have(site, id_, what) for id_ in rest} == after[-1], (
        "the same list once more changes nothing"
    )
    return after, again


def have(site, id_: int, what: str) -> object:
    """The fields of somebody, or their jobs."""
    return site.person(id_)["fields"] if what == "profile_fields" else site.jobs(site.key(id_))


def named(site, jobs_: list) -> list[str]:
    """Jobs as the tables above write them."""
    with site.context.reading() as session:
        names = {
            (kept.kind, it.id): it.idnumber
            for kept in (POSITIONS, ORGANISATIONS)
            for it in list_items(session, kept)
        }
    return [
        " ".join(
            word
            for word in (
                it.idnumber,
                it.fullname,
                names.get(("position", it.position)),
                names.get(("organisation", it.organisation)),
            )
            if word
        )
        for it in jobs_
    ]


def site_with_everything(kind: str, **more):
    """A client with custom fields, positions and organisations."""
    if kind.startswith("host"):
        more.update(accounts=host_accounts.columns(), before=host_accounts.make_tables)
    return client_site.fresh(kind.removeprefix("host on "), **more)


def fill(site) -> None:
    for shortname, datatype in LOCAL_FIELDS.items():
        add_field(site, shortname, datatype, ("S", "L") if datatype == "menu" else ())
    for server in site.transport.servers:
        for kind, prefix, number in (("positions", "I", 10), ("organisations", "O", 20)):
            server.frameworks[kind] = [framework(1, kind=kind)]
            server.items[kind] = [
                item(number + n, 1, kind=kind, idnumber=f"{prefix}{number + n}") for n in (1, 2)
            ]
            site.sync(kind, server)


@pytest.fixture(scope="module", params=KINDS)
def played(request):
    """Both tables with the settings on and off, and what the last run told."""
    found = {}
    for what, rows in (("profile_fields", FIELDS), ("jobs", JOBS)):
        for on in (True, False):
            with site_with_everything(request.param) as site:
                fill(site)
                if not on:
                    site.set(sync_profile_fields="false", sync_jobs="false")
                after, again = play(site, what, rows)
                ends = {
                    id_: named(site, value) if what == "jobs" else value for id_, value in after[-1].items()
                }
                found[what, on] = (ends, after, again)
    return found


def same(found: list, expected: object) -> bool:
    """A set says nothing of the order."""
    return sorted(found) == sorted(expected) if isinstance(expected, set) else found == expected


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("row", FIELDS, ids=str)
def test_every_rule_of_custom_fields(played, row, on):
    id_ = FIRST_PERSON + FIELDS.index(row)
    ends, _, again = played["profile_fields", on]
    deleted = "deleted" in [step for step in row.history if isinstance(step, str)]
    assert ends[id_] == (row.ends if on else {} if deleted else row.off)
    assert id_ not in again


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("row", JOBS, ids=str)
def test_every_rule_of_jobs(played, row, on):
    id_ = FIRST_PERSON + JOBS.index(row)
    ends, after, again = played["jobs", on]
    assert same(ends[id_], row.ends if on else row.off)
    assert id_ not in again
    places = [it.sortorder for it in after[-1][id_]]
    assert places == list(range(1, len(places) + 1)), "counted from 1 without gaps"
    local: dict[int, set[int]] = {}
    for state in after:
        for it in state[id_]:
            if it.remote_id is not None:
                local.setdefault(it.remote_id, set()).add(it.id)
    if "deleted" not in [step for step in row.history if isinstance(step, str)]:
        assert all(len(ids) == 1 for ids in local.values()), "mapped by id: one job here for its whole life"


@pytest.fixture(params=client_site.DATABASES)
def site(request):
    with client_site.fresh(request.param) as made:
        fill(made)
        yield made


def jobs_of(site, id_: int = 3, server=None) -> list[str]:
    return named(site, site.jobs(site.key(id_, server)))


def test_9_every_value_of_a_job_is_kept(site):
    full = {**job(7, "J"), "shortname": "Js", "startdate": "1700000000", "enddate": "1800000000"}
    site.server.people = [person(3, jobs=[full])]
    site.sync()
    (kept,) = site.jobs(site.key(3))
    assert (kept.server, kept.remote_id, kept.idnumber, kept.fullname, kept.shortname) == (
        FIRST,
        7,
        "J",
        "Job 7",
        "Js",
    )
    assert (kept.startdate, kept.enddate, kept.position) == (1700000000, 1800000000, None)

    site.server.people = [
        person(3, jobs=[{**full, "shortname": None, "fullname": None, "startdate": None, "enddate": "0"}])
    ]
    site.sync()
    (again,) = site.jobs(site.key(3))
    assert (again.id, again.shortname, again.fullname, again.startdate, again.enddate) == (
        kept.id,
        None,
        None,
        None,
        0,
    )


@pytest.mark.parametrize(
    ("option", "left"), [("sync_positions", "A Job 1 O21"), ("sync_organisations", "A Job 1 I11")]
)
def test_9_position_and_organisation_only_when_those_are_synced(site, option, left):
    site.set(**{option: "false"})
    site.server.people = [person(3, jobs=[at(A, 11, 21)])]
    site.sync()
    assert jobs_of(site) == [left]


def test_9_a_position_that_moves_stays_the_jobs_and_one_that_goes_is_lost(site):
    site.server.people = [person(3, jobs=[at(A, 11, 21)])]
    site.sync()
    site.server.frameworks["positions"] = [framework(1), framework(2)]
    site.server.items["positions"] = [item(12, 1), item(11, 2)]
    site.sync("positions")
    assert jobs_of(site) == ["A Job 1 I11 O21"]
    site.server.items["positions"] = [item(12, 1)]
    site.sync("positions")
    assert jobs_of(site) == ["A Job 1 O21"], "jobs lose the position"
    site.sync()
    assert jobs_of(site) == ["A Job 1 O21"]
    site.server.items["positions"] = [item(12, 1), item(11, 1)]
    site.sync("positions")
    site.sync()
    assert jobs_of(site) == ["A Job 1 I11 O21"], "known again, it is the job's again"


def test_9_a_position_that_comes_after_the_job_is_found_by_the_next_users_sync(site):
    site.server.people = [person(3, jobs=[at(A, 13)])]
    site.sync()
    site.server.items["positions"] = [*site.server.items["positions"], item(13, 1)]
    site.sync("positions")
    site.sync()
    assert jobs_of(site) == ["A Job 1 I13"]


def test_9_two_people_may_have_jobs_of_one_idnumber(site):
    site.server.people = [person(3, jobs=[job(1, "A")]), person(4, jobs=[job(2, "A")])]
    site.sync()
    assert (jobs_of(site, 3), jobs_of(site, 4)) == (["A Job 1"], ["A Job 2"])


@pytest.mark.parametrize(
    "bad",
    [
        [A, {**B, "idnumber": "A"}],
        [A, A],
        [{**A, "idnumber": ""}],
        [{**A, "id": "x"}],
        [{**A, "startdate": ""}],
        ["A"],
        {"1": A},
    ],
    ids=[
        "one idnumber twice",
        "one id twice",
        "no idnumber",
        "no id",
        "an empty date",
        "no object",
        "no list",
    ],
)
def test_6_a_bad_job_is_reported_and_harms_nobody_else(site, bad):
    site.server.people = [person(3, jobs=[C]), person(4)]
    site.sync()
    site.server.people = [person(3, jobs=bad), person(4, city="New")]
    report = site.sync()
    assert (report.state, site.person(4)["city"]) == ("partial", "New")
    assert lines(report)[3].startswith("skipped: ")
    assert jobs_of(site) == ["C Job 3"]


def test_9_settings_may_change_in_between(site):
    sent = person(3, profile_fields=[field("shirt", "M")], jobs=[A])
    site.server.people = [sent]
    site.set(sync_jobs="false", sync_profile_fields="false")
    site.sync()
    site.set(sync_jobs="true", sync_profile_fields="true")
    site.sync()
    assert (jobs_of(site), site.person(3)["fields"]) == (["A Job 1"], {"shirt": "M"})
    site.set(sync_jobs="false", sync_profile_fields="false")
    site.server.people = [person(3, profile_fields=[], jobs=[])]
    site.sync()
    assert (jobs_of(site), site.person(3)["fields"]) == (["A Job 1"], {"shirt": "M"}), (
        "nothing of it is touched"
    )


def test_9_local_people_keep_their_own(site):
    key = site.add("local")
    give(site, key, "profile_fields", {"shirt": "XL"})
    give(site, key, "jobs", {"idnumber": "A", "fullname": "Own"})
    site.server.people = [person(3, jobs=[A], profile_fields=[])]
    site.sync()
    assert (site.shown(key)["fields"], named(site, site.jobs(key))) == ({"shirt": "XL"}, ["A Own"])


def test_9_what_belongs_to_the_server_is_not_changed_by_hand(site):
    site.server.people = [person(3, jobs=[A], profile_fields=[field("shirt", "M")])]
    site.sync()
    (kept,) = site.jobs(site.key(3))
    for change in (
        lambda: site.do(people.set_profile_value, site.key(3), "shirt", "L"),
        lambda: site.do(jobs.edit_job, kept.id, {"fullname": "Mine"}),
        lambda: site.do(jobs.delete_job, kept.id),
    ):
        with pytest.raises(Conflict, match="Head office"):
            change()


def test_9_whoever_a_host_gives_the_key_of_a_removed_row_to_inherits_nothing():
    with site_with_everything("host on sqlite") as site:
        fill(site)
        site.server.people = [person(3, profile_fields=[field("shirt", "M")], jobs=[A]), person(4)]
        site.sync()
        key = site.key(3)
        with site.context.unit() as session:
            sessions.start(session, "browser", key, site.context.clock())
        site.drop_row(key)
        site.server.people = [person(4)]
        site.sync()
        with site.context.unit() as session:
            session.add(
                host_accounts.Member(
                    number=key,
                    login="eve",
                    mail="eve@here.example",
                    full_name="Eve",
                    active=True,
                    tenant="main",
                )
            )

        shown = site.shown(key)
        assert (shown["username"], shown["server"], shown["fields"], shown["jobs"]) == ("eve", None, {}, [])
        with site.context.reading() as session:
            assert isinstance(sessions.look_up(session, site.context, "browser"), sessions.Ended)


@pytest.mark.parametrize("kind", client_site.DATABASES)
def test_9_two_servers_have_jobs_of_one_id(kind):
    servers = ((FIRST, "http://server.example"), (SECOND, "http://second.example"))
    with client_site.fresh(kind, servers=servers) as site:
        fill(site)
        first, second = site.transport.servers
        first.people = [person(3, jobs=[at(job(1, "A"), 11)])]
        second.people = [person(3, jobs=[at(job(1, "B"), 12)])]
        for server in (first, second, first):
            site.sync("users", server)
        assert jobs_of(site, 3, first) == ["A Job 1 I11"]
        assert jobs_of(site, 3, second) == ["B Job 1 I12"]
        first.people = [person(3, jobs=[])]
        site.sync("users", first)
        assert jobs_of(site, 3, second) == ["B Job 1 I12"]
