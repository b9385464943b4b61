"""A peer's words where people and programs read them: no line, order or colour of a terminal comes from outside."""

from __future__ import annotations

import json
import logging

import pytest
from sqlalchemy import select
from support import peers, sites
from support.webapp import one_site

from tconnect_pyramid.cli.output import as_document, cell, clean
from tconnect_pyramid.client import connecting, servers
from tconnect_pyramid.models import AuditEntry
from tconnect_pyramid.protocol import jsend

HARM = "Good\x1b]0;owned\x07\x9b31m\r\nERROR forged\u202egnp.exe\u2066\ufeff"


def test_a_json_document_commands_no_terminal():
    written = as_document([{"name": HARM, "city": "Malmö 京都"}])
    assert all(character.isprintable() or character == "\n" for character in written)
    assert json.loads(written) == [{"name": HARM, "city": "Malmö 京都"}]
    assert "Malmö 京都" in written


def test_tables_and_lines_command_no_terminal():
    assert cell(HARM).isprintable()
    assert clean(HARM).isprintable()


@pytest.fixture
def client(make_sqlite):
    with sites.context(
        make_sqlite(), transport=peers.always(jsend.Success()), options=[("client.enabled", "true")]
    ) as context:
        yield context


def test_the_name_of_a_server_is_one_plain_line_wherever_it_is_shown(client):
    with client.unit() as session:
        secret = connecting.open_invitation(session, client, actor="command").setup_secret
    form = {
        "setupsecret": secret,
        "serveridnumber": peers.SERVERIDNUMBER,
        "serversecret": peers.SERVERSECRET,
        "serverurl": "http://server.example",
        "servername": HARM,
        "clientidnumber": peers.CLIENTIDNUMBER,
        "clientsecret": peers.CLIENTSECRET,
        "minapiversion": "1",
        "maxapiversion": "2",
    }
    assert connecting.answer_setup(client, form) == jsend.write(jsend.Success())
    with client.reading() as session:
        (server,) = servers.list_servers(session)
        subjects = session.scalars(select(AuditEntry.subject)).all()
    assert server.name.isprintable()
    assert server.name.startswith("Good")
    assert all(subject.isprintable() for subject in subjects)


def test_a_fault_in_the_database_tells_the_log_no_values(make_sqlite, caplog):
    with one_site(make_sqlite()) as (browser, context):
        with context.database.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE tconnect_account RENAME COLUMN confirmed TO gone")
        form = browser.get("/login").forms["login"]
        form["username"], form["password"] = "a-private-name", "a-private-password"
        with caplog.at_level(logging.DEBUG):
            assert form.submit(status="*").status_int == 500
    assert "OperationalError" in caplog.text
    assert "a-private" not in caplog.text
