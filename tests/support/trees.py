"""Positions or organisations of a client and its servers, by the ids of the server."""

from __future__ import annotations

from sqlalchemy import select
from support import lists

from tconnect_pyramid import people
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items, hierarchy_types, jobs
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS

SERVER = "5" * 40
OTHER = "7" * 40
OTHER_URL = "http://other.example"
HIERARCHIES = {"positions": POSITIONS, "organisations": ORGANISATIONS}


class TwoServers:
    """A transport that leads to one of two servers, by the address that is called."""

    def __init__(self) -> None:
        self.first = lists.ListingServer()
        self.second = lists.ListingServer()

    def post(self, url, form, *, timeout, limit):
        server = self.second if url.startswith(OTHER_URL) else self.first
        return server.post(url, form, timeout=timeout, limit=limit)


class World:
    """A client with its servers, for one of the two kinds. Ids are those of the server unless said otherwise."""

    def __init__(self, client, servers, kind) -> None:
        self.client = client
        self.servers = servers
        self.kind = kind
        self.hierarchy = HIERARCHIES[kind]
        self.server_id = lists.connect(client)
        self.other_id: int | None = None

    def framework(self, id_, **fields):
        return lists.framework(id_, kind=self.kind, **fields)

    def item(self, id_, framework_id, parent=0, **fields):
        return lists.item(id_, framework_id, parent, kind=self.kind, **fields)

    def send(self, frameworks, items, server=None):
        """Let the server list these from now on."""
        server = server or self.servers.first
        server.frameworks[self.kind], server.items[self.kind] = frameworks, items

    def run(self, server_id=None, **more):
        return run_sync(self.client, self.kind, server_id or self.server_id, **more)

    def sync(self, frameworks, items, **more):
        self.send(frameworks, items)
        return self.run(**more)

    def by_hand(self, change, *args, **more):
        """Do something as an administrator of this site does."""
        with self.client.unit() as session:
            return change(session, self.client, self.hierarchy, *args, **more)

    def write(self, statement):
        """Do something behind everybody's back."""
        with self.client.unit() as session:
            session.execute(statement)

    def rows(self):
        """The items as they are kept, by name."""
        with self.client.reading() as session:
            return {row.fullname: row for row in session.scalars(select(self.hierarchy.item))}

    def items(self, server=SERVER):
        with self.client.reading() as session:
            found = hierarchy_items.list_items(session, self.hierarchy)
        return {it.remote_id: it for it in found if it.server == server}

    def frameworks(self, server=SERVER):
        with self.client.reading() as session:
            found = hierarchy_frameworks.list_frameworks(session, self.hierarchy)
        return {it.remote_id: it for it in found if it.server == server}

    def order(self):
        """The names of all frameworks in their order."""
        with self.client.reading() as session:
            return [it.fullname for it in hierarchy_frameworks.list_frameworks(session, self.hierarchy)]

    def tree(self, server=SERVER):
        """Framework and parent of each item."""
        items, frameworks = self.items(server), self.frameworks(server)
        remote = {it.id: id_ for id_, it in items.items()} | {None: 0}
        home = {it.id: id_ for id_, it in frameworks.items()}
        return {id_: (home[it.framework], remote[it.parent]) for id_, it in items.items()}

    def holder(self, item_id):
        """Somebody whose job has an item (by its local id); gives the job's id."""
        with self.client.unit() as session:
            key = people.add_person(
                session,
                self.client,
                username=f"holder{item_id}",
                email=f"h{item_id}@example.com",
                firstname="H",
                lastname="H",
            ).key
            held = {self.hierarchy.word: item_id}
            return jobs.add_job(session, self.client, key, idnumber="J", **held).id

    def held(self, job_id):
        """The local id of the item that a job has."""
        with self.client.reading() as session:
            (job,) = (it for it in jobs.list_jobs(session) if it.id == job_id)
        return getattr(job, self.hierarchy.word)

    def types(self, **fields_by_type):
        """Make types by idnumber, with custom fields: shortname -> datatype."""
        for idnumber, fields in fields_by_type.items():
            made = self.by_hand(hierarchy_types.add_type, fullname=idnumber, idnumber=idnumber)
            for shortname, datatype in fields.items():
                self.by_hand(
                    hierarchy_types.add_type_field,
                    made.id,
                    shortname=shortname,
                    name=shortname,
                    datatype=datatype,
                )

    def kept(self):
        return lists.dump(self.client)


def lines(report, action=None):
    return [
        (line.action, line.remote_id, line.subject, line.detail)
        for line in report.lines
        if action in {None, line.action}
    ]
