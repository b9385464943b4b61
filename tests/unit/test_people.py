from __future__ import annotations

from io import BytesIO

import bcrypt
import pytest
from PIL import Image
from sqlalchemy import select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support import peers, sites

from tconnect_pyramid import people, sessions
from tconnect_pyramid.directory import audiences, jobs, profiles
from tconnect_pyramid.directory.columnmap import ColumnMap, inverted, joined
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import Account, AudienceMember, AuditEntry, Link, Server, SignIn
from tconnect_pyramid.options import set_option

PASSWORD = "en hemlighet"


class Host(DeclarativeBase):
    pass


class User(Host):
    """A host's table, with one column for the name and none for a password, an administrator or a city."""

    __tablename__ = "host_user"

    uid: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    mail: Mapped[str]
    full_name: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)


COLUMNS = ColumnMap(
    User,
    {
        "username": User.login,
        "email": User.mail,
        "firstname": joined(User.full_name, "firstname", "lastname"),
        "suspended": inverted(User.is_active),
    },
)


@pytest.fixture
def context(make_sqlite):
    with sites.context(make_sqlite()) as made:
        yield made


@pytest.fixture
def host(make_sqlite):
    with sites.context(make_sqlite(), accounts=COLUMNS) as made:
        Host.metadata.create_all(made.database.engine)
        yield made


@pytest.fixture
def session(context):
    with context.unit() as made:
        yield made


def add(session, context, username="åsa", **values):
    return people.add_person(session, context, username=username, **values)


def connected(session, context, **values):
    """An account that came from a server."""
    server = Server(
        state="active",
        name="Mother site",
        url="http://s.example",
        idnumber="s" * 40,
        server_secret=b"",
        client_idnumber="c" * 40,
        client_secret_hash="h",
        timecreated=1,
        timemodified=1,
    )
    session.add(server)
    session.flush()
    (key,) = context.accounts.insert(
        session, [{"username": "tc_7_s", "auth": "connect", "email": "x@y.example"}]
    )
    session.add(Link(person_id=7, server_id=server.id, account_key=key, timecreated=1, **values))
    session.flush()
    return key


def trail(session):
    return session.execute(select(AuditEntry.action, AuditEntry.actor).order_by(AuditEntry.id)).all()


def test_a_person_is_added_with_what_was_given(session, context):
    person = add(
        session,
        context,
        email="asa@example.org",
        firstname="Åsa",
        lastname="Öberg",
        idnumber="E-1",
        country="SE",
        maildigest="2",
        admin=True,
        actor="account:1",
    )

    assert (person.username, person.fullname, person.email) == ("åsa", "Åsa Öberg", "asa@example.org")
    assert (person.auth, person.admin, person.suspended, person.deleted) == ("manual", True, False, False)
    row = session.get(Account, person.key)
    assert (row.idnumber, row.country, row.maildigest, row.lang) == ("E-1", "SE", 2, "en")
    assert (row.timecreated, row.timemodified, row.confirmed) == (sites.NOW, sites.NOW, 1)
    assert trail(session) == [("account.added", "account:1")]


@pytest.mark.parametrize(
    "username",
    ["", "x" * 101, "Åsa", "two words", "a\tb", "a\u00a0b", "a\x00b", "guest", "deleted_x", "tc_1_2"],
)
def test_names_that_nobody_may_have(session, context, username):
    with pytest.raises(InvalidInput) as caught:
        add(session, context, username)

    assert caught.value.field == "username"


@pytest.mark.parametrize("username", ["x" * 100, "åsa", "ana@example.org", "12", "guests", "tcb"])
def test_names_that_anybody_may_have(session, context, username):
    assert add(session, context, username).username == username


def test_a_name_belongs_to_one_person_even_after_deletion(session, context):
    first = add(session, context)
    with pytest.raises(Conflict, match="already"):
        add(session, context)

    people.delete_person(session, context, first.key)

    assert add(session, context).key != first.key


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"),
        ("email", "a@b@c"),
        ("email", "Ana <ana@example.org>"),
        ("email", "x" * 90 + "@example.org"),
        ("firstname", "x" * 101),
        ("lastname", "two\nlines"),
        ("idnumber", "x" * 256),
        ("country", "Sweden"),
        ("country", "se"),
        ("lang", "../../etc"),
        ("url", "javascript:alert(1)"),
        ("maildigest", "3"),
        ("emailstop", "yes"),
        ("username", "other"),
        ("auth", "connect"),
        ("id", "5"),
        ("deleted", "1"),
        ("admin", "1"),
        ("password", "secret secret"),
        ("nonsense", "x"),
    ],
)
def test_values_that_cannot_be_taken_name_their_field(session, context, field, value):
    person = add(session, context, firstname="Åsa")

    with pytest.raises(InvalidInput) as caught:
        people.edit_person(session, context, person.key, {"firstname": "Eva", field: value})

    assert caught.value.field == field
    assert people.get_person(session, context, person.key) == person


def test_a_local_account_is_edited(session, context):
    person = add(session, context, email="old@example.org", firstname="Åsa")
    context.clock.tick(60)

    edited = people.edit_person(
        session,
        context,
        person.key,
        {"email": "", "idnumber": "E-2", "firstname": "Åsa", "description": "<script>x</script><b>hej</b>"},
        actor="command",
    )

    assert (edited.email, edited.idnumber) == ("", "E-2")
    row = session.get(Account, person.key)
    assert (row.description, row.timemodified) == ("<b>hej</b>", sites.NOW + 60)
    entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert (entry.action, entry.detail["fields"]) == ("account.edited", ["description", "email", "idnumber"])


def test_what_stays_the_same_is_no_change(session, context):
    person = add(session, context, firstname="Åsa")
    context.clock.tick(60)

    people.edit_person(
        session, context, person.key, {"firstname": "Åsa", "alternatename": "", "description": ""}
    )

    assert session.get(Account, person.key).timemodified == sites.NOW
    assert [action for action, _ in trail(session)] == ["account.added"]


def test_what_a_server_keeps_is_changed_there(session, context):
    key = connected(session, context)

    with pytest.raises(Conflict, match=r"firstname.*Mother site"):
        people.edit_person(session, context, key, {"firstname": "Eva", "lang": "sv"})
    edited = people.edit_person(
        session, context, key, {"email": "x@y.example", "lang": "sv", "idnumber": "E-3"}
    )

    assert edited.idnumber == "E-3"
    assert session.get(Account, key).lang == "sv"


def test_a_password_lets_a_local_account_in(session, context):
    person = add(session, context, password=PASSWORD)

    assert people.authenticate(session, context, "åsa", PASSWORD) == person
    assert people.authenticate(session, context, " ÅSA ", PASSWORD) == person
    assert people.authenticate(session, context, "åsa", PASSWORD + "!") is None
    assert people.authenticate(session, context, "eva", PASSWORD) is None

    people.set_password(session, context, person.key, "ein Geheimnis")
    assert people.authenticate(session, context, "åsa", "ein Geheimnis") == person
    assert people.authenticate(session, context, "åsa", PASSWORD) is None


def test_a_password_is_in_no_audit_row(session, context):
    person = add(session, context, password=PASSWORD)
    people.set_password(session, context, person.key, PASSWORD)

    for entry in session.scalars(select(AuditEntry)):
        assert PASSWORD not in f"{entry.subject}{entry.detail}"


def quick_hash(text):
    return bcrypt.hashpw(text.encode(), bcrypt.gensalt(4)).decode()


@pytest.mark.parametrize(
    "state",
    [
        {"suspended": 1},
        {"deleted": 1},
        {"confirmed": 0},
        {"auth": "connect"},
        {"auth": "other"},
        {"password": None},
    ],
    ids=str,
)
def test_who_is_kept_out(session, context, state):
    person = add(session, context)
    session.execute(update(Account).values(password=quick_hash(PASSWORD).replace("$2b$", "$2y$")))
    assert people.authenticate(session, context, "åsa", PASSWORD) == person

    session.execute(update(Account).values(**state))

    assert people.authenticate(session, context, "åsa", PASSWORD) is None


def test_a_connect_account_gets_no_password(session, context):
    key = connected(session, context)

    with pytest.raises(Conflict, match="connect"):
        people.set_password(session, context, key, PASSWORD)
    with pytest.raises(Conflict, match="connect"):
        add(session, context, auth="connect", password=PASSWORD)


def test_suspending_ends_sign_ins_and_is_taken_back(session, context):
    person = add(session, context)
    sessions.start(session, "a browser", person.key, sites.NOW)

    people.suspend(session, context, person.key)

    assert people.get_person(session, context, person.key).suspended
    assert session.scalars(select(SignIn.end_reason)).all() == ["suspended"]
    people.unsuspend(session, context, person.key)
    people.unsuspend(session, context, person.key)
    assert not people.get_person(session, context, person.key).suspended
    assert [action for action, _ in trail(session)] == [
        "account.added",
        "account.suspended",
        "account.unsuspended",
    ]


def test_a_suspension_by_hand_is_not_lifted_by_a_sync(session, context):
    key = connected(session, context, suspended_by_sync=True)
    context.accounts.update(session, {key: {"suspended": 1}})

    people.suspend(session, context, key)

    assert session.scalars(select(Link.suspended_by_sync)).all() == [False]
    assert people.get_person(session, context, key).suspended


def test_deleting_leaves_the_row_and_nothing_that_could_be_used(session, context):
    person = add(session, context, email="asa@example.org", firstname="Åsa", password=PASSWORD, admin=True)
    audience = audiences.add_audience(session, context, name="A")
    audiences.add_members(session, context, audience.id, [person.key])
    sessions.start(session, "a browser", person.key, sites.NOW)

    people.delete_person(session, context, person.key)

    gone = people.get_person(session, context, person.key)
    assert (gone.deleted, gone.firstname, gone.email, gone.admin) == (True, "Åsa", "", False)
    assert gone.username.startswith("deleted_")
    assert session.scalars(select(AudienceMember)).all() == []
    assert session.scalars(select(SignIn.end_reason)).all() == ["deleted"]
    for change in (
        lambda: people.delete_person(session, context, person.key),
        lambda: people.suspend(session, context, person.key),
        lambda: people.set_admin(session, context, person.key, True),
        lambda: people.edit_person(session, context, person.key, {"firstname": "Eva"}),
        lambda: people.set_password(session, context, person.key, PASSWORD),
    ):
        with pytest.raises(Conflict, match="deleted"):
            change()


def test_administrators_are_made_and_unmade(session, context):
    person = add(session, context)

    assert people.set_admin(session, context, person.key, True, actor="account:9").admin
    assert people.set_admin(session, context, person.key, True).admin
    assert not people.set_admin(session, context, person.key, False).admin
    assert trail(session)[1:] == [("account.admin_given", "account:9"), ("account.admin_taken", "command")]


def test_nobody_is_found_who_is_not_there(session, context):
    with pytest.raises(NotFound, match="999"):
        people.suspend(session, context, 999)


def drawn(colour):
    out = BytesIO()
    Image.new("RGB", (60, 60), colour).save(out, "PNG")
    return out.getvalue()


def test_a_local_account_has_values_a_picture_and_jobs_of_its_own(session, context):
    key = add(session, context).key
    profiles.add_field(session, context, "shirt", datatype="text")
    job = jobs.add_job(session, context, key, idnumber="1")
    assert people.belongings(session, context, key) == people.Belongings({}, 0, (), [job], None, None)

    people.set_profile_value(session, context, key, "shirt", "XL", actor="account:9")
    assert people.set_picture(session, context, key, drawn("red")) == ("f1.png", "f2.png", "f3.png")

    found = people.belongings(session, context, key)
    assert (found.fields, found.pictures) == ({"shirt": "XL"}, ("f1.png", "f2.png", "f3.png"))
    assert found.picture > 0
    people.remove_picture(session, context, key)
    people.set_profile_value(session, context, key, "shirt", "")
    assert people.belongings(session, context, key) == people.Belongings({}, 0, (), [job], None, None)
    assert trail(session)[3:] == [
        ("account.field_set", "account:9"),
        ("account.picture_set", "command"),
        ("account.picture_removed", "command"),
        ("account.field_set", "command"),
    ]


def test_a_number_of_a_picture_never_comes_back(session, context):
    """A client that did not ask in between would keep the old picture."""
    key = add(session, context).key
    numbers = []
    for colour in ("red", "blue", None, "red"):
        if colour is None:
            people.remove_picture(session, context, key)
        else:
            people.set_picture(session, context, key, drawn(colour))
        numbers.append(people.belongings(session, context, key).picture)

    assert numbers[2] == 0
    assert len(set(numbers)) == 4
    assert all(0 <= number < 2**31 for number in numbers)


def test_what_a_server_owns_is_changed_there(session, context):
    key = connected(session, context)
    profiles.add_field(session, context, "shirt", datatype="text")

    for change in (
        lambda: people.set_profile_value(session, context, key, "shirt", "XL"),
        lambda: people.set_picture(session, context, key, drawn("red")),
        lambda: people.remove_picture(session, context, key),
    ):
        with pytest.raises(Conflict, match="Mother site"):
            change()
    found = people.belongings(session, context, key)
    assert (found.owner, found.fields_owner) == ("the server Mother site", "the server Mother site")
    assert (found.fields, found.pictures) == ({}, ())

    # While the server's values are not asked for, those of this site are its own.
    set_option(session, context.settings, "client.sync_profile_fields", "false", sites.NOW)
    people.set_profile_value(session, context, key, "shirt", "XL")
    found = people.belongings(session, context, key)
    assert (found.fields, found.owner, found.fields_owner) == (
        {"shirt": "XL"},
        "the server Mother site",
        None,
    )


def test_who_is_deleted_gets_nothing_any_more(session, context):
    key = add(session, context).key
    profiles.add_field(session, context, "shirt", datatype="text")
    people.set_profile_value(session, context, key, "shirt", "XL")
    people.set_picture(session, context, key, drawn("red"))
    people.delete_person(session, context, key)

    assert people.belongings(session, context, key) == people.Belongings({}, 0, (), [], None, None)
    with pytest.raises(Conflict, match="is deleted"):
        people.set_profile_value(session, context, key, "shirt", "XL")
    with pytest.raises(Conflict, match="is deleted"):
        people.set_picture(session, context, key, drawn("red"))


def test_somebody_may_log_in_by_a_password_or_not_at_all(context):
    with context.unit() as session:
        key = add(session, context, password=PASSWORD).key
        browser = sessions.new_browser_id()
        sessions.start(session, browser, key, context.clock())
        assert people.set_auth(session, context, key, "manual") == []
        assert isinstance(sessions.look_up(session, context, browser), sessions.SignedIn)
        people.set_auth(session, context, key, "nologin")
        assert isinstance(sessions.look_up(session, context, browser), sessions.Ended)
        username = people.get_person(session, context, key).username
        assert people.authenticate(session, context, username, PASSWORD) is None
        people.set_auth(session, context, key, "manual")
        assert people.authenticate(session, context, username, PASSWORD) is not None
        for method in ("connect", "ldap", ""):
            with pytest.raises(InvalidInput, match="expected manual or nologin"):
                people.set_auth(session, context, key, method)


def test_how_a_person_of_a_server_logs_in_is_not_changed_here(context):
    server_id = peers.add_server(context)
    with context.unit() as session:
        key = add(session, context, auth="connect").key
        session.add(Link(person_id=3, server_id=server_id, account_key=key, timecreated=0))
        with pytest.raises(Conflict, match="through the server Totara server"):
            people.set_auth(session, context, key, "manual")
        assert people.get_person(session, context, key).auth == "connect"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda s, c, key: people.set_auth(s, c, key, "nologin"), "auth"),
        (lambda s, c, key: people.set_admin(s, c, key, True), "admin"),
        (lambda s, c, key: people.set_picture(s, c, key, drawn("red")), "picture"),
        (lambda s, c, key: people.set_password(s, c, key, PASSWORD), "password"),
        (lambda s, c, key: people.edit_person(s, c, key, {"city": "Ulm"}), "city"),
        (lambda s, c, key: people.add_person(s, c, username="b", admin=True), "admin"),
        (lambda s, c, key: people.add_person(s, c, username="b", password=PASSWORD), "password"),
        (lambda s, c, key: people.add_person(s, c, username="b", city="Ulm"), "city"),
    ],
)
def test_what_a_hosts_table_does_not_keep_is_refused_and_not_reported_as_done(host, change, field):
    with host.unit() as session:
        person = add(session, host, email="asa@example.org", firstname="Åsa", lastname="Öberg")
    with (
        pytest.raises(InvalidInput, match=f"^{field}: the accounts of this site do not keep it"),
        host.unit() as s,
    ):
        change(s, host, person.key)
    with host.reading() as session:
        assert trail(session) == [("account.added", "command")]


def test_fields_that_share_a_column_are_edited_together(host):
    with host.unit() as session:
        key = add(session, host, firstname="Åsa", lastname="Öberg").key
    with (
        pytest.raises(InvalidInput, match="keeps firstname and lastname in one column"),
        host.unit() as session,
    ):
        people.edit_person(session, host, key, {"lastname": "Lund"})
    with host.reading() as session:
        assert session.get(User, key).full_name == "Åsa Öberg"

    with host.unit() as session:
        people.edit_person(session, host, key, {"firstname": "Åsa", "lastname": "Lund"})
    with host.reading() as session:
        assert session.get(User, key).full_name == "Åsa Lund"
