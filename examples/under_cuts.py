"""Test your own server under cuts: one that counts words, and a proxy that cuts its connections.

python examples/under_cuts.py
"""

from netstructer import Key, Link, Server
from netstructer.testing import ChaosProxy, Cuts

WORDS = ["alpha", "beta", "gamma"] * 400


def count_words(link: Link) -> None:
    """Answer each word with how often it has come: a word that came twice, or not at all, would show."""
    counts: dict[str, int] = {}
    for word in link:
        counts[word] = counts.get(word, 0) + 1
        link.send((word, counts[word]))


def test_nobody_notices_cuts() -> None:
    key = Key.generate()
    with (
        Server(key=key, handler=count_words) as server,
        ChaosProxy(server.address, Cuts(mean_bytes=20_000, early=0, most=20), seed=7) as proxy,
        Link(proxy.address, key=key) as link,
    ):
        link.send_many(WORDS)
        assert [link.recv(timeout=60) for _ in WORDS] == [(word, 1 + at // 3) for at, word in enumerate(WORDS)]
        assert proxy.counters.cuts > 1


if __name__ == "__main__":
    test_nobody_notices_cuts()
    print("1200 answers, every one right, through more than one cut")
