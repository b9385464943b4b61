import datetime as dt
import gzip
import resource
import socket
import ssl
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.http_peer import Conversation, Script, answering, http_peer, reply, resolving
from support.wsgi_transport import WsgiTransport
from webob import Request, Response

from tconnect_pyramid.errors import ConfigurationProblem, PeerError, TransactionOpen
from tconnect_pyramid.interfaces import ITransport, Transport
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.transport import HttpTransport, call, call_for_data, special_kind

LOOPBACK = [ip_network("127.0.0.0/8")]
FORM = [("serversecret", "s3cret-of-ours"), ("name", "Zoë & co")]
BODY = b'{"status":"success","data":{"word":"s3cret-of-theirs"}}'
LIMIT = 2**16


def transport(**options: Any) -> HttpTransport:
    return HttpTransport(**{"private_networks": LOOPBACK, "allow_http": True, **options})


def fetch(url: str, *, by: Transport | None = None, timeout: float = 5.0, limit: int = LIMIT) -> bytes:
    with (by or transport()).post(url, FORM, timeout=timeout, limit=limit) as body:
        return body.read()


def failure(url: str, **options: Any) -> PeerError:
    with pytest.raises(PeerError) as caught:
        fetch(url, **options)
    told = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in told
    assert caught.value.method == "POST"
    return caught.value


def failure_of(script: Script, **options: Any) -> PeerError:
    with http_peer(script) as peer:
        return failure(f"http://127.0.0.1:{peer.port}/", **options)


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


class TestReply:
    def test_body_is_returned_whole(self) -> None:
        with http_peer(answering(reply(BODY))) as peer:
            assert fetch(f"http://127.0.0.1:{peer.port}/sep.php") == BODY

    def test_request_is_a_form_and_names_us_and_the_host(self) -> None:
        with http_peer(answering(reply(BODY))) as peer:
            by = transport(resolve=resolving("127.0.0.1"))
            fetch(f"http://peer.example:{peer.port}/totara/connect/sep.php?x=1", by=by)
        [(head, form)] = peer.requests
        lines = head.split("\r\n")
        assert lines[0] == "POST /totara/connect/sep.php?x=1 HTTP/1.1"
        assert f"Host: peer.example:{peer.port}" in lines
        assert "Content-Type: application/x-www-form-urlencoded" in lines
        assert any(line.startswith("User-Agent: tconnect_pyramid/") for line in lines)
        assert form == b"serversecret=s3cret-of-ours&name=Zo%C3%AB+%26+co"

    def test_host_header_of_an_ipv6_literal_has_its_brackets(self) -> None:
        with http_peer(answering(reply(BODY))) as peer:
            fetch(f"http://[2600::1]:{peer.port}/", by=transport(resolve=resolving("127.0.0.1")))
        assert f"\r\nHost: [2600::1]:{peer.port}\r\n" in peer.requests[0][0]

    @pytest.mark.parametrize(
        ("encoding", "encode"),
        [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
    )
    def test_encodings_are_undone(self, encoding: str, encode: Callable[[bytes], bytes]) -> None:
        with http_peer(answering(reply(encode(BODY), f"Content-Encoding: {encoding}"))) as peer:
            assert fetch(f"http://127.0.0.1:{peer.port}/") == BODY

    def test_chunks_are_joined(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        with http_peer(answering(head, b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n", b"0\r\n\r\n")) as peer:
            assert fetch(f"http://127.0.0.1:{peer.port}/") == b"abcde"

    def test_body_without_a_length_ends_with_the_connection(self) -> None:
        with http_peer(answering(b"HTTP/1.0 200 OK\r\n\r\n", b"abc")) as peer:
            assert fetch(f"http://127.0.0.1:{peer.port}/") == b"abc"

    def test_large_body_is_whole_and_of_exactly_the_limit(self) -> None:
        large = bytes(range(256)) * 2**13
        with http_peer(answering(reply(large))) as peer:
            assert fetch(f"http://127.0.0.1:{peer.port}/", limit=len(large)) == large

    def test_proxies_of_the_environment_are_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        with http_peer(answering(reply(BODY))) as peer:
            assert fetch(f"http://127.0.0.1:{peer.port}/") == BODY

    def test_cookies_are_forgotten(self) -> None:
        with http_peer(answering(reply(BODY, "Set-Cookie: a=b; Path=/"))) as peer:
            by = transport()
            fetch(f"http://127.0.0.1:{peer.port}/", by=by)
            fetch(f"http://127.0.0.1:{peer.port}/", by=by)
        assert "cookie" not in peer.requests[1][0].lower()


class TestNoReply:
    def test_redirect_is_not_followed(self) -> None:
        moved = reply(
            b"", "Location: https://new.example/sep.php?token=s3cret", status="301 Moved Permanently"
        )
        with http_peer(answering(moved)) as peer:
            error = failure(f"http://127.0.0.1:{peer.port}/")
        assert error.layer == "http"
        assert "301" in error.reason
        assert "https://new.example/sep.php" in error.reason
        assert len(peer.requests) == 1

    @pytest.mark.parametrize(
        "status", ["201 Created", "204 No Content", "404 Not Found", "503 Busy", "799 Odd"]
    )
    def test_status_other_than_200_is_named(self, status: str) -> None:
        error = failure_of(answering(reply(b"", status=status)))
        assert error.layer == "http"
        assert status[:3] in error.reason

    def test_failure_is_not_tried_again(self) -> None:
        with http_peer(answering(b"")) as peer:
            error = failure(f"http://127.0.0.1:{peer.port}/")
        assert error.layer == "http"
        assert "without an answer" in error.reason
        assert len(peer.requests) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{s3cret", id="length"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{s3cret", id="in-chunk"
            ),
            pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", id="chunks"),
            pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ns3cret\r\n", id="no-chunk"),
            pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\ns3cret", id="no-size"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\ns3cret", id="no-size-5"
            ),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"s3cret" * 20_000,
                id="long-chunk-line",
            ),
            pytest.param(b"s3cret s3cret\r\n\r\n", id="no-http"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"s3cret" * 20_000 + b"\r\n\r\n", id="long-header"),
            pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: s3cret\r\n" * 200 + b"\r\n", id="many-headers"),
            pytest.param(reply(b"s3cret", "Content-Length: 5"), id="two-lengths"),
            pytest.param(reply(b"s3cret", "Content-Encoding: gzip"), id="no-gzip"),
            pytest.param(reply(b"s3cret", "Content-Encoding: br"), id="not-asked-for"),
        ],
    )
    def test_broken_reply_is_refused(self, answer: bytes) -> None:
        assert failure_of(answering(answer)).layer == "http"

    def test_closed_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        error = failure(f"http://127.0.0.1:{port}/")
        assert error.layer == "connect"
        assert "Connection refused" in error.reason

    def test_reset_connection(self) -> None:
        def reset(conversation: Conversation) -> None:
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", pause=0.1)
            no_linger = b"\x01\0\0\0\0\0\0\0"
            conversation.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)

        assert failure_of(reset).layer == "http"


class TestTimeLimit:
    def test_peer_that_never_answers(self) -> None:
        with ends_within(1.5):
            error = failure_of(Conversation.wait, timeout=0.4)
        assert error.layer == "timeout"
        assert "0.4 s" in error.reason

    def test_peer_that_never_accepts(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, ends_within(1.5):
            error = failure(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.4)
        assert error.layer == "timeout"

    @pytest.mark.parametrize(
        "start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"]
    )
    def test_drip_ends_at_the_deadline(self, start: bytes) -> None:
        def drip(conversation: Conversation) -> None:
            conversation.send(start)
            conversation.drip(b"HTTP/1.1 200 OK\r\n" if not start else b"x" * 900)

        with ends_within(1.5):
            assert failure_of(drip, timeout=0.3).layer == "timeout"

    @pytest.mark.parametrize("data", [b"1\r\nx\r\n" * 200, b"1" * 900, b"0\r\n" + b"X: y\r\n" * 200])
    def test_drip_of_chunks_ends_at_the_deadline(self, data: bytes) -> None:
        def drip(conversation: Conversation) -> None:
            conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            conversation.drip(data)

        with ends_within(1.5):
            assert failure_of(drip, timeout=0.3).layer == "timeout"

    def test_endless_interim_replies_end_at_the_deadline(self) -> None:
        def interim(conversation: Conversation) -> None:
            while not conversation.over.is_set():
                conversation.send(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01)

        with ends_within(1.5):
            assert failure_of(interim, timeout=0.3).layer == "timeout"

    def test_peer_that_does_not_read_the_form(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, ends_within(5):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            with pytest.raises(PeerError) as caught:
                transport().post(url, [("x", "y" * 2**24)], timeout=1, limit=LIMIT)
        assert caught.value.layer == "timeout"

    def test_slow_names_end_at_the_deadline(self) -> None:
        def slow(*_args: object, **_hints: object) -> list[Any]:
            time.sleep(1)
            return []

        with ends_within(0.8):
            error = failure("http://peer.example/", by=transport(resolve=slow), timeout=0.3)
        assert error.layer == "dns"

    def test_unanswered_connection(self) -> None:
        with socket.socket() as listener, ends_within(1.5):
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            # Linux leaves further connections unanswered once the queue of those to accept is full.
            with socket.create_connection(listener.getsockname()):
                error = failure(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.4)
        assert error.layer == "connect"
        assert "within 0.4 s" in error.reason


class TestSizeLimit:
    def test_announced_length(self) -> None:
        def announce(conversation: Conversation) -> None:
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n")
            conversation.wait()

        assert failure_of(announce, limit=100).layer == "size"

    def test_endless_body(self) -> None:
        def endless(conversation: Conversation) -> None:
            conversation.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while not conversation.over.is_set():
                conversation.send(b"x" * 2**16)

        error = failure_of(endless, limit=2**20)
        assert error.layer == "size"
        assert "1,048,576" in error.reason

    def test_what_decodes_to_too_much(self) -> None:
        bomb = gzip.compress(bytes(2**26))
        assert len(bomb) < LIMIT * 2
        error = failure_of(answering(reply(bomb, "Content-Encoding: gzip")), limit=LIMIT * 2)
        assert error.layer == "size"

    def test_reply_that_does_not_fit_the_disk(self) -> None:
        # Above 1 MiB the body goes to a file, which this process may not let grow.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, hard))
        try:
            error = failure_of(answering(reply(bytes(2**21))), limit=2**22)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert error.layer == "size"
        assert "temporary file" in error.reason


class TestUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "peer.example/sep.php",
            "ftp://peer.example/",
            "https:///sep.php",
            "https://user:s3cret@peer.example/",
            "https://s3cret@peer.example/",
            "https://peer.example/#s3cret",
            "https://peer.example:port/",
            "https://peer.example:99999/",
            "https://münchen.example/",
            "https://peer.example/a b",
            "https://peer.example/a\r\nX-Evil: 1",
            "https://peer.example\\.evil.example/",
            "https://peer%2eexample/",
            "https://[::1/",
            "https://[v1.x]/",
            "https://[::1]x/",
            "https://a[::1]/",
            "https://[::g]/",
            "https://[1.2.3.4]/",
            "https://peer.example:/",
            "https://peer..example/",
            "https://.example/",
            "https://./",
        ],
    )
    def test_what_is_no_url_of_a_peer(self, url: str) -> None:
        error = failure(url, by=transport(resolve=resolving("127.0.0.1")))
        assert error.layer == "address"
        assert "URL cannot be used" in error.reason
        assert "\n" not in str(error)

    def test_http_needs_its_setting(self) -> None:
        error = failure("http://127.0.0.1/", by=transport(allow_http=False))
        assert error.layer == "address"
        assert "tconnect.network.allow_http" in error.reason

    def test_user_name_is_said_to_be_the_trouble(self) -> None:
        assert "leave it out" in failure("https://user:s3cret@peer.example/").reason

    def test_query_is_not_shown(self) -> None:
        error = failure("https://10.0.0.1/sep.php?token=s3cret")
        assert error.url == "https://10.0.0.1/sep.php"


SPECIAL = {
    "0.0.0.0": "unspecified",  # noqa: S104 - no binding
    "0.1.2.3": "0.0.0.0/8",
    "10.0.0.1": "private",
    "100.64.0.1": "carrier",
    "100.127.255.255": "carrier",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.170": "reserved",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarks",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::10.0.0.1": "IPv4-compatible",
    "::8.8.8.8": "IPv4-compatible",
    "::ffff:10.0.0.1": "private",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:224.0.0.1": "multicast",
    "::ffff:0.0.0.0": "unspecified",
    "::ffff:0:10.0.0.1": "reserved",
    "64:ff9b::a00:1": "NAT64",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::a00:1": "NAT64",
    "100::1": "reserved",
    "2001::1": "Teredo",
    "2001:2::1": "reserved",
    "2001:20::1": "reserved",
    "2001:db8::1": "documentation",
    "2002:a00:1::": "6to4",
    "2002:808:808::1": "6to4",
    "3fff::1": "documentation",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "fe80::1": "link-local",
    "fe80::1%2": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ffff::1": "multicast",
}


class Names:
    """A `socket.getaddrinfo` that a test tells what to answer."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()

    def __call__(self, host: str, port: int, **hints: object) -> Any:
        return resolving(*self.addresses)(host, port, **hints)


@pytest.fixture(scope="module")
def names() -> Names:
    return Names()


@pytest.fixture(scope="module")
def careful(names: Names) -> HttpTransport:
    """Return a transport that permits no private network; one for all, as loading the authorities takes a while."""
    return HttpTransport(private_networks=[], allow_http=False, resolve=names)


class TestAddress:
    @pytest.mark.parametrize(("address", "kind"), SPECIAL.items())
    def test_special_address_is_refused_and_named(
        self, address: str, kind: str, careful: HttpTransport, names: Names
    ) -> None:
        names.addresses = (address,)
        error = failure("https://peer.example/", by=careful)
        assert error.layer == "address"
        assert kind in error.reason
        assert address in error.reason
        assert "tconnect.network.private" in error.reason

    @pytest.mark.parametrize("address", SPECIAL)
    def test_network_that_the_error_proposes_permits_the_address(
        self, address: str, careful: HttpTransport, names: Names
    ) -> None:
        names.addresses = (address,)
        proposed = failure("https://peer.example/", by=careful).reason.split("for example ")[1].split(")")[0]
        assert special_kind(ip_address(address), [ip_network(proposed)]) is None

    @pytest.mark.parametrize(
        "address", ["1.1.1.1", "100.63.255.255", "172.32.0.1", "2600::1", "2a00:1450::8", "::ffff:1.1.1.1"]
    )
    def test_public_address_is_permitted(self, address: str) -> None:
        assert special_kind(ip_address(address)) is None

    @pytest.mark.parametrize(
        ("address", "listed", "permitted"),
        [
            ("10.0.0.1", "10.0.0.0/24", True),
            ("10.0.1.1", "10.0.0.0/24", False),
            ("::ffff:10.0.0.1", "10.0.0.0/24", True),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.0/120", True),
            ("::10.0.0.1", "10.0.0.0/24", False),
            ("64:ff9b::a00:1", "10.0.0.0/24", False),
            ("2002:a00:1::", "10.0.0.0/24", False),
            ("fd00::1", "fd00::/8", True),
            ("fd00::1", "10.0.0.0/8", False),
        ],
    )
    def test_listed_network(self, address: str, listed: str, permitted: bool) -> None:
        assert (special_kind(ip_address(address), [ip_network(listed)]) is None) is permitted

    @pytest.mark.parametrize(
        "literal", ["127.1", "2130706433", "0x7f.0.0.1", "localhost", "127.0.0.1", "[::1]"]
    )
    def test_spellings_of_this_machine(self, literal: str) -> None:
        error = failure(f"http://{literal}/", by=transport(private_networks=[]))
        assert error.layer == "address"
        assert "loopback" in error.reason

    @pytest.mark.parametrize("addresses", [("127.0.0.1", "10.0.0.1"), ("10.0.0.1", "127.0.0.1")])
    def test_one_address_that_is_not_permitted_is_enough(self, addresses: tuple[str, str]) -> None:
        with http_peer(answering(reply(BODY))) as peer:
            by = transport(resolve=resolving(*addresses))
            error = failure(f"http://peer.example:{peer.port}/", by=by)
        assert error.layer == "address"
        assert "10.0.0.1" in error.reason
        assert "10.0.0.0/24" in error.reason
        assert peer.requests == []

    def test_name_is_looked_up_once(self) -> None:
        answers = iter([resolving("127.0.0.1"), resolving("127.0.0.2")])

        def rebinding(*args: Any, **hints: Any) -> Any:
            return next(answers)(*args, **hints)

        with http_peer(answering(reply(BODY))) as peer:
            assert fetch(f"http://peer.example:{peer.port}/", by=transport(resolve=rebinding)) == BODY

    def test_next_address_is_tried_when_the_first_takes_no_connection(self) -> None:
        with http_peer(answering(reply(BODY))) as peer:
            by = transport(resolve=resolving("127.0.0.2", "127.0.0.1"))
            assert fetch(f"http://peer.example:{peer.port}/", by=by) == BODY

    def test_name_that_no_name_server_could_know(self) -> None:
        assert failure(f"https://{'x' * 64}.example/").layer == "dns"

    def test_unknown_name(self) -> None:
        def unknown(*_args: object, **_hints: object) -> list[Any]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        error = failure("https://peer.example/", by=transport(resolve=unknown))
        assert error.layer == "dns"
        assert "peer.example" in error.reason
        assert "Name or service not known" in error.reason


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file with a key and its self-signed certificate for peer.example."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer.example")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("peer.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "peer.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class TestTls:
    def test_trusted_certificate(self, tls: ssl.SSLContext, certificate: Path) -> None:
        by = transport(ca_file=str(certificate), resolve=resolving("127.0.0.1"), allow_http=False)
        with http_peer(answering(reply(BODY)), tls=tls) as peer:
            assert fetch(f"https://peer.example:{peer.port}/", by=by) == BODY
        assert f"\r\nHost: peer.example:{peer.port}\r\n" in peer.requests[0][0]

    def test_host_header_leaves_the_usual_port_out(self, tls: ssl.SSLContext, certificate: Path) -> None:
        with http_peer(answering(reply(BODY)), tls=tls) as peer:

            def elsewhere(host: str, _port: int, **hints: object) -> Any:
                return resolving("127.0.0.1")(host, peer.port, **hints)

            fetch("https://peer.example/", by=transport(ca_file=str(certificate), resolve=elsewhere))
        assert "\r\nHost: peer.example\r\n" in peer.requests[0][0]

    def test_unknown_authority(self, tls: ssl.SSLContext) -> None:
        with http_peer(answering(reply(BODY)), tls=tls) as peer:
            error = failure(
                f"https://peer.example:{peer.port}/", by=transport(resolve=resolving("127.0.0.1"))
            )
        assert error.layer == "tls"
        assert "self-signed certificate" in error.reason
        assert "tconnect.network.ca_file" in error.reason
        assert peer.requests == []

    @pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
    def test_certificate_of_another_name(self, tls: ssl.SSLContext, certificate: Path, host: str) -> None:
        by = transport(ca_file=str(certificate), resolve=resolving("127.0.0.1"))
        with http_peer(answering(reply(BODY)), tls=tls) as peer:
            error = failure(f"https://{host}:{peer.port}/", by=by)
        assert error.layer == "tls"
        assert "is not valid for" in error.reason
        assert peer.requests == []

    def test_peer_without_tls(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def speak_http() -> None:
                with listener.accept()[0] as sock:
                    sock.sendall(reply(b"", status="400 Bad Request"))
                    sock.recv(2**16)

            thread = threading.Thread(target=speak_http)
            thread.start()
            error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}/")
            thread.join()
        assert error.layer == "tls"
        assert "does the peer speak https at this port" in error.reason

    def test_handshake_that_is_never_answered(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, ends_within(1.5):
            error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.4)
        assert error.layer == "tls"

    def test_drip_ends_at_the_deadline(self, tls: ssl.SSLContext, certificate: Path) -> None:
        by = transport(ca_file=str(certificate), resolve=resolving("127.0.0.1"))

        def drip(conversation: Conversation) -> None:
            conversation.send(b"HTTP/1.1 200 OK\r\n")
            conversation.drip(b"X-Slow: 1\r\n" * 50)

        with http_peer(drip, tls=tls) as peer, ends_within(1.5):
            error = failure(f"https://peer.example:{peer.port}/", by=by, timeout=0.3)
        assert error.layer == "timeout"

    @pytest.mark.parametrize("content", [None, b"no certificate"])
    def test_unusable_authorities_are_a_configuration_problem(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigurationProblem, match=r"tconnect\.network\.ca_file"):
            transport(ca_file=str(path))


def test_open_transaction_forbids_the_call() -> None:
    def busy() -> None:
        raise TransactionOpen

    with http_peer(answering(reply(BODY))) as peer, pytest.raises(TransactionOpen):
        fetch(f"http://127.0.0.1:{peer.port}/", by=transport(check_idle=busy))
    assert peer.requests == []


def test_transport_may_be_registered() -> None:
    assert ITransport.providedBy(transport())


class TestCall:
    def test_success(self) -> None:
        with http_peer(answering(reply(BODY))) as peer:
            url = f"http://127.0.0.1:{peer.port}/"
            assert call(transport(), url, FORM) == jsend.Success({"word": "s3cret-of-theirs"})
            assert call_for_data(transport(), url, FORM) == {"word": "s3cret-of-theirs"}

    @pytest.mark.parametrize(
        ("body", "result", "words"),
        [
            (b'{"status":"fail","data":{"userid":"missing"}}', jsend.Fail({"userid": "missing"}), "missing"),
            (
                b'{"status":"error","message":"session expired"}',
                jsend.Error("session expired"),
                "session expired",
            ),
        ],
    )
    def test_refusal(self, body: bytes, result: jsend.Fail | jsend.Error, words: str) -> None:
        with http_peer(answering(reply(body))) as peer:
            url = f"http://127.0.0.1:{peer.port}/"
            assert call(transport(), url, FORM) == result
            with pytest.raises(PeerError, match=words) as caught:
                call_for_data(transport(), url, FORM)
        assert caught.value.layer == "refused"

    @pytest.mark.parametrize("body", [b"", b"<html>s3cret</html>", b"[]", b'{"status":"s3cret"}', BODY[:-1]])
    def test_body_that_is_no_jsend(self, body: bytes) -> None:
        with http_peer(answering(reply(body))) as peer, pytest.raises(PeerError) as caught:
            call(transport(), f"http://127.0.0.1:{peer.port}/", FORM)
        assert caught.value.layer == "json"


class TestWsgiTransport:
    @staticmethod
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        text = f"{request.host} {request.script_name} {request.path_info} {request.POST['name']}"
        status = 404 if request.path_info == "/missing" else 200
        return Response(text, status=status)(environ, start_response)

    def test_longest_base_answers(self) -> None:
        by = WsgiTransport({"https://a.example": None, "https://a.example/site": self.app})
        assert fetch("https://a.example/site/sep.php", by=by).decode() == "a.example /site /sep.php Zoë & co"

    def test_port_is_part_of_the_host(self) -> None:
        by = WsgiTransport({"http://a.example:8080": self.app})
        assert fetch("http://a.example:8080/sep.php", by=by).decode() == "a.example:8080  /sep.php Zoë & co"

    @pytest.mark.parametrize(
        ("url", "layer"),
        [
            ("https://a.example/missing", "http"),
            ("https://a.example.evil/", "connect"),
            ("https://b.example/", "connect"),
        ],
    )
    def test_failures(self, url: str, layer: str) -> None:
        by = WsgiTransport({"https://a.example": self.app, "https://b.example": self.app})
        by.down.add("https://b.example")
        assert failure(url, by=by).layer == layer

    def test_size(self) -> None:
        assert (
            failure("https://a.example/", by=WsgiTransport({"https://a.example": self.app}), limit=3).layer
            == "size"
        )

    def test_open_transaction_forbids_the_call(self) -> None:
        def busy() -> None:
            raise TransactionOpen

        with pytest.raises(TransactionOpen):
            fetch("https://a.example/", by=WsgiTransport({"https://a.example": self.app}, check_idle=busy))
