"""The application: the commands, in the order in which a new user meets them, and their help.  Floor: ROOF."""

from __future__ import annotations

from typing import Annotated

import typer

import netstructer
from netstructer.cli import audit
from netstructer.cli.admin import AnyWords, admin
from netstructer.cli.bench import bench
from netstructer.cli.chaos import chaos
from netstructer.cli.chat import chat_app
from netstructer.cli.config import check, example, show
from netstructer.cli.cores import leave_no_cores
from netstructer.cli.demo import demo
from netstructer.cli.doctor import doctor
from netstructer.cli.get import get
from netstructer.cli.keygen import keygen
from netstructer.cli.ls import ls
from netstructer.cli.outcomes import ExitCode
from netstructer.cli.pair import pair
from netstructer.cli.put import put
from netstructer.cli.recv import recv
from netstructer.cli.report import report
from netstructer.cli.screen import prepare, stdout
from netstructer.cli.send import send
from netstructer.cli.serve import serve
from netstructer.cli.users import users

__all__ = ["app", "run"]

EXIT_CODES = "Exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in ExitCode) + "."
SHORT_CODES = (
    "Exit codes: 0 done, 2 usage, 3 key, 4 unreachable, 5 timeout, 6 peer, 7 limit, 8 file, 9 refused, 130 Ctrl-C "
    "(netstructer --help)."
)

app = typer.Typer(
    name="netstructer",
    help="Send any Python structure to another machine, encrypted, losing nothing and executing nothing.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        stdout.print(f"netstructer {netstructer.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and end.")
    ] = False,
    cores: Annotated[
        bool,
        typer.Option("--cores", help="Let a crash leave a core file, as the system would: keys and values are in it."),
    ] = False,
) -> None:
    """Send any Python structure to another machine, encrypted, losing nothing and executing nothing."""
    if not cores:
        leave_no_cores()


for _command in (demo, keygen, pair, recv, send, serve, put, get, ls, report, doctor, bench, chaos):
    app.command(epilog=SHORT_CODES)(_command)
for _administering in (users, admin):
    app.command(epilog=SHORT_CODES, context_settings=AnyWords)(_administering)
app.add_typer(audit.audit, name="audit", epilog=SHORT_CODES)
for _part in (audit.verify, audit.show, audit.head):
    audit.audit.command(epilog=SHORT_CODES)(_part)


config = typer.Typer(
    help="Say what is wrong with files of options, and what counts.  Each command has --help and --json.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for _of_config in (check, show, example):
    config.command(epilog=SHORT_CODES)(_of_config)
app.add_typer(config, name="config", epilog=SHORT_CODES)
app.add_typer(chat_app(SHORT_CODES))


def run() -> int:
    """Run the command that `sys.argv` names; return its exit code."""
    prepare()
    try:
        app(prog_name="netstructer")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return ExitCode.OK
