"""A peer on the loopback interface that answers with exactly the bytes a test asks for, at its pace."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[["Conversation"], None]


@dataclass
class Conversation:
    """One connection after its request has been read."""

    sock: socket.socket
    over: threading.Event

    def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        for piece in pieces:
            self.sock.sendall(piece)
            self.over.wait(pause)

    def drip(self, data: bytes, *, pause: float = 0.05) -> None:
        """Send `data` byte by byte until it ends or the test does."""
        for byte in data:
            if self.over.wait(pause):
                return
            self.sock.sendall(bytes([byte]))

    def wait(self) -> None:
        self.over.wait(20)


@dataclass
class Peer:
    """The peer's port and what it was sent, head and form apart."""

    port: int
    requests: list[tuple[str, bytes]] = field(default_factory=list)


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a reply with its length, and `headers` written `Name: value`."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def answering(*pieces: bytes) -> Script:
    """Return a script that sends these pieces and closes the connection."""

    def script(conversation: Conversation) -> None:
        conversation.send(*pieces)

    return script


def resolving(*addresses: str) -> Callable[..., Sequence[tuple[int, int, int, str, tuple[str, int]]]]:
    """Return a `socket.getaddrinfo` that knows these addresses for every name."""

    def resolve(_host: str, port: int, **_hints: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                0,
                "",
                (address, port),
            )
            for address in addresses
        ]

    return resolve


@contextmanager
def http_peer(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Run `script` for every connection to 127.0.0.1 on the yielded peer's port."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(listener.getsockname()[1])

        def converse(sock: socket.socket) -> None:
            # A client that hangs up or distrusts us is what some tests are about.
            with sock, suppress(OSError):
                sock.settimeout(20)
                with tls.wrap_socket(sock, server_side=True) if tls else sock as spoken:
                    peer.requests.append(_read_request(spoken))
                    script(Conversation(spoken, over))

        def accept() -> None:
            while not over.is_set():
                sock, _ = listener.accept()
                if over.is_set():
                    sock.close()
                    return
                thread = threading.Thread(target=converse, args=(sock,))
                threads.append(thread)
                thread.start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield peer
        finally:
            over.set()
            # Closing a socket does not wake a thread that waits in accept; a connection does.
            socket.create_connection(listener.getsockname()).close()
            acceptor.join()
            for thread in threads:
                thread.join()


def _read_request(sock: socket.socket) -> tuple[str, bytes]:
    with sock.makefile("rb") as stream:
        lines = []
        while (line := stream.readline()) not in {b"\r\n", b""}:
            lines.append(line.decode("latin-1"))
        head = "".join(lines)
        length = next(
            (int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0
        )
        return head, stream.read(length)
