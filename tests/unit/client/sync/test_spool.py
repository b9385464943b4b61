"""A plan of very many: what lies in its file comes out as it went in."""

from __future__ import annotations

from ipaddress import ip_address

from tconnect_pyramid.client.linked import Identity
from tconnect_pyramid.client.sync.plan import (
    USERS,
    Action,
    Change,
    Changes,
    JobChanges,
    LinkState,
    PersonExtras,
)
from tconnect_pyramid.texts import Text, text


def test_changes_come_out_as_they_went_in() -> None:
    """Each field, in the order of the plan, with sentences that can still be said in another language."""
    job = {"idnumber": "J1", "startdate": -5, "enddate": None}
    given = [
        Change(
            Action.UPDATED if person % 2 else Action.CREATED,
            USERS,
            person,
            None if person == 1 else person + 1,
            f"Person {person}",
            {"city": "Ålesund", "suspended": 1, "description": None},
            {"city": None, "suspended": True},
            text("matched by ${field}", field="email"),
            person == 3,
            (text("job ${idnumber}", idnumber="J1"), "shirt: 'M' → 'L'"),
            LinkState(True, bytes(range(16)), Identity("ana", 2**62)),
            PersonExtras({1: "L", 2: None}, JobChanges([4], {5: {"sortorder": 2}}, {6: job})),
        )
        for person in range(1, 2 * Changes.AT_ONCE + 2)
    ]
    changes = Changes()
    for each in given:
        changes.append(each)
    found = [*changes]
    assert found == given
    assert [*changes] == given, "more than once"
    assert isinstance(found[0].reason, Text)
    assert found[0].reason.template == "matched by ${field}"
    assert isinstance(found[0].also[0], Text)
    assert type(found[0].action) is Action
    assert found[0].line() == given[0].line()


def test_values_of_a_hosts_own_kind_are_told_as_texts() -> None:
    """They are what was in the host's columns: only shown."""
    changes = Changes()
    for _ in range(Changes.AT_ONCE):
        changes.append(
            Change(Action.UPDATED, USERS, 1, 1, "Ana", {"city": "x"}, {"lastip": ip_address("192.0.2.1")})
        )
    assert next(iter(changes)).before == {"lastip": "192.0.2.1"}
