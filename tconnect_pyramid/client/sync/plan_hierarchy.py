"""The rules of the syncs of positions and of organisations: frameworks, and the trees in them (protocol 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.sync.arrange import Wish, arrange
from tconnect_pyramid.client.sync.plan import (
    FRAMEWORK,
    FRAMEWORK_KINDS,
    ITEM_KINDS,
    Action,
    Change,
    Plan,
    told,
    visible,
)
from tconnect_pyramid.client.sync.read import Fault, Trees
from tconnect_pyramid.client.sync.report import COUNTED_MOVES
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.directory.hierarchies import HIERARCHIES, POSITIONS, Hierarchy
from tconnect_pyramid.directory.hierarchy_types import TypeView, list_types
from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.directory.nouns import MANY
from tconnect_pyramid.models import Counterpart
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.hierarchies import FrameworkRecord, ItemRecord
from tconnect_pyramid.protocol.values import one_line
from tconnect_pyramid.texts import text as _

COMPONENT = "auth_connect"
"""Marks an item that a sync owns, so that nobody edits it by hand."""
TEXTAREA = "textarea"
"""The type of a custom field whose values are HTML."""

FRAMEWORK_COLUMNS = (
    "idnumber",
    "fullname",
    "shortname",
    "description",
    "sortorder",
    "visible",
    "hidecustomfields",
)
ITEM_COLUMNS = (
    "idnumber",
    "fullname",
    "shortname",
    "description",
    "sortthread",
    "visible",
    "component",
    "type_id",
)
TIMES = ("timevalidfrom", "timevalidto")
"""Columns that only positions have."""
PLACE_COLUMNS = ("framework_id", "parent_id", "path", "depthlevel")

NOT_SENT = _("not sent any more")

Value = tuple[str, str | None]
"""What an item has in a custom field: `data` and `value`."""


@dataclass(slots=True)
class FrameworkTarget:
    """A framework that stays or comes. `local_id` is None for a new one; `values` are to be written."""

    remote_id: int
    local_id: int | None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Node:
    """An item that stays or comes. `local_id` is None for a new one.

    `framework` and `parent` are ids at the server, `here` its `PLACE_COLUMNS` as they are. `values` are to
    be written, `fields` are custom values by the field's id: to be written, or removed where None.
    """

    remote_id: int
    framework: int
    parent: int | None
    local_id: int | None
    here: tuple[int, int | None, str, int] | None
    values: dict[str, Any] = field(default_factory=dict)
    fields: dict[int, Value | None] = field(default_factory=dict)


@dataclass(slots=True)
class HierarchyPlan(Plan):
    """`frameworks` and `nodes`, parents first, are all that stay or come, to be written or not.

    `gone_frameworks` and `gone_items` are local ids. `stale_frameworks` and `stale_items` are ids at the
    server whose rows here are gone.
    """

    frameworks: list[FrameworkTarget] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    gone_frameworks: list[int] = field(default_factory=list)
    gone_items: list[int] = field(default_factory=list)
    stale_frameworks: list[int] = field(default_factory=list)
    stale_items: list[int] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Moved items count as updated, and once more as moved."""
        counts = Plan.counts(self)
        moved = self.changes.counts[Action.MOVED]
        return counts | {Action.UPDATED: counts[Action.UPDATED] + moved} | dict.fromkeys(COUNTED_MOVES, moved)


def hierarchy_of(kind: str) -> Hierarchy:
    """The tables of a kind of run."""
    return HIERARCHIES[ITEM_KINDS[kind]]


def item_columns(hierarchy: Hierarchy) -> tuple[str, ...]:
    """The columns of an item that are as the server says, its place apart."""
    return (*ITEM_COLUMNS, *TIMES) if hierarchy is POSITIONS else ITEM_COLUMNS


def plan_hierarchy(
    session: Session, context: Context, peer: ServerPeer, trees: Trees, *, kind: str
) -> HierarchyPlan:
    """What the lists ask for; a fixed number of statements for each batch. Writes nothing."""
    if trees.absent:
        return HierarchyPlan(
            kind=kind,
            note=_("The server has no ${kinds}; nothing was changed.", kinds=MANY[ITEM_KINDS[kind]]),
        )
    known = _Known(session, hierarchy_of(kind), peer.id)
    return _Planner(known, kind, trees, context.clock()).plan


class _Known:
    """What is here of the server's, and what lies among it without having come from there."""

    def __init__(self, session: Session, hierarchy: Hierarchy, server_id: int) -> None:
        self.hierarchy = hierarchy
        self.session = session
        local_frameworks = self._counterparts(server_id, hierarchy.framework_kind)
        self.framework_rows = self._frameworks(local_frameworks.values())
        self.frameworks, self.stale_frameworks = _present(local_frameworks, self.framework_rows)
        self.framework_remote = {local_id: remote_id for remote_id, local_id in self.frameworks.items()}
        local_items = self._counterparts(server_id, hierarchy.kind)
        self.rows = self._items(local_items.values())
        self.items, self.stale_items = _present(local_items, self.rows)
        self.item_remote = {local_id: remote_id for remote_id, local_id in self.items.items()}
        self.values = self._values()
        self.last = session.scalar(select(func.max(hierarchy.framework.sortorder))) or 0
        types = list_types(session, hierarchy)
        self.types = {it.idnumber: it for it in types}
        self.type_names: dict[int | None, str] = {it.id: it.idnumber for it in types}
        self.field_names = {of.id: of.shortname for it in types for of in it.fields}

    def strangers(self) -> Iterator[int]:
        """The items in the server's frameworks that it did not send."""
        return (local_id for local_id in self.rows if local_id not in self.item_remote)

    def _counterparts(self, server_id: int, kind: str) -> dict[int, int]:
        rows = self.session.execute(
            select(Counterpart.remote_id, Counterpart.local_id)
            .where(Counterpart.server_id == server_id, Counterpart.kind == kind)
            .order_by(Counterpart.remote_id)
        )
        return {remote_id: local_id for remote_id, local_id in rows}  # noqa: C416 - the rows are no pairs to mypy

    def _frameworks(self, ids: Iterable[int]) -> dict[int, Mapping[str, Any]]:
        table = self.hierarchy.framework
        columns = [getattr(table, name) for name in FRAMEWORK_COLUMNS]
        return self._rows(select(table.id, *columns), table.id, ids)

    def _items(self, ids: Iterable[int]) -> dict[int, Mapping[str, Any]]:
        item = self.hierarchy.item
        columns = [getattr(item, name) for name in (*PLACE_COLUMNS, *item_columns(self.hierarchy))]
        statement = select(item.id, *columns)
        rows = self._rows(statement, item.framework_id, self.framework_rows)
        # One that somebody put into another framework is still the server's.
        rows.update(self._rows(statement, item.id, [id_ for id_ in ids if id_ not in rows]))
        return rows

    def _rows(self, statement: Any, column: Any, ids: Iterable[int]) -> dict[int, Mapping[str, Any]]:
        found: dict[int, Any] = {}
        for some in in_batches(ids):
            rows = self.session.execute(statement.where(among(column, some)).order_by("id")).mappings()
            # As they are: their names are kept once, a dictionary would keep them with each row.
            found.update((row["id"], row) for row in rows)
        return found

    def _values(self) -> dict[int, dict[int, Value]]:
        value = self.hierarchy.value
        found: dict[int, dict[int, Value]] = defaultdict(dict)
        for some in in_batches(self.item_remote):
            for item_id, field_id, data, parameter in self.session.execute(
                select(value.item_id, value.field_id, value.data, value.value).where(
                    among(value.item_id, some)
                )
            ):
                found[item_id][field_id] = (data, parameter)
        return found


def _present(
    counterparts: Mapping[int, int], rows: Mapping[int, Mapping[str, Any]]
) -> tuple[dict[int, int], list[int]]:
    """The counterparts whose row is there, and the remote ids of those whose row is not."""
    present = {remote_id: local_id for remote_id, local_id in counterparts.items() if local_id in rows}
    return present, [remote_id for remote_id in counterparts if remote_id not in present]


class _Planner:
    def __init__(self, known: _Known, kind: str, trees: Trees, now: int) -> None:
        self.known = known
        self.kind = kind
        self.trees = trees
        self.now = now
        self.plan = HierarchyPlan(
            kind=kind,
            lists_nobody=trees.empties(frameworks=bool(known.frameworks), items=bool(known.items)),
            stale_frameworks=known.stale_frameworks,
            stale_items=known.stale_items,
        )
        self.names: dict[int, str] = {
            remote_id: known.rows[local_id]["fullname"] for remote_id, local_id in known.items.items()
        }
        self.names.update((record.id, _name(record.fullname)) for record in trees.items)
        self.framework_names: dict[int, str] = {}
        for fault in (*trees.framework_faults, *trees.item_faults):
            self._skip(fault.kind, fault.remote_id, fault.name, fault.reason)
        self._decide_frameworks()
        self._decide_items()

    # --- frameworks ----------------------------------------------------------------------------

    def _decide_frameworks(self) -> None:
        known = self.known
        places = self._places()
        for record in self.trees.frameworks:
            self._decide_framework(record, places[record.id])
        faulty, unsure = _faulty(self.trees.framework_faults)
        sent = {record.id for record in self.trees.frameworks}
        self.gone_frameworks: set[int] = set()
        for remote_id, local_id in known.frameworks.items():
            if remote_id in sent:
                continue
            name = known.framework_rows[local_id]["fullname"]
            if remote_id in faulty or unsure:
                self.plan.frameworks.append(FrameworkTarget(remote_id, local_id))
                self.framework_names[remote_id] = name
                if remote_id not in faulty:
                    self._stays()
            else:
                self.gone_frameworks.add(remote_id)
                self.plan.gone_frameworks.append(local_id)
                self._change(Action.DELETED, FRAMEWORK_KINDS, remote_id, name, reason=NOT_SENT)

    def _decide_framework(self, record: FrameworkRecord, place: int) -> None:
        known = self.known
        local_id = known.frameworks.get(record.id)
        wanted: dict[str, Any] = {
            "idnumber": record.idnumber,
            "fullname": _name(record.fullname),
            "shortname": _name(record.shortname),
            "description": clean_html(record.description),
            "sortorder": place,
            "visible": int(bool(record.visible)),
            "hidecustomfields": int(bool(record.hidecustomfields)),
        }
        target = FrameworkTarget(record.id, local_id)
        self.plan.frameworks.append(target)
        self.framework_names[record.id] = wanted["fullname"]
        before = {} if local_id is None else known.framework_rows[local_id]
        changed = {
            name: value for name, value in wanted.items() if name not in before or before[name] != value
        }
        if not changed:
            self.plan.unchanged += 1
            return
        target.values = {**changed, "timemodified": self.now}
        action = Action.CREATED if local_id is None else Action.UPDATED
        also = (
            [] if local_id is None else [told(name, before[name], value) for name, value in changed.items()]
        )
        self._change(action, FRAMEWORK_KINDS, record.id, wanted["fullname"], also)

    def _places(self) -> dict[int, int]:
        """The place of each framework that is sent, in the server's order.

        Those that are here share out the places that they have, so that frameworks of others stay where
        they are; new ones come behind all others.
        """
        known = self.known
        sent = sorted(self.trees.frameworks, key=lambda record: (record.sortorder, record.id))
        local_ids = [known.frameworks[record.id] for record in sent if record.id in known.frameworks]
        places: list[int] = []
        for place in sorted(known.framework_rows[local_id]["sortorder"] for local_id in local_ids):
            places.append(max(place, places[-1] + 1) if places else place)
        last = max([known.last, *places])
        places.extend(range(last + 1, last + 1 + len(sent) - len(places)))
        return {record.id: place for record, place in zip(sent, places, strict=True)}

    # --- items ---------------------------------------------------------------------------------

    def _decide_items(self) -> None:
        records = {record.id: record for record in self.trees.items}
        faulty, unsure = _faulty(self.trees.item_faults)
        wishes = {record.id: Wish(record.framework_id, record.parent_id) for record in self.trees.items}
        wishes.update(self._stay_where_they_are(faulty, records, unsure=unsure))
        frameworks = {target.remote_id for target in self.plan.frameworks}
        arranged = arrange(wishes, frameworks, faulty)
        self.framework_of = arranged.framework_of
        for remote_id in arranged.framework_of:
            node = self._node(remote_id, wishes[remote_id].parent)
            self.plan.nodes.append(node)
            if remote_id in records:
                self._decide_item(records[remote_id], node)
            elif remote_id not in faulty:
                self._stays()
        for remote_id, reason in arranged.reasons.items():
            if remote_id in records:
                self._skip(ITEM_KINDS[self.kind], remote_id, records[remote_id].fullname, reason)
        self._decide_gone(arranged.reasons)

    def _stay_where_they_are(
        self, faulty: Collection[int], records: Mapping[int, ItemRecord], *, unsure: bool
    ) -> Iterator[tuple[int, Wish]]:
        """Items whose record cannot be used, or that may be the one without an id: under the same parent."""
        known = self.known
        for remote_id, local_id in known.items.items():
            if remote_id in records or not (unsure or remote_id in faulty):
                continue
            row = known.rows[local_id]
            parent = known.item_remote.get(row["parent_id"])
            if parent is not None:
                yield remote_id, Wish(None, parent)
            elif row["parent_id"] is None and row["framework_id"] in known.framework_remote:
                yield remote_id, Wish(known.framework_remote[row["framework_id"]], None)

    def _node(self, remote_id: int, parent: int | None) -> Node:
        local_id = self.known.items.get(remote_id)
        here = None
        if local_id is not None:
            row = self.known.rows[local_id]
            here = (row["framework_id"], row["parent_id"], row["path"], row["depthlevel"])
        return Node(remote_id, self.framework_of[remote_id], parent, local_id, here)

    def _decide_item(self, record: ItemRecord, node: Node) -> None:
        known = self.known
        type_ = known.types.get(record.type_idnumber) if record.type_idnumber else None
        wanted = self._wanted(record, type_)
        fields = self._wanted_fields(record, type_)
        if node.local_id is None:
            node.values = {**wanted, "timemodified": self.now}
            node.fields = dict(fields)
            self._change(Action.CREATED, ITEM_KINDS, record.id, wanted["fullname"])
            return
        row = known.rows[node.local_id]
        values = known.values.get(node.local_id, {})
        changed = {name: value for name, value in wanted.items() if row[name] != value}
        node.fields = {id_: value for id_, value in fields.items() if values.get(id_) != value}
        node.fields.update((id_, None) for id_ in values if id_ not in fields)
        moves = self._moves(node, row)
        if not (changed or node.fields or moves):
            self.plan.unchanged += 1
            return
        node.values = {**changed, "timemodified": self.now}
        also = [*moves, *(self._told(name, row[name], value) for name, value in changed.items())]
        also += [
            told(
                f"field {known.field_names.get(id_, id_)}",
                values[id_][0] if id_ in values else "",
                "" if value is None else value[0],
            )
            for id_, value in node.fields.items()
        ]
        action = Action.MOVED if moves else Action.UPDATED
        self._change(action, ITEM_KINDS, record.id, wanted["fullname"], also)

    def _wanted(self, record: ItemRecord, type_: TypeView | None) -> dict[str, Any]:
        wanted = {
            "idnumber": record.idnumber,
            "fullname": _name(record.fullname),
            "shortname": _name(record.shortname),
            "description": clean_html(record.description),
            "sortthread": record.sortthread,
            "visible": int(bool(record.visible)),
            "component": COMPONENT,
            "type_id": None if type_ is None else type_.id,
            "timevalidfrom": record.timevalidfrom,
            "timevalidto": record.timevalidto,
        }
        return {name: wanted[name] for name in item_columns(self.known.hierarchy)}

    def _wanted_fields(self, record: ItemRecord, type_: TypeView | None) -> dict[int, Value]:
        """The custom values that the item's type has a field for, by the field's id."""
        known = {(it.shortname, it.datatype): it.id for it in type_.fields} if type_ else {}
        return {
            known[it.shortname, it.datatype]: (
                clean_html(it.data) if it.datatype == TEXTAREA else it.data,
                it.value,
            )
            for it in record.custom_fields
            if it.data is not None and (it.shortname, it.datatype) in known
        }

    def _moves(self, node: Node, row: Mapping[str, Any]) -> list[str]:
        """What is told of a move, nothing of an item that stays under the same parent."""
        known = self.known
        moves = []
        if row["framework_id"] != known.frameworks.get(node.framework):
            before = known.framework_remote.get(row["framework_id"])
            name = "" if before is None else known.framework_rows[row["framework_id"]]["fullname"]
            moves.append(told("framework", name, self.framework_names[node.framework]))
        parent = None if node.parent is None else known.items.get(node.parent)
        if row["parent_id"] != parent or (node.parent is not None and parent is None):
            above = known.rows.get(row["parent_id"])
            name = "" if node.parent is None else self.names[node.parent]
            moves.append(told("parent", "" if above is None else above["fullname"], name))
        return moves

    def _told(self, name: str, before: Any, after: Any) -> str:
        if name == "type_id":
            return told("type", self.known.type_names.get(before), self.known.type_names.get(after))
        return told(name, before, after)

    # --- what goes -----------------------------------------------------------------------------

    def _decide_gone(self, reasons: Mapping[int, str]) -> None:
        known = self.known
        for remote_id, local_id in known.items.items():
            if remote_id in self.framework_of:
                continue
            row = known.rows[local_id]
            reason = reasons.get(remote_id, NOT_SENT)
            if known.framework_remote.get(row["framework_id"]) in self.gone_frameworks:
                reason = reasons.get(remote_id, _("its framework is not sent any more"))
            self._delete(local_id, remote_id, reason)
        for local_id in known.strangers():
            self._delete(local_id, None, "did not come from the server that keeps its framework")

    def _delete(self, local_id: int, remote_id: int | None, reason: str) -> None:
        self.plan.gone_items.append(local_id)
        name = self.known.rows[local_id]["fullname"]
        self._change(Action.DELETED, ITEM_KINDS, remote_id, name, reason=reason)

    # --- inside --------------------------------------------------------------------------------

    def _stays(self) -> None:
        """One that is not listed, while a record without an id may be its."""
        self.plan.unchanged += 1
        self.plan.note = _(
            "A record of the list has no usable id, so it cannot be told which are gone; "
            "none of its kind was deleted for not being sent."
        )

    def _skip(self, kind: str, remote_id: int | None, name: str, reason: str) -> None:
        subject = self._subject(kind, name)
        self.plan.changes.append(
            Change(Action.SKIPPED, kind, remote_id, None, subject, reason=reason, is_fault=True)
        )

    def _change(
        self,
        action: Action,
        kinds: Mapping[str, str],
        remote_id: int | None,
        name: str,
        also: Iterable[str] = (),
        *,
        reason: str = "",
    ) -> None:
        kind = kinds[self.kind]
        subject = self._subject(kind, name)
        self.plan.changes.append(
            Change(action, kind, remote_id, None, subject, reason=reason, also=tuple(also))
        )

    def _subject(self, kind: str, name: str) -> str:
        # The first word tells frameworks from items, whose ids do not, see `kind_of_line`.
        word = ITEM_KINDS[self.kind] if kind == ITEM_KINDS[self.kind] else FRAMEWORK
        return f"{word} {visible(name)}".rstrip()


def _faulty(faults: Iterable[Fault]) -> tuple[set[int], bool]:
    """The ids of the records that cannot be used, and whether there is one that may be anybody's."""
    ids = {fault.remote_id for fault in faults}
    return {id_ for id_ in ids if id_ is not None}, None in ids


def _name(text: str) -> str:
    return one_line(rules.plain_name(text))
