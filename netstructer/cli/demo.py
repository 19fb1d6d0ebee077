"""`netstructer demo`: a server and a link, in two processes, on real input.  Floor: ROOF."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

import netstructer
from netstructer import Key, Link
from netstructer.cli.acts import eavesdropper_act, file_act, key_act, list_act, registry_act, table_act
from netstructer.cli.options import Json
from netstructer.cli.outcomes import ExitCode, command
from netstructer.cli.partner import partner
from netstructer.cli.screen import print_json, rate, seconds, size
from netstructer.cli.stage import Stage

__all__ = ["demo"]


@command
def demo(
    json: Json = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Also draw what is shown into an SVG file.", show_default=False)
    ] = None,
) -> None:
    """Watch it work: two processes, one key, real data.

    Starts a server in a process of its own and links to it over 127.0.0.1, with a key made for the occasion.
    Nothing is written, nothing leaves this machine.  Takes a few seconds.  Ends with exit code 0 if everything that
    was shown is as it should be.
    """
    stage = Stage(quiet=json, paper=svg is not None)
    facts = _perform(stage)
    if svg is not None:
        stage.save(svg, "netstructer demo")
    if json:
        print_json(facts)
    if not facts["passed"]:
        raise typer.Exit(ExitCode.FAULT)


def _perform(stage: Stage) -> dict[str, Any]:
    began = time.perf_counter()
    key = Key.generate()
    stage.say(("netstructer ", "bold"), netstructer.__version__, ("  two processes, one key, an encrypted link", "dim"))
    with partner(key) as server:
        facts: dict[str, Any] = {
            "version": netstructer.__version__,
            "link": _first_link(stage, server.process_id, server.address, key),
        }
        facts["list"] = list_act(stage, server.address, key)
        facts["table"] = table_act(stage, server.address, key)
        facts["files"] = file_act(stage, server.address, key)
        facts["eavesdropper"] = eavesdropper_act(stage, server.address, key)
        facts["wrong_key"] = key_act(stage, server.address)
        facts["registry"] = registry_act(stage, server.address, key)
    facts["seconds"] = time.perf_counter() - began
    facts["passed"] = _all_passed(facts)
    _summary(stage, facts)
    return facts


def _first_link(stage: Stage, process_id: int, address: tuple[str, int], key: Key) -> dict[str, Any]:
    """Open a link, and say between whom."""
    began = time.perf_counter()
    with Link(address, key=key) as link:
        took = time.perf_counter() - began
        trips = [link.ping() for _ in range(3)]
    stage.say(("server   ", "dim"), f"process {process_id} at {link.peer}")
    stage.say(("key      ", "dim"), f"fingerprint {key.fingerprint}, made for this occasion")
    stage.say(("link     ", "dim"), f"open in {seconds(took)}, a ping there and back in {seconds(min(trips))}")
    return {"address": str(link.peer), "fingerprint": key.fingerprint, "open_seconds": took, "ping_seconds": min(trips)}


def _all_passed(facts: dict[str, Any]) -> bool:
    return bool(
        facts["list"]["equal"]
        and facts["table"]["equal"]
        and all(moved["equal"] for moved in facts["files"].values())
        and facts["eavesdropper"]["plaintext_found"] == 0
        and facts["eavesdropper"]["control_found"] > 0
        and facts["wrong_key"]["refused"]
        and facts["registry"]["passed"]
    )


def _summary(stage: Stage, facts: dict[str, Any]) -> None:
    stage.heading("what travelled")
    table, files = facts["table"], facts["files"]
    rows = [
        ("the list", facts["list"], None),
        (f"Unicode, {table['rows']:,} rows", table, None),
        (files["interpreter"]["name"], files["interpreter"], files["interpreter"]["seconds"]),
        (f"{files['library']['values']:,} source files", files["library"], files["library"]["seconds"]),
    ]
    stage.table(
        ("value", "plain", "compressed", "on the wire", "rate (plain)"),
        [
            (
                name,
                size(moved["plain_bytes"]),
                size(moved["compressed_bytes"]) if "compressed_bytes" in moved else "–",
                size(moved["wire_bytes"]),
                rate(moved["plain_bytes"], took) if took else "–",
            )
            for name, moved, took in rows
        ],
        numbers=frozenset({1, 2, 3, 4}),
    )
    passed = facts["passed"]
    stage.check(
        passed, f"{'all as it should be' if passed else 'NOT all as it should be'}, in {seconds(facts['seconds'])}"
    )
