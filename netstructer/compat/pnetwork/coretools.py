"""`CLI`: a console for a server or a client.  Floor: ROOF.

Law: no command ends it but `stop` and the end of input, and nothing of a peer's reaches the terminal as it came.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from netstructer.compat.pnetwork.connection import Connection
from netstructer.compat.pnetwork.packets import make_packet
from netstructer.errors import NetstructerError

__all__ = ["CLI"]

LEAST_PREFIX = 4
"""Characters of a token that stand for all of it, where they stand for one."""


class Mistake(Exception):
    """What was typed cannot be done; the text says why."""


class Command(NamedTuple):
    """One command of the console."""

    usage: str
    what: str
    run: Callable[[str], object]


class CLI:
    """A console: `CLI(server).processCommand()` reads commands until `stop` or the end of input; `help` lists them.

    `instance` is a `Server` or a `Client`.  `lines` is where commands come from, the terminal without it; `write` is
    called with each line that is shown.  A peer in a command is its number in `list`, or the beginning of its token.
    """

    def __init__(
        self,
        instance: Any,
        name: str = "pnetwork",
        *,
        lines: Iterable[str] | None = None,
        write: Callable[[str], object] = print,
    ) -> None:
        self.instance, self.name = instance, name
        self._lines, self._write = lines, write
        self._stopped = False
        self.commands = self._table()

    def processCommand(self) -> None:
        """Read commands and do them.  One that cannot be done says why, and the next is read."""
        for line in self._input() if self._lines is None else self._lines:
            self.processLine(line)
            if self._stopped:
                return

    def start(self) -> threading.Thread:
        """Do so in a thread of its own, which does not keep the process alive; return it."""
        thread = threading.Thread(target=self.processCommand, name="console", daemon=True)
        thread.start()
        return thread

    def processLine(self, line: str) -> None:
        """Do one command."""
        word, _, rest = line.strip().partition(" ")
        if not word:
            return
        command = self.commands.get(word.lower())
        try:
            if command is None:
                raise Mistake(f"there is no command {word!r}; help lists them")
            command.run(rest.strip())
        except (Mistake, NetstructerError, OSError) as error:
            self._write(f"error: {error}")
        except Exception as error:  # an action of the user's that was triggered
            self._write(f"error: {type(error).__name__}: {error!s:.256}")

    # --- the commands -----------------------------------------------------------------------------------------------

    def _table(self) -> dict[str, Command]:
        commands = (
            Command("help", "list the commands", self._help),
            Command("list", "list the connections", self._list),
            Command("coninfo PEER", "show what is known of a peer", self._coninfo),
            Command("ping PEER", "ask whether a peer answers", lambda rest: self._ping(self._peer(rest))),
            Command("pingall", "ask all peers", self._pingall),
            Command("disconnect PEER [REASON]", "disconnect a peer", self._disconnect),
            Command("dropall [REASON]", "disconnect all peers", self._dropall),
            Command("broadcast TEXT", "send a packet named broadcast, with {'message': TEXT}, to all", self._broadcast),
            Command("token [PEER]", "show the token of a peer, or of this client: a secret of the two", self._token),
            Command("actions", "list what is bound", self._actions),
            Command(
                "trigger ACTION [TEXT]", "run what is bound to an action here, with TEXT as its data", self._trigger
            ),
            Command("threads", "list the threads of this process", self._threads),
            Command("mode", "say what this is, and where", self._mode),
            Command("start", "start it", lambda _: self.instance.start()),
            Command("clear", "clear the screen", self._clear),
            Command("stop", "stop it, and leave the console", self._stop),
        )
        return {command.usage.partition(" ")[0]: command for command in commands}

    def _help(self, _: str) -> None:
        widest = max(len(command.usage) for command in self.commands.values())
        for command in self.commands.values():
            self._write(f"{command.usage:{widest}}  {command.what}")

    def _list(self, _: str) -> None:
        peers = self._peers()
        for number, peer in enumerate(peers, 1):
            suspended = ", suspended" if peer.suspended else ""
            self._write(f"{number}  {peer.ip}:{peer.port}  {_shown(peer.username)}{suspended}")
        self._write(f"{len(peers)} connections")

    def _coninfo(self, rest: str) -> None:
        peer = self._peer(rest)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(peer.firstConnected))
        facts = {
            "ip": peer.ip,
            "port": peer.port,
            "name": _shown(peer.username),
            "connected": since,
            "suspended": peer.suspended,
            "permissions": peer.permissions,
            "faults": peer.faults,
        }
        for name, fact in facts.items():
            self._write(f"{name}: {fact}")

    def _ping(self, peer: Connection) -> None:
        began = time.monotonic()
        alive = peer.isAlive()
        took = f"{(time.monotonic() - began) * 1000:.1f} ms" if alive else "no answer"
        self._write(f"{peer.ip}:{peer.port}  {took}")

    def _pingall(self, _: str) -> None:
        for peer in self._peers():
            self._ping(peer)

    def _disconnect(self, rest: str) -> None:
        name, _, reason = rest.partition(" ")
        peer = self._peer(name)
        peer.disconnect(*([reason] if reason else []))
        self._write(f"disconnected {peer.ip}:{peer.port}")

    def _dropall(self, rest: str) -> None:
        peers = self._peers()
        for peer in peers:
            peer.disconnect(*([rest] if rest else []))
        self._write(f"disconnected {len(peers)}")

    def _broadcast(self, rest: str) -> None:
        if not rest:
            raise Mistake("expected a text to broadcast")
        count = self.instance.SendPacketForAll(self.instance.createPacket("broadcast", {"message": rest}))
        self._write(f"sent to {count}")

    def _token(self, rest: str) -> None:
        token = self._peer(rest).token if rest else self.instance.token
        self._write(token if token is not None else "a server has no token; token PEER shows that of a peer")

    def _actions(self, _: str) -> None:
        for name, bind in sorted(self.instance.GetActions().items()):
            self._write(f"{name!r}  {bind!r}")

    def _trigger(self, rest: str) -> None:
        name, _, text = rest.partition(" ")
        if name not in self.instance.GetActions():
            raise Mistake(f"nothing is bound to {name!r}")
        self.instance.trigger(make_packet(name, text or None, None))

    def _threads(self, _: str) -> None:
        found = self.instance.GetThreadInfo()
        for name in found["names"]:
            self._write(str(name))
        self._write(f"{found['count']} threads")

    def _mode(self, _: str) -> None:
        state = "connected" if self.instance.connected else "not connected"
        kind = type(self.instance).__name__.lower()
        self._write(f"{kind} {self.instance.host}:{self.instance.port}, {state}, {len(self._peers())} connections")

    def _clear(self, _: str) -> None:
        if sys.stdout.isatty():
            self._write("\x1b[2J\x1b[H")

    def _stop(self, _: str) -> None:
        self._stopped = True
        self.instance.stop()

    # --- what they need ---------------------------------------------------------------------------------------------

    def _peers(self) -> list[Connection]:
        return list(self.instance.GetAllConnections().values())

    def _peer(self, text: str) -> Connection:
        peers = self._peers()
        if text in (numbers := [str(number) for number in range(1, len(peers) + 1)]):
            return peers[numbers.index(text)]
        found = [peer for peer in peers if len(text) >= LEAST_PREFIX and peer.token.startswith(text)]
        if len(found) != 1:
            raise Mistake("expected a peer: its number in list, or the first characters of its token")
        return found[0]

    def _input(self) -> Iterator[str]:
        while True:
            try:
                yield input(f"{self.name}> ")
            except EOFError:
                return


def _shown(name: str | None) -> str:
    return "(no name)" if name is None else repr(name)  # what a peer calls itself may hold escape sequences
