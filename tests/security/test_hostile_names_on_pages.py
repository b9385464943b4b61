"""What a server calls its people and things is text on every page that links lead to, on both databases."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from support import lists
from support.admin import administered
from support.lists import ListingServer

from tconnect_pyramid.client import servers
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import hierarchy_types, profiles
from tconnect_pyramid.directory.hierarchies import HIERARCHIES

HARM = "\"><img src=x onerror=alert(1)>'&amp;{{7*7}}\u202e"


@pytest.fixture
def site(make_database, tmp_path):
    """A client whose server has sent all of it."""
    with administered(make_database(), tmp_path) as site:
        context = site.context
        server = ListingServer()
        object.__setattr__(context, "transport", server)
        lists.connect(context)
        with context.unit() as session:
            servers.enable(session, context, on=True, actor="command")
            profiles.add_field(session, context, "what", name="What", datatype="textarea", actor="command")
            for hierarchy in HIERARCHIES.values():
                made = hierarchy_types.add_type(
                    session, context, hierarchy, fullname="Type", idnumber="T", actor="command"
                )
                field = {"shortname": "word", "name": "Word", "datatype": "text"}
                hierarchy_types.add_type_field(session, context, hierarchy, made.id, **field, actor="command")
        texts = dict.fromkeys(("idnumber", "fullname", "shortname", "description"), HARM)
        for kind in ("positions", "organisations"):
            word = lists.custom("word", HARM, value=HARM)
            server.frameworks[kind] = [lists.framework(1, kind=kind, **texts)]
            server.items[kind] = [
                lists.item(5, 1, kind=kind, **texts, typeidnumber="T", custom_fields=[word])
            ]
        job = lists.job(7, positionid="5", organisationid="5", **texts)
        said = dict.fromkeys(("firstname", "lastname", "city", "address", "description", "skype"), HARM)
        what = lists.field("what", HARM, "textarea")
        server.people = [
            lists.person(3, **said, url="javascript:alert(1)", jobs=[job], profile_fields=[what]),
            lists.person(4, username=HARM, firstname="x" * 101),
        ]
        server.cohorts = [lists.cohort(1, 3, name=HARM, idnumber=HARM, description=HARM)]
        server.courses = [lists.course(1, 3, fullname=HARM, shortname=HARM, idnumber=HARM)]
        for kind in ("positions", "organisations", "users", "collections"):
            assert run_sync(context, kind, 1).state in {"done", "partial"}
        yield site


def test_names_are_text_wherever_they_are_shown(site):
    shapes = Counter()
    wanted = ["/admin/"]
    told = 0
    for address in wanted:
        shape = re.sub(r"\d+", "1", address)
        shapes[shape] += 1
        if shapes[shape] > 2:
            continue
        page = site.browser.get(address, status="*")
        assert page.status_int < 400, address
        if page.status_int != 200:
            continue
        assert "<img src=x" not in page.text, address
        assert not page.html.find_all(style=True), address
        assert not [script for script in page.html.find_all("script") if not script.get("src")], address
        told += "onerror=alert(1)" in page.text
        links = [link["href"] for link in page.html.find_all("a", href=True)]
        assert not [link for link in links if link.startswith("javascript:")], address
        ours = [link.removeprefix("http://localhost") for link in links]
        wanted += [link for link in ours if link.startswith("/admin") and link not in wanted]

    assert told > 10
