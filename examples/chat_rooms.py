"""Chat rooms: names, rooms, private messages and a history, on the service that comes with the package.

python examples/chat_rooms.py                          two people in one process, and a third who comes later
python examples/chat_rooms.py serve 0.0.0.0:8080       a server; netstructer chat join is its client
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from netstructer import Key, Link, Server
from netstructer.services.chat import Chat, read_pushed, shown


def call(link: Link, action: str, *arguments: object) -> object:
    """Ask a chat for something."""
    return link.call(f"chat.{action}", *arguments, timeout=5)


def hear(link: Link, kind: str) -> str:
    """Return the next message of a kind as a line that is safe for a terminal."""
    while True:
        value = read_pushed(link.recv(timeout=5))
        if value is not None and value["chat"] == kind:
            return f"{shown(value['name'])}: {shown(value.get('text', kind))}"


def rehearse(history: Path) -> None:
    """Have people come, talk and go."""
    key = Key.generate()
    with Server(key=key) as server, Chat(server, history=history) as chat, ExitStack() as closing:
        links = {name: closing.enter_context(Link(server.address, key=key)) for name in ("Ada", "Bob", "Eve")}
        for name in ("Ada", "Bob"):
            call(links[name], "enter", name)
            call(links[name], "join", "garden")
        number = call(links["Ada"], "say", "garden", "good morning \x1b[31m")
        print(f"message {number}, Bob hears {hear(links['Bob'], 'said')}")
        call(links["Bob"], "tell", "Ada", "between us")
        print(f"Ada alone hears {hear(links['Ada'], 'told')}")
        call(links["Eve"], "enter", "Eve")
        print("Eve finds", call(links["Eve"], "join", "garden", 10)["members"])  # and the last ten messages
        call(links["Bob"], "exit")
        print(f"Eve hears {hear(links['Eve'], 'disconnected')}")
        print("here:", [person.name for person in chat.people()])


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        with Server(sys.argv[2]) as server, Chat(server, history="chat.db"):
            server.serve_forever()
    else:
        with tempfile.TemporaryDirectory() as directory:
            rehearse(Path(directory) / "chat.db")
