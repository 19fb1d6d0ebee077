"""Draws the commands of `docs/admin.md` from the one table of verbs: `python docs/draw_admin.py`.

What stands below the heading "Commands" is replaced; a test holds it equal to what this draws.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADING = "## Commands\n"
NOUNS = {
    "": "The server",
    "links": "Links",
    "message": "Messages",
    "users": "Accounts",
    "roles": "Roles",
    "invitations": "Invitations",
    "bans": "Bans at the door",
    "keys": "Keys",
    "logs": "Log files",
    "config": "Options",
    "backups": "Backups",
}


def draw() -> str:
    """Return what stands below the heading."""
    from netstructer.services.admin import TABLE

    lines = [
        "",
        "Drawn from the table of verbs by `docs/draw_admin.py`; do not edit below this line. The permission of a",
        "command is its name with `admin.` before it: `admin.users.ban`. Words in capitals are arguments, what stands",
        "in brackets may be left out, TIME is `90`, `2min`, `12h` or `7d`.",
    ]
    for noun in TABLE.nouns():
        lines += ["", f"### {NOUNS[noun]}", "", "| command | Python | what it does |", "|---|---|---|"]
        for verb in TABLE.about(noun):
            usage = verb.usage.replace("|", "\\|")
            also = f" Also: {', '.join(f'`{alias}`' for alias in verb.aliases)}." if verb.aliases else ""
            here = " At the server's machine alone." if verb.here_only else ""
            lines.append(f"| `{usage}` | `{verb.function.__name__}` | {verb.help}{also}{here} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """Return the document with its commands drawn anew."""
    return text.partition(HEADING)[0] + HEADING + draw()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    place = ROOT / "docs" / "admin.md"
    place.write_text(page(place.read_text("utf-8")), "utf-8")
