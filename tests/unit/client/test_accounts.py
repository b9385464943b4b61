"""What a record makes of an account, field by field (protocol 9)."""

from __future__ import annotations

import pytest
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support.lists import person, recording

from tconnect_pyramid.client import accounts
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS, ColumnMap, joined, own_accounts
from tconnect_pyramid.protocol.users import read_user

SERVER = "5" * 40
NOW = 1_800_000_000
HASH = "$2y$10$BXwucLKzdxUO7Qj5P6i5PuCY7ohGrHlDZJ0nGJeHoOOTB255XtsS2"


def record(**fields):
    return read_user(person(3, **fields))


def created(**fields):
    """All fields of the account, as it is written."""
    return {**STANDARD_FIELDS, **accounts.new_account(record(**fields), SERVER, NOW)}


def test_new_account_has_nothing_but_standard_fields():
    assert created().keys() == STANDARD_FIELDS.keys()


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("username", "alice", f"tc_3_{SERVER}"),
        ("auth", "manual", "connect"),
        ("confirmed", "0", 1),
        ("suspended", "1", 1),
        ("deleted", "0", 0),
        ("emailstop", "1", 1),
        ("maildigest", "2", 2),
        ("autosubscribe", "0", 0),
        ("trackforums", "1", 1),
        ("mailformat", "0", 0),
        ("maildisplay", "0", 0),
        ("timezone", "Pacific/Auckland", "Pacific/Auckland"),
        ("timecreated", "1795436402", NOW),
        ("timemodified", "1795436402", NOW),
        ("firstaccess", "5", 0),
        ("lastaccess", "5", 0),
        ("lastlogin", "5", 0),
        ("currentlogin", "5", 0),
        ("lastip", "10.0.0.1", ""),
        ("policyagreed", "1", 0),
        ("totarasync", "1", 0),
        ("trustbitmask", "1", 0),
        ("idnumber", "ID-alice", ""),
        ("picture", "7", 0),
        ("country", "NZ", "NZ"),
        ("country", "ZZ", ""),
        ("country", "nz", ""),
        ("lang", "de", "de"),
        ("lang", "mi_tt", "en"),
        ("theme", "roots", ""),
        ("calendartype", "jalali", "gregorian"),
        ("firstname", "<b>Ann</b><script>x</script>", "Ann"),
        ("lastname", "O'Brien & <i>sons", "O'Brien & sons"),
        ("lastname", "Ångström 李", "Ångström 李"),
        ("middlename", "<u>M</u>", "M"),
        ("middlename", None, None),
        ("city", "<b>Rome</b>", "<b>Rome</b>"),
        ("description", '<p onclick="x()">Hi<script>y()</script></p>', "<p>Hi</p>"),
        ("password", HASH, HASH),
        ("password", HASH.replace("$10$", "$15$"), None),
        ("password", HASH.replace("$2y$", "$2x$"), None),
        ("password", "not cached", None),
        ("password", None, None),
    ],
)
def test_at_creation(field, sent, kept):
    assert created(**{field: sent})[field] == kept


def test_no_record_makes_an_administrator():
    assert created(admin="1")["admin"] is False


def test_an_update_leaves_alone_what_is_the_persons_own_here():
    left_alone = {
        "username",
        "suspended",
        "deleted",
        "emailstop",
        "lang",
        "maildigest",
        "autosubscribe",
        "trackforums",
        "idnumber",
        "timecreated",
        "timemodified",
        "firstaccess",
        "lastaccess",
        "lastlogin",
        "currentlogin",
        "lastip",
        "policyagreed",
        "totarasync",
        "trustbitmask",
        "picture",
        "admin",
    }

    assert STANDARD_FIELDS.keys() - accounts.synced_values(record()).keys() == left_alone


@pytest.mark.parametrize("sent", [None, "*", HASH.replace("$10$", "$31$")])
def test_an_update_keeps_the_password_when_none_of_use_is_sent(sent):
    assert "password" not in accounts.synced_values(record(password=sent))


@pytest.mark.parametrize(
    ("sent", "by_hand", "suspended"), [("0", False, 0), ("1", False, 1), ("0", True, 1), ("1", True, 1)]
)
def test_a_revived_account_is_suspended_by_the_record_or_by_hand(sent, by_hand, suspended):
    revived = accounts.revived_account(record(suspended=sent), SERVER, NOW, stays_suspended=by_hand)

    assert revived["suspended"] == suspended
    assert (revived["username"], revived["deleted"]) == (f"tc_3_{SERVER}", 0)
    assert revived["email"] == "person3@example.com"


@pytest.mark.parametrize(
    "raw", recording("get_users.edge")["response"]["data"]["users"][:9], ids=lambda raw: raw["username"]
)
def test_an_account_just_made_differs_in_nothing(raw):
    made = accounts.new_account(read_user(raw), SERVER, NOW)

    assert accounts.differences(own_accounts(), made, accounts.synced_values(read_user(raw))) == {}


def test_differences_are_exactly_the_fields_that_differ():
    changed = accounts.synced_values(record(firstname="Alicia", city="Nelson"))

    assert accounts.differences(own_accounts(), created(), changed) == {
        "firstname": "Alicia",
        "city": "Nelson",
    }


class Host(DeclarativeBase):
    pass


class Employee(Host):
    __tablename__ = "employee"
    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(70))
    mail: Mapped[str]
    full: Mapped[str]
    town: Mapped[str] = mapped_column(String(10))
    locked: Mapped[int]


HOST = ColumnMap(
    Employee,
    {
        "username": Employee.login,
        "email": Employee.mail,
        "suspended": Employee.locked,
        "city": Employee.town,
        "firstname": joined(Employee.full, "firstname", "lastname"),
    },
)


def on_host(stored, **fields):
    """What must be written when the record has these fields and the row was made of the plain record."""
    wanted = accounts.synced_values(record(**{"city": "Here", **fields}))
    return accounts.differences(HOST, created(city="Here"), wanted, stored)


def test_fields_that_a_host_does_not_keep_are_ignored():
    assert on_host({"full": "First3 Last3"}, department="Other") == {}


def test_fields_that_share_a_column_are_written_together():
    assert on_host({"full": "First3 Last3"}, lastname="New") == {"firstname": "First3", "lastname": "New"}


def test_a_column_that_nobody_has_read_is_written_along_with_another_of_its_fields_only():
    assert on_host(None, lastname="New") == {}


def test_a_shared_column_follows_a_field_of_it_that_can_be_read_elsewhere():
    columns = ColumnMap(Employee, {**HOST.fields, "lastname": Employee.town})
    wanted = accounts.synced_values(record(lastname="New"))

    changed = accounts.differences(columns, created(city="Here"), {**wanted, "city": "Here"})

    assert changed == {"firstname": "First3", "lastname": "New"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"city": "Wellington"}, None),
        ({"city": "Wellingtons"}, "city has 11 characters, more than the 10 that an account here holds"),
        ({"suspended": 2**31 - 1}, None),
        ({"suspended": 2**31}, "suspended is a larger number than an account here holds"),
        ({"department": "x" * 1000}, None),
    ],
)
def test_values_that_the_table_cannot_hold_are_found_before_the_database_refuses_them(values, expected):
    assert accounts.misfit(HOST, values) == expected


def test_a_record_within_the_limits_of_the_protocol_fits_our_own_table():
    assert accounts.misfit(own_accounts(), created(description="x" * 100_000)) is None


def test_our_own_maildigest_cannot_hold_every_number_of_the_wire():
    assert "maildigest" in accounts.misfit(own_accounts(), created(maildigest=str(2**40)))
