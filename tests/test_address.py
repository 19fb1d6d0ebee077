"""Addresses: every form that is read, every one that is refused, and one spelling for each IP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.address import Address, Sources, normalise_ip, parse_address, parse_network
from netstructer.errors import InvalidAddress


@pytest.mark.parametrize(
    ("given_address", "host", "port"),
    [
        (("192.168.1.5", 5000), "192.168.1.5", 5000),
        (("localhost", 0), "localhost", 0),
        (("", 5000), "", 5000),
        (("::1", 65535), "::1", 65535),
        (("::ffff:192.0.2.7", 1), "192.0.2.7", 1),
        (("fe80::1%eth0", 1, 0, 2), "fe80::1%eth0", 1),
        ("192.168.1.5:5000", "192.168.1.5", 5000),
        ("host.example:80", "host.example", 80),
        (":5000", "", 5000),
        ("[::1]:5000", "::1", 5000),
        ("[0:0:0:0:0:0:0:1]:5000", "::1", 5000),
        ("[::ffff:7f00:1]:5000", "127.0.0.1", 5000),
        (Address("a", 1), "a", 1),
    ],
)
def test_what_is_an_address(given_address: Any, host: str, port: int) -> None:
    found = parse_address(given_address)

    assert found == (host, port)
    assert isinstance(found, Address)
    if host:
        assert parse_address(str(found)) == found


@pytest.mark.parametrize(
    "given_address",
    [
        *(
            "",
            "host",
            "host:",
            "host:x",
            "host:-1",
            "host:65536",
            "host:123456",
            "host:٣",
            "host: 5",
            "ho st:5",
            "h\0:5",
        ),
        *("::1", "::1:5000", "[::1]", "[::1]5000", "[::1", "[::1]:", "[::1]:x", "a:b:5"),
        *(("host",), ("host", "5"), ("host", 65536), ("host", -1), ("host", True), ("host", 5.0), ("host", None)),
        *((b"host", 5), (None, 5), ("ho\tst", 5), ["host", 5], None, 5, b"host:5"),
    ],
)
def test_what_is_no_address(given_address: Any) -> None:
    with pytest.raises(InvalidAddress) as caught:
        parse_address(given_address)

    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("text", "found"), [("host", ("host", 7)), ("[::1]", ("::1", 7)), ("host:1", ("host", 1))])
def test_a_default_port(text: str, found: tuple[str, int]) -> None:
    assert parse_address(text, default_port=7) == found


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = parse_address(text)
    except InvalidAddress:
        return

    assert 0 <= found.port <= 65535


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("0:0:0:0:0:FFFF:C000:0207", "192.0.2.7"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::1", "::1"),
        ("FE80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_one_spelling_for_each_ip(text: str, one: str) -> None:
    assert normalise_ip(text) == normalise_ip(one) == one


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.07", "192.0.2", "0x7f.1", " 127.0.0.1", "1.2.3.4:5", "::g"])
def test_what_is_no_ip(text: str) -> None:
    with pytest.raises(InvalidAddress):
        normalise_ip(text)


def test_loopback_is_exempt_and_sources_are_what_one_stranger_has() -> None:
    sources = Sources()

    assert sources.exempts(normalise_ip("::ffff:127.8.8.8"))
    assert sources.exempts("::1")
    assert not sources.exempts("192.0.2.7")
    assert sources.name("192.0.2.7") == "192.0.2.7"
    assert sources.name("2001:db8:1:2:3:4:5:6") == sources.name("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert sources.name("2001:db8:1:3::1") != sources.name("2001:db8:1:2::1")
    assert sources.name("fe80::1%eth0") == "fe80::/64"


def test_what_is_one_source_can_be_said() -> None:
    sources = Sources(("192.0.2.0/25", "2001:db8::/32"), ipv4_bits=24, ipv6_bits=128)

    assert sources.name("192.0.2.200") == "192.0.2.0/24"
    assert sources.name("2001:db8::1") == "2001:db8::1/128"
    assert [sources.exempts(ip) for ip in ("192.0.2.127", "192.0.2.128", "2001:db8:ffff::1", "127.0.0.1")] == [
        *(True, False, True, False)
    ]
    assert not Sources(()).exempts("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::/0", "::/0"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:0:0/95", None),
        ("::fffe:0:0/95", "::fffe:0:0/95"),
        ("192.0.2.1/24", None),
        ("192.0.2.0/255.255.255.0", None),
        ("192.0.2.0/024", None),
        ("192.0.2.0/33", None),
        ("192.0.2.0/", None),
        ("192.0.2.0/-1", None),
        ("192.0.2.0/²", None),
        ("192.0.2.0/24/24", None),
        ("192.0.2", None),
        ("fe80::1%eth0", None),
        ("example.com", None),
        ("", None),
        (7, None),
        (b"\xc0\0\2\0", None),
    ],
)
def test_networks_have_one_spelling_or_are_none(text: Any, one: str | None) -> None:
    if one is None:
        with pytest.raises(InvalidAddress):
            parse_network(text)
    else:
        assert str(parse_network(text)) == one
