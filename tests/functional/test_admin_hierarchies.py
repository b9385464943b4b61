"""*Positions* and *Organisations* by HTTP, read back by the command."""

from __future__ import annotations

import pytest
from sqlalchemy import insert
from support.admin import administered, notice, text
from support.statements import listening
from support.webapp import add_person, log_in
from webtest import TestApp

from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items, hierarchy_types
from tconnect_pyramid.directory.hierarchies import HIERARCHIES
from tconnect_pyramid.directory.jobs import add_job
from tconnect_pyramid.models import Counterpart, Server

BOTH = pytest.mark.parametrize("kind", HIERARCHIES)


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


def framework(site, kind="position", name="Main", **more) -> int:
    with site.context.unit() as session:
        return hierarchy_frameworks.add_framework(
            session, site.context, HIERARCHIES[kind], fullname=name, **more
        ).id


def item(site, within, kind="position", name="Chief", **more) -> int:
    with site.context.unit() as session:
        return hierarchy_items.add_item(
            session, site.context, HIERARCHIES[kind], fullname=name, framework=within, **more
        ).id


def came_from_a_server(site, kind, frameworks, items) -> None:
    """Let these be what a server sent."""
    hierarchy = HIERARCHIES[kind]
    with site.context.unit() as session:
        session.add(
            Server(
                id=1,
                state="active",
                name="Head office",
                url="http://s.example",
                idnumber="s" * 40,
                server_secret=b"",
                client_idnumber="c" * 40,
                client_secret_hash="h",
                timecreated=1,
                timemodified=1,
            )
        )
        session.flush()
        for called, ids in ((hierarchy.framework_kind, frameworks), (hierarchy.kind, items)):
            for id_ in ids:
                session.add(Counterpart(remote_id=id_, kind=called, server_id=1, local_id=id_))


def pick(form, field, words):
    """Look for something and tick the first that is found; other pickers keep what they have."""
    form[f"{field}-search"] = words
    page = form.submit("look", value=field, status=200)
    form = page.forms["form"]
    found = page.html.find(id=field).select_one(".found input")
    for box in form.fields[field]:
        if box._value == found["value"]:
            box.checked = True
    return form


@BOTH
def test_a_framework_and_a_tree_are_made(site, kind):
    form = site.page(f"/admin/{kind}s/frameworks/add").forms["form"]
    assert form.submit(status=200).html.find(id="fullname-error")
    form["fullname"] = "Main"
    form["idnumber"] = "m-1"
    page = form.submit(status=303).follow()
    assert notice(page) == "Main is saved."
    form = page.click("Add an item").forms["form"]
    form["fullname"] = "Chief"
    form.submit(status=303)
    form = page.click("Add an item").forms["form"]
    form["fullname"] = "Aide"
    form["idnumber"] = "a-1"
    form = pick(form, "parent", "chi")
    page = form.submit(status=303).follow()
    assert notice(page) == "Aide is saved."

    rows = {row["fullname"]: row for row in site.command(kind, "list")}
    assert rows["Aide"]["parent"] == rows["Chief"]["id"]
    assert rows["Aide"]["idnumber"] == "a-1"
    assert [cell.get_text() for cell in page.html.select("tbody tr td:nth-child(2)")] == ["1", "2"]


@BOTH
def test_an_item_is_edited_moved_and_deleted(site, kind):
    within, other = framework(site, kind), framework(site, kind, "Other")
    chief = item(site, within, kind)
    aide = item(site, within, kind, "Aide", parent=chief)
    form = site.page(f"/admin/{kind}s/items/{aide}").forms["form"]
    form["fullname"] = "Assistant"
    assert notice(form.submit(status=303).follow()) == "Assistant is saved."

    form = site.page(f"/admin/{kind}s/items/{aide}/move").forms["form"]
    form["parent"] = False
    form["framework"] = False
    form = pick(form, "framework", "oth")
    assert notice(form.submit(status=303).follow()) == "Assistant has another place now."
    rows = {row["fullname"]: row for row in site.command(kind, "list")}
    assert (rows["Assistant"]["framework"], rows["Assistant"]["parent"]) == (other, None)

    page = site.page(f"/admin/{kind}s/items/{chief}/delete")
    assert "0 items below it go too." in text(page)
    page.forms["ask"].submit(status=303)
    assert [row["fullname"] for row in site.command(kind, "list")] == ["Assistant"]


@BOTH
def test_deleting_names_what_goes_along(site, kind):
    within = framework(site, kind)
    chief = item(site, within, kind)
    aide = item(site, within, kind, "Aide", parent=chief)
    ada = add_person(site.context)
    with site.context.unit() as session:
        add_job(session, site.context, ada, idnumber="j", **{kind: aide})

    said = text(site.page(f"/admin/{kind}s/items/{chief}/delete"))

    assert "1 item below it goes too." in said
    assert "1 job assignment loses it." in said
    page = site.page(f"/admin/{kind}s/frameworks/{within}/delete")
    assert "2 items in it go too." in text(page)
    assert notice(page.forms["ask"].submit(status=303).follow()) == "Main is deleted."
    assert site.command(kind, "list") == []


@BOTH
def test_a_type_gets_fields_and_an_item_values(site, kind):
    within = framework(site, kind)
    chief = item(site, within, kind)
    form = site.page(f"/admin/{kind}s/types").forms["form"]
    form["fullname"] = "Office"
    form["idnumber"] = "office"
    page = form.submit(status=303).follow()
    form = page.forms["form"]
    form["shortname"] = "floor"
    form["name"] = "Floor"
    form["datatype"] = "text"
    page = form.submit(status=303).follow()
    assert "Floor (floor, A line of text)" in text(page)
    form = pick(site.page(f"/admin/{kind}s/items/{chief}").forms["form"], "type", "off")
    form.submit(status=303)
    form = site.page(f"/admin/{kind}s/items/{chief}").forms["form"]
    name = next(name for name in form.fields if name and name.startswith("field_"))
    form[name] = "Third"
    form.submit(status=303)
    (row,) = site.command(kind, "list")
    assert (row["type"], row["fields"]) == ("office", {"floor": "Third"})

    asked = page.click("Delete", index=0)
    assert notice(asked.forms["ask"].submit(status=303).follow()) == "Floor is deleted."
    asked = page.click("Delete the type")
    asked.forms["ask"].submit(status=303)
    (row,) = site.command(kind, "list")
    assert (row["type"], row["fields"]) == (None, {})


@BOTH
@pytest.mark.parametrize("what", ["delete_type", "delete_type_field"])
def test_a_type_or_field_that_somebody_else_removes_meanwhile_is_told_where_one_asked(
    site, monkeypatch, kind, what
):
    site.command(kind, "add-type", "Office", "--idnumber", "office")
    field = site.command(kind, "add-field", "office", "floor", "--datatype", "text")["id"]
    (of,) = site.command(kind, "list-types")
    removed = getattr(hierarchy_types, what)

    def meanwhile(*given, **named):
        removed(*given, **named)
        removed(*given, **named)

    monkeypatch.setattr(hierarchy_types, what, meanwhile)
    there = f"/admin/{kind}s/types/{of['id']}" + (f"/fields/{field}" if what == "delete_type_field" else "")

    refused = site.page(f"{there}/delete").forms["ask"].submit(status=200)

    assert f"There is no {'field of a ' if 'field' in what else ''}{kind} type" in text(refused)
    assert site.command(kind, "list-types") == [of]


@BOTH
def test_descriptions_are_edited_and_keep_their_markup_where_nobody_touched_them(site, kind):
    form = site.page(f"/admin/{kind}s/frameworks/add").forms["form"]
    form["fullname"] = "Main"
    form["description"] = "All\nof <us>"
    page = form.submit(status=303).follow()
    (row,) = site.command(kind, "list", "--frameworks")
    assert row["description"] == "All<br>of &lt;us&gt;"
    form = page.click("Add an item").forms["form"]
    form["fullname"] = "Chief"
    form["description"] = "First & last"
    form.submit(status=303)
    (chief,) = site.command(kind, "list")
    assert chief["description"] == "First &amp; last"

    for words, listed, address in (
        ("edit-framework", ("--frameworks",), f"/admin/{kind}s/frameworks/{row['id']}/edit"),
        ("edit", (), f"/admin/{kind}s/items/{chief['id']}"),
    ):
        id_ = address.removesuffix("/edit").rpartition("/")[2]
        site.command(kind, words, id_, "description=<p>By <b>command</b></p>")
        form = site.page(address).forms["form"]
        assert form["description"].value.strip() == "By command"
        form["fullname"] = "Renamed"
        form.submit(status=303)
        (found,) = site.command(kind, "list", *listed)
        assert (found["fullname"], found["description"]) == ("Renamed", "<p>By <b>command</b></p>")
        form["description"] = "Ours"
        form.submit(status=303)
        (found,) = site.command(kind, "list", *listed)
        assert found["description"] == "Ours"


@BOTH
def test_a_custom_value_that_cannot_be_stands_at_its_field(site, kind):
    of = site.command(kind, "add-type", "Office", "--idnumber", "office")["id"]
    # One is called like a field of the form itself.
    for shortname in ("since", "fullname"):
        site.command(kind, "add-field", "office", shortname, "--datatype", "datetime")
    chief = item(site, framework(site, kind), kind, type_id=of)
    since, called = (field["id"] for field in site.command(kind, "list-types")[0]["fields"])

    for field in (since, called):
        form = site.page(f"/admin/{kind}s/items/{chief}").forms["form"]
        form[f"field_{field}"] = "soon"
        refused = form.submit(status=200)
        assert "Expected a date" in refused.html.find(id=f"field_{field}-error").get_text()
        assert not refused.html.find(id="fullname-error")
        assert refused.forms["form"][f"field_{field}"].value == "soon"
    (row,) = site.command(kind, "list")
    assert row["fields"] == {}
    form[f"field_{called}"] = "2024-05-31"
    form.submit(status=303)
    (row,) = site.command(kind, "list")
    assert (row["fullname"], row["fields"]) == ("Chief", {"fullname": "1717113600"})


@BOTH
def test_a_custom_field_is_asked_for_as_its_kind_is(site, kind):
    of = site.command(kind, "add-type", "Office", "--idnumber", "office")["id"]
    typed = {
        "checkbox": ("1", "1"),
        "datetime": ("2024-05-31T12:30", "1717158600"),
        "text": ("Large", "Large"),
        "textarea": ("First\n& last", "First<br>\n&amp; last"),
        "url": ("https://example.org/", "https://example.org/"),
    }
    for datatype in typed:
        site.command(kind, "add-field", "office", datatype, "--datatype", datatype)
    chief = item(site, framework(site, kind), kind, type_id=of)
    ids = {field["shortname"]: field["id"] for field in site.command(kind, "list-types")[0]["fields"]}
    form = site.page(f"/admin/{kind}s/items/{chief}").forms["form"]
    for datatype, (said, _) in typed.items():
        form[f"field_{ids[datatype]}"] = said
    form.submit(status=303)

    (row,) = site.command(kind, "list")
    found = row["fields"]
    assert {name: found[name] for name in typed if name != "textarea"} == {
        name: kept for name, (_, kept) in typed.items() if name != "textarea"
    }
    assert "&amp; last" in found["textarea"]
    page = site.page(f"/admin/{kind}s/items/{chief}")
    again = page.forms["form"]
    assert {name: again[f"field_{ids[name]}"].value.replace("\r\n", "\n").strip() for name in typed} == {
        name: said for name, (said, _) in typed.items()
    }
    assert page.html.find(id=f"field_{ids['datetime']}")["type"] == "datetime-local"
    again.submit(status=303)
    assert site.command(kind, "list") == [row]


@BOTH
def test_frameworks_change_places(site, kind):
    framework(site, kind, "First")
    second = framework(site, kind, "Second")
    page = site.page(f"/admin/{kind}s")
    form = next(form for form in page.forms.values() if form.action.endswith(f"/{second}/move"))

    assert notice(form.submit(status=303).follow()) == "Second has another place now."
    assert [row["fullname"] for row in site.command(kind, "list", "--frameworks")] == ["Second", "First"]


def test_a_circle_is_refused(site):
    within = framework(site)
    chief = item(site, within)
    aide = item(site, within, name="Aide", parent=chief)
    form = pick(site.page(f"/admin/positions/items/{chief}/move").forms["form"], "parent", "aid")

    assert form.submit(status=200).html.find(role="alert")
    assert {row["id"]: row["parent"] for row in site.command("position", "list")} == {
        chief: None,
        aide: chief,
    }


def test_a_large_tree_is_shown_with_as_many_statements_as_a_small_one(site):
    within = framework(site)

    def counted() -> int:
        with listening(site.context.database.engine) as statements:
            site.page(f"/admin/positions/frameworks/{within}")
        return len(statements)

    item(site, within)
    few = counted()
    with site.context.unit() as session:
        table = HIERARCHIES["position"].item
        session.execute(
            insert(table),
            [
                {
                    "framework_id": within,
                    "fullname": f"P {number}",
                    "idnumber": f"p{number}",
                    "path": f"/{number}",
                    "depthlevel": 1,
                    "sortthread": f"{number + 2:02}" if number < 97 else f"z{number:05}",
                    "timecreated": 1,
                    "timemodified": 1,
                }
                for number in range(2000)
            ],
        )

    assert counted() == few
    assert "2,001 found." in text(site.page(f"/admin/positions/frameworks/{within}"))
    assert "P 1999" in text(site.page(f"/admin/positions/frameworks/{within}?search=p+1999"))


@BOTH
def test_what_came_from_a_server_is_shown_and_not_changed(site, kind):
    within, own = framework(site, kind), framework(site, kind, "Own")
    chief = item(site, within, kind)
    aide = item(site, within, kind, "Aide", parent=chief)
    came_from_a_server(site, kind, (within,), (chief, aide))
    was = (site.command(kind, "list", "--frameworks"), site.command(kind, "list"))
    assert [row["server"] for row in was[0]] == ["s" * 40, None]
    base = f"/admin/{kind}s"

    listed = site.page(base)
    assert "Main 2 its server" in text(listed)
    assert not listed.html.find("form", action=lambda it: it and f"/frameworks/{within}/" in it)
    assert not listed.html.find("a", href=lambda it: it and f"/frameworks/{within}/" in it)
    tree = site.page(f"{base}/frameworks/{within}")
    assert "Chief 1" in text(tree)
    assert "A server keeps this" in text(tree)
    assert not tree.html.find("a", string="Add an item")
    for path in (
        f"/frameworks/{within}/edit",
        f"/frameworks/{within}/items/add",
        f"/items/{chief}",
        f"/items/{chief}/move",
    ):
        page = site.page(f"{base}{path}")
        assert "A server keeps this" in text(page)
        assert not page.html.find("button", string="Save")
        form = page.forms["form"]
        if "fullname" in form.fields:
            form["fullname"] = "Mine"
        refused = form.submit(status=200)
        assert "is kept as the server Head office has it; change it there." in text(refused)
    for path in (f"/frameworks/{within}/delete", f"/items/{chief}/delete"):
        refused = site.page(f"{base}{path}").forms["ask"].submit(status=200)
        assert "is kept as the server Head office has it; change it there." in text(refused)
    form = next(form for form in listed.forms.values() if form.action.endswith(f"/{own}/move"))
    form.action = f"{base}/frameworks/{within}/move"
    form["to"] = "down"
    assert "is kept as the server Head office has it" in notice(form.submit(status=303).follow())

    assert (site.command(kind, "list", "--frameworks"), site.command(kind, "list")) == was


@pytest.mark.parametrize(
    "path",
    ["", "/frameworks/add", "/frameworks/1", "/frameworks/1/delete", "/items/1", "/items/1/move", "/types"],
)
def test_only_administrators_change_trees(site, path):
    framework(site)
    add_person(site.context)
    other = TestApp(site.browser.app)
    log_in(other)

    other.get(f"/admin/positions{path}", status=403)
    other.post(f"/admin/positions{path}", {"fullname": "Mine"}, status=403)


@pytest.mark.parametrize(
    "path", ["/frameworks/99", "/items/99", "/items/x/move", "/types/99", "/frameworks/99/items/add"]
)
def test_what_is_not_there_is_not_found(site, path):
    site.page(f"/admin/positions{path}", status=404)
