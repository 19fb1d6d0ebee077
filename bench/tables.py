"""The tables: what each workload and each bench shows, and what its ratio is made of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GROWTH", "MODULE_TABLES", "REFERENCES", "TABLES", "Table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a table shows: its title, and the columns as (figure, heading, digits)."""

    title: str
    columns: tuple[tuple[str, str, int], ...]
    more_is_better: bool = True
    """Of the first column, which is the one that the ratio is made of."""


IDLE = (
    ("server_kib", "server KiB per link", 1),
    ("median_us", "round trip beside them µs", 0),
    ("p99_us", "p99 µs", 0),
    ("alone_p99_us", "p99 before they came µs", 0),
    ("opened", "opened/s", 0),
)
GROWTH = (("client_growth_mib", "client grows MiB", 1), ("server_growth_mib", "server grows MiB", 1))
"""What every workload's table ends with."""
TABLES = {
    "connect": Table(
        title="Connect, handshake, first reply, one after the other",
        columns=(("per_second", "links/s", 0), ("first_ms", "first reply ms", 2), ("p99_ms", "p99 ms", 2)),
    ),
    "rtt": Table(
        title="Round trip of the small structure",
        columns=(("median_us", "median µs", 0), ("p99_us", "p99 µs", 0)),
        more_is_better=False,
    ),
    "rtt1core": Table(
        title="The same with both processes on one core: no wake-up across cores",
        columns=(("median_us", "median µs", 0), ("p99_us", "p99 µs", 0)),
        more_is_better=False,
    ),
    "oneway": Table(title="One way, small structure", columns=(("per_second", "messages/s", 0),)),
    "rows": Table(
        title="A list of dict rows, decoded, answered",
        columns=(("per_second", "lists/s", 2), ("mebibytes_per_second", "MiB/s of pickled size", 1)),
    ),
    "tuples": Table(
        title="A list of tuple rows, decoded, answered",
        columns=(("per_second", "lists/s", 2), ("mebibytes_per_second", "MiB/s of pickled size", 1)),
    ),
    "bulk": Table(
        title="Random bytes, values of 1 MiB",
        columns=(("mebibytes_per_second", "MiB/s", 0),),
    ),
    "text": Table(
        title="Log text, values of 1 MiB",
        columns=(("mebibytes_per_second", "MiB/s of text", 0),),
    ),
    "single": Table(
        title="One very large value of random bytes",
        columns=(
            ("mebibytes_per_second", "MiB/s", 0),
            ("client_extra_mib", "client peak above the value, MiB", 0),
            ("server_extra_mib", "server peak above the value, MiB", 0),
        ),
    ),
    "idle": Table(title="Idle links at one server process", columns=IDLE, more_is_better=False),
    "idle5000": Table(title="Five thousand idle links at one server process", columns=IDLE, more_is_better=False),
    "fanout": Table(title="Fan-out of 1 KiB to many links", columns=(("per_second", "messages/s delivered", 0),)),
    "wire": Table(
        title="Bytes from client to server, as a share of the pickle",
        columns=(
            ("text_share", "log text", 3),
            ("rows_share", "dict rows", 3),
            ("tuples_share", "tuple rows", 3),
            ("random_share", "random", 3),
            ("small_bytes", "bytes per small message", 0),
            ("handshake_bytes", "bytes to connect", 0),
        ),
        more_is_better=False,
    ),
}

MODULE_TABLES = {
    "limits": Table(
        title="Limits: what the system and the libraries can do, with nothing around it",
        columns=(("mib_s", "MiB/s", 0), ("us", "µs", 1)),
    ),
    "values": Table(
        title="Values: encode and decode beside other codecs (what carries the input unchanged)",
        columns=(
            ("both_ms", "both ways ms", 1),
            ("encode_mib_s", "encode MiB/s", 0),
            ("decode_mib_s", "decode MiB/s", 0),
            ("size_mib", "MiB", 2),
            ("zstd_mib", "MiB after zstd", 2),
        ),
        more_is_better=False,
    ),
    "seal": Table(
        title="Sealing and opening records",
        columns=(
            ("seal_us", "seal µs", 1),
            ("open_us", "open µs", 1),
            ("seal_mib_s", "seal MiB/s", 0),
            ("open_mib_s", "open MiB/s", 0),
        ),
        more_is_better=False,
    ),
    "files": Table(
        title="Files and trees to another process, from the start of the client's process to its end",
        columns=(
            ("seconds", "s", 2),
            ("mebibytes_per_second", "MiB/s", 0),
            ("files_per_second", "files/s", 0),
            ("client_peak_mib", "client peak MiB", 0),
            ("server_peak_mib", "server peak MiB", 0),
        ),
        more_is_better=False,
    ),
    "blobs": Table(
        title="One blob of random bytes between two processes, beside sealing its records in memory",
        columns=(
            ("mebibytes_per_second", "MiB/s", 0),
            ("sender_extra_mib", "sender's growth MiB", 0),
            ("receiver_extra_mib", "receiver's growth MiB", 0),
        ),
    ),
    "overtaking": Table(
        title="Round trips of the small structure while a blob runs on the same link",
        columns=(
            ("median_us", "median µs", 0),
            ("p99_us", "p99 µs", 0),
            ("mebibytes_per_second", "the blob's MiB/s", 0),
        ),
        more_is_better=False,
    ),
    "strangers": Table(
        title="Honest connects while eight sources open 10,000 half-open connections",
        columns=(
            ("median_ms", "median ms", 1),
            ("p99_ms", "p99 ms", 1),
            ("most_ms", "most ms", 1),
            ("count", "connects", 0),
            ("failed", "failed", 0),
        ),
        more_is_better=False,
    ),
    "crowd": Table(
        title="A crowd of idle links at one server process, without a thread for each",
        columns=(
            ("server_kib", "server KiB per link", 1),
            ("median_us", "round trip beside them, median µs", 0),
            ("p99_us", "p99 µs", 0),
            ("most_us", "longest µs", 0),
            ("greedy_p99_us", "p99 beside a greedy link µs", 0),
            ("idle_percent", "processor while idle %", 1),
            ("opened_per_second", "opened/s", 0),
            ("open_cpu_us", "server's processor for each µs", 0),
        ),
        more_is_better=False,
    ),
    "accounts": Table(
        title="Accounts: logins, which take a computation of Argon2id, and what is asked at each call",
        columns=(("median_us", "median µs", 0), ("p99_us", "p99 µs", 0)),
        more_is_better=False,
    ),
    "imports": Table(
        title="Imports, on top of a started interpreter",
        columns=(("median_ms", "median ms", 1), ("least_ms", "least ms", 1)),
        more_is_better=False,
    ),
}
"""The benches without a server; their reference is the named way of the same group."""
REFERENCES = {
    "values": "pickle",
    "seal": "raw",
    "files": "scp",
    "blobs": "street",
    "overtaking": "idle",
    "crowd": "asyncio + TLS",
    "strangers": "alone",
}
