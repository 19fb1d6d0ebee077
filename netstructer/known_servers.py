"""The servers that a client knows: which identity each had when it was first trusted.  Floor: COMMONS.

Law: what is written there is never changed by what a server says.  Spec: protocol.md, "Identities".

The file has a line of JSON for each server, in the order in which they were learned:

    {"host":"192.168.1.5","port":5000,"fingerprint":"ns1:mzuh…","first_seen":1767225600}

It is for its owner alone (0600).  Who writes it holds a lock file beside it from reading to renaming, so two processes
that learn two servers at once lose neither; who reads it needs no lock, as the file is replaced whole.  It is read
strictly: a line that is not exactly such a line is an error that names it, never a server that is forgotten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from netstructer import private_files
from netstructer.address import Address, parse_address
from netstructer.errors import InvalidAddress, InvalidKnownServers
from netstructer.identity import is_fingerprint
from netstructer.private_files import Path

__all__ = ["KnownServer", "KnownServers", "default_known_servers_path"]

MOST_SERVERS = 16384
"""Servers in one file: more than anybody meets, and read in a blink."""
MOST_FILE_BYTES = 4 << 20
"""Bytes of the file: as many servers with names of 150 characters."""
_FIELDS = ("host", "port", "fingerprint", "first_seen")


class KnownServer(NamedTuple):
    """One line: a server, its identity, and when it was first seen (seconds since 1970)."""

    host: str
    port: int
    fingerprint: str
    first_seen: int


class KnownServers:
    """The servers known in one file, which need not be there yet.

    Every method reads the file anew.  They raise `InvalidKnownServers` for a file that is not as it should be,
    `InvalidAddress`, and `OSError`.
    """

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)

    def __iter__(self) -> Iterator[KnownServer]:
        return iter(self._read().values())

    def get(self, address: Address) -> KnownServer | None:
        """Return what is known of the server at an address, which is told by its spelling: no name is looked up."""
        return self._read().get(_place_of(address))

    def add(self, address: Address, fingerprint: str, *, now: float) -> KnownServer:
        """Note a server, and return its line; one that is there already stays as it is, and is returned.

        `now` is the time, in seconds since 1970.  Nothing is written that could not be read.
        """
        place = _place_of(address)
        if not place.host:
            raise InvalidAddress("expected a server with a host")
        made = KnownServer(*place, fingerprint, int(now))
        with private_files.locked(self.path):
            known = self._read()
            if place in known:
                return known[place]
            self._write({**known, place: made})
        return made

    def forget(self, address: Address) -> bool:
        """Take a server out, as when it was set up anew; say whether it was there."""
        with private_files.locked(self.path):
            known = self._read()
            found = known.pop(_place_of(address), None)
            if found is not None:
                self._write(known)
        return found is not None

    def _read(self) -> dict[Address, KnownServer]:
        try:
            content = private_files.read(self.path, MOST_FILE_BYTES + 1, what="file of known servers")
        except FileNotFoundError:
            return {}
        if len(content) > MOST_FILE_BYTES:
            raise InvalidKnownServers(f"{self.path} is longer than {MOST_FILE_BYTES} bytes")
        known: dict[Address, KnownServer] = {}
        lines = content.split(b"\n", MOST_SERVERS + 1)
        for number, line in enumerate(lines, 1):
            if number == len(lines) and not line:  # behind the last newline
                break
            server, fault = _parse(line)
            if server is None:
                raise InvalidKnownServers(f"{self.path}, line {number}: {fault}", line=number)
            place = Address(server.host, server.port)
            if place in known:
                raise InvalidKnownServers(f"{self.path}, line {number}: {place} is there twice", line=number)
            known[place] = server
        return known

    def _write(self, known: Mapping[Address, KnownServer]) -> None:
        if len(known) > MOST_SERVERS:
            raise InvalidKnownServers(f"{self.path} has its {MOST_SERVERS} servers: forget some first")
        lines = [json.dumps(server._asdict(), separators=(",", ":")) + "\n" for server in known.values()]
        content = "".join(lines).encode()
        if len(content) > MOST_FILE_BYTES:
            raise InvalidKnownServers(f"{self.path} would be longer than {MOST_FILE_BYTES} bytes: forget some first")
        private_files.replace(self.path, content)


def default_known_servers_path(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return where the user's file of known servers is, there or not; None where there is no home."""
    directory = private_files.config_directory(environ)
    return None if directory is None else os.path.join(directory, "known_servers")


def _place_of(address: Address) -> Address:
    """Return the one spelling of an address: names have no case, and an IP is normalised."""
    host, port = parse_address((address.host, address.port))
    return Address(host.lower(), port)


def _parse(line: bytes) -> tuple[KnownServer | None, str]:
    """Return what a line says and no fault, or nothing and the fault."""
    try:
        fields = private_files.parse_line(line)
    except ValueError:
        return None, "expected an object of JSON"
    if not isinstance(fields, tuple) or tuple(name for name, _ in fields) != _FIELDS:
        return None, f"expected the fields {', '.join(_FIELDS)}, in this order"
    host, port, fingerprint, first_seen = (value for _, value in fields)
    if not isinstance(host, str) or isinstance(port, bool) or not isinstance(port, int):
        return None, "expected a host as text and a port as a number"
    try:
        place = _place_of(Address(host, port))
    except InvalidAddress as error:
        return None, str(error)
    if not host or place != (host, port):
        return None, f"expected the host as it is written here: {place.host!r}"
    if not is_fingerprint(fingerprint):
        return None, "expected a fingerprint: ns1: and 32 letters"
    if isinstance(first_seen, bool) or not isinstance(first_seen, int):
        return None, "expected first_seen as a number of seconds"
    return KnownServer(host, port, fingerprint, first_seen), ""
