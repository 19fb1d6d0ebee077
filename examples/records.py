"""Records: a table of dataclasses, with enums, decimals and dates, as one value.

    python examples/records.py

Both ends register the classes that they accept, by name.  What is not registered neither leaves nor arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum

from netstructer import Key, Link, Server, errors, register


@register
class Kind(Enum):
    """What an entry is."""

    INCOME = "in"
    EXPENSE = "out"


@register
@dataclass(frozen=True)
class Entry:
    """One line of an account book."""

    day: date
    kind: Kind
    amount: Decimal
    tags: frozenset[str]


def main() -> None:
    key, start = Key.generate(), date(2025, 1, 1)
    book = [
        Entry(start + timedelta(days=n), Kind.EXPENSE if n % 3 else Kind.INCOME, Decimal(n) / 4, frozenset({"home"}))
        for n in range(10_000)
    ]
    with Server(key=key) as server, Link(server.address, key=key) as link:
        sent = link.send(book)
        arrived = server.accept(timeout=5).recv(timeout=5)
        print(f"{len(book)} entries, {sent.plain_bytes} bytes plain, {sent.wire_bytes} on the wire")
        print(f"equal: {arrived == book}")
        print(arrived[1])
        try:
            link.send({"where": [object()]})
        except errors.UnsendableValue as error:
            print(f"refused: {error}")


if __name__ == "__main__":
    main()
