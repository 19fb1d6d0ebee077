"""No key, no secret of a session and no payload is where it does not belong, over whole lives (canary.py)."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canary import Watch, spellings
from loopback import KEY, PATIENCE_SECONDS, Relay, eventually, finish, linked, python
from netstructer import Blob, Key, Limits, Link, Server, aio, errors
from netstructer.codec.values import decode
from netstructer.identity import Identity
from netstructer.protocol.session import Session

MARKER = "payload-" + base64.b32encode(bytes(range(20))).decode()
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A watch that knows the key, the marker, and the secrets of every session that is begun."""
    found = Watch()
    found.secret("key text", KEY.reveal())
    found.secret("key", base64.urlsafe_b64decode(KEY.reveal()))
    found.secret("psk", KEY.psk)
    found.secret("payload", MARKER)
    begin = Session.__init__

    def noted(session: Session, role: Any, agreement: Any, **options: Any) -> None:
        for name in ("send_secret", "receive_secret", "export_secret"):
            found.secret(f"{role.value} {len(found.secrets)} {name}", getattr(agreement, name))
        begin(session, role, agreement, **options)

    monkeypatch.setattr(Session, "__init__", noted)
    with found.watching():
        yield found
    assert len(found.secrets) > 3, "no session was begun"
    # The frames of a program hold the values that it sends: locals may show those.
    assert found.leaks(but=("payload",)) == set()


def test_a_whole_life_shows_nothing(watch: Watch, tmp_path: Path) -> None:
    limits = dataclasses.replace(Limits.SMALL, spool_memory_bytes=1024, spool_directory=str(tmp_path))
    with linked(limits=limits) as (near, far):
        sent = near.send(
            {
                "secret": MARKER,
                "blob": Blob.from_iter([MARKER.encode() * 20_000]),
                "noise": Blob.from_iter([os.urandom(500_000)]),
            }
        )
        value = far.recv(timeout=PATIENCE_SECONDS)
        eventually(lambda: far.stats.wire_received > 100_000)
        for thing in (near, far, near.stats, near.peer, KEY, sent, value["blob"], limits):
            watch.object(type(thing).__name__, thing)
        if sys.platform == "linux":
            watch.descriptors("descriptors")
        watch.files("spool", tmp_path)
        with pytest.raises(errors.LinkTimeout) as timeout:
            near.recv(timeout=0.01)
        watch.error("timeout", timeout.value)
        with pytest.raises(errors.UnsendableValue) as unsendable:
            near.send({"x": MARKER, "y": object()})
        watch.error("unsendable", unsendable.value)
        with pytest.raises(errors.UnsendableValue) as key_sent:
            near.send(KEY)
        watch.error("a key sent", key_sent.value)
    with pytest.raises(errors.NetstructerError) as closed:
        near.recv(timeout=1)
    watch.error("closed", closed.value)


def test_a_server_and_what_its_handler_raises_show_nothing(watch: Watch, tmp_path: Path) -> None:
    identity = Identity.generate()

    def handler(link: Link) -> None:
        value = link.recv(timeout=PATIENCE_SECONDS)
        raise RuntimeError("the handler failed") from ValueError(len(value))

    with Server(key={"ada": KEY}, identity=identity, handler=handler) as server, Link(server.address, key=KEY) as link:
        link.send(MARKER)
        with pytest.raises(errors.NetstructerError) as raised:
            link.recv(timeout=PATIENCE_SECONDS)
        watch.error("handler", raised.value)
        for thing in (server, server.keys, identity, server.bans, link):
            watch.object(type(thing).__name__, thing)


def test_refusals_show_nothing(watch: Watch) -> None:
    other = Key.generate()
    watch.secret("other key", other.reveal())
    with Server(key=KEY) as server:
        with pytest.raises(errors.KeyRefused) as refused, Link(server.address, key=other):
            pass
        watch.error("refused key", refused.value)

        def tamper(direction: str, offset: int, data: bytes) -> bytes:
            return data[:-1] + bytes((data[-1] ^ 1,)) if direction == "in" and offset > 200 else data

        with Relay(server.address, tamper=tamper) as relay, Link(relay.address, key=KEY, resume=False) as link:
            far = server.accept(timeout=PATIENCE_SECONDS)
            far.send(MARKER)
            with pytest.raises(errors.NetstructerError) as broken:
                link.recv(timeout=PATIENCE_SECONDS)
            watch.error("bad seal", broken.value)
            far.abort()
    for text in (KEY.reveal()[:-3], KEY.reveal() + "x", KEY.reveal().replace("=", "!")):
        with pytest.raises(errors.InvalidKey) as invalid:
            Key(text)
        watch.error("invalid key", invalid.value)


def test_an_outbox_shows_nothing(watch: Watch, tmp_path: Path) -> None:
    with Server(key=KEY) as server:
        address = server.address
        with Link(address, key=KEY, durable=tmp_path / "outbox.db") as link:
            link.send({"secret": MARKER})
            watch.files("outbox", tmp_path)
            watch.object("durable link", link)
            server.accept(timeout=PATIENCE_SECONDS).abort()
            link.abort()
    watch.files("outbox, closed", tmp_path)
    assert any("outbox.db" in channel for channel, _ in watch.seen)


def test_asyncio_shows_nothing(watch: Watch) -> None:
    async def life() -> None:
        async with aio.Server(("127.0.0.1", 0), key=KEY) as server, aio.connect(server.address, key=KEY) as link:
            await link.send(MARKER)
            watch.object("aio link", link)
            watch.object("aio server", server)
            with pytest.raises(errors.LinkTimeout) as timeout:
                await link.recv(timeout=0.01)
            watch.error("aio timeout", timeout.value)

    asyncio.run(life())


@LINUX
@pytest.mark.parametrize("cores", [False, True])
def test_the_command_shows_nothing_and_leaves_no_core(watch: Watch, tmp_path: Path, cores: bool) -> None:
    place = tmp_path / "key"
    KEY.save(place)
    command = ["-m", "netstructer", *(["--cores"] if cores else []), "serve", "127.0.0.1:0", "--json", "--once"]
    with python(*command, "--key-file", str(place), NETSTRUCTER_KEY="", afresh=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        about = Path(f"/proc/{process.pid}")
        for name in ("cmdline", "environ", "status", "limits"):
            watch.see(name, (about / name).read_bytes())
        limit = next(line for line in (about / "limits").read_text().splitlines() if "core file" in line).split()
        facts = json.loads(first)
        with Link((facts["host"], facts["port"]), key=KEY) as link:
            link.send([MARKER])
        out, err = finish(process)
    watch.secrets.pop("payload")  # it prints what comes
    watch.see("stdout", first + out)
    watch.see("stderr", err)

    import resource

    inherited = resource.getrlimit(resource.RLIMIT_CORE)[0]
    assert limit[4] == ("0" if not cores or not inherited else "unlimited" if inherited < 0 else str(inherited))
    assert MARKER in out


def test_the_library_leaves_the_limit_of_cores_to_its_program() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_CORE)
    with linked() as (near, far):
        near.send(1)
        far.recv(timeout=PATIENCE_SECONDS)

    assert resource.getrlimit(resource.RLIMIT_CORE) == before


# --- sabotage: a leak that is planted is found ------------------------------------------------------------------------

SECRET = bytes(range(100, 132))


@pytest.mark.parametrize("channel", ["log", "warning", "repr", "traceback", "locals", "pickle", "file", "descriptor"])
def test_a_planted_leak_is_found(channel: str, tmp_path: Path) -> None:
    watch = Watch()
    watch.secret("planted", SECRET)
    with watch.watching():
        if channel == "log":
            logging.getLogger("netstructer.anything").debug("key %s", SECRET.hex())
        if channel == "warning":
            warnings.warn(SECRET.hex(), stacklevel=1)
    if channel == "repr":
        watch.object("object", [SECRET])
    if channel in ("traceback", "locals", "pickle"):
        try:
            decode(b"\xef" + SECRET)
        except errors.BadValue as error:
            watch.error("error", error if channel == "locals" else errors.BadValue(SECRET.hex()))
    if channel == "file":
        (tmp_path / "spool").write_bytes(b"xx" + SECRET + b"xx")
        watch.files("file", tmp_path)
    if channel == "descriptor":
        if sys.platform != "linux":
            pytest.skip("looks into /proc")
        with open(tmp_path / "gone", "w+b", buffering=0) as file:
            os.unlink(tmp_path / "gone")
            file.write(SECRET)
            watch.descriptors("descriptor")

    assert {name for name, _ in watch.leaks()} == {"planted"}


@pytest.mark.parametrize("needle", sorted(spellings(SECRET)), ids=range(len(spellings(SECRET))))
def test_every_spelling_is_found(needle: bytes) -> None:
    watch = Watch()
    watch.secret("planted", SECRET)
    watch.see("somewhere", b"before" + needle + b"behind")

    assert watch.leaks() == {("planted", "somewhere")}
    assert all(part in SECRET for part in (SECRET[:16], SECRET[16:]))
