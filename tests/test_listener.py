"""The listener: nine tenths of the descriptors are for transports, and the last one is for closing."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from loopback import PATIENCE_SECONDS, eventually, open_files
from netstructer import listener as module
from netstructer import sockets
from netstructer.listener import DescriptorsShort, Listener


@pytest.fixture
def listener() -> Iterator[Listener]:
    transport = socket.create_server(("127.0.0.1", 0))
    transport.setblocking(False)
    made = Listener(transport)
    yield made
    made.close()


def address_of(listener: Listener) -> Any:
    return listener._transport.getsockname()


def accepted(listener: Listener) -> socket.socket | None:
    with contextlib.suppress(BlockingIOError):
        return listener.accept()
    return None


def test_transports_are_taken_and_none_waits_when_none_is_left(listener: Listener) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()
    with socket.create_connection(address_of(listener)) as near:
        taken: list[socket.socket] = []
        eventually(lambda: taken.extend(filter(None, [accepted(listener)])) or taken)
        with taken[0] as far:
            assert far.getpeername() == near.getsockname()


@pytest.mark.parametrize(("room", "closed"), [(1, False), (0, True), (-5, True)])
def test_the_last_tenth_is_not_for_strangers(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, room: int, closed: bool
) -> None:
    with socket.create_connection(address_of(listener), timeout=PATIENCE_SECONDS) as near:
        with socket.socket() as probe:  # systems give out the lowest number that is free
            number = probe.fileno()
        monkeypatch.setattr(module, "DESCRIPTOR_SHARE", 1.0)
        monkeypatch.setattr(sockets, "descriptor_limit", lambda: number + room)
        if not closed:
            listener.accept().close()
            return
        with pytest.raises(DescriptorsShort) as short:
            listener.accept()

        assert short.value.closed
        assert near.recv(1) == b""


def test_a_system_that_states_no_number_of_descriptors_takes_all(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "resource", None)

    assert sockets.descriptor_limit() is None
    with socket.create_connection(address_of(listener)):
        listener.accept().close()


class Refusing:
    """A listening socket whose accept fails so many times, as that of a process without descriptors."""

    def __init__(self, transport: socket.socket, failures: int, number: int) -> None:
        self._transport, self.failures, self._number = transport, failures, number

    def accept(self) -> tuple[socket.socket, Any]:
        self.failures -= 1
        if self.failures >= 0:
            raise OSError(self._number, os.strerror(self._number))
        return self._transport.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@pytest.mark.parametrize(("failures", "closed"), [(1, True), (2, False)])
def test_the_one_in_reserve_is_for_closing_who_comes_when_none_is_left(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, failures: int, closed: bool
) -> None:
    before = open_files()
    with socket.create_connection(address_of(listener), timeout=PATIENCE_SECONDS) as near:
        monkeypatch.setattr(listener, "_transport", Refusing(listener._transport, failures, errno.EMFILE))
        with pytest.raises(DescriptorsShort, match="cannot accept") as short:
            listener.accept()

        assert short.value.closed is closed
        if closed:
            assert near.recv(1) == b""
        else:
            listener.accept().close()  # it waited
    assert open_files() == before
    assert listener._reserve is not None


def test_where_no_descriptor_can_be_held_back_it_goes_on_without(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    before = open_files()
    monkeypatch.setattr(listener, "_transport", Refusing(listener._transport, 1, errno.ENFILE))
    with socket.create_connection(address_of(listener), timeout=PATIENCE_SECONDS):
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", fail)
            with pytest.raises(DescriptorsShort) as short:
                listener.accept()

        assert short.value.closed
        assert listener._reserve is None
    assert open_files() == before - (before != -1)


def test_a_transport_that_broke_before_it_was_taken_is_an_error_of_its_own(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_transport", Refusing(listener._transport, 1, errno.ECONNABORTED))
    with pytest.raises(ConnectionAbortedError):
        listener.accept()


def test_it_is_closed_twice_and_leaves_nothing() -> None:
    before = open_files()
    made = Listener(socket.create_server(("127.0.0.1", 0)))
    made.close()
    made.close()

    assert made.fileno() == -1
    assert open_files() == before
