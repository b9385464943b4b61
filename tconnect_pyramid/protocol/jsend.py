"""JSend, the envelope of every reply: `success`, `fail` or `error` (protocol 1)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from tconnect_pyramid.errors import BadReply, Refused
from tconnect_pyramid.protocol.values import clean_text
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

CONTENT_TYPE = "application/json; charset=utf-8"

# No reply of this protocol nests deeper than six; the rest is room for plugins.
MAX_DEPTH = 64

# In the place of any number that is larger: no field takes it, and JSON of ours can still say it.
_TOO_LARGE = 2**64 - 1

# As much of a peer's own words as an administrator is shown.
_MAX_QUOTE = 200


@dataclass(frozen=True, slots=True)
class Success:
    """The service did what was asked. `data` is any JSON value; empty data is `[]` on the wire."""

    data: object = None


@dataclass(frozen=True, slots=True)
class Fail:
    """A bad parameter: its name and the reason."""

    data: dict[str, str]


@dataclass(frozen=True, slots=True)
class Error:
    """Any other refusal, with its reason."""

    message: str


Result = Success | Fail | Error


def write(result: Result) -> bytes:
    """The body of a reply.

    Raises `TypeError` when the data of a `Success` is not made of JSON's types.
    """
    match result:
        case Success(data):
            document: dict[str, object] = {"status": "success", "data": _or_empty_list(data)}
        case Fail(reasons):
            document = {"status": "fail", "data": _or_empty_list(reasons)}
        case Error(message):
            document = {"status": "error", "message": message}
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return msgspec.json.encode(_tidy(document, 0))


def read(body: bytes) -> Result:
    """What a peer answered, with NULs and halves of surrogate pairs taken out of every string.

    Raises `BadReply`, saying why, for a body that is no JSend document.
    """
    document = _tidy(_parse(body), 0)
    if not isinstance(document, dict):
        raise BadReply(_("the reply is not a JSON object but ${kind}", kind=_kind(document)))
    status = document.get("status")
    if status == "success":
        return Success(document.get("data"))
    if status == "fail":
        return Fail(_read_reasons(document.get("data")))
    if status == "error":
        message = document.get("message")
        if not isinstance(message, str):
            raise BadReply(
                _("the reply is an error whose message is not a text but ${kind}", kind=_kind(message))
            )
        return Error(message)
    raise BadReply(_("the reply has no status success, fail or error; the address may be of something else"))


def describe(result: Fail | Error) -> str:
    """The peer's reason, fit for an administrator's terminal, page or log: short and on one line."""
    if isinstance(result, Error):
        text = result.message
    else:
        text = "; ".join(f"{parameter}: {reason}" for parameter, reason in result.data.items())
    # Python counts what reorders, hides or breaks a line among the unprintable, not only control characters.
    visible = "".join(character for character in text[: _MAX_QUOTE * 10] if character.isprintable()).strip()
    if not visible:
        return _("no reason given")
    return visible if len(visible) <= _MAX_QUOTE else visible[: _MAX_QUOTE - 1] + "…"


def from_refusal(refused: Refused) -> Fail | Error:
    """The reply that tells a peer of a refusal: a `fail` when it is about a parameter, else an `error`."""
    if refused.parameter is None:
        return Error(refused.reason)
    return Fail({refused.parameter: refused.reason})


def _or_empty_list(data: object) -> object:
    # PHP knows one kind of empty array, and a Totara peer compares with it.
    return [] if data is None or data == {} else data


def _read_reasons(data: object) -> dict[str, str]:
    if data == []:
        return {}
    if not isinstance(data, dict):
        raise BadReply(_("the reply is a fail whose data is not an object but ${kind}", kind=_kind(data)))
    for reason in data.values():
        if not isinstance(reason, str):
            raise BadReply(
                _("the reply is a fail whose reason is not a text but ${kind}", kind=_kind(reason))
            )
    return data


def _parse(body: bytes) -> object:
    if not body:
        raise BadReply(_("the reply is empty"))
    if body[:1000].lstrip()[:1] == b"<":
        raise BadReply(
            _("the reply is not JSON but HTML: the address may be wrong, or a proxy answered instead")
        )
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise BadReply(_("the reply is nested deeper than ${limit} levels", limit=MAX_DEPTH)) from None
    except UnicodeDecodeError as error:
        raise BadReply(
            _("the reply is not JSON: no UTF-8 at byte ${position}", position=error.start)
        ) from None
    except msgspec.DecodeError as error:
        # msgspec refuses halves of surrogate pairs, which we accept and clean away, and numbers that are too large,
        # which are the matter of the record that they stand in.
        if b"\\ud" in body or b"\\uD" in body or "out of range" in str(error):
            return _parse_slowly(body)
        raise BadReply(_("the reply is not JSON: ${error}", error=str(error))) from None


def _parse_slowly(body: bytes) -> object:
    try:
        return json.loads(
            body.decode("utf-8"), parse_constant=_refuse_constant, parse_int=_whole, parse_float=_fraction
        )
    except RecursionError:
        raise BadReply(_("the reply is nested deeper than ${limit} levels", limit=MAX_DEPTH)) from None
    except ValueError as error:
        raise BadReply(_("the reply is not JSON: ${error}", error=str(error))) from None


def _whole(digits: str) -> int:
    # Not calculated, which takes long and has a limit of its own.
    return int(digits) if len(digits) < len(str(_TOO_LARGE)) else _TOO_LARGE


def _fraction(digits: str) -> float:
    number = float(digits)
    return _TOO_LARGE if math.isinf(number) else number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _tidy(value: object, depth: int) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= MAX_DEPTH:
        raise BadReply(_("the reply is nested deeper than ${limit} levels", limit=MAX_DEPTH))
    if isinstance(value, dict):
        return {clean_text(key): _tidy(item, depth + 1) for key, item in value.items()}
    return [_tidy(item, depth + 1) for item in value]


def _kind(value: object) -> Text:
    match value:
        case None:
            return _("null or absent")
        case bool():
            return _("a boolean")
        case int() | float():
            return _("a number")
        case str():
            return _("a text")
        case list():
            return _("a list")
        case _:
            return _("an object")
