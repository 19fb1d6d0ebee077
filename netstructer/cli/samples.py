"""The samples: what is sent when speed is measured.  Floor: ROOF.  Law: the same in every run."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

__all__ = ["MIB", "SMALL", "make_random_mebibytes", "make_rows", "make_text_mebibytes", "make_tuples"]

MIB = 1 << 20
SMALL = ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]
"""The structure of every small message: five containers, five types."""
DIFFERENT_MEBIBYTES = 16
"""How much of the bulk inputs is made; longer ones repeat it.  Nobody looks back from one message into another."""


def make_rows(count: int) -> list[dict[str, Any]]:
    """Return rows as a database gives them: six columns, dicts with the same keys."""
    draw = random.Random(1)
    first = ["ada", "bo", "chen", "dana", "eli", "farid", "gwen", "hugo", "ines", "jan"]
    last = ["smith", "garcia", "novak", "okafor", "tanaka", "weber", "silva", "haddad"]
    tags = ["red", "green", "blue", "new", "vip", "trial", "eu", "us", "apac", "beta"]
    rows = []
    for number in range(count):
        given, family = draw.choice(first), draw.choice(last)
        row = {
            "id": number,
            "name": f"{given} {family} {draw.randrange(10**6)}",
            "email": f"{given}.{family}{number}@example.com",
            "score": draw.random() * 100,
            "tags": draw.sample(tags, draw.randrange(4)),
            "active": draw.random() < 0.7,
        }
        rows.append(row)
    return rows


def make_tuples(count: int) -> list[tuple[Any, ...]]:
    """Return rows as `fetchall` gives them."""
    draw = random.Random(2)
    return [(i, f"item-{draw.randrange(10**9)}", draw.random(), i % 3 == 0, None) for i in range(count)]


def make_random_mebibytes(count: int) -> list[bytes]:
    """Return `count` pieces of a mebibyte that no compressor makes smaller."""
    different = [random.Random(7 + i).randbytes(MIB) for i in range(min(count, DIFFERENT_MEBIBYTES))]
    return list(islice(cycle(different), count))


def make_text_mebibytes(count: int) -> list[str]:
    """Return `count` pieces of a mebibyte of a web server's log."""
    lines = _log_lines(random.Random(3))
    different = []
    for _ in range(min(count, DIFFERENT_MEBIBYTES)):
        text, size = [], 0
        while size < MIB:
            text.append(next(lines))
            size += len(text[-1])
        different.append("".join(text)[:MIB])
    return list(islice(cycle(different), count))


def _log_lines(draw: random.Random) -> Iterator[str]:
    modules = [
        "api.orders",
        "api.users",
        "auth.token",
        "db.pool",
        "cache.redis",
        "billing",
        "search.index",
        "http.access",
    ]
    paths = ["/v1/orders/{}/items", "/v1/users/{}", "/login?next={}", "/v2/search?q={}&page=2", "/static/app.{}.js"]
    agents = [
        '"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/124.0 Safari/537.36"',
        '"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Mobile/15E148"',
        '"python-requests/2.32.3"',
        '"curl/8.5.0"',
    ]
    warnings = [
        "slow query took {}ms: SELECT * FROM orders WHERE customer_id = $1 ORDER BY created_at",
        "connection pool at {}% of capacity, waiting for a free connection",
        "retrying upstream call, attempt {} of 5: read timed out",
    ]
    milliseconds = 1735689600000
    while True:
        milliseconds += draw.randrange(40)
        seconds, fraction = divmod(milliseconds, 1000)
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:03d}Z"
        bits = draw.getrandbits(64)
        head = f"[worker-{bits >> 60}] {modules[(bits >> 5) % 8]} req={(bits >> 8) & 0xFFFFFFFFFFFF:012x}"
        if bits & 31 < 28:
            path = paths[(bits >> 9) % 5].replace("{}", str((bits >> 12) % 900000))
            source = f"10.{(bits >> 3) & 7}.{(bits >> 20) & 255}.{(bits >> 30) & 255}"
            status = (200, 200, 200, 200, 304, 404)[(bits >> 25) % 6]
            took = (bits >> 33) % 90000 / 997.0
            agent = agents[(bits >> 40) % 4]
            yield f"{stamp} INFO  {head} ip={source} GET {path} {status} {took:.3f}ms {(bits >> 21) % 60000}B {agent}\n"
        else:
            yield f"{stamp} WARN  {head} {warnings[(bits >> 11) % 3].replace('{}', str((bits >> 13) % 4000))}\n"
