"""Test your own program under cuts: a server that counts words, and a proxy that cuts its connections.

python examples/under_cuts.py
"""

from __future__ import annotations

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
    """Send every word through a proxy that cuts, and compare the answers with what they must be."""
    key = Key.generate()
    with (
        Server(key=key, handler=count_words) as server,
        ChaosProxy(server.address, Cuts(mean_bytes=20_000, early=0, most=20), seed=7) as proxy,
        Link(proxy.address, key=key) as link,
    ):
        link.send_many(WORDS)
        answers = [link.recv(timeout=60) for _ in WORDS]
        cuts = proxy.counters.cuts

    assert answers == [(word, 1 + place // 3) for place, word in enumerate(WORDS)]
    assert cuts > 0
    print(f"{len(answers)} answers, every one right, and more than one cut: {cuts > 1}")


if __name__ == "__main__":
    test_nobody_notices_cuts()
