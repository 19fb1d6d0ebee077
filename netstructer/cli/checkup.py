"""The check-up of this machine, for `doctor` without an address; and what a step is.  Floor: ROOF."""

from __future__ import annotations

import os
import platform
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import netstructer
from netstructer import Key, Link, Server
from netstructer.cli.options import find
from netstructer.cli.outcomes import ExitCode, code_of, sentence_of
from netstructer.cli.screen import rate, seconds
from netstructer.codec.acceleration import CHOICE
from netstructer.codec.tokens import Opener, Sealer
from netstructer.credentials import FILE_VARIABLE, KEY_VARIABLE, default_key_path
from netstructer.errors import InvalidIdentity, InvalidKey, InvalidKnownServers, MissingKey, NetstructerError
from netstructer.identity import Identity, default_identity_path
from netstructer.known_servers import KnownServers, default_known_servers_path

__all__ = ["Step", "check_machine"]

PACKAGES = ("cryptography", "zstandard", "typer", "rich", "numpy")
SAMPLE_BYTES = 64 << 10
SAMPLE_SECONDS = 0.15
"""How long sealing and opening are timed, each: enough for two digits."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at: whether it is right (None: a note), what was found, what to do."""

    name: str
    passed: bool | None
    found: str
    advice: str = ""
    code: ExitCode = ExitCode.FAULT
    """The exit code that this step, failed, ends the command with."""
    facts: dict[str, Any] = field(default_factory=dict)


def check_machine(key_file: str | None) -> Iterator[Step]:
    """Examine this machine: nothing is written, nothing leaves it."""
    implementation = f"{platform.python_implementation()} {platform.python_version()}"
    yield Step("python", True, f"{implementation} on {platform.system()} {platform.machine()}, {sys.executable}")
    installed = {name: _version_of(name) for name in PACKAGES}
    yield Step(
        "packages",
        True,
        f"netstructer {netstructer.__version__}, "
        + ", ".join(f"{name} {found}" for name, found in installed.items() if found)
        + ("" if installed["numpy"] else "; no numpy (its arrays cannot be received here)"),
        facts={"versions": installed},
    )
    yield _check_key(key_file)
    yield _check_identity()
    yield _check_known_servers()
    yield Step("processor", None, _processor())
    yield _check_codec()
    yield _check_seals()
    yield _check_loopback()


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _check_key(key_file: str | None) -> Step:
    """Say which key is used, where it was found, and whether others can read it."""
    try:
        found = find(key_file)
    except InvalidKey as error:
        return Step(
            "key",
            False,
            sentence_of(error),
            advice="make one with netstructer keygen, or copy it again",
            code=code_of(error),
        )
    except MissingKey as error:
        wanted = key_file or os.environ.get(FILE_VARIABLE)
        if wanted:
            return Step("key", False, sentence_of(error), advice="correct the path", code=ExitCode.KEY)
        return Step(
            "key",
            None,
            f"none yet; its place is {default_key_path()}",
            advice="netstructer keygen makes one, and so does the first server; a client needs a copy of the server's",
        )
    facts = {"fingerprint": found.key.fingerprint, "source": found.source}
    place = _file_of(key_file)
    if place is not None and os.name == "posix" and stat.S_IMODE(os.stat(place).st_mode) & 0o077:
        return Step(
            "key",
            False,
            f"{found.key.fingerprint}, from {found.source}: others on this machine may read it",
            advice=f"chmod 600 {place}",
            code=ExitCode.KEY,
            facts=facts,
        )
    return Step("key", True, f"{found.key.fingerprint}, from {found.source}", facts=facts)


def _check_identity() -> Step:
    """Say by which fingerprint a server here is known, if it is asked to prove one."""
    try:
        place = default_identity_path()
        if not os.path.lexists(place):
            return Step(
                "identity",
                None,
                f"none; its place is {place}",
                advice="only a server needs one, so that clients can tell it from others who have the key: "
                "netstructer serve --identity default",
            )
        found = Identity.load(place)
    except (InvalidIdentity, OSError) as error:
        return Step("identity", False, sentence_of(error), advice="restore it from a backup", code=code_of(error))
    return Step(
        "identity",
        True,
        f"{found.fingerprint}, from {place}",
        facts={"fingerprint": found.fingerprint, "source": place},
    )


def _check_known_servers() -> Step:
    """Say how many servers are held to the identity that they had before."""
    place = default_known_servers_path()
    try:
        known = list(KnownServers(place)) if place is not None else []
    except (InvalidKnownServers, OSError) as error:
        return Step("known", False, sentence_of(error), advice="correct or remove that line", code=code_of(error))
    noun = "server is" if len(known) == 1 else "servers are"
    return Step("known", None, f"{len(known)} {noun} held to an identity, by {place}", facts={"servers": len(known)})


def _file_of(key_file: str | None) -> str | None:
    if key_file is None and os.environ.get(KEY_VARIABLE, "").strip():
        return None
    return key_file or os.environ.get(FILE_VARIABLE) or default_key_path()


def _processor() -> str:
    cores = f"{os.cpu_count() or 1} cores"
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = {word for line in file if line.startswith(("flags", "Features")) for word in line.split()}
    except OSError:
        return f"{cores}; what it can do is not shown by this system"
    known = {"aes": "AES", "sha_ni": "SHA", "sha2": "SHA", "avx2": "AVX2", "pmull": "PMULL"}
    found = list(dict.fromkeys(label for flag, label in known.items() if flag in flags))
    return (
        f"{cores}, instructions for {', '.join(found)}"
        if found
        else f"{cores}, no instructions for AES: sealing is slow"
    )


def _check_codec() -> Step:
    """Say which of the two codecs runs; that in Python is slower, and nothing else."""
    runs = "in Python" if CHOICE.compiled is None else "by compiled loops"
    return Step(
        "values",
        None if CHOICE.compiled is None else True,
        f"encoded and decoded {runs}: {CHOICE.reason}",
        facts={"compiled": CHOICE.compiled is not None},
    )


def _check_seals() -> Step:
    """Seal and open real records for a moment."""
    key = os.urandom(32)
    sealer, opener = Sealer(key), Opener(key)
    record = os.urandom(SAMPLE_BYTES)
    token = sealer.seal(record, 0)
    if opener.open(token) != record:
        return Step("seals", False, "what was sealed did not open as it was", advice="reinstall cryptography")
    speeds = [_speed(lambda: sealer.seal(record, 0)), _speed(lambda: opener.open(token))]
    return Step(
        "seals",
        True,
        f"one core seals {rate(speeds[0], 1)} and opens {rate(speeds[1], 1)}, in records of 64 KiB",
        facts={"seal_bytes_per_second": round(speeds[0]), "open_bytes_per_second": round(speeds[1])},
    )


def _speed(work: Any) -> float:
    began, rounds = time.perf_counter(), 0
    while time.perf_counter() - began < SAMPLE_SECONDS:
        work()
        rounds += 1
    return rounds * SAMPLE_BYTES / (time.perf_counter() - began)


def _check_loopback() -> Step:
    """Open a link from this process to itself and back, with a key of its own."""
    key = Key.generate()
    value = ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]
    began = time.perf_counter()
    try:
        with Server(key=key) as server, Link(server.address, key=key) as link:
            there = server.accept(timeout=5)
            link.send(value)
            arrived = there.recv(timeout=5)
            took = time.perf_counter() - began
    except NetstructerError as error:
        return Step(
            "loopback",
            False,
            f"a link to itself fails: {sentence_of(error)}",
            advice="does a firewall guard 127.0.0.1?",
        )
    if arrived != value:
        return Step("loopback", False, "a value that was sent to itself came back changed")
    return Step("loopback", True, f"a server, a link and a value there in {seconds(took)}")
