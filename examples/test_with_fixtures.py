"""A test file that uses netstructer's fixtures: pytest finds them once netstructer is installed.

python -m pytest examples/test_with_fixtures.py
"""

from netstructer.testing import Cut, Reset


def echo(link):
    """The server under test: it gives back what it gets."""
    for value in link:
        link.send(value)


def test_both_ends_of_a_link(netstructer_link_pair):
    client, server = netstructer_link_pair
    client.send({1, 2})

    assert server.recv(timeout=10) == {1, 2}


def test_my_server_under_cuts(netstructer_server, netstructer_chaos, netstructer_link):
    server = netstructer_server(echo)
    proxy = netstructer_chaos(server.address, [[Cut(at=5_000)], [Reset(at=9_000, direction="in")]])
    link = netstructer_link(proxy.address)
    for number in range(200):
        link.send(number)

    assert [link.recv(timeout=30) for _ in range(200)] == list(range(200))
    assert proxy.counters.cuts > 0


def test_nothing_of_mine_is_touched(netstructer_home):
    assert list(netstructer_home.iterdir()) == []
