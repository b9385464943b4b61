"""The data of the small replies, each as it is written and as it is read; the frame of the large ones.

Reading never raises: data of another shape says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from tconnect_pyramid.protocol import versions
from tconnect_pyramid.protocol.collections import COHORT, COURSE
from tconnect_pyramid.protocol.hierarchies import FRAMEWORKS, ITEMS, Kind
from tconnect_pyramid.protocol.values import as_flag, canonical_int

# The large replies are written record by record (protocol 5): head, records, tail. Collections and hierarchies
# are two lists, with the middle between them. A line end between two records lets the receiver cut the text
# without parsing it.
USERS_HEAD = b'{"status":"success","data":{"users":['
COLLECTIONS_HEAD = b'{"status":"success","data":{"%b":[' % COHORT.encode()
COLLECTIONS_MIDDLE = b'],"%b":[' % COURSE.encode()
HIERARCHY_HEAD = b'{"status":"success","data":{"%b":[' % FRAMEWORKS.encode()
HIERARCHY_MIDDLE: Mapping[Kind, bytes] = {kind: b'],"%b":[' % key.encode() for kind, key in ITEMS.items()}
LIST_TAIL = b"]}}"
BETWEEN_RECORDS = b",\n"
NO_MEMBERS = b'"members":[]}'
"""How the record of a collection without members ends."""


def write_versions() -> dict[str, int]:
    """Of `get_api_version`: the versions that this site speaks."""
    return {"minapiversion": versions.MIN_VERSION, "maxapiversion": versions.MAX_VERSION}


def read_versions(data: object) -> tuple[int, int] | None:
    """Of `get_api_version`: the lowest and highest version that the server speaks."""
    if not isinstance(data, dict):
        return None
    lowest, highest = (canonical_int(data.get(name)) for name in ("minapiversion", "maxapiversion"))
    return None if lowest is None or highest is None else (lowest, highest)


def write_person(record: dict[str, object] | None) -> dict[str, object]:
    """Of `get_user`: one user record, or that there is nobody."""
    return {"user": record}


def read_person(data: object) -> object:
    """Of `get_user`: the user record, unread; None for nobody."""
    return data.get("user") if isinstance(data, dict) else None


def says_nobody(data: object) -> bool:
    """Of `get_user`: whether the server has nobody to send; data of another shape does not say so."""
    return isinstance(data, dict) and data.get("user", data) is None


def write_activity(active: bool) -> dict[str, bool]:
    """Of `is_sso_user_active`."""
    return {"active": active}


def read_activity(data: object) -> bool:
    """Of `is_sso_user_active`: whether the person is active; anything unclear is a no."""
    return isinstance(data, dict) and as_flag(data.get("active")) is True


def write_no_hierarchy(items: str) -> dict[str, None]:
    """Of `get_positions` and `get_organisations`: this site has none, so the client leaves its own alone."""
    return {"frameworks": None, items: None}
