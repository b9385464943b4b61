"""Ports on which nobody listens."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """So many different ones of this machine."""
    # All are held until the last one is found, or two would be the same.
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
