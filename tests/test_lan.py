"""By which addresses this machine is reached: nobody is asked, and what comes out can be listened at."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from netstructer import lan, sockets
from netstructer.address import Address
from netstructer.errors import CannotListen


class Asking:
    """Stands in for `socket.socket`: answers which address it would come from, and cannot send."""

    answers: dict[str, str] = {}
    asked: list[tuple[str, int]] = []

    def __init__(self, family: int, kind: int) -> None:
        assert kind == socket.SOCK_DGRAM
        self.family = family

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, place: tuple[str, int]) -> None:
        self.asked.append(place)
        if place[0] not in self.answers:
            raise OSError("no route")
        self.found = self.answers[place[0]]

    def getsockname(self) -> tuple[Any, ...]:
        return (self.found, 40000) if self.family == socket.AF_INET else (self.found, 40000, 0, 0)


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let a test say which of its addresses the machine would use to reach another."""
    monkeypatch.setattr(Asking, "answers", {})
    monkeypatch.setattr(Asking, "asked", [])
    monkeypatch.setattr(lan, "socket", SimpleNamespace(**{**vars(socket), "socket": Asking}))
    monkeypatch.setattr(lan, "_of_interfaces", lambda: iter(()))
    return Asking.answers


def test_the_way_out_says_which_address_is_ours(routes: dict[str, str]) -> None:
    routes |= {"192.0.2.1": "192.168.1.5", "203.0.113.1": "192.168.1.5", "2001:db8::1": "fd00::5"}

    assert lan.lan_addresses() == ("192.168.1.5", "fd00::5")
    assert lan.lan_address() == "192.168.1.5"


def test_only_addresses_that_are_nobodys_are_asked_about(routes: dict[str, str]) -> None:
    lan.lan_addresses()
    networks = [ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
    networks.append(ipaddress.ip_network("2001:db8::/32"))

    assert len(Asking.asked) == 4
    assert all(any(ipaddress.ip_address(host) in network for network in networks) for host, _ in Asking.asked)


@pytest.mark.parametrize("useless", ["127.0.0.1", "0.0.0.0", "224.0.0.1"])
def test_what_nobody_can_dial_is_no_answer(useless: str, routes: dict[str, str]) -> None:
    routes |= {"192.0.2.1": useless, "198.51.100.1": "10.0.0.7", "2001:db8::1": "fe80::1"}

    assert lan.lan_addresses() == ("10.0.0.7",)


def test_a_machine_with_ipv6_alone_is_reached_by_that(routes: dict[str, str]) -> None:
    routes["2001:db8::1"] = "2001:db8::5"

    assert lan.lan_address() == "2001:db8::5"


def test_without_a_way_out_the_interfaces_are_looked_through(
    routes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lan, "_of_interfaces", lambda: iter(["127.0.0.1", "192.168.7.2", "::1", "fe80::2", "fd00::2"]))

    assert lan.lan_addresses() == ("192.168.7.2", "fd00::2")


def test_a_machine_that_is_alone_says_so(routes: dict[str, str]) -> None:
    with pytest.raises(CannotListen) as caught:
        lan.lan_address()

    assert caught.value.stage == "name"
    assert lan.addresses_for_clients(Address("0.0.0.0", 5000))[0].port == 5000
    assert lan.addresses_for_clients(Address("0.0.0.0", 5000))[0].host


def test_clients_dial_what_is_listened_at_or_what_others_reach(routes: dict[str, str]) -> None:
    routes |= {"192.0.2.1": "192.168.1.5", "2001:db8::1": "fd00::5"}
    both = (Address("192.168.1.5", 9), Address("fd00::5", 9))

    assert lan.addresses_for_clients(Address("127.0.0.1", 9)) == (Address("127.0.0.1", 9),)
    assert lan.addresses_for_clients(Address("0.0.0.0", 9)) == both[:1]
    assert lan.addresses_for_clients(Address("::", 9)) == lan.addresses_for_clients(Address("", 9)) == both


def test_what_this_machine_finds_can_be_listened_at() -> None:
    for host in lan.lan_addresses():
        with contextlib.closing(sockets.listening_socket(Address(host, 0))) as listener:
            assert listener.getsockname()[0] == host


def test_the_list_of_interfaces_has_what_the_way_out_says() -> None:
    if not hasattr(socket, "if_nameindex") or not list(lan._of_interfaces()):
        pytest.skip("this system lists no addresses")

    assert set(lan._on_the_way_out()) <= set(lan._of_interfaces())
