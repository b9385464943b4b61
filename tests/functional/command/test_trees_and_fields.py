"""The `tconnect` command: positions, organisations, job assignments, custom fields and pictures."""

from __future__ import annotations

import pytest
from PIL import Image
from support.commanded import as_typed


@pytest.mark.parametrize("noun", ["position", "organisation"])
def test_frameworks_trees_and_types_are_kept(site, noun):
    framework = site.json(noun, "add-framework", "Yrken", "--idnumber", "work")
    assert framework == {
        "id": 1,
        "server": None,
        "remote_id": None,
        "idnumber": "work",
        "fullname": "Yrken",
        "description": "",
        "sortorder": 1,
    }
    site(noun, "add-framework", "Other", "--idnumber", "other")
    assert site.json(noun, "move-framework", "other", 1)["sortorder"] == 1
    assert site.json(noun, "edit-framework", 1, "fullname=Arbete")["fullname"] == "Arbete"
    assert [row["idnumber"] for row in site.json(noun, "list", "--frameworks")] == ["other", "work"]
    assert site.json(noun, "add-type", "Grade", "--idnumber", "grade")["fields"] == []
    added = site.json(noun, "add-field", "grade", "since", "--name", "Since", "--datatype", "datetime")
    assert (added["shortname"], added["datatype"]) == ("since", "datetime")
    site(noun, "add-field", "grade", "level", "--datatype", "text")
    assert [field["shortname"] for field in site.json(noun, "list-types")[0]["fields"]] == ["since", "level"]
    assert "since (datetime)" in site(noun, "list-types").stdout

    boss = site.json(
        *(noun, "add", "Chef", "--framework", "work", "--idnumber", "boss", "--short-name", "C"),
        *("--type", "grade", "--field", "since=2024-05-31", "--field", "level=a=b"),
    )
    assert boss == {
        "id": 1,
        "server": None,
        "remote_id": None,
        "framework": 1,
        "parent": None,
        "idnumber": "boss",
        "fullname": "Chef",
        "shortname": "C",
        "description": "",
        "path": "/1",
        "depth": 1,
        "sortthread": "01",
        "type": "grade",
        "fields": {"since": "1717113600", "level": "a=b"},
    }
    below = site.json(noun, "add", "Under", "--parent", "boss")
    assert (below["framework"], below["parent"], below["depth"], below["path"]) == (1, 1, 2, "/1/2")
    assert site.json(noun, "edit", 2, "idnumber=u", "type=grade", "--field", "level=1")["fields"] == {
        "level": "1"
    }
    assert site.json(noun, "edit", "u", "--field", "level=")["fields"] == {}
    assert "Under" in site(noun, "list").stdout

    assert site.json(noun, "move", "u", "--parent", "none")["sortthread"] == "02"
    assert site.json(noun, "move", "u", "--before", "boss")["sortthread"] == "01"
    site(noun, "add", "Deep", "--parent", "boss", "--idnumber", "deep")
    beside = site.json(noun, "move", "u", "--before", "deep")
    assert (beside["parent"], beside["sortthread"]) == (1, "01.01")
    site(noun, "delete", "deep")
    site(noun, "move", "u", "--parent", "none")
    site(noun, "move", "boss", "--parent", "u")
    moved = site.json(noun, "move", "u", "--framework", "other")
    assert (moved["framework"], moved["parent"]) == (2, None)
    assert [(row["id"], row["framework"], row["depth"]) for row in site.json(noun, "list")] == [
        (2, 2, 1),
        (1, 2, 2),
    ]
    assert site.json(noun, "list", "--framework", "work") == []

    assert site.json(noun, "delete-field", "grade", "level")["shortname"] == "level"
    assert site.json(noun, "delete-type", "grade")["idnumber"] == "grade"
    assert {row["type"] for row in site.json(noun, "list")} == {None}
    assert site.json(noun, "delete", "u")["id"] == 2
    assert site.json(noun, "list") == []
    assert site.json(noun, "delete-framework", "other")["id"] == 2
    assert [row["idnumber"] for row in site.json(noun, "list", "--frameworks")] == ["work"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["add", "X"], 2, "--framework or --parent"),
        (["add", "X", "--framework", "nowhere"], 2, "nowhere"),
        (["add", "X", "--framework", "other", "--parent", "boss"], 2, "another framework"),
        (["add", "X", "--parent", "boss", "--field", "level=1"], 2, "level"),
        (["add", "X", "--parent", "boss", "--idnumber", "boss"], 1, "boss"),
        (["edit", "boss"], 2, "FIELD=VALUE"),
        (["edit", "boss", "colour=red"], 2, "colour"),
        (["move", "boss"], 2, "Say where to"),
        (["move", "boss", "--parent", "boss"], 2, "below"),
        (["move-framework", "work", "0"], 2, "x>=1"),
        (["delete", "nobody"], 2, "nobody"),
        (["list", "--frameworks", "--framework", "work"], 2, "contradict"),
        (["add-type", "T"], 2, "--idnumber"),
        (["add-field", "nowhere", "x", "--datatype", "text"], 2, "nowhere"),
        (["add-field", "grade", "x", "--datatype", "colour"], 2, "colour"),
        (["delete-field", "grade", "x"], 2, "no field"),
    ],
    ids=as_typed,
)
def test_trees_refuse_what_they_cannot_hold(site, words, status, said):
    site("position", "add-framework", "Work", "--idnumber", "work")
    site("position", "add-framework", "Other", "--idnumber", "other")
    site("position", "add-type", "Grade", "--idnumber", "grade")
    site("position", "add", "Boss", "--framework", "work", "--idnumber", "boss")

    assert said in site.json("position", *words, status=status)["error"]
    assert len(site.json("position", "list")) == 1


def test_jobs_are_kept(site):
    for name in ("ana", "bo"):
        site("user", "add", name, "--no-password")
    for noun in ("position", "organisation"):
        site(noun, "add-framework", "F", "--idnumber", "f")
        site(noun, "add", "Chef", "--framework", "f", "--idnumber", "chef")

    added = site.json(
        *("job", "add", "ana", "--idnumber", "j1", "--fullname", "Köket", "--short-name", "K"),
        *("--position", "chef", "--organisation", 1, "--start", "2024-05-31", "--end", "2025-05-31"),
    )
    assert added == {
        "id": 1,
        "account": 1,
        "server": None,
        "remote_id": None,
        "idnumber": "j1",
        "fullname": "Köket",
        "shortname": "K",
        "description": None,
        "position": 1,
        "organisation": 1,
        "startdate": 1717113600,
        "enddate": 1748649600,
        "sortorder": 1,
    }
    site("job", "add", "ana", "--idnumber", "j2")
    site("job", "add", "bo", "--idnumber", "j1")
    assert site.json("job", "move", "j2", 1)["sortorder"] == 1
    assert [(row["id"], row["sortorder"]) for row in site.json("job", "list", "ana")] == [(2, 1), (1, 2)]
    assert "2024-05-31 00:00:00" in site("job", "list").stdout

    assert "Several" in site.json("job", "edit", "j1", "fullname=X", status=2)["error"]
    edited = site.json("job", "edit", "j1", "--of", "ana", "fullname=", "position=none", "enddate=")
    assert (edited["fullname"], edited["position"], edited["organisation"]) == (None, None, 1)
    assert (edited["startdate"], edited["enddate"]) == (1717113600, None)
    assert site.json("job", "delete", "j1", "--of", "bo")["account"] == 2
    assert [row["id"] for row in site.json("job", "list")] == [2, 1]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["add", "ana"], 2),
        (["add", "nobody", "--idnumber", "x"], 2),
        (["add", "ana", "--idnumber", ""], 2),
        (["add", "ana", "--idnumber", "j1"], 1),
        (["add", "ana", "--idnumber", "x", "--position", "nowhere"], 2),
        (["add", "ana", "--idnumber", "x", "--start", "soon"], 2),
        (["add", "ana", "--idnumber", "x", "--start", "2025-01-01", "--end", "2024-01-01"], 2),
        (["edit", "j1", "sortorder=3"], 2),
        (["move", "j1", "0"], 2),
        (["delete", "nothing"], 2),
    ],
    ids=as_typed,
)
def test_jobs_refuse_what_they_cannot_hold(site, words, status):
    site("user", "add", "ana", "--no-password")
    site("job", "add", "ana", "--idnumber", "j1")

    assert site.json("job", *words, status=status)["error"]
    assert len(site.json("job", "list")) == 1


def test_custom_profile_fields_are_kept_and_filled(site):
    site("user", "add", "ana", "--no-password", "--first-name", "Ana")
    added = site.json(
        "field", "add", "food", "--name", "Mat", "--type", "menu", *("--choice", "å", "--choice", "ö")
    )
    assert added == {
        "id": 1,
        "shortname": "food",
        "name": "Mat",
        "datatype": "menu",
        "choices": ["å", "ö"],
        "sortorder": 1,
    }
    site("field", "add", "born", "--type", "date")
    assert [row["shortname"] for row in site.json("field", "list")] == ["food", "born"]

    edited = site.json(
        *("user", "edit", "ana", "profile_field_food=ö", "firstname=Anna", "profile_field_born=2000-01-01")
    )
    assert (edited["firstname"], edited["fields"]) == ("Anna", {"food": "ö", "born": "946684800"})
    assert site.json("user", "show", "ana")["fields"] == edited["fields"]
    assert site.json("user", "edit", "ana", "profile_field_food=")["fields"] == {"born": "946684800"}
    for wrong in ("profile_field_food=x", "profile_field_none=1", "profile_field_born=soon"):
        assert site.json("user", "edit", "ana", "firstname=Not", wrong, status=2)["error"]
    assert site.json("user", "show", "ana")["firstname"] == "Anna", "all or nothing"

    assert site.json("field", "delete", "born")["shortname"] == "born"
    assert site.json("user", "show", "ana")["fields"] == {}
    for wrong in (["add", "food", "--type", "text"], ["add", "x", "--type", "menu"], ["delete", "x"]):
        assert site.json("field", *wrong, status=1 if "food" in wrong else 2)["error"]


def test_a_picture_is_given_and_taken_away(site, tmp_path):
    site("user", "add", "ana", "--no-password")
    image, text_file = tmp_path / "wide.png", tmp_path / "notes.png"
    Image.new("RGB", (300, 200), "teal").save(image)
    text_file.write_text("no image", encoding="utf-8")

    given = site.json("user", "picture", "ana", image)
    assert given["pictures"] == ["f1.png", "f2.png", "f3.png"]
    assert given["picture"] > 0
    shown = site.json("user", "show", "ana")
    assert (shown["picture"], shown["pictures"]) == (given["picture"], given["pictures"])
    for wrong in (text_file, tmp_path / "missing.png", tmp_path):
        assert site.json("user", "picture", "ana", wrong, status=2)["error"]
    taken = site.json("user", "picture", "ana", "none")
    assert (taken["picture"], taken["pictures"]) == (0, [])
