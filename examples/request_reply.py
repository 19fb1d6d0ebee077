"""Request and reply: a service that answers questions about numbers, and a client that asks.

python examples/request_reply.py                       both, in one process
python examples/request_reply.py serve 0.0.0.0:5000    the service
python examples/request_reply.py ask HOST:5000         the client, with the same key file
"""

from __future__ import annotations

import statistics
import sys
from fractions import Fraction

from netstructer import Key, Link, Server


def answer(link: Link) -> None:
    """Answer each question on one link until its peer closes it.  A server runs this in a thread per link."""
    for question in link:
        match question:
            case ("mean", list(numbers)) if numbers:
                link.send(("mean", statistics.mean(numbers)))
            case ("divisors", int(number)) if 0 < number <= 1_000_000:
                link.send(("divisors", {n for n in range(1, number + 1) if number % n == 0}))
            case _:
                link.send(("error", "ask ('mean', [numbers]) or ('divisors', number)"))


def ask(link: Link) -> None:
    """Ask three questions and print what comes back, types and all."""
    for question in [("mean", [Fraction(1, 3), Fraction(1, 2)]), ("divisors", 28), ("weather", "tomorrow")]:
        link.send(question)
        print(question, "->", link.recv(timeout=5))


def main(arguments: list[str]) -> None:
    match arguments:
        case ["serve", address]:
            Server(address, handler=answer).serve_forever()
        case ["ask", address]:
            with Link(address) as link:
                ask(link)
        case _:
            key = Key.generate()
            with Server(key=key, handler=answer) as server, Link(server.address, key=key) as link:
                ask(link)


if __name__ == "__main__":
    main(sys.argv[1:])
