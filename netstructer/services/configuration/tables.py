"""The sections that every server has, and the list of all that there are.  Floor: SERVICES.

Law: a service adds its table to `SECTIONS` here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

from netstructer.address import normalise_ip, parse_address
from netstructer.codec.ciphers import AES_256_GCM, FERNET
from netstructer.services.configuration.limit_table import LIMITS
from netstructer.services.configuration.option import Option, Value
from netstructer.services.configuration.origin import Strength
from netstructer.services.configuration.people import ACCOUNTS, ADMIN, AUDIT
from netstructer.services.configuration.section import Section, Sections
from netstructer.services.logs import KEEP, LEAST_BYTES, LEVELS, MOST_BYTES, MOST_KEPT

__all__ = ["DEFAULT_PORT", "DRAIN_SECONDS", "FILES", "LOGS", "SECTIONS", "SERVER", "STALL_SECONDS"]

DEFAULT_PORT = 5000
_THIS_MACHINE = "127.0.0.1"
_MOST_LINKS = 1_000_000
"""More than one process has descriptors for."""
_LARGEST_LOG = 1 << 40
"""A TiB: what is longer nobody opens."""
_MOST_SECONDS = 86400.0
"""A day: who waits longer for a transfer or for a handler waits for nobody."""
STALL_SECONDS = 60.0
"""How long nothing may move in a transfer of files."""
DRAIN_SECONDS = 5.0
"""How long what is under way may take to finish when a server stops."""


def _check_host(host: str) -> None:
    if ":" in host or not host.strip("0123456789."):
        normalise_ip(host)  # no name is written so: it would be looked up, and be found by nobody
    parse_address((host, 0))


def _one_place(values: Mapping[str, Value], strengths: Mapping[str, Strength]) -> Mapping[str, str]:
    if values["lan"] and strengths["lan"] == strengths["host"]:
        return {"lan": "expected a host or lan, not both"}
    return {}


def _with_directory(values: Mapping[str, Value], strengths: Mapping[str, Strength]) -> Mapping[str, str]:
    if values["read_only"] and values["directory"] is None:
        return {"read_only": "expected together with files.directory (serve --files DIR)"}
    return {}


SERVER = Section(
    name="server",
    help="Where the server listens, whom it lets in, and how it speaks.",
    options=(
        Option(
            name="host",
            kind="text",
            default=_THIS_MACHINE,
            check=_check_host,
            aliases=("server_ip",),
            help="The address or name to listen at: 0.0.0.0 for all IPv4 networks, :: for all, 127.0.0.1 for this "
            "machine alone.",
        ),
        Option(
            name="port",
            kind="whole",
            default=DEFAULT_PORT,
            least=0,
            most=65535,
            aliases=("server_port",),
            help="The port to listen at; 0 for a free one.",
        ),
        Option(
            name="lan",
            kind="flag",
            default=False,
            help="Listen at this machine's address in the local network, found without asking anybody, instead of at "
            "host.",
        ),
        Option(
            name="port_range",
            kind="ports",
            example="8000-8500",
            help="Where port is in use, take the first of these that is not, with a warning; where no port is given, "
            "the first free one of these.",
        ),
        Option(
            name="key_file",
            kind="path",
            example="/etc/netstructer/key",
            help="The file of the key that lets everybody in who has it; unless given, the default key file, made if "
            "it is missing.",
        ),
        Option(
            name="users_file",
            kind="path",
            example="/etc/netstructer/users",
            help="The file of users' keys, followed while the server runs; unless given, the one beside the default "
            "key file.",
        ),
        Option(
            name="identity",
            kind="path",
            choices=("default",),
            default="default",
            help="The file of what the server proves to be, as keygen --identity makes it; default is the user's own, "
            "made if it is missing.",
        ),
        Option(
            name="bans_file",
            kind="path",
            made=True,
            example="/var/lib/netstructer/bans",
            help="The file that keeps bans; unless given they are forgotten when the server ends.",
        ),
        Option(
            name="max_links",
            kind="whole",
            unit="links",
            default=1000,
            least=1,
            most=_MOST_LINKS,
            aliases=("max_clients",),
            help="Open links; who comes then is told that the server is busy.",
        ),
        Option(
            name="handler",
            kind="choice",
            choices=("show", "echo"),
            default="show",
            help="What becomes of values: show prints them, echo sends them back, too.",
        ),
        Option(
            name="cipher",
            kind="choice",
            choices=(FERNET.name, AES_256_GCM.name),
            default=FERNET.name,
            help="What may seal records beside Fernet: aes-256-gcm is for networks that are faster than Fernet is.",
        ),
        Option(name="compress", kind="flag", default=True, help="Compress what compression makes smaller."),
        Option(
            name="padding",
            kind="choice",
            choices=("none", "bucket", "full"),
            default="none",
            help="Hide lengths: bucket rounds them up, full makes all records equally long.",
        ),
        Option(
            name="hide_clock",
            kind="flag",
            default=False,
            help="State no time in the tokens, where whoever records them could read it.",
        ),
        Option(name="stealth", kind="flag", default=False, help="Tell strangers nothing: not one byte, not even why."),
        Option(
            name="pin_address",
            kind="flag",
            default=False,
            help="Take a client that lost its connection back only from the address that it had.",
        ),
        Option(
            name="drain_seconds",
            kind="number",
            unit="seconds",
            default=DRAIN_SECONDS,
            least=0,
            most=_MOST_SECONDS,
            help="How long what is under way may take to finish when the server is told to stop.",
        ),
    ),
    check=_one_place,
)

FILES = Section(
    name="files",
    help="The directory that put, get and ls reach.",
    options=(
        Option(
            name="directory",
            kind="path",
            example="/srv/files",
            help="Serve the files in here, and nothing outside of it; unless given, none.",
        ),
        Option(name="read_only", kind="flag", default=False, help="Give files, and take none."),
        Option(
            name="stall_seconds",
            kind="number",
            unit="seconds",
            default=STALL_SECONDS,
            least=0.001,
            most=_MOST_SECONDS,
            help="Give a transfer up in which nothing moves for so long.",
        ),
    ),
    check=_with_directory,
)

LOGS = Section(
    name="logs",
    help="Log files of the server: server.log, and errors again in error.log.",
    options=(
        Option(
            name="directory",
            kind="path",
            made=True,
            example="/var/log/netstructer",
            help="Where log files are written; unless given, none are.",
        ),
        Option(
            name="level",
            kind="choice",
            choices=LEVELS,
            default="info",
            help="What is less than this is not logged.",
        ),
        Option(
            name="most_bytes",
            kind="whole",
            unit="bytes",
            default=MOST_BYTES,
            least=LEAST_BYTES,
            most=_LARGEST_LOG,
            help="A log file that is this long makes way for a new one.",
        ),
        Option(
            name="keep",
            kind="whole",
            unit="files",
            default=KEEP,
            least=1,
            most=MOST_KEPT,
            help="How many full log files of one name are kept.",
        ),
        Option(name="json", kind="flag", default=False, help="Write each line as an object of JSON."),
        Option(
            name="verbose",
            kind="flag",
            default=False,
            help="Show what is logged on the terminal, too.",
        ),
    ),
)

SECTIONS = Sections((SERVER, LIMITS, FILES, LOGS, ACCOUNTS, AUDIT, ADMIN))
"""Every section that a file may have."""
