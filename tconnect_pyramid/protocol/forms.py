"""Form bodies (`application/x-www-form-urlencoded`), read and written as PHP does (protocol 1)."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes, urlencode

MAX_FORM_BYTES = 1024 * 1024
MAX_FIELDS = 1000
CONTENT_TYPE = "application/x-www-form-urlencoded"


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a posted body; never raises.

    As in PHP the last value of a name wins, fields after the thousandth are ignored, and a body over
    `MAX_FORM_BYTES` has no fields at all. Invalid UTF-8 and NULs are dropped; names with `[`, which
    PHP turns into arrays, name no parameter of any service and are ignored.
    """
    if len(body) > MAX_FORM_BYTES:
        return {}
    form: dict[str, str] = {}
    for part in body.split(b"&", MAX_FIELDS)[:MAX_FIELDS]:
        raw_name, _, raw_value = part.partition(b"=")
        name = _decode(raw_name)
        if name and "[" not in name:
            form[name] = _decode(raw_value)
    return form


def write_form(pairs: Iterable[tuple[str, str]]) -> bytes:
    """The body that posts these fields, in this order."""
    return urlencode(list(pairs), errors="ignore").encode("ascii")


def _decode(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8", "ignore").replace("\0", "")
