"""Shared files: what users keep at a server and give each other, over real links, on both façades."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accounts_support import CHEAP
from loopback import KEY, PATIENCE_SECONDS, Task, eventually, python
from netstructer import Key, Link, Server, aio
from netstructer.errors import (
    Misuse,
    NetstructerError,
    RemoteError,
    SourceFailed,
    TransferRefused,
    UnsafeName,
)
from netstructer.services.accounts import Accounts, Quota
from netstructer.services.files import QUOTA, SharedFiles, define_roles, shared
from netstructer.services.files.rations import STEP_BYTES, Rations, measured
from netstructer.services.files.visitors import Visitor
from netstructer.services.hall import Hall
from netstructer.services.signin import SignIn
from netstructer.transfer import Refused, Source, Transfer, fetch, listing, offer, progress

WORD = "correct horse battery"
ROOM_BYTES = 1 << 20
"""What each user may store here."""


@dataclass
class House:
    """A server with accounts and shared files."""

    server: Server
    accounts: Accounts
    files: SharedFiles
    noted: list[tuple[str, str, str, str]]
    tmp: Path

    @contextmanager
    def link(self, name: str = "") -> Iterator[Link]:
        with Link(self.server.address, key=KEY) as link:
            if name:
                link.call("accounts.login", name, WORD, timeout=PATIENCE_SECONDS)
            yield link

    def directory(self, name: str) -> Path:
        return Path(self.files.directory_of(self.files.visitors.named(name)))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    (tmp_path / "served").mkdir()
    noted: list[tuple[str, str, str, str]] = []

    def note(actor: str, source: str, action: str, target: str, result: str) -> None:
        noted.append((actor, action, target, result))

    quotas = {QUOTA: Quota(ROOM_BYTES)}
    with (
        Accounts(tmp_path / "accounts.db", passwords=CHEAP, quotas=quotas) as accounts,
        Server(key=KEY) as server,
    ):
        define_roles(accounts)
        for name, roles in {"ada": "client", "bob": "client", "sam": "sender", "rita": "receiver"}.items():
            accounts.create(name, WORD, roles=(roles,))
        hall = Hall(server)
        signin = SignIn(hall, accounts)
        with SharedFiles(hall, tmp_path / "served", tmp_path / "shares.db", signin=signin, note=note) as files:
            yield House(server, accounts, files, noted, tmp_path)


def call(link: Link, action: str, *args: object, **kwargs: object) -> Any:
    return link.call(action, *args, timeout=PATIENCE_SECONDS, **kwargs)


def put(link: Link, name: str, content: bytes, into: str = "") -> Transfer:
    with link.conversation() as aside:
        source = Source(io.BytesIO(content), name)
        return offer(aside, source, into=into, timeout=PATIENCE_SECONDS, clock=time.monotonic)


def put_path(link: Link, path: Path, into: str = "", **how: Any) -> Transfer:
    with link.conversation() as aside:
        return offer(aside, path, into=into, timeout=PATIENCE_SECONDS, clock=time.monotonic, **how)


def get(link: Link, patterns: list[str] | str, into: Path, **how: Any) -> dict[str, bytes]:
    into.mkdir(exist_ok=True)
    with link.conversation() as aside:
        fetch(aside, patterns, into, timeout=PATIENCE_SECONDS, clock=time.monotonic, **how)
    return {str(found.relative_to(into)): found.read_bytes() for found in into.rglob("*") if found.is_file()}


def ls(link: Link, path: str = "") -> list[str]:
    with link.conversation() as aside:
        return [entry.name for entry in listing(aside, path, timeout=PATIENCE_SECONDS)]


def refusal(act: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """Return the kind of refusal that something ends with."""
    with pytest.raises(TransferRefused) as caught:
        act(*args, **kwargs)
    return caught.value.kind if isinstance(caught.value, Refused) else str(caught.value)


def failed(link: Link, action: str, *args: object, **kwargs: object) -> str:
    with pytest.raises(RemoteError) as caught:
        call(link, action, *args, **kwargs)
    return caught.value.name or type(caught.value).__name__


def test_two_users_have_files_of_their_own_and_share_some(house: House, tmp_path: Path) -> None:
    with house.link("ada") as ada, house.link("bob") as bob:
        put(ada, "plan.txt", b"plan", into="docs/deep")
        put(ada, "secret.txt", b"secret")
        put(bob, "plan.txt", b"bob's")
        assert (ls(ada), ls(bob)) == (["docs", "secret.txt"], ["plan.txt"])
        assert refusal(ls, bob, "@ada") == refusal(ls, bob, "@nobody") == refusal(ls, bob, "@all/ada") == "missing"

        call(ada, "files.share", "docs", "bob")
        assert ls(bob) == ["plan.txt", "@ada"]
        assert (ls(bob, "@"), ls(bob, "@ada"), ls(bob, "@ada/")) == (["@ada"], ["@ada/docs"], ["@ada/docs"])
        assert ls(bob, "@ada/docs/deep") == ["@ada/docs/deep/plan.txt"]
        assert ls(bob, "@ADA/docs/*/p*") == ["@ADA/docs/deep/plan.txt"]
        assert get(bob, "@ada/docs", tmp_path / "one") == {"docs/deep/plan.txt": b"plan"}
        assert get(bob, ["@ada/docs/**/*.txt"], tmp_path / "two") == {"deep/plan.txt": b"plan"}
        assert get(bob, "plan.txt", tmp_path / "three") == {"plan.txt": b"bob's"}
        for hidden in ("@ada/secret.txt", "@ada/*", "@ada/doc", "@ada/docs.txt", "@all/ada/docs", "@ada"):
            assert refusal(get, bob, hidden, tmp_path / "none") == "missing", hidden
        assert refusal(put, bob, "x", b"", into="@ada/docs") == "not-permitted"

        call(ada, "files.share", "docs", "bob", writable=True)
        put(bob, "answer.txt", b"yes", into="@ada/docs/deep")
        assert get(ada, "docs/deep/answer.txt", tmp_path / "four") == {"answer.txt": b"yes"}
        assert refusal(put, bob, "other.txt", b"", into="@ada") == "not-permitted"
        assert call(ada, "files.unshare", "docs", "bob") is True
        assert call(ada, "files.unshare", "docs", "bob") is False
        assert refusal(get, bob, "@ada/docs", tmp_path / "none") == "missing"
        assert ls(bob) == ["plan.txt"]
    assert sorted(path.name for path in (tmp_path / "none").iterdir()) == []
    assert ("ada", "files.share", "docs with bob", "ok") in house.noted
    assert ("bob", "files.put", "@ada/docs/deep/answer.txt", "ok") in house.noted


def test_what_is_shared_with_all_is_found_by_everybody_who_may_receive(house: House, tmp_path: Path) -> None:
    with house.link("ada") as ada, house.link("rita") as rita, house.link("sam") as sam:
        put(ada, "news.txt", b"news")
        assert failed(ada, "files.share", "missing.txt", "all") == "TransferRefused"
        call(ada, "files.share", "news.txt", "all")

        assert ls(rita) == ["@all", "@ada"]
        assert (ls(rita, "@all"), ls(rita, "@all/ada")) == (["@all/ada"], ["@all/ada/news.txt"])
        assert get(rita, "@all/ada/news.txt", tmp_path / "one") == {"news.txt": b"news"}
        assert get(rita, "@ada/news.txt", tmp_path / "two") == {"news.txt": b"news"}
        assert refusal(put, rita, "x", b"") == "not-permitted"
        assert refusal(get, sam, "@ada/news.txt", tmp_path / "three") == "not-permitted"
        assert put(sam, "in.txt", b"for the office").counts["sent"] == 1
        assert ls(sam) == ["in.txt", "@all", "@ada"]
        assert [failed(rita, "files.remove", "x"), failed(rita, "files.share", "x", "all")] == ["NotPermitted"] * 2
        [share] = call(ada, "files.shares")
        assert (share["path"], share["with"], share["writable"]) == ("news.txt", "all", False)


def test_who_has_not_signed_in_gets_nothing(house: House, tmp_path: Path) -> None:
    with house.link() as link:
        assert refusal(ls, link) == refusal(put, link, "x", b"") == "not-permitted"
        assert refusal(get, link, "*", tmp_path / "none") == "not-permitted"
        for action, args in {"share": ("x", "all"), "shares": (), "usage": (), "remove": ("x",)}.items():
            assert failed(link, f"files.{action}", *args) == "NotPermitted"
    assert os.listdir(house.files.path) == []


@pytest.mark.parametrize(
    "path",
    ["../up", "docs/../../up", "/etc", "docs//x", "C:/x", "docs\\..\\up", "a/./b", "", "@bob/x/../..", "@", "@/x"],
)
def test_names_that_lead_out_are_refused_everywhere(house: House, tmp_path: Path, path: str) -> None:
    outside = house.tmp / "served" / "up"
    outside.write_bytes(b"outside")
    with house.link("ada") as ada, house.link("bob") as bob:
        put(ada, "kept.txt", b"kept", into="docs")
        put(bob, "kept.txt", b"kept", into="x")
        call(bob, "files.share", "x", "ada", writable=True)
        for verb, args in {"share": (path, "bob"), "remove": (path,), "rename": (path, "new")}.items():
            assert failed(ada, f"files.{verb}", *args) in ("UnsafeName", "TransferRefused"), verb
        assert failed(ada, "files.rename", "docs/kept.txt", path) in ("UnsafeName", "TransferRefused")
        if path:
            with pytest.raises((TransferRefused, UnsafeName)):
                put(ada, "new", b"new", into=path)
            with ada.conversation() as aside:
                aside.send(("get", {"patterns": [path]}))
                word, fields = aside.recv(timeout=PATIENCE_SECONDS)
            assert (word, fields["kind"] in ("unsafe", "missing")) == ("refused", True)
    assert outside.read_bytes() == b"outside"
    assert sorted(os.listdir(house.files.path)) == sorted([*(house.directory(n).name for n in ("ada", "bob")), "up"])
    assert sorted(os.listdir(house.directory("ada"))) == ["docs"]


@pytest.mark.parametrize("name", ["@bob", "@x", "@"])
def test_no_file_of_ones_own_is_called_as_another_users_are(house: House, name: str) -> None:
    with house.link("ada") as ada:
        for top in ("", "@ada", "@ada/"):
            assert refusal(put, ada, name, b"", into=top) == "unsafe"
        assert refusal(put, ada, "x", b"", into=f"@ada/{name}") == "unsafe"
        put(ada, name, b"below is another matter", into="docs")
        assert failed(ada, "files.rename", f"docs/{name}", name) in ("UnsafeName", "TransferRefused")
        assert ls(ada) == ["docs"]


def test_a_share_is_one_path_and_no_pattern_and_nobody_goes_around_it_by_links(house: House, tmp_path: Path) -> None:
    with house.link("ada") as ada, house.link("bob") as bob:
        put(ada, "[ab]", b"", into="docs")
        put(ada, "a", b"a", into="docs")
        assert failed(ada, "files.share", "docs/[ab]", "bob") == "UnsafeName"
        call(ada, "files.share", "docs/a", "bob", writable=True)
        put(ada, "hidden", b"hidden", into="other")
        if os.name == "posix":
            (house.directory("ada") / "docs" / "a").unlink()
            (house.directory("ada") / "docs" / "a").symlink_to("../other")
            assert refusal(ls, bob, "@ada/docs/a/hidden") == "missing"
            assert refusal(get, bob, "@ada/docs/a/hidden", tmp_path / "none") == "missing"
            put(bob, "a", b"is replaced", into="@ada/docs")
            assert get(ada, "docs/a", tmp_path / "one") == {"a": b"is replaced"}
        assert failed(bob, "files.remove", "@ada/docs/a") == "TransferRefused"
        assert refusal(get, bob, ["x", "@ada/docs/a"], tmp_path / "none") == "too-many"
        assert refusal(get, bob, ["@ada/docs/a", "@ada"], tmp_path / "none") == "missing"
        assert failed(ada, "files.share", "docs/a", "ada") == "InvalidName"
        assert failed(ada, "files.share", "docs/a", "nobody") == "UnknownAccount"


def test_a_share_ends_with_its_file_and_goes_where_that_goes(house: House, tmp_path: Path) -> None:
    with house.link("ada") as ada, house.link("bob") as bob:
        put(ada, "a.txt", b"a", into="docs")
        call(ada, "files.share", "docs/a.txt", "bob")
        call(ada, "files.rename", "docs", "papers")
        assert ls(bob, "@ada") == ["@ada/papers/a.txt"]
        put(ada, "there", b"")
        assert failed(ada, "files.rename", "papers/a.txt", "there") == "TransferRefused"
        assert failed(ada, "files.rename", "nothing", "else") == "TransferRefused"
        call(ada, "files.remove", "papers")
        assert refusal(ls, bob, "@ada") == "missing"
        put(ada, "a.txt", b"another, which is private", into="papers")
        assert refusal(get, bob, "@ada/papers/a.txt", tmp_path / "none") == "missing"
        assert [failed(ada, "files.remove", "docs"), call(ada, "files.shares")] == ["TransferRefused", []]

        put(bob, "b.txt", b"b")
        call(bob, "files.share", "b.txt", "ada")
        house.accounts.remove("bob")
        house.accounts.create("bob", WORD)
        assert refusal(get, ada, "@bob/b.txt", tmp_path / "none") == "missing"
        assert ls(ada) == ["papers", "there"]


def test_a_quota_bounds_what_is_stored_known_or_not_and_is_given_back(house: House) -> None:
    def used() -> int:
        return house.accounts.quotas("ada")[QUOTA].used

    big = house.tmp / "big"
    with house.link("ada") as ada, house.link("bob") as bob:
        big.write_bytes(os.urandom(ROOM_BYTES - 1000))
        put_path(ada, big)
        assert used() == ROOM_BYTES - 1000
        assert call(ada, "files.usage") == {"bytes": ROOM_BYTES - 1000, "most": ROOM_BYTES, "files": 1}
        (house.tmp / "more").write_bytes(bytes(1001))
        assert refusal(put_path, ada, house.tmp / "more") == "quota"
        put(ada, "fits", bytes(1000))
        assert used() == ROOM_BYTES
        assert refusal(put, ada, "stream", b"x") == "quota"
        call(ada, "files.share", "fits", "bob", writable=True)
        assert refusal(put, bob, "fits", bytes(2000), into="@ada") == "quota"  # it is ada's room, not bob's
        call(ada, "files.remove", "big")
        assert used() == 1000

        with pytest.raises((TransferRefused, SourceFailed)):
            put(ada, "holes", bytes(64 << 20))  # which are a few bytes on the wire
        eventually(lambda: measured(str(house.directory("ada"))) == (1000, 1), "what came of it is gone")
        eventually(lambda: used() == 1000, "the charge of it is gone")
        put_path(ada, big)
    eventually(lambda: house.accounts.statistics("ada")["files sent"] == 3, "three files are counted")
    assert house.accounts.statistics("ada")["file bytes sent"] == 2 * (ROOM_BYTES - 1000) + 1000


def test_what_is_charged_is_what_is_there_whoever_changed_it(house: House) -> None:
    with house.link("ada") as ada:
        put(ada, "one", bytes(5000))
        (house.directory("ada") / "one").unlink()
        house.accounts.charge("ada", QUOTA, 70_000)  # as a server that was killed has left it
        put(ada, "two", b"22")
        assert house.accounts.quotas("ada")[QUOTA].used == 2
        house.accounts.set_quota("ada", QUOTA, 1)
        assert refusal(put, ada, "three", b"3") == "quota"
        assert call(ada, "files.usage") == {"bytes": 2, "most": 1, "files": 1}


def test_bounds_hold_for_the_disk_the_transfer_and_the_files(tmp_path: Path) -> None:
    room = {"free": 10 << 30}
    rations = Rations(None, most_stored=100 << 20, most_upload=200 << 20, most_files=3, free=lambda path: room["free"])
    owner = Visitor("k1", "ada")

    def kind(entries: int, size: int, *spent: int) -> str:
        with rations.ration(owner, str(tmp_path)) as ration:
            try:
                ration.begin(entries, size)
                for count in spent:
                    ration.spend(count)
            except Refused as error:
                return error.kind
        return "ok"

    assert kind(3, 100 << 20) == "ok"
    assert kind(1, (100 << 20) + 1) == "quota"
    assert kind(4, 0) == "too-many"
    assert kind(1, 201 << 20) == "too-many"
    assert kind(1, 0, *[STEP_BYTES] * 6, 4 << 20) == "ok"
    assert kind(1, 0, *[STEP_BYTES] * 6, 4 << 20, 1) == "quota"
    assert kind(1, 0, 201 << 20) == "too-many"
    room["free"] = 65 << 20
    assert kind(1, 1 << 20) == "ok"
    assert kind(1, (1 << 20) + 1) == kind(1, 0, 1, 2 << 20) == "full"
    room["free"] = 10 << 30
    with rations.ration(owner, str(tmp_path)) as one:
        one.begin(1, 60 << 20)
        assert kind(1, 60 << 20) == "quota"
        assert kind(1, 40 << 20) == "ok"
    assert kind(1, 100 << 20) == "ok"


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_share_that_ends_while_a_transfer_runs_ends_the_transfer(
    house: House, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0)
    monkeypatch.setattr(shared, "AGAIN_SECONDS", 0)
    house.accounts.set_quota("ada", QUOTA, 1 << 30)
    moving, ended = threading.Event(), threading.Event()

    def wait(event: Any) -> None:
        if event.done and not moving.is_set():
            moving.set()
            assert ended.wait(PATIENCE_SECONDS)

    with house.link("ada") as ada, house.link("bob") as bob:
        big = tmp_path / "big"
        big.write_bytes(os.urandom(24 << 20))
        (house.directory("ada") / "docs").mkdir()
        if way == "down":
            (house.directory("ada") / "docs" / "big").write_bytes(big.read_bytes())
        call(ada, "files.share", "docs", "bob", writable=True)
        act = (
            (lambda: put_path(bob, big, "@ada/docs", progress=wait))
            if way == "up"
            else (lambda: get(bob, "@ada/docs/big", tmp_path / "into", progress=wait))
        )
        task: Task[object] = Task(act)
        assert moving.wait(PATIENCE_SECONDS)
        call(ada, "files.unshare", "docs", "bob")
        ended.set()
        with pytest.raises((TransferRefused, SourceFailed)):
            task.result()
        if way == "up":
            assert "big" not in os.listdir(house.directory("ada") / "docs")
        else:
            assert not (tmp_path / "into" / "big").exists()
        assert ls(bob) == []  # and the link goes on


def test_a_role_that_is_taken_away_ends_what_it_permitted(house: House) -> None:
    with house.link("bob") as bob:
        put(bob, "a", b"a")
        house.accounts.grant("bob", "receiver")
        house.accounts.revoke("bob", "client")
        assert refusal(put, bob, "b", b"b") == "not-permitted"
        assert ls(bob) == ["a"]


def test_without_accounts_a_user_is_whose_key_it_is_and_one_key_is_one_directory(tmp_path: Path) -> None:
    keys = {name: Key.generate() for name in ("ada", "bob")}
    (tmp_path / "served").mkdir()
    with (
        Server(key=keys) as server,
        SharedFiles(Hall(server), tmp_path / "served", tmp_path / "shares.db", most_stored=10),
        Link(server.address, key=keys["ada"]) as ada,
        Link(server.address, key=keys["bob"]) as bob,
    ):
        put(ada, "a", b"a")
        call(ada, "files.share", "a", "bob")
        assert (ls(ada), ls(bob), ls(bob, "@ada")) == (["a"], ["@ada"], ["@ada/a"])
        assert refusal(put, ada, "b", bytes(10)) == "quota"
        assert call(ada, "files.usage")["most"] == 10
    (tmp_path / "common").mkdir()
    with (
        Server(key=KEY) as server,
        SharedFiles(Hall(server), tmp_path / "common", tmp_path / "common.db"),
        Link(server.address, key=KEY) as one,
        Link(server.address, key=KEY) as two,
    ):
        put(one, "a", b"a")
        assert ls(two) == ["a"]
        assert failed(one, "files.share", "a", "all") == "InvalidName"
        call(two, "files.remove", "a")
        assert ls(one) == []


def test_a_server_of_asyncio_answers_too(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()

    def talk(address: Any) -> tuple[list[str], dict[str, bytes]]:
        with Link(address, key=KEY) as link:
            put(link, "a", b"a" * 100_000, into="docs")
            call(link, "files.rename", "docs/a", "b")
            assert refusal(get, link, "nothing", tmp_path / "none") == "missing"
            return ls(link), get(link, "b", tmp_path / "one")

    async def run() -> tuple[list[str], dict[str, bytes]]:
        async with aio.Server(key=KEY) as server:
            with SharedFiles(Hall(server), tmp_path / "served", tmp_path / "shares.db"):
                return await asyncio.get_running_loop().run_in_executor(None, talk, server.address)

    assert asyncio.run(run()) == (["b", "docs"], {"b": b"a" * 100_000})


SERVING = """
import sys, time
from netstructer import Key, Server
from netstructer.services.files import SharedFiles
from netstructer.services.hall import Hall
server = Server(key=Key.load(sys.argv[1]))
files = SharedFiles(Hall(server), sys.argv[2], sys.argv[3])
server.start()
print(server.address, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_server_has_every_file_that_it_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    acknowledged: dict[str, bytes] = {}
    KEY.save(tmp_path / "key")
    with python("-c", SERVING, str(tmp_path / "key"), str(tmp_path / "served"), str(tmp_path / "shares.db")) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()

        def send() -> None:
            with Link(address, key=KEY, resume=False) as link:
                for number in range(10_000):
                    content = os.urandom(3000)
                    put(link, f"{number}", content)
                    acknowledged[f"{number}"] = content

        sending: Task[None] = Task(send)
        eventually(lambda: len(acknowledged) >= 20)
        process.kill()
        with pytest.raises(NetstructerError):
            sending.result()
        process.wait(PATIENCE_SECONDS)
    found = {path.name: path.read_bytes() for path in (tmp_path / "served" / "common").iterdir()}

    assert len(acknowledged) >= 20
    assert {name: found.get(name) for name in acknowledged} == acknowledged


def test_what_cannot_be_right_is_misuse(tmp_path: Path) -> None:
    with Server(key=KEY) as server:
        with pytest.raises(Misuse):
            SharedFiles(Hall(server), tmp_path, tmp_path / "shares.db", most_files=0)
        with pytest.raises(FileNotFoundError):
            SharedFiles(Hall(server), tmp_path / "missing", tmp_path / "shares.db")
        with SharedFiles(Hall(server), tmp_path, tmp_path / "shares.db") as files:
            files.close()
            assert repr(files) == f"<SharedFiles in {tmp_path}>"
