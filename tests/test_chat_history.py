"""The history of a chat: numbers, bounds, age, what is erased, and that a killed process has lost nothing of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chat_support import Guest, chatting
from loopback import KEY, PATIENCE_SECONDS, Task, eventually, python
from netstructer import Link
from netstructer.cli.sources import source_at
from netstructer.errors import InvalidName, LimitReached, Misuse, StoreDamaged
from netstructer.services.chat import ChatLimits, History, Said
from netstructer.services.chat import history as history_module
from netstructer.services.chat.history import TIDY_SECONDS
from netstructer.services.chat.texts import name_of_room
from netstructer.services.store import Store

LOBBY, GARDEN = name_of_room("Lobby"), name_of_room("Garden")
NOW = 1_800_000_000.0


class Wall:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def opened(directory: Path, wall: Wall | None = None, **limits: object) -> History:
    return History(directory / "chat.db", ChatLimits(**limits), wall=wall or Wall())  # type: ignore[arg-type]


def texts(messages: list[Said]) -> list[str]:
    return [message.text for message in messages]


def test_what_was_said_is_read_by_room_and_number(tmp_path: Path) -> None:
    with opened(tmp_path) as history:
        for number in range(1, 8):
            assert history.add(LOBBY, 0, "Ada", None, str(number)).n == number
        found = history.add(GARDEN, 0, "Bob", "bob", "apart\0\U0001f600")

        assert found == Said("Garden", 1, NOW, "Bob", "bob", "apart\0\U0001f600")
        assert history.read("garden") == [found]
        assert texts(history.read("lobby", count=3)) == ["5", "6", "7"]
        assert texts(history.read("lobby", before=5, count=2)) == ["3", "4"]
        assert texts(history.read("lobby", after=2, count=2)) == ["3", "4"]
        assert texts(history.read("lobby", after=2, before=6, count=2)) == ["4", "5"]
        assert history.read("lobby", after=7) == history.read("nowhere") == []
        assert [(room.name, room.messages, room.last_at) for room in history.rooms()] == [
            ("Garden", 1, NOW),
            ("Lobby", 7, NOW),
        ]
        assert history.names() == [GARDEN, LOBBY]
        assert (history.last("lobby"), history.last("nowhere")) == (("Lobby", 7), None)


def test_it_is_there_after_it_was_opened_again(tmp_path: Path) -> None:
    with opened(tmp_path) as history:
        history.add(LOBBY, 0, "Ada", None, "before")
    with opened(tmp_path) as history:
        assert history.add(LOBBY, 0, "Ada", None, "after").n == 2
        assert texts(history.read("lobby")) == ["before", "after"]
    with pytest.raises(StoreDamaged, match="that of something else"), Store(tmp_path / "chat.db", [[]], name="files"):
        pass


def test_a_room_keeps_so_many_messages(tmp_path: Path) -> None:
    with opened(tmp_path, history_messages=3) as history:
        for number in range(10):
            history.add(LOBBY, 0, "Ada", None, str(number))

        assert texts(history.read("lobby")) == ["7", "8", "9"]
        assert history.last("lobby") == ("Lobby", 10)


def test_what_is_too_old_is_not_shown_and_then_gone(tmp_path: Path) -> None:
    wall = Wall()
    with opened(tmp_path, wall, history_days=1) as history:
        history.add(LOBBY, 0, "Ada", None, "old")
        history.add(GARDEN, 0, "Ada", None, "old")
        wall.now += 86_400 / 2
        history.add(LOBBY, 0, "Ada", None, "younger")
        wall.now += 86_400 / 2 + 1
        assert texts(history.read("lobby")) == ["younger"]
        assert [room.name for room in history.rooms()] == ["Lobby"]
        assert [row["message"] for row in history.rows()] == ["younger"]
        history.add(LOBBY, 0, "Ada", None, "new")  # an hour after the last look
        assert wall.now - NOW > TIDY_SECONDS
        with history.store.reading() as db:
            assert db.execute("SELECT text FROM messages ORDER BY n").fetchall() == [("younger",), ("new",)]
        assert history.last("garden") is None


def test_rooms_with_a_history_are_so_many(tmp_path: Path) -> None:
    with opened(tmp_path, rooms=2) as history:
        history.add(LOBBY, 0, "Ada", None, "hi")
        history.add(GARDEN, 0, "Ada", None, "hi")
        with pytest.raises(LimitReached, match="at most 2 rooms"):
            history.add(name_of_room("Cellar"), 0, "Ada", None, "hi")
        assert history.last("cellar") is None
        history.add(LOBBY, 0, "Ada", None, "still")
        history.erase("garden")
        history.tidy()
        history.add(name_of_room("Cellar"), 0, "Ada", None, "hi")


def test_what_is_erased_is_in_no_file_any_more(tmp_path: Path) -> None:
    with opened(tmp_path) as history:
        for number in range(3):
            history.add(LOBBY, 0, "Ada", None, f"unforgettable-{number}")
        assert (history.erase("LOBBY", 2), history.erase("lobby", 2), history.erase("nowhere")) == (1, 0, 0)
        assert texts(history.read("lobby")) == ["unforgettable-0", "unforgettable-2"]
        assert history.erase("lobby") == 2
        assert history.add(LOBBY, 0, "Ada", None, "again").n == 4
        with pytest.raises(InvalidName):
            history.erase("")

    assert os.listdir(tmp_path) == ["chat.db"]
    assert b"unforgettable" not in (tmp_path / "chat.db").read_bytes()


def test_a_report_has_a_row_for_each_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "ROWS", 5)
    wall = Wall()
    with opened(tmp_path, wall) as history:
        for number in range(11):
            history.add(LOBBY, 0, "Ada", None, str(number))
        wall.now += 60
        history.add(GARDEN, 0, "Bob", "bob", "hello")
        rows = list(history.rows())

        assert len(rows) == 12
        assert rows[0] == {"timestamp": NOW + 60, "client": "Bob", "message": "hello", "room": "Garden", "number": 1}
        assert [row["message"] for row in history.rows("LOBBY")] == [str(number) for number in range(11)]
        assert [row["client"] for row in history.rows(since=NOW + 1)] == ["Bob"]
        assert list(history.rows("nowhere")) == []
        with pytest.raises(Misuse, match="expected a report of a chat: chat"):
            history.report("users")
    with source_at(str(tmp_path / "chat.db")) as reader:  # of any age, and it erases nothing
        report = reader.report("chat", since=NOW + 1)
        assert report.columns == ("timestamp", "client", "message", "room", "number")
        assert [list(row.values()) for row in report.rows] == [
            ["2027-01-15T08:01:00.000Z", "Bob", "hello", "Garden", 1]
        ]


def test_a_history_cannot_be_copied(tmp_path: Path) -> None:
    import copy

    with opened(tmp_path) as history, pytest.raises(Misuse, match="open the file again"):
        copy.copy(history)


def test_messages_and_their_numbers_outlive_the_chat(tmp_path: Path) -> None:
    for turn in range(2):
        with chatting(history=tmp_path / "chat.db") as chat, Guest(chat, "Ada", "Garden") as ada:
            assert ada.call("say", "garden", "hello") == turn + 1
            assert ada.call("rooms")[0] == {"room": "Garden", "members": 1}
        with chatting(history=tmp_path / "chat.db") as chat, Guest(chat, "Bob", None) as bob:
            assert bob.call("rooms") == [{"room": "Garden", "members": 0}]
            assert bob.call("join", "GARDEN", recent=9)["room"] == "Garden"  # as it was written first


SERVER = """
import sys
from netstructer import Server
from netstructer.services.chat import Chat, ChatLimits

with Server() as server, Chat(server, history=sys.argv[1], limits=ChatLimits(per_second=1e5, burst=100_000)):
    print(server.address.port, flush=True)
    sys.stdin.read()
"""


def test_a_server_that_is_killed_has_lost_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = []
    with python("-c", SERVER, str(tmp_path / "chat.db")) as server:
        assert server.stdout is not None
        link = Link(("127.0.0.1", int(server.stdout.readline())), key=KEY)
        link.call("chat.enter", "Ada", timeout=PATIENCE_SECONDS)
        link.call("chat.join", timeout=PATIENCE_SECONDS)

        def talk() -> None:
            while True:
                text = f"message {len(acknowledged)}"
                acknowledged.append((link.call("chat.say", "lobby", text, timeout=PATIENCE_SECONDS), text))

        talking = Task(talk)
        eventually(lambda: len(acknowledged) >= 20)
        server.kill()
        server.wait()
        link.abort()
        assert talking.error() is not None
    with History(tmp_path / "chat.db") as history:
        history.store.check()
        kept = [(message.n, message.text) for message in history.read("lobby", count=1000)]

    assert len(acknowledged) >= 20
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) <= len(acknowledged) + 1  # the one that was under way
