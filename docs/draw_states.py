"""Draws `docs/states.md` from the one table of moves: `python docs/draw_states.py > docs/states.md`.

A test holds the file equal to what this prints, so the picture cannot say anything else than the code does.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

HEAD = """\
# The states of a session

Drawn from `MOVES` in `netstructer/protocol/states.py` by `docs/draw_states.py`; do not edit. A session stands in one of
these states on its transport. A record of a kind that its row does not name is `IllegalFrame`: the peer is told by an
ALERT, and the session has failed. What an end does or suffers itself is set in *italics*.

A client begins in *expect accept*, a server in *expect open*. In *suspended* there is no transport; *claimed* is at a
server, where a client wants another session than this on its transport (protocol.md, "Resume"). In these two and in
*closed* and *failed* nothing is read.
"""


def draw() -> str:
    """Return the document."""
    from netstructer.protocol.states import MOVES, RELIABLE, Kind

    lines = [HEAD, "```mermaid", "stateDiagram-v2"]
    lines += [f"    {state.name.lower()}: {state.value}" for state in MOVES]
    lines += ["    [*] --> expect_accept: client", "    [*] --> expect_open: server"]
    for state, moves in MOVES.items():
        for following in MOVES:
            causes = [_name(cause) for cause, found in moves.items() if found is following]
            if causes:
                lines.append(f"    {state.name.lower()} --> {following.name.lower()}: {', '.join(causes)}")
    lines += [f"    {state.name.lower()} --> [*]" for state, moves in MOVES.items() if not moves]
    lines += ["```", "", "| state | stays | goes on |", "|---|---|---|"]
    for state, moves in MOVES.items():
        stays = ", ".join(_styled(cause) for cause, found in moves.items() if found is state)
        goes = "; ".join(f"{_styled(cause)} → {found.value}" for cause, found in moves.items() if found is not state)
        lines.append(f"| {state.value} | {stays or '–'} | {goes or '–'} |")
    lines += ["", "## Kinds", "", "| byte | kind | reliable |", "|---|---|---|"]
    lines += [f"| {kind:02x} | {kind.name} | {'yes' if kind in RELIABLE else '–'} |" for kind in Kind]
    return "\n".join(lines) + "\n"


def _name(cause: object) -> str:
    from netstructer.protocol.states import Kind

    return cause.name if isinstance(cause, Kind) else str(cause.value)  # type: ignore[attr-defined]  # else a Cause


def _styled(cause: object) -> str:
    from netstructer.protocol.states import Kind

    return _name(cause) if isinstance(cause, Kind) else f"*{_name(cause)}*"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.stdout.write(draw())
