"""What a server sends of people who are in a host's own table."""

from __future__ import annotations

from sqlalchemy import Text, orm
from sqlalchemy.orm import DeclarativeBase, mapped_column
from support import sites
from support.server_site import ClientSites, ServerSite

from tconnect_pyramid.directory.columnmap import ColumnMap


class Host(DeclarativeBase):
    """The host's tables."""


class Author(Host):
    """Somebody who wrote about themselves, in HTML that nobody cleaned."""

    __tablename__ = "host_author"

    number: orm.Mapped[int] = mapped_column(primary_key=True)
    login: orm.Mapped[str] = mapped_column(Text)
    mail: orm.Mapped[str] = mapped_column(Text)
    banned: orm.Mapped[int] = mapped_column(default=0)
    about: orm.Mapped[str | None] = mapped_column(Text)


COLUMNS = {
    "username": Author.login,
    "email": Author.mail,
    "suspended": Author.banned,
    "description": Author.about,
}


def test_descriptions_of_a_hosts_own_table_are_cleaned(make_database):
    """A client may show them as they come (protocol 6)."""
    clients = ClientSites()
    with sites.context(
        make_database(),
        transport=clients,
        accounts=ColumnMap(Author, COLUMNS),
        options=[("server.enabled", "true")],
    ) as context:
        Host.metadata.create_all(context.database.engine)
        server = ServerSite(context, clients)
        with context.unit() as session:
            for login, about in (("ada", "<p>Hi<script>steal()</script></p>"), ("bob", None)):
                session.add(Author(login=login, mail=f"{login}@example.org", about=about))
        client = server.add_client()

        listed = server.call(client, "get_users")["data"]["users"]
        alone = server.call(client, "get_user", userid=listed[0]["id"])["data"]["user"]

    assert [person["description"] for person in listed] == ["<p>Hi</p>", None]
    assert alone["description"] == "<p>Hi</p>"
