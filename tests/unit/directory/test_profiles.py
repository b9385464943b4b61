from __future__ import annotations

import time

import pytest
from sqlalchemy import func, select
from support import sites

from tconnect_pyramid import people
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.directory.values import moment
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import AuditEntry, ProfileField, ProfileValue


@pytest.fixture
def context(make_database):
    with sites.context(make_database()) as made:
        yield made


@pytest.fixture
def session(context):
    with context.unit() as made:
        yield made


@pytest.fixture
def ana(session, context):
    return people.add_person(session, context, username="ana").key


def add(session, context, shortname, datatype="text", **values):
    return profiles.add_field(session, context, shortname, datatype=datatype, **values)


def test_fields_are_made_listed_in_their_order_and_removed(session, context, ana):
    shirt = add(session, context, "shirt", "menu", name="Tröja", choices=["S", " XL "])
    add(session, context, "joined", "datetime")
    assert shirt.choices == ("S", "XL")
    assert [(it.shortname, it.name, it.datatype, it.sortorder) for it in profiles.list_fields(session)] == [
        ("shirt", "Tröja", "menu", 1),
        ("joined", "joined", "datetime", 2),
    ]
    assert profiles.find_field(session, "shirt") == profiles.find_field(session, str(shirt.id)) == shirt
    profiles.set_value(session, context, ana, "shirt", "S")
    profiles.set_value(session, context, ana, "joined", "0")

    profiles.delete_field(session, context, shirt.id)

    assert [it.shortname for it in profiles.list_fields(session)] == ["joined"]
    assert profiles.values_of(session, [ana]) == {ana: {"joined": "0"}}
    assert session.scalar(select(func.count()).select_from(ProfileValue)) == 1
    for missing in (lambda: profiles.find_field(session, "shirt"),):
        with pytest.raises(NotFound, match="shirt"):
            missing()
    with pytest.raises(NotFound):
        profiles.delete_field(session, context, shirt.id)
    assert add(session, context, "late").sortorder == 3
    actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert [action for action in actions if action.startswith("field")] == [
        *("field.added", "field.added", "field.deleted", "field.added")
    ]


@pytest.mark.parametrize(
    ("shortname", "values", "error"),
    [
        ("", {}, InvalidInput),
        ("two words", {}, InvalidInput),
        ("x" * 256, {}, InvalidInput),
        ("a\nb", {}, InvalidInput),
        ("x", {"datatype": "file"}, InvalidInput),
        ("x", {"datatype": "menu"}, InvalidInput),
        ("x", {"datatype": "menu", "choices": ["a", "a "]}, InvalidInput),
        ("x", {"datatype": "menu", "choices": ["a", ""]}, InvalidInput),
        ("x", {"datatype": "menu", "choices": ["a\nb"]}, InvalidInput),
        ("x", {"datatype": "text", "choices": ["a"]}, InvalidInput),
        ("taken", {}, Conflict),
    ],
)
def test_a_field_that_cannot_be_is_refused(session, context, shortname, values, error):
    add(session, context, "taken")

    with pytest.raises(error):
        add(session, context, shortname, **values)
    assert session.scalars(select(ProfileField.shortname)).all() == ["taken"]


@pytest.mark.parametrize(
    ("datatype", "typed", "kept"),
    [
        ("checkbox", "0", "0"),
        ("checkbox", " 1 ", "1"),
        ("date", "2024-05-31", "1717113600"),
        ("date", "1717113600", "1717113600"),
        ("datetime", "2024-05-31T12:30", "1717158600"),
        ("datetime", "2024-05-31T12:30+02:00", "1717151400"),
        ("datetime", "1969-12-31", "-86400"),
        ("datetime", "-86400", "-86400"),
        ("menu", "XL", "XL"),
        ("text", " Åsa <b>x</b> ", "Åsa <b>x</b>"),
        ("textarea", "<p>one</p>\n<script>two</script>", "<p>one</p>\n"),
    ],
)
def test_values_are_kept_as_they_are_sent(session, context, ana, datatype, typed, kept):
    add(session, context, "x", datatype, choices=["XL"] if datatype == "menu" else [])

    profiles.set_value(session, context, ana, "x", typed)

    assert profiles.values_of(session, [ana]) == {ana: {"x": kept}}


@pytest.fixture
def in_tokyo(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_date_begins_in_utc_wherever_the_machine_stands(in_tokyo):
    assert moment("x", "2024-05-31") == 1717113600


@pytest.mark.parametrize(
    ("datatype", "typed"),
    [
        ("checkbox", "2"),
        ("checkbox", "yes"),
        ("date", "31.5.2024"),
        ("date", "9" * 19),
        ("datetime", "٣"),
        ("menu", "xl"),
        ("text", "a\nb"),
        ("text", "x" * 2049),
        ("textarea", "x" * 1_000_001),
    ],
)
def test_values_that_cannot_be_kept_are_refused(session, context, ana, datatype, typed):
    add(session, context, "x", datatype, choices=["XL"] if datatype == "menu" else [])

    with pytest.raises(InvalidInput) as refused:
        profiles.set_value(session, context, ana, "x", typed)
    assert refused.value.field == "x"
    assert profiles.values_of(session, [ana]) == {}


def test_a_value_is_replaced_and_an_empty_one_removes_it(session, context, ana):
    bo = people.add_person(session, context, username="bo").key
    add(session, context, "x")
    add(session, context, "y")
    for key in (ana, bo):
        for field in ("y", "x"):
            profiles.set_value(session, context, key, field, "old")

    profiles.set_value(session, context, ana, "x", "new", actor="account:1")
    profiles.set_value(session, context, ana, "y", " ")

    assert profiles.values_of(session, [ana, bo, 999]) == {ana: {"x": "new"}, bo: {"x": "old", "y": "old"}}
    assert list(profiles.values_of(session, [bo])[bo]) == ["x", "y"]
    newest = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(2)
    last, before = session.scalars(newest).all()
    assert (before.action, before.actor, before.subject) == ("account.field_set", "account:1", "x")

    for field, value in (("x", " new "), ("y", "")):
        profiles.set_value(session, context, ana, field, value)
    assert session.scalars(newest).all() == [last, before]


def test_only_living_accounts_have_values(session, context, ana):
    add(session, context, "x")
    profiles.set_value(session, context, ana, "x", "old")
    people.delete_person(session, context, ana)

    assert profiles.values_of(session, [ana]) == {}
    for key in (ana, 999):
        with pytest.raises(InvalidInput, match=str(key)):
            profiles.set_value(session, context, key, "x", "new")
    with pytest.raises(NotFound, match="'z'"):
        profiles.set_value(session, context, ana, "z", "new")
