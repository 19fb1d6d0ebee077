"""`netstructer send`: send values, and wait until the peer has them.  Floor: ROOF."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from netstructer import Link
from netstructer.cli.literals import facts_of, from_json, from_literal, literal, type_name
from netstructer.cli.options import CipherAsked, Json, KeyFile, Pinned, cipher_of, find, peer_place
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
    server_identity: Pinned = None,
    cipher: CipherAsked = "fernet",
    json: Json = False,
) -> None:
    """Send values to a server (`serve`, `recv`, or your own) and wait until it has them.

    A VALUE is a Python literal in quotes that your shell leaves alone: 42, "'hello'", "['hi', {1, 2}, (False,
    None)]", "b'raw'".  With --text, --json-value or --file the VALUE - is the whole of stdin.  A VALUE that starts
    with a minus goes behind --, as in: send HOST:PORT -- -5
    """
    to_send = _values(values, as_text=as_text, as_json=as_json, as_file=as_file)
    place = peer_place(address)
    found = find(key_file)
    facts: dict[str, Any] = {"peer": str(place), "fingerprint": found.key.fingerprint, "sent": []}
    with Link(
        place,
        key=found.key,
        timeout=timeout,
        compress=compress,
        server_identity=server_identity,
        cipher=cipher_of(cipher),
    ) as link:
        facts |= {"link": link.id, "server_identity": link.server_identity}
        for value in to_send:
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


def _values(given: list[str], *, as_text: bool, as_json: bool, as_file: bool) -> Iterator[object]:
    """Return what is to be sent.  What was typed is read now, before anything is sent; stdin as it comes.

    Raises `Misuse` and `OSError`.
    """
    if as_text + as_json + as_file > 1:
        raise Misuse("expected one of --text, --json-value, --file")
    read: Callable[[str], object] = from_literal
    stdin: Callable[[], Iterable[object]] = _literals_of_stdin
    if as_text:
        read, stdin = str, lambda: [sys.stdin.read()]
    elif as_json:
        read, stdin = from_json, lambda: [from_json(sys.stdin.read())]
    elif as_file:
        read, stdin = lambda path: Path(path).read_bytes(), lambda: [sys.stdin.buffer.read()]
    typed = [None if text == STDIN else (read(text),) for text in given]
    return (value for one in typed for value in (stdin() if one is None else one))


def _literals_of_stdin() -> Iterator[object]:
    return (from_literal(line) for line in sys.stdin if line.strip())
