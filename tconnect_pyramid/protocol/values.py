"""The smallest things on the wire: tokens, numbers, flags, clean text (protocol 1)."""

from __future__ import annotations

import re

MAX_INT = 2**63 - 1

_TOKEN = re.compile(r"[0-9a-f]{40}")
_TOO_LONG = len(str(MAX_INT)) + 1
# The same names as `[a-z]+(_[a-z][a-z0-9_]*)?[a-z0-9]+`, written so that no text makes the match
# take quadratic time: a peer may send a megabyte of letters.
_COMPONENT = re.compile(r"[a-z](?:[a-z0-9]++|[a-z]*+_[a-z][a-z0-9_]*[a-z0-9])")


def is_token(value: object) -> bool:
    """Whether this is an identifier, secret or token: a string of 40 lowercase hex characters."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def php_empty(value: str | None) -> bool:
    """Whether PHP calls this form value empty: absent, `''` or `'0'`."""
    return value is None or value in {"", "0"}


def canonical_int(value: object) -> int | None:
    """A whole number from 0 to 2**63 - 1, given as one or as its canonical digits; else None.

    `03`, `+3`, ` 3`, booleans and fractions are none.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) < _TOO_LONG) or (
            value[0] == "0" and value != "0"
        ):
            return None
        value = int(value)
    if isinstance(value, int) and 0 <= value <= MAX_INT:
        return value
    return None


def canonical_time(value: object) -> int | None:
    """A time in Unix seconds, before 1970 too, given as a whole number or as its canonical digits; else None."""
    if isinstance(value, str) and value.startswith("-"):
        seconds = canonical_int(value[1:])
        return -seconds if seconds else None
    if isinstance(value, int) and -MAX_INT <= value < 0:
        return value
    return canonical_int(value)


def as_flag(value: object) -> bool | None:
    """A yes or no, however the peer writes it: 0, 1, `'0'`, `'1'`, true or false; else None."""
    if isinstance(value, bool):
        return value
    number = canonical_int(value)
    return bool(number) if number in {0, 1} else None


def clean_text(value: str) -> str:
    """The text without NUL characters and without halves of surrogate pairs, which no database takes."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def one_line(value: str) -> str:
    """The text in one line of what can be seen: it is shown on pages, and written into logs and terminals."""
    return " ".join("".join(each if each.isprintable() else " " for each in value).split())


def is_component(value: str) -> bool:
    """Whether this is the name of a component; a value that is none counts as absent."""
    return _COMPONENT.fullmatch(value) is not None
