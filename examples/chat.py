"""Chat: a relay that passes what one person writes on to all others.

python examples/chat.py                          three people, in one process
python examples/chat.py serve 0.0.0.0:5000       the relay
python examples/chat.py join HOST:5000 NAME      one person, with the same key file
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack

from netstructer import Key, Link, Server


def relay(server: Server) -> Server:
    """Have a server pass every line on to all links but the one that it came from."""

    @server.handler
    def pass_on(link: Link) -> None:
        for line in link:
            server.broadcast(line, exclude={link})

    return server


def show(link: Link) -> None:
    """Print lines until the link is over."""
    for name, text in link:
        print(f"{name}: {text}")


def rehearse() -> None:
    """Have three people say one line each, and print what each of them heard."""
    key, names = Key.generate(), ("Ada", "Bob", "Eve")
    with relay(Server(key=key)) as server, ExitStack() as closing:
        links = {name: closing.enter_context(Link(server.address, key=key)) for name in names}
        for speaker in names:
            links[speaker].send((speaker, "good morning"))
            for listener in (name for name in names if name != speaker):
                print(f"{listener} hears {links[listener].recv(timeout=5)}")


def main(arguments: list[str]) -> None:
    match arguments:
        case ["serve", address]:
            relay(Server(address)).serve_forever()
        case ["join", address, name]:
            with Link(address) as link:
                threading.Thread(target=show, args=(link,), daemon=True).start()
                for line in sys.stdin:
                    link.send((name, line.rstrip("\n")))
        case _:
            rehearse()


if __name__ == "__main__":
    main(sys.argv[1:])
