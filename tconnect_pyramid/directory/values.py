"""Values of custom fields typed by hand, checked and written as sites keep and send them (protocol 6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.directory.surroundings import line
from tconnect_pyramid.errors import InvalidInput
from tconnect_pyramid.protocol.columns import MAX_LONG_TEXT
from tconnect_pyramid.texts import text as _

LONGEST_LINE = 2048
"""Characters of a custom value of one line."""

_SECONDS = re.compile(r"-?[0-9]{1,18}")
_WEB = re.compile(r"https?://[^\s<>\"]+")


def checked(field: str, datatype: str, text: str, choices: Sequence[str] = ()) -> str:
    """The data to store for a value that is not empty; `choices` are those of a menu.

    A checkbox becomes `0` or `1`, a date Unix seconds, HTML is cleaned. Raises InvalidInput.
    """
    match datatype:
        case "checkbox":
            return _one_of(field, text, ("0", "1"))
        case "menu":
            return _one_of(field, text, choices)
        case "date" | "datetime":
            return str(moment(field, text))
        case "text":
            return line(field, text, LONGEST_LINE)
        case "textarea":
            return long_text(field, text)
        case "url":
            address = line(field, text, LONGEST_LINE)
            if not _WEB.fullmatch(address):
                raise InvalidInput(
                    field,
                    _("${field}: expected an address that begins with http:// or https://.", field=field),
                )
            return address
    raise InvalidInput(
        field,
        _(
            "${field}: values of the type ${datatype} cannot be written by hand.",
            field=field,
            datatype=datatype,
        ),
    )


def moment(field: str, text: str) -> int:
    """Unix seconds from a date such as 2024-05-31 (its beginning in UTC), a time of ISO 8601, or seconds.

    Raises InvalidInput.
    """
    typed = text.strip()
    if _SECONDS.fullmatch(typed):
        return int(typed)
    try:
        time = datetime.fromisoformat(typed)
    except ValueError:
        raise InvalidInput(
            field,
            _(
                "${field}: expected a date such as 2024-05-31, or Unix seconds; found ${found}.",
                field=field,
                found=repr(typed[:40]),
            ),
        ) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def long_text(field: str, text: str) -> str:
    """HTML of several lines, cleaned. Raises InvalidInput when it is too long."""
    if len(text) > MAX_LONG_TEXT:
        raise InvalidInput(
            field,
            _(
                "${field}: has ${length} characters; at most ${limit} are possible.",
                field=field,
                length=len(text),
                limit=MAX_LONG_TEXT,
            ),
        )
    return clean_html(text.replace("\0", "").strip())


def _one_of(field: str, text: str, allowed: Sequence[str]) -> str:
    typed = text.strip()
    if typed not in allowed:
        raise InvalidInput(
            field,
            _(
                "${field}: expected one of ${allowed}; found ${found}.",
                field=field,
                allowed=", ".join(allowed),
                found=repr(typed[:40]),
            ),
        )
    return typed
