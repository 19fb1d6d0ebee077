"""`netstructer chat`: a chat of one's own, and talking in one.  Floor: ROOF.  Docs: docs/chat.md.

serve       the server                  join        the client
visit       a client in a chat, whatever shows it
    commands    what is typed           lines       what is shown
    terminal    with prompt_toolkit, of the extra `chat`
    piped       lines in, lines out     mailbox     lines that wait
"""

from __future__ import annotations

import typer

from netstructer.cli.chat.join import join
from netstructer.cli.chat.serve import serve

__all__ = ["chat_app"]


def chat_app(epilog: str) -> typer.Typer:
    """Return the commands of the chat, each with an epilog of its help."""
    app = typer.Typer(
        name="chat",
        help="Talk in rooms: `chat serve` is the server, `chat join` the client; both have --json and --help.",
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    for command in (serve, join):
        app.command(epilog=epilog)(command)
    return app
