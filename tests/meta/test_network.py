"""The guard that keeps tests on this machine does so."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import ModuleType

import pytest

ELSEWHERE = "192.0.2.1"  # reserved for documentation: nobody has it


def test_another_machine_cannot_be_reached(no_network: ModuleType) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        for reach in (
            lambda: socket.create_connection((ELSEWHERE, 80), timeout=1),
            lambda: socket.getaddrinfo("example.org", 443),
            lambda: socket.gethostbyname("example.org"),
            lambda: datagrams.sendto(b"x", (ELSEWHERE, 53)),
        ):
            with pytest.raises(no_network.NetworkTouched, match="stay on this machine"):
                reach()
    assert len(no_network.ATTEMPTS) == 4
    no_network.ATTEMPTS.clear()  # these were meant


def test_nor_by_a_process_that_a_test_starts() -> None:
    code = f"import socket; socket.create_connection(({ELSEWHERE!r}, 80), timeout=1)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "NetworkTouched" in found.stderr


def test_this_machine_can() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5) as mine,
    ):
        theirs, _ = server.accept()
        with theirs:
            theirs.sendall(b"hello")
            assert mine.recv(5) == b"hello"
