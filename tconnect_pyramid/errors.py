"""Every exception this package raises on purpose. Imports nothing of ours but `texts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tconnect_pyramid.texts import text


class TConnectError(Exception):
    """Base of all our errors: its text is fit for an administrator and holds no secret."""

    @property
    def text(self) -> str:
        """What `str` gives, as the object it was made with: a `Text` can still be said in another language."""
        said = self.args[0] if self.args else ""
        return said if isinstance(said, str) else str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would make a copy from the text alone. A worker sends its errors to its main process as copies.
        return _copy, (type(self), self.args, self.__dict__)


class ConfigurationProblem(TConnectError):
    """The settings or the wiring of the site are wrong; the site must not start.

    `problems` holds one sentence for each thing found, so that all of them are mended in one go.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class InvalidInput(TConnectError):
    """A value somebody gave cannot be taken. `field` names it in the words of the form or command."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


class NotFound(TConnectError):
    """Something was named that this site does not have."""


class Conflict(TConnectError):
    """The request is well formed, but the present state of the site forbids it."""


class PeerError(TConnectError):
    """A call to a peer did not end in a usable reply (protocol 1).

    `layer` says where it failed: `address`, `dns`, `connect`, `tls`, `http`, `timeout`, `size`,
    `json` (the body is no JSend document) or `refused` (the peer answered `fail` or `error`).
    """

    def __init__(self, method: str, url: str, layer: str, reason: str) -> None:
        self.method = method
        self.url = url
        self.layer = layer
        self.reason = reason
        super().__init__(text("${method} ${url}: ${reason}", method=method, url=url, reason=reason))


class BadReply(TConnectError):
    """The body of a reply is not what the protocol promises; the text says how."""


class BadRecord(TConnectError):
    """One record of an otherwise good reply cannot be used; the rest can.

    `remote_id` is the record's id at the peer, or None when it has none that can be read.
    """

    def __init__(self, remote_id: int | None, reason: str) -> None:
        self.remote_id = remote_id
        self.reason = reason
        super().__init__(reason)


class Refused(TConnectError):
    """A service call of a peer is refused; becomes a JSend `fail` or `error` body (protocol 1).

    With `parameter` it is a `fail` about that parameter, without it an `error`.
    """

    def __init__(self, reason: str, *, parameter: str | None = None) -> None:
        self.reason = reason
        self.parameter = parameter
        super().__init__(reason if parameter is None else f"{parameter}: {reason}")


class SignInFailed(TConnectError):
    """A single sign-on did not succeed; the text tells the person why, in plain words."""


class ActingAsAnother(SignInFailed):
    """Somebody acts as another person ("login as"): they must end that, or cancel, before going on."""


class SyncBusy(TConnectError):
    """Another run of the same peer is under way."""


class LeaseLost(TConnectError):
    """The run's lease was taken over; nothing of it may be written any more."""


class PlanOutdated(TConnectError):
    """Something that a plan was made by has changed before it was applied; it is to be made anew."""


class TransactionOpen(TConnectError):
    """A peer was about to be called while a transaction of this site was open: a programming error."""


def _copy(kind: type[TConnectError], args: tuple[object, ...], state: Mapping[str, Any]) -> TConnectError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
