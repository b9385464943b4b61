from __future__ import annotations

import time
from dataclasses import replace

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


def newest(session):
    return session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()


def test_what_is_given_of_a_field_is_changed(session, context, ana):
    shirt = add(session, context, "shirt", "menu", name="Shirt", choices=["S", "M"])
    profiles.set_value(session, context, ana, "shirt", "M")

    edited = profiles.edit_field(
        session, context, shirt.id, shortname=" tee ", choices=["XL", "M"], actor="account:1"
    )

    assert edited == replace(shirt, shortname="tee", choices=("XL", "M"))
    assert profiles.list_fields(session) == [edited]
    assert profiles.values_of(session, [ana]) == {ana: {"tee": "M"}}
    entry = newest(session)
    assert (entry.action, entry.actor, entry.subject) == ("field.edited", "account:1", "tee")
    assert entry.detail == {"id": shirt.id, "fields": ["choices", "shortname"]}
    assert profiles.edit_field(session, context, shirt.id, name=" ", shortname="top").name == "top"


def test_a_field_that_stays_the_same_is_not_written_down(session, context):
    shirt = add(session, context, "shirt", "menu", choices=["S"])
    before = newest(session)

    for same in ({}, {"shortname": "shirt ", "name": "", "choices": [" S"]}):
        assert profiles.edit_field(session, context, shirt.id, **same) == shirt
    assert newest(session) is before


def test_a_choice_that_somebody_has_is_not_taken_away(session, context, ana):
    shirt = add(session, context, "shirt", "menu", choices=["s", "M", "L", "XL"])
    other = add(session, context, "hat", "menu", choices=["XL"])
    bo, cy = (people.add_person(session, context, username=name).key for name in ("bo", "cy"))
    for key in (ana, bo):
        profiles.set_value(session, context, key, "shirt", "L")
    profiles.set_value(session, context, cy, "shirt", "s")
    profiles.set_value(session, context, cy, "hat", "XL")

    for choices, said in ((["s", "M"], "2 people have 'L'"), (["S", "L"], "1 person has 's'")):
        with pytest.raises(InvalidInput, match=said) as refused:
            profiles.edit_field(session, context, shirt.id, name="New", choices=choices)
        assert refused.value.field == "choices"
    assert profiles.list_fields(session) == [shirt, other]
    assert profiles.edit_field(session, context, shirt.id, choices=["L", "s"]).choices == ("L", "s")
    people.delete_person(session, context, cy)
    assert profiles.edit_field(session, context, shirt.id, choices=["L"]).choices == ("L",)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"shortname": ""}, InvalidInput),
        ({"shortname": "two words"}, InvalidInput),
        ({"shortname": "x" * 256}, InvalidInput),
        ({"shortname": "taken"}, Conflict),
        ({"name": "x" * 1025}, InvalidInput),
        ({"name": "a\nb"}, InvalidInput),
        ({"choices": []}, InvalidInput),
        ({"choices": ["a", "a "]}, InvalidInput),
        ({"choices": ["a", "b\nc"]}, InvalidInput),
    ],
)
def test_what_a_field_cannot_become_is_refused(session, context, changes, error):
    add(session, context, "taken")
    shirt = add(session, context, "shirt", "menu", choices=["a"])

    with pytest.raises(error):
        profiles.edit_field(session, context, shirt.id, **{"name": "New", **changes})
    assert profiles.find_field(session, "shirt") == shirt
    with pytest.raises(InvalidInput):
        profiles.edit_field(session, context, profiles.find_field(session, "taken").id, choices=["a"])


@pytest.mark.parametrize("places", [(1, 2, 3), (2, 7, 40), (5, 5, 5)])
@pytest.mark.parametrize(
    ("which", "place", "order"),
    [("a", 2, "bac"), ("c", 2, "acb"), ("c", 1, "cab"), ("a", 9, "bca"), ("b", 2, "abc"), ("a", 0, "abc")],
)
def test_a_field_gets_another_place_whatever_the_places_were(session, context, places, which, place, order):
    ids = {name: add(session, context, name).id for name in "abc"}
    for id_, sortorder in zip(ids.values(), places, strict=True):
        session.get(ProfileField, id_).sortorder = sortorder

    moved = profiles.move_field(session, context, ids[which], place, actor="account:1")

    fields = profiles.list_fields(session)
    assert "".join(field.shortname for field in fields) == order
    assert [field.sortorder for field in fields] == [1, 2, 3]
    assert moved == fields[order.index(which)]
    entry = newest(session)
    assert (entry.action, entry.actor, entry.subject) == ("field.moved", "account:1", which)
    assert entry.detail == {"id": moved.id, "place": moved.sortorder}


def test_a_field_that_is_not_there_is_neither_changed_nor_moved(session, context):
    for missing in (
        lambda: profiles.edit_field(session, context, 999, name="x"),
        lambda: profiles.move_field(session, context, 999, 1),
    ):
        with pytest.raises(NotFound, match="999"):
            missing()


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
