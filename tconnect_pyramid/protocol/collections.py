"""Audiences (`cohort` on the wire) and courses with their members, written and read (protocol 5)."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain, groupby, pairwise
from typing import Literal, cast

from tconnect_pyramid.errors import BadRecord, BadReply
from tconnect_pyramid.protocol.columns import (
    Field,
    Warn,
    number,
    read_id,
    read_text,
    text,
    write_record,
)
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.texts import text as _

Kind = Literal["cohort", "course"]

COHORT: Literal["cohort"] = "cohort"
COURSE: Literal["course"] = "course"

# In the order of a reply; a Totara client deletes all of a kind whose key is missing.
KINDS: tuple[Kind, ...] = (COHORT, COURSE)

_MAX_NAME = 254
_MAX_IDNUMBER = 255

# The defaults, where a site has no such column, are those of the recorded Totara site.
COHORT_FIELDS: tuple[Field, ...] = (
    number("id"),
    number("contextid", 1),
    text("name", _MAX_NAME),
    text("idnumber", 100, whole=True),
    text("description", None),
    number("descriptionformat", 1),
    number("visible", 1),
    text("component", 100),
    number("timecreated"),
    number("timemodified"),
    number("cohorttype", 1),
    number("modifierid", 2),
    number("visibility"),
    number("alertmembers"),
    number("startdate", None),
    number("enddate", None),
    number("active", 1),
    number("calculationstatus", 1),
    number("activecollectionid", None),
    number("draftcollectionid", None),
    number("broken"),
)

COURSE_FIELDS: tuple[Field, ...] = (
    number("id"),
    number("category", 1),
    number("sortorder"),
    text("fullname", _MAX_NAME),
    text("shortname", 255),
    text("idnumber", 100, whole=True),
    text("summary", None),
    number("summaryformat", 1),
    text("format", 21, "topics"),
    number("showgrades", 1),
    number("newsitems", 1),
    number("startdate"),
    number("enddate"),
    number("marker"),
    number("maxbytes"),
    number("legacyfiles"),
    number("showreports"),
    number("visible", 1),
    number("visibleold", 1),
    number("groupmode"),
    number("groupmodeforce"),
    number("defaultgroupingid"),
    text("lang", 30, whole=True),
    text("calendartype", 30, whole=True),
    text("theme", 50, whole=True),
    number("timecreated"),
    number("timemodified"),
    number("requested"),
    number("enablecompletion"),
    number("completionstartonenrol"),
    number("completionprogressonview"),
    number("completionnotify"),
    number("audiencevisible", 2),
    number("cacherev"),
    number("coursetype"),
    text("icon", 255, None),
)

# What a client uses of either kind, under one name each.
_NAME: Mapping[Kind, Field] = {COHORT: text("name", _MAX_NAME), COURSE: text("fullname", _MAX_NAME)}
_IDNUMBER = text("idnumber", _MAX_IDNUMBER)
_DESCRIPTION: Mapping[Kind, Field] = {COHORT: text("description", None), COURSE: text("summary", None)}


def write_cohort(values: Mapping[str, object], member_ids: Iterable[int], *, warn: Warn) -> dict[str, object]:
    """An audience with its members, its keys in the order of the wire.

    `values` are column values by the names of `COHORT_FIELDS`; what is absent gets the field's
    default. `warn` is told of what a Totara client could not store. Raises `ValueError` without a
    usable id.
    """
    return _write("audience", COHORT_FIELDS, values, member_ids, warn)


def write_course(values: Mapping[str, object], member_ids: Iterable[int], *, warn: Warn) -> dict[str, object]:
    """A course with its members; `values` by the names of `COURSE_FIELDS`, the rest as `write_cohort`."""
    return _write("course", COURSE_FIELDS, values, member_ids, warn)


def _write(
    word: str,
    fields: Iterable[Field],
    values: Mapping[str, object],
    member_ids: Iterable[int],
    warn: Warn,
) -> dict[str, object]:
    record = write_record(word, fields, values, warn)
    record["members"] = [{"id": str(member)} for member in member_ids]
    return record


class Members:
    """The ids of a collection's members as they come, eight bytes each."""

    def __init__(self) -> None:
        self.total = 0
        self._runs: list[array[int]] = []
        self._odd = 0

    def add(self, entries: Sequence[object]) -> None:
        """Add the next entries of the list."""
        ids = [canonical_int(entry.get("id")) if isinstance(entry, dict) else None for entry in entries]
        if not all(ids):
            self._odd = self._odd or self.total + 1 + next(place for place, id_ in enumerate(ids) if not id_)
            self.total += len(ids)
        else:
            self.add_ids(cast("list[int]", ids))

    def add_ids(self, ids: Collection[int]) -> None:
        """Add the ids of the next entries, each a number above 0."""
        self._runs.append(array("q", sorted({*ids})))
        self.total += len(ids)

    def ids(self, remote_id: int) -> array[int]:
        """Them all, in order and each once; raises `BadRecord` when one of the entries has none."""
        if self._odd:
            raise BadRecord(
                remote_id,
                _("member ${position} of ${total} has no usable id", position=self._odd, total=self.total),
            )
        runs = [run for run in self._runs if run]
        if all(one[-1] < other[0] for one, other in pairwise(runs)):
            return array("q", chain.from_iterable(runs))
        # Sorting all at once would make an object of each.
        return array("q", (id_ for id_, _same in groupby(merge(*runs))))


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """An audience or course as a server sends it; `members` are ids of people there, in order and each once."""

    kind: Kind
    id: int
    name: str
    idnumber: str
    description: str
    members: array[int]


def read_collections(data: object) -> list[tuple[Kind, object]]:
    """The raw records of a reply of `get_user_collections`, each with its kind, audiences first.

    Raises `BadReply` when one of the two lists is absent, null or no list: taken for empty it would
    delete every collection of that kind.
    """
    if not isinstance(data, dict):
        raise BadReply(_("the reply holds no collections"))
    found: list[tuple[Kind, object]] = []
    for kind in KINDS:
        records = data.get(kind)
        if not isinstance(records, list):
            raise BadReply(_("the reply holds no list called ${kind}", kind=kind))
        found.extend((kind, raw) for raw in records)
    return found


def read_collection(kind: Kind, raw: object) -> CollectionRecord:
    """One record, its strings cleaned; raises `BadRecord` when it cannot be used.

    Its members are a list of entries, or `Members`. Such a list that is missing or odd makes the whole record
    unusable: taken for empty it would empty the audience (protocol 5).
    """
    if not isinstance(raw, dict):
        raise BadRecord(None, _("the ${kind} is not an object", kind=kind))
    remote_id = read_id(raw)
    name_field = _NAME[kind]
    if raw.get(name_field.name) is None:
        raise BadRecord(remote_id, _("${field} is missing", field=name_field.name))
    return CollectionRecord(
        kind=kind,
        id=remote_id,
        name=read_text(name_field, raw, remote_id),
        idnumber=read_text(_IDNUMBER, raw, remote_id),
        description=read_text(_DESCRIPTION[kind], raw, remote_id),
        members=_read_members(raw.get("members"), remote_id),
    )


def _read_members(raw: object, remote_id: int) -> array[int]:
    if isinstance(raw, list):
        members = Members()
        members.add(raw)
        return members.ids(remote_id)
    if isinstance(raw, Members):
        return raw.ids(remote_id)
    raise BadRecord(remote_id, _("members is not a list"))
