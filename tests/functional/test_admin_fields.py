"""The pages of custom profile fields by HTTP, read back by the command."""

from __future__ import annotations

import pytest
from support.admin import administered, notice, text
from support.webapp import add_person

from tconnect_pyramid.directory.profiles import add_field, set_value


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


def add(site, shortname="shoe", datatype="text", **more) -> int:
    with site.context.unit() as session:
        return add_field(session, site.context, shortname, datatype=datatype, **more).id


def form_of(site, **values):
    form = site.page("/admin/fields/add").forms["form"]
    for name, value in values.items():
        form[name] = value
    return form


def test_one_is_added(site):
    done = form_of(site, shortname="shoe", name="Size of shoes").submit(status=303).follow()

    assert notice(done) == "Profiles have the field Size of shoes now."
    (row,) = site.command("field", "list")
    assert (row["shortname"], row["name"], row["datatype"]) == ("shoe", "Size of shoes", "checkbox")


def test_a_menu_has_its_choices_one_on_each_line(site):
    form_of(site, shortname="shirt", datatype="menu", choices="Small\r\n\r\n Large ").submit(status=303)

    (row,) = site.command("field", "list")
    assert (row["name"], row["datatype"], row["choices"]) == ("shirt", "menu", ["Small", "Large"])
    assert "One of a list Small, Large" in text(site.page("/admin/fields"))


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"shortname": ""}, "shortname", "Enter a short name."),
        ({"shortname": "my shoe"}, "shortname", "Has blanks; leave them out."),
        (
            {"shortname": "shirt", "datatype": "menu"},
            "choices",
            "A menu needs some, and other types have none.",
        ),
        ({"shortname": "shirt", "datatype": "text", "choices": "A"}, "choices", "A menu needs some"),
        ({"shortname": "shirt", "datatype": "menu", "choices": "A\nA"}, "choices", "One is given twice."),
    ],
)
def test_what_is_wrong_stands_at_its_field(site, values, field, said):
    refused = form_of(site, **values).submit(status=200)

    assert said in refused.html.find(id=f"{field}-error").get_text()
    assert site.command("field", "list") == []


def test_a_short_name_that_is_there_and_a_kind_that_is_none_are_refused(site):
    add(site)
    form = form_of(site, shortname="shoe", datatype="text")
    assert "There is already a custom profile field 'shoe'." in text(form.submit(status=200))
    form["shortname"] = "other"
    form["datatype"].force_value("secret")
    assert form.submit(status=200).html.find(id="datatype-error") is not None
    assert len(site.command("field", "list")) == 1


def test_deleting_asks_names_what_is_lost_and_wants_a_recent_log_in(site):
    id_ = add(site, name="Size of shoes")
    add(site, "hat")
    ada = add_person(site.context)
    with site.context.unit() as session:
        set_value(session, site.context, ada, "shoe", "39")
    site.grow_stale()
    asked = site.page(f"/admin/fields/{id_}/delete", status=303).follow()
    asked.forms["prove"]["password"] = "correct horse battery"
    page = asked.forms["prove"].submit(status=303).follow()
    assert "1 person has something in it, which is lost." in text(page)
    assert len(site.command("field", "list")) == 2

    assert notice(page.forms["ask"].submit(status=303).follow()) == "Size of shoes is deleted."
    assert [row["shortname"] for row in site.command("field", "list")] == ["hat"]


@pytest.mark.parametrize("id_", ["7", "x", "99999999999999999999"])
def test_what_is_not_there_is_not_found(site, id_):
    for page in ("", "/move", "/delete"):
        site.page(f"/admin/fields/{id_}{page}", status=404)


def test_only_administrators_get_in(site):
    add_person(site.context)
    id_ = add(site)
    root = site.browser
    root.get("/logout").forms["logout"].submit()
    form = root.get("/login").forms["login"]
    form["username"], form["password"] = "ada", "correct horse battery"
    form.submit(status=303)
    for path in ("", "/add", f"/{id_}", f"/{id_}/move", f"/{id_}/delete"):
        root.get(f"/admin/fields{path}", status=403)
        root.post(f"/admin/fields{path}", {"shortname": "mine"}, status=403)
    assert [row["shortname"] for row in site.command("field", "list")] == ["shoe"]


def edit_form(site, id_, **values):
    form = site.page(f"/admin/fields/{id_}").forms["form"]
    for name, value in values.items():
        form[name] = value
    return form


def test_one_is_changed_but_for_its_kind(site):
    id_ = add(site, name="Size of shoes")
    page = site.page(f"/admin/fields/{id_}")
    assert "is emptied by the next synchronisation" in page.html.find(id="shortname-help").get_text()
    assert page.html.find(id="datatype") is None
    assert page.html.find(id="choices") is None

    done = edit_form(site, id_, shortname="boot", name="Size of boots").submit(status=303).follow()

    assert notice(done) == "Size of boots is saved."
    (row,) = site.command("field", "list")
    assert (row["shortname"], row["name"], row["datatype"]) == ("boot", "Size of boots", "text")
    done = edit_form(site, id_, name="").submit(status=303).follow()
    assert notice(done) == "boot is saved."
    assert site.command("field", "list")[0]["name"] == "boot"


def test_a_menu_gets_other_choices_but_keeps_those_that_somebody_has(site):
    id_ = add(site, "shirt", "menu", choices=["S", "M", "L"])
    ada = add_person(site.context)
    with site.context.unit() as session:
        set_value(session, site.context, ada, "shirt", "M")

    refused = edit_form(site, id_, choices="L\nS").submit(status=200)
    said = refused.html.find(id="choices-error").get_text()
    assert said == "1 person has 'M'; it cannot be taken away before they have another one."
    assert refused.forms["form"]["choices"].value == "L\nS"
    edit_form(site, id_, choices="XL\r\nM").submit(status=303)

    (row,) = site.command("field", "list")
    assert row["choices"] == ["XL", "M"]


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"shortname": ""}, "shortname", "Enter a short name."),
        ({"shortname": "a b"}, "shortname", "Has blanks; leave them out."),
        ({"choices": ""}, "choices", "A menu needs some"),
        ({"choices": "A\nA"}, "choices", "One is given twice."),
        ({"choices": "x" * 256}, "choices", "255"),
    ],
)
def test_what_a_field_cannot_be_stands_at_its_field(site, values, field, said):
    id_ = add(site, "shirt", "menu", choices=["S"])
    before = site.command("field", "list")
    refused = edit_form(site, id_, **values).submit(status=200)
    assert said in refused.html.find(id=f"{field}-error").get_text()
    assert site.command("field", "list") == before


def test_the_short_name_of_another_one_is_refused(site):
    add(site, "shoe")
    id_ = add(site, "hat")
    refused = edit_form(site, id_, shortname="shoe").submit(status=200)
    assert "There is already a custom profile field 'shoe'." in text(refused)
    assert [row["shortname"] for row in site.command("field", "list")] == ["shoe", "hat"]


def test_they_are_put_in_order(site):
    ids = [add(site, name) for name in ("a", "b", "c")]
    buttons = site.page("/admin/fields").html.select("td.acts button")
    assert [button.get_text() for button in buttons] == ["Down a", "Up b", "Down b", "Up c"]

    def press(id_, to):
        form = site.page("/admin/fields").forms
        found = next(
            each for each in form.values()
            if each.action.endswith(f"/fields/{id_}/move") and each["to"].value == to
        )  # fmt: skip
        return found.submit(status=303).follow()

    assert notice(press(ids[2], "up")) == "c has another place now."
    assert [row["shortname"] for row in site.command("field", "list")] == ["a", "c", "b"]
    press(ids[0], "down")
    assert [row["shortname"] for row in site.command("field", "list")] == ["c", "a", "b"]
    token = site.page("/admin/fields").html.select_one("td.acts input[name=csrf_token]")["value"]
    site.page(f"/admin/fields/{ids[0]}/move?to=up", status=303)
    for to in ("sideways", ""):
        site.browser.post(f"/admin/fields/{ids[0]}/move", {"to": to, "csrf_token": token}, status=303)
    site.browser.post(f"/admin/fields/{ids[0]}/move", {"to": "up"}, status=400)
    assert [row["shortname"] for row in site.command("field", "list")] == ["c", "a", "b"]


def test_the_command_changes_and_moves_them(site):
    add(site, "shoe")
    add(site, "shirt", "menu", choices=["S", "M"])

    edited = site.command("field", "edit", "shirt", "--choice", "M", "--choice", "XL", "--name", "Size")
    assert (edited["name"], edited["choices"], edited["datatype"]) == ("Size", ["M", "XL"], "menu")
    assert site.command("field", "edit", "shirt", "--name", "")["name"] == "shirt"
    assert site.command("field", "edit", "shoe", "--shortname", "boot")["shortname"] == "boot"
    assert site.command("field", "move", "shirt", "1")["sortorder"] == 1
    assert site.command("field", "move", "shirt", "9")["sortorder"] == 2
    assert [row["shortname"] for row in site.command("field", "list")] == ["boot", "shirt"]


def test_the_command_refuses_what_a_field_cannot_be(site):
    add(site, "shoe")
    add(site, "shirt", "menu", choices=["S", "M"])
    ada = add_person(site.context)
    with site.context.unit() as session:
        set_value(session, site.context, ada, "shirt", "M")
    before = site.command("field", "list")

    refused = site.command("field", "edit", "shirt", "--choice", "S", status=2)
    assert "1 person has 'M'" in refused["error"]
    for words, status in (
        (["edit", "shirt", "--shortname", "shoe"], 1),
        (["edit", "shirt", "--shortname", ""], 2),
        (["edit", "shoe", "--choice", "S"], 2),
        (["edit", "shirt", "--type", "text"], 2),
        (["edit", "hat", "--name", "Hat"], 2),
        (["move", "hat", "1"], 2),
        (["move", "shoe", "0"], 2),
        (["move", "shoe", "up"], 2),
    ):
        assert site.command("field", *words, status=status)["error"]
    assert site.command("field", "list") == before
