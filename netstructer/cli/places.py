"""Places of files: `HOST:PORT/PATH` at a server, or a path of this machine.  Floor: ROOF.

Law: a path of this machine is never taken for a place, `C:\\x` and `C:/x` included: behind the colon of a place there
are digits, to the end or to a slash.  A directory that is called so all the same is written with `./` in front.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from netstructer.address import Address
from netstructer.cli.options import peer_place
from netstructer.errors import InvalidAddress, Misuse, UnsafeName
from netstructer.names import check_parts, shown
from netstructer.services.printing import one_line

__all__ = ["STANDARD_STREAM", "Place", "parse_place", "split_get"]

STANDARD_STREAM = "-"
"""In place of a path: stdin, or stdout."""
_PLACE = re.compile(r"(?P<address>(?:(?:\[[^\]/\\]*\]|[^\[\]:/\\]*):)?[0-9]{1,5})(?:/(?P<path>.*))?", re.DOTALL)


class Place(NamedTuple):
    """A server, and a path in the directory that it serves; None where no slash was written."""

    address: Address
    path: str | None

    @property
    def directory(self) -> str:
        """The path as a directory to put into, `""` for the top.  Raises `UnsafeName` for one that leads out."""
        path = (self.path or "").removesuffix("/")
        if not path:
            return ""
        try:
            return "/".join(check_parts(path.split("/")))
        except UnsafeName as error:
            raise UnsafeName(f"{shown(path)} is no path below the served directory: {error}", name=path) from None


def parse_place(text: str) -> Place:
    """Read `HOST:PORT[/PATH]`, `[V6]:PORT[/PATH]` or `PORT[/PATH]`, which is this machine.  Raises `InvalidAddress`."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InvalidAddress(
            f"expected HOST:PORT or HOST:PORT/PATH, as in 192.168.1.5:5000/photos, found {one_line(repr(text))}"
        )
    return Place(peer_place(found["address"]), found["path"])


def split_get(arguments: Sequence[str]) -> tuple[Address, list[str], str | None]:
    """Return what `get` was given: the server, paths and patterns there, and the directory here if one was named.

    The last argument is the directory unless it has the form of a place with a path; and if that would be of another
    server, and is a directory here, as `2024/`, then too.  Raises `Misuse`.
    """
    sources, directory = list(arguments), None
    if len(sources) > 1 and (not _names_a_source(sources[-1]) or _is_here(sources[-1], sources[0])):
        directory = sources.pop()
    places = [parse_place(source) for source in sources]
    for source, place in zip(sources, places, strict=True):
        if place.path is None:
            raise Misuse(f"expected what to get, as in {source}/NAME; {source}/ gets all there is")
    servers = list(dict.fromkeys(place.address for place in places))
    if len(servers) > 1:
        other = next(source for source, place in zip(sources, places, strict=True) if place.address == servers[1])
        here = f"; a directory here is ./{one_line(other)}" if ":" not in other and other == sources[-1] else ""
        raise Misuse(f"expected one server, found {servers[0]} and {servers[1]}: get from one after the other{here}")
    return servers[0], [place.path or "" for place in places], directory


def _names_a_source(text: str) -> bool:
    found = _PLACE.fullmatch(text)
    return found is not None and found["path"] is not None


def _is_here(last: str, first: str) -> bool:
    """Say whether a text that has the form of a place of another server than `first` is a directory here."""
    return os.path.isdir(last) and parse_place(last).address != parse_place(first).address
