"""No test reaches the network: every Python process that starts with this folder on its path refuses to.

An audit hook sees each connection and each look-up of a name, whatever library asks for it, and cannot be taken
out again. `tests/conftest.py` puts the hook into the test process and this folder on the path of its children.
"""

from __future__ import annotations

import sys

ATTEMPTS: list[str] = []
"""What was refused; a library may swallow the error, so the tests look here too."""

_HOST_AT = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.connect": 1, "socket.sendto": 1}


class NetworkTouched(RuntimeError):
    """Something tried to leave this machine."""


def _is_local(host: object) -> bool:
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode(errors="replace")
    if not isinstance(host, str) or host in ("", "localhost"):
        return True  # no host, the file of a Unix socket, or an address family without hosts
    import ipaddress

    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _HOST_AT:
        return
    target = arguments[_HOST_AT[event]]
    if event in ("socket.connect", "socket.sendto"):
        if not isinstance(target, tuple):  # a Unix socket
            return
        target = target[0]
    if not _is_local(target):
        ATTEMPTS.append(f"{event} {target!r}")
        raise NetworkTouched(f"{event} {target!r}: tests stay on this machine")


sys.addaudithook(_refuse)
