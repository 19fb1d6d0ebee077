"""`netstructer send`: send values, and wait until the peer has them.  Floor: ROOF."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from netstructer import Link
from netstructer.cli.literals import facts_of, from_json, from_literal, literal, type_name
from netstructer.cli.options import Json, KeyFile, find, peer_place
from netstructer.cli.outcomes import command
from netstructer.cli.screen import print_json, size, stderr, stdout
from netstructer.errors import LinkClosed, Misuse

__all__ = ["send"]

STDIN = "-"


@command
def send(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where the server listens; [V6]:PORT for IPv6.")],
    values: Annotated[
        list[str],
        typer.Argument(metavar="VALUE", help="Python literals, sent in order; - reads them from stdin, one a line."),
    ],
    as_text: Annotated[bool, typer.Option("--text", help="Each VALUE is a text, sent as it stands.")] = False,
    as_json: Annotated[bool, typer.Option("--json-value", help="Each VALUE is a JSON document.")] = False,
    as_file: Annotated[
        bool, typer.Option("--file", help="Each VALUE is a path; the file's content is sent as bytes.")
    ] = False,
    reply: Annotated[
        bool, typer.Option("--reply", help="Wait for one value back for each one sent, and print it.")
    ] = False,
    compress: Annotated[bool, typer.Option(help="Compress what gets smaller by it.")] = True,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="For connecting, and for each value.")
    ] = 10.0,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Send values to a server (`serve`, `recv`, or your own) and wait until it has them.

    A VALUE is a Python literal in quotes that your shell leaves alone: 42, "'hello'", "['hi', {1, 2}, (False,
    None)]", "b'raw'".  With --text, --json-value or --file the VALUE - is the whole of stdin.  A VALUE that starts
    with a minus goes behind --, as in: send HOST:PORT -- -5
    """
    read = _reader(as_text=as_text, as_json=as_json, as_file=as_file)
    place = peer_place(address)
    found = find(key_file)
    facts: dict[str, Any] = {"peer": str(place), "fingerprint": found.key.fingerprint, "sent": []}
    with Link(place, key=found.key, timeout=timeout, compress=compress) as link:
        facts["link"] = link.id
        for value in read(values):
            sent = link.send(value, timeout=timeout, wait="acked")
            entry = {"type": type_name(value), "plain_bytes": sent.plain_bytes, "wire_bytes": sent.wire_bytes}
            facts["sent"].append(entry)
            if not json:
                stderr.print(
                    f"sent {type_name(value)}: {size(sent.plain_bytes)} plain, {size(sent.wire_bytes)} on the wire"
                )
            if reply:
                answer = _answer(link, timeout)
                entry["reply"] = facts_of(answer)
                if not json:
                    stdout.print(literal(answer))
    if json:
        print_json(facts)


def _answer(link: Link, timeout: float) -> object:
    try:
        return link.recv(timeout=timeout)
    except LinkClosed:
        raise LinkClosed("the peer took the value and closed the link without an answer") from None


Reader = Callable[[Iterable[str]], Iterator[object]]


def _reader(*, as_text: bool, as_json: bool, as_file: bool) -> Reader:
    """Return what makes values of the arguments, one at a time.  It raises `Misuse` and `OSError`."""
    if as_text + as_json + as_file > 1:
        raise Misuse("expected one of --text, --json-value, --file")
    if as_text:
        return lambda given: (sys.stdin.read() if text == STDIN else text for text in given)
    if as_json:
        return lambda given: (from_json(sys.stdin.read() if text == STDIN else text) for text in given)
    if as_file:
        return lambda given: (sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes() for path in given)
    return _literals


def _literals(given: Iterable[str]) -> Iterator[object]:
    for text in given:
        if text != STDIN:
            yield from_literal(text)
            continue
        for line in sys.stdin:
            if line.strip():
                yield from_literal(line)
