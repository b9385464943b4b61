"""Calls to peers: the only place that opens a socket to one.

Every failure is one errors.PeerError whose `layer` says where the call ended: `address` (the URL or the
address behind it is not permitted), `dns`, `connect`, `tls`, `http` (an answer, but not a complete reply of
status 200), `timeout` (connected, but the reply was not complete in time), `size`, `json`, `refused`. Its
text is for an administrator and never holds the form, which carries secrets, or the body of the reply.
"""

from __future__ import annotations

import http
import http.client
import io
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import urllib3.connection
import urllib3.exceptions
from zope.interface import implementer

from tconnect_pyramid.errors import BadReply, ConfigurationProblem, PeerError
from tconnect_pyramid.interfaces import ITransport, Transport
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.protocol.forms import write_form
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

CALL_TIMEOUT = 60.0
"""Seconds for a call and its whole reply (protocol 1)."""
CONNECT_TIMEOUT = 10.0
"""Seconds of those for the look-up of the name, the connection and the TLS handshake (protocol 1)."""
REPLY_LIMIT = 16 * 2**20
"""Bytes of an ordinary reply."""
LIST_LIMIT = 2 * 2**30
"""Bytes of a reply that lists everybody: `get_users` and `get_user_collections`."""

_MEMORY = 2**20
_PIECE = 2**16
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[..., Sequence[tuple[Any, Any, int, str, tuple[Any, ...]]]]

# A table of our own, because `is_global` lets 224.0.0.1, 64:ff9b::a00:1 and 2002:a00:1:: through and its
# answers change with the release of Python. More special networks come before those that contain them.
_SPECIAL: tuple[tuple[Network, Text], ...] = tuple(
    (ip_network(network), name)
    for network, name in (
        ("0.0.0.0/32", _("the unspecified address")),
        ("0.0.0.0/8", _("an address of the network 0.0.0.0/8, which stands for this machine")),
        ("10.0.0.0/8", _("a private address")),
        ("100.64.0.0/10", _("an address shared behind a carrier's NAT")),
        ("127.0.0.0/8", _("a loopback address")),
        ("169.254.0.0/16", _("a link-local address")),
        ("172.16.0.0/12", _("a private address")),
        ("192.0.0.0/24", _("a reserved address")),
        ("192.0.2.0/24", _("an address for documentation")),
        ("192.88.99.0/24", _("an address of a 6to4 relay")),
        ("192.168.0.0/16", _("a private address")),
        ("198.18.0.0/15", _("an address for benchmarks")),
        ("198.51.100.0/24", _("an address for documentation")),
        ("203.0.113.0/24", _("an address for documentation")),
        ("224.0.0.0/4", _("a multicast address")),
        ("240.0.0.0/4", _("a reserved address")),
        ("::/128", _("the unspecified address")),
        ("::1/128", _("a loopback address")),
        ("::/96", _("an IPv4-compatible address")),
        ("64:ff9b::/96", _("a NAT64 address")),
        ("64:ff9b:1::/48", _("a NAT64 address")),
        ("2001::/32", _("a Teredo address")),
        ("2001::/23", _("a reserved address")),
        ("2001:db8::/32", _("an address for documentation")),
        ("2002::/16", _("a 6to4 address")),
        ("3fff::/20", _("an address for documentation")),
        ("fc00::/7", _("a private address")),
        ("fe80::/10", _("a link-local address")),
        ("fec0::/10", _("a site-local address")),
        ("ff00::/8", _("a multicast address")),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def special_kind(address: Address, private_networks: Sequence[Network] = ()) -> Text | None:
    """Say what keeps `address` from being a peer's, or None when it is public or in a listed network.

    An IPv4 address inside an IPv6 one (::ffff:10.0.0.1) is judged as the IPv4 address that it reaches. The
    other forms that carry one (NAT64, 6to4, Teredo, IPv4-compatible) are refused whatever they carry, as
    listing the IPv4 network does not say where such a packet goes.
    """
    forms: list[Address] = [address]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        forms.append(address.ipv4_mapped)
    if any(form in network for form in forms for network in private_networks):
        return None
    judged = forms[-1]
    for network, name in _SPECIAL:
        if judged in network:
            return name
    if isinstance(judged, IPv6Address) and judged not in _GLOBAL_UNICAST:
        return _("a reserved address")
    return None


@dataclass(frozen=True)
class _Target:
    """A URL taken apart. `shown` is the URL as errors name it: without user, password, query and fragment."""

    shown: str
    tls: bool
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def error(self, layer: str, reason: str) -> PeerError:
        return PeerError("POST", self.shown, layer, reason)


class _Deadline:
    """A point in monotonic time, asked before every step that may wait."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, more than 0; raise TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def within(self, seconds: float) -> _Deadline:
        return _Deadline(min(seconds, self.remaining()))


class _Wire(io.RawIOBase):
    """The receiving side of a connection, which ends at the deadline.

    A socket's own time limit begins anew with every read, so a peer that sends one byte a second, be it of a
    header, would hold us for ever: here each read gets the time that is left.
    """

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.remaining())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """The same with a buffer, which never reads without end."""

    def read(self, size: int | None = -1) -> bytes:
        # A chunk that says its size is -1 would be read into memory whole, however long.
        if size is None or size < 0:
            raise http.client.HTTPException
        return super().read(size)


class _DeadlineSocket:
    """As much of a socket as an HTTP connection uses, every wait of which ends at the deadline."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Reader(_Wire(self._sock, self._deadline))

    def sendall(self, data: bytes) -> None:
        # Not the socket's own sendall: that of TLS applies its time limit to each piece.
        left = memoryview(data)
        while left:
            self._sock.settimeout(self._deadline.remaining())
            left = left[self._sock.send(left) :]

    def settimeout(self, _seconds: float | None) -> None:
        """Ignore what the HTTP connection thinks of time limits."""

    def close(self) -> None:
        self._sock.close()


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            problem = (
                "tconnect.network.ca_file: expected a file of certificates in PEM format, but "
                f"{ca_file} cannot be used ({_os_reason(error)})"
            )
            raise ConfigurationProblem([problem]) from error
    return context


def _no_transactions() -> None:
    """Stand for a site that has no transactions to be open."""


@implementer(ITransport)
class HttpTransport:
    """The transport over HTTP. Holds no state of a call, so that threads may share one.

    No proxies, redirects, retries or cookies. A name is looked up once and every address it has must be
    permitted; the connection goes to one of these, so that a second answer of the DNS cannot lead elsewhere.
    """

    def __init__(
        self,
        *,
        private_networks: Sequence[Network],
        allow_http: bool,
        check_idle: Callable[[], None] = _no_transactions,
        ca_file: str | None = None,
        resolve: Resolver = socket.getaddrinfo,
    ) -> None:
        """Take the networks besides the public internet where peers may be, and whether http:// may be used.

        `check_idle` is called first in every call and raises errors.TransactionOpen when a transaction of
        this site is open. `ca_file` names a PEM file of certificate authorities that are trusted besides the
        system's. `resolve` takes and returns what `socket.getaddrinfo` does.

        Raises errors.ConfigurationProblem when `ca_file` cannot be used.
        """
        self._private_networks = tuple(private_networks)
        self._allow_http = allow_http
        self._check_idle = check_idle
        self._resolve = resolve
        self._user_agent = f"tconnect_pyramid/{metadata.version('tconnect_pyramid')}"
        if ca_file is not None:
            # What is wrong with the file is told when the site starts.
            self._tls = _tls_context(ca_file)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made for the first call that needs it: reading the authorities of the system takes a while."""
        return _tls_context(None)

    def post(self, url: str, form: Sequence[tuple[str, str]], *, timeout: float, limit: int) -> BinaryIO:
        """See interfaces.Transport."""
        self._check_idle()
        target = self._target(url)
        deadline = _Deadline(timeout)
        body = write_form(form)
        connection = urllib3.connection.HTTPConnection(target.host, target.port)
        with closing(connection):
            # urllib3 is given the connected socket, never a name or an address to connect to.
            connection.sock = cast(socket.socket, _DeadlineSocket(self._connect(target, deadline), deadline))
            try:
                return self._exchange(connection, target, body, limit)
            except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
                # Not chained: these exceptions quote what the peer sent, and a logged trace would show it.
                raise _exchange_failure(target, deadline, error) from None

    def _target(self, url: str) -> _Target:
        shown = _shown(url)

        def problem(reason: str) -> PeerError:
            return PeerError("POST", shown, "address", _("the URL cannot be used: ${reason}", reason=reason))

        if not re.fullmatch(r"[!-~]+", url):
            raise problem(_("expected printable ASCII characters only (write a host in punycode)"))
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise problem(_("expected https://HOST[:PORT]/PATH")) from error
        tls = parts.scheme == "https"
        if not tls and not (parts.scheme == "http" and self._allow_http):
            if parts.scheme == "http":
                raise problem(
                    _("expected https, found http (the setting tconnect.network.allow_http permits http)")
                )
            raise problem(_("expected https, found ${scheme}", scheme=parts.scheme or _("no scheme")))
        if "@" in parts.netloc:
            raise problem(_("it holds a user name or password; leave it out"))
        if "#" in url:
            raise problem(_("it holds a fragment (#…); leave it out"))
        host = parts.hostname or ""
        if not _is_host(parts.netloc, host):
            raise problem(_("expected a host name or IP address after https://"))
        path = parts.path or "/"
        return _Target(
            shown=shown,
            tls=tls,
            host=host,
            port=port if port is not None else 443 if tls else 80,
            path=f"{path}?{parts.query}" if parts.query else path,
        )

    def _connect(self, target: _Target, deadline: _Deadline) -> socket.socket:
        """Return a connection to one of the target's addresses, over TLS when that is asked for."""
        try:
            limit = deadline.within(CONNECT_TIMEOUT)
            infos = self._look_up(target, limit)
        except TimeoutError as error:
            raise target.error(
                "dns",
                _(
                    "looking up the name ${host} took too long; check this machine's name servers",
                    host=target.host,
                ),
            ) from error
        for info in infos:
            self._check_address(target, info[4][0])
        sock = _connect_one_of(target, infos, limit)
        if not target.tls:
            return sock
        try:
            sock.settimeout(limit.remaining())
            return self._tls.wrap_socket(sock, server_hostname=target.host.rstrip("."))
        except OSError as error:
            sock.close()
            raise target.error("tls", _tls_reason(target, limit, error)) from error

    def _look_up(
        self, target: _Target, deadline: _Deadline
    ) -> Sequence[tuple[Any, Any, int, str, tuple[Any, ...]]]:
        # The system's resolver knows no time limit, so it is left behind in a thread when it takes too long.
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolve(target.host, target.port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=ask, name="tconnect-look-up", daemon=True).start()
        try:
            answer = answers.get(timeout=deadline.remaining())
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception) or not answer:
            reason = _os_reason(answer) if isinstance(answer, OSError) else _("no address")
            raise target.error(
                "dns",
                _(
                    "the name ${host} cannot be resolved (${reason}); check the peer's URL and this machine's "
                    "name servers",
                    host=target.host,
                    reason=reason,
                ),
            )
        return cast(Sequence[tuple[Any, Any, int, str, tuple[Any, ...]]], answer)

    def _check_address(self, target: _Target, text: str) -> None:
        address = ip_address(text)
        kind = special_kind(address, self._private_networks)
        if kind is None:
            return
        found = (
            text
            if text == target.host
            else _("${host} has the address ${address}, which", host=target.host, address=text)
        )
        raise target.error(
            "address",
            _(
                "expected a public address, but ${found} is ${kind}; if the peer is meant to be there, add the "
                "network of that address (for example ${network}) to the setting tconnect.network.private",
                found=found,
                kind=kind,
                network=str(_network_to_list(address)),
            ),
        )

    def _exchange(
        self,
        connection: urllib3.connection.HTTPConnection,
        target: _Target,
        body: bytes,
        limit: int,
    ) -> BinaryIO:
        connection.request(
            "POST",
            target.path,
            body=body,
            headers={
                "Host": target.host_header,
                "User-Agent": self._user_agent,
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "Content-Type": "application/x-www-form-urlencoded",
                "Connection": "close",
            },
            preload_content=False,
        )
        response = connection.getresponse()
        with closing(response):
            if response.status != http.HTTPStatus.OK:
                location = response.headers.get("Location", "")
                raise target.error("http", _status_reason(response.status, location))
            encoding = response.headers.get("Content-Encoding", "").strip().lower()
            if encoding not in _ENCODINGS:
                raise target.error(
                    "http",
                    _(
                        "the reply is encoded as ${encoding}; only gzip and deflate were asked for",
                        encoding=_plain(encoding),
                    ),
                )
            if response.length_remaining is not None and response.length_remaining > limit:
                raise target.error("size", _size_reason(limit))
            return _spool(response, target, limit)


def call(
    transport: Transport,
    url: str,
    form: Sequence[tuple[str, str]],
    *,
    timeout: float = CALL_TIMEOUT,
    limit: int = REPLY_LIMIT,
) -> jsend.Result:
    """Post `form` to a service of a peer and return its answer, which may be a refusal (protocol 1).

    `timeout` in seconds and `limit` in bytes are those of interfaces.Transport, as are the errors; a body
    that is no JSend document is an errors.PeerError too, of the layer `json`.
    """
    with transport.post(url, form, timeout=timeout, limit=limit) as body:
        content = body.read()
    try:
        return jsend.read(content)
    except BadReply as error:
        raise PeerError("POST", _shown(url), "json", error.text) from error


def call_for_data(
    transport: Transport,
    url: str,
    form: Sequence[tuple[str, str]],
    *,
    timeout: float = CALL_TIMEOUT,
    limit: int = REPLY_LIMIT,
) -> object:
    """Return the data of a successful answer; otherwise as `call`.

    A `fail` or `error` of the peer is an errors.PeerError of the layer `refused`.
    """
    result = call(transport, url, form, timeout=timeout, limit=limit)
    if isinstance(result, jsend.Success):
        return result.data
    raise PeerError("POST", _shown(url), "refused", jsend.describe(result))


def _connect_one_of(
    target: _Target, infos: Sequence[tuple[Any, Any, int, str, tuple[Any, ...]]], deadline: _Deadline
) -> socket.socket:
    """Try the addresses in turn: nothing has been sent yet, and a machine may lack a route for IPv6."""
    failure: OSError = TimeoutError()
    tried: str = ""
    for number, (family, kind, protocol, _name, address) in enumerate(infos):
        tried = _("${address} port ${port}", address=address[0], port=str(address[1]))
        try:
            share = deadline.remaining() / (len(infos) - number)
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = error
            continue
        try:
            sock.settimeout(share)
            sock.connect(address)
            # Headers and form are sent separately, and Nagle's algorithm would hold the form back.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    if isinstance(failure, TimeoutError):
        reason = _(
            "no connection to ${place} within ${seconds} s; is a firewall in between?",
            place=tried,
            seconds=f"{deadline.seconds:.3g}",
        )
    else:
        reason = _(
            "no connection to ${place} (${reason}); is the peer running?",
            place=tried,
            reason=_os_reason(failure),
        )
    raise target.error("connect", reason) from failure


def _spool(response: urllib3.BaseHTTPResponse, target: _Target, limit: int) -> BinaryIO:
    with ExitStack() as unfinished:
        spool = unfinished.enter_context(SpooledTemporaryFile(max_size=_MEMORY))
        size = 0
        for piece in response.stream(_PIECE, decode_content=True):
            size += len(piece)
            if size > limit:
                raise target.error("size", _size_reason(limit))
            try:
                spool.write(piece)
            except OSError as error:
                raise target.error(
                    "size",
                    _(
                        "this site could not store the reply in a temporary file (${reason})",
                        reason=_os_reason(error),
                    ),
                ) from error
        spool.seek(0)
        unfinished.pop_all()
    return cast(BinaryIO, spool)


def _exchange_failure(target: _Target, deadline: _Deadline, error: Exception) -> PeerError:
    # urllib3 wraps what it meets in exceptions whose texts may quote the reply; the cause tells us the kind.
    cause = error.__cause__ if isinstance(error, urllib3.exceptions.HTTPError) and error.__cause__ else error
    if isinstance(cause, TimeoutError):
        return target.error(
            "timeout",
            _(
                "the reply was not complete within ${seconds} s; is the peer overloaded, or its list too large "
                "for the time limit?",
                seconds=f"{deadline.seconds:.3g}",
            ),
        )
    if isinstance(cause, ssl.SSLError):
        return target.error("tls", _("the encrypted connection broke (${reason})", reason=_tls_word(cause)))
    if isinstance(cause, http.client.RemoteDisconnected):
        return target.error(
            "http", _("the peer closed the connection without an answer; look in its error log")
        )
    if isinstance(cause, http.client.IncompleteRead):
        return target.error(
            "http", _("the connection ended before the reply was complete; look in the peer's error log")
        )
    if isinstance(cause, OSError):
        return target.error(
            "http",
            _("the connection broke before the reply was complete (${reason})", reason=_os_reason(cause)),
        )
    if isinstance(error, urllib3.exceptions.DecodeError):
        return target.error(
            "http", _("the reply is not compressed in the way it says; look for a broken proxy")
        )
    return target.error(
        "http",
        _("the answer is no proper HTTP (${kind}); is this a web server?", kind=type(cause).__name__),
    )


def _shown(url: str) -> str:
    without_user = re.sub(r"//[^/?#]*@", "//***@", url)
    return _plain(re.split(r"[?#]", without_user, maxsplit=1)[0])


def _plain(text: str) -> str:
    """Return text of the outside in a form that is safe in a log or terminal and not too long."""
    return re.sub(r"[^ -~]", "?", text[:200])


def _is_host(netloc: str, host: str) -> bool:
    # The whole authority is matched, as urlsplit overlooks what stands around an address in brackets.
    if re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?(:[0-9]+)?", netloc):
        return True
    if not re.fullmatch(r"\[[0-9A-Fa-f:.]+\](:[0-9]+)?", netloc):
        return False
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _network_to_list(address: Address) -> Network:
    """Return a network that is small but likely to hold the peer's whole site, and only its kind of address."""
    judged = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    if judged.is_loopback:
        return ip_network(judged)
    special = max((network.prefixlen for network, _ in _SPECIAL if judged in network), default=0)
    text = str(judged).partition("%")[0]
    return ip_network(f"{text}/{max(special, 24 if judged.version == 4 else 64)}", strict=False)  # noqa: PLR2004


def _os_reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _tls_word(error: ssl.SSLError) -> str:
    return (error.reason or type(error).__name__).replace("_", " ").lower()


def _tls_reason(target: _Target, deadline: _Deadline, error: OSError) -> Text:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _(
            "the certificate is not valid for ${host} (${reason}); mend it at the peer, or name your own "
            "certificate authority in the setting tconnect.network.ca_file",
            host=target.host,
            reason=error.verify_message,
        )
    if isinstance(error, TimeoutError):
        return _(
            "no encrypted connection within ${seconds} s; does the peer speak https at this port?",
            seconds=f"{deadline.seconds:.3g}",
        )
    reason = _tls_word(error) if isinstance(error, ssl.SSLError) else _os_reason(error)
    return _("no encrypted connection (${reason}); does the peer speak https at this port?", reason=reason)


def _size_reason(limit: int) -> Text:
    return _("the reply is larger than ${limit} bytes, the most that is taken here", limit=f"{limit:,}")


def _status_reason(status: int, location: str) -> Text:
    try:
        found = f"{status} ({http.HTTPStatus(status).phrase})"
    except ValueError:
        found = str(status)
    if 300 <= status < 400 and location:  # noqa: PLR2004
        return _(
            "expected HTTP status 200, found ${found}, a redirect to ${place}, which is not followed, as the form "
            "would be lost; correct the peer's URL, or keep the peer from redirecting this path",
            found=found,
            place=_shown(location),
        )
    if status == http.HTTPStatus.NOT_FOUND:
        hint = _("check the peer's URL, including any path before /totara or /auth")
    elif status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        hint = _("look in the error log of the peer")
    else:
        hint = _("check the peer's URL, and any proxy or firewall in front of the peer")
    return _("expected HTTP status 200, found ${found}; ${hint}", found=found, hint=hint)
