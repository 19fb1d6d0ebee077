"""The chat as its users have it: names, rooms, what is said, what is refused, on servers of both façades."""

from __future__ import annotations

import dataclasses
import inspect
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts_support import PASSWORD, open_accounts
from chat_support import FACADES, Guest, chatting, guests, place_of
from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually
from netstructer import Key, Limits, Link, Server
from netstructer.errors import (
    BadArguments,
    Busy,
    InvalidName,
    InvalidText,
    Misuse,
    NotHere,
    NotPermitted,
    RemoteError,
    StoreFull,
)
from netstructer.services.chat import SHAPES, Chat, ChatLimits, History, read_pushed
from netstructer.services.chat.desk import Desk
from netstructer.services.hall import Hall
from netstructer.services.signin import SignIn
from test_spec import cells_of, section

QUICK = ChatLimits(per_second=100_000.0, burst=100_000)
"""For tests that are about something else than the pace."""


@pytest.fixture(params=FACADES)
def facade(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(guest: Guest, name: str, action: str, *args: Any, **kwargs: Any) -> str:
    """Call what is refused by an error of a name; return its text."""
    with pytest.raises(RemoteError) as caught:
        guest.call(action, *args, **kwargs)

    assert caught.value.name == name
    return str(caught.value)


# --- what people do ---------------------------------------------------------------------------------------------------


def test_what_one_says_the_others_read(facade: str, tmp_path: Path) -> None:
    with chatting(facade, history=tmp_path / "chat.db") as chat, guests(chat, "Ada", "Bob", "Eve") as (ada, bob, eve):
        eve.call("leave", "lobby")
        assert bob.heard("left") == {"chat": "left", "room": "lobby", "name": "Eve"}
        before = time.time()
        assert ada.call("say", "LOBBY", "good morning") == 1
        assert ada.call("say", "lobby", "\x1b[2J anybody?") == 2
        found = bob.heard("said")
        assert before <= found.pop("at") <= time.time()
        assert found == {"chat": "said", "room": "lobby", "n": 1, "name": "Ada", "text": "good morning"}
        assert bob.heard("said")["text"] == "\x1b[2J anybody?"  # as it was written: readers make it harmless
        assert bob.call("say", "lobby", "yes") == 3
        assert ada.heard("said")["text"] == "yes"
        assert "said" not in (*ada.rest(), *eve.rest())  # no echo, and nothing to who has left
        assert [(one["n"], one["name"], one["text"]) for one in ada.call("history", "lobby", 2)] == [
            (2, "Ada", "\x1b[2J anybody?"),
            (3, "Bob", "yes"),
        ]


def test_who_comes_and_goes_is_told(facade: str) -> None:
    with chatting(facade, greeting="be kind") as chat, guests(chat, "Ada") as (ada,):
        with Guest(chat) as guest:
            about = guest.call("about")
            assert (about["login"], about["entered"], about["room"], about["greeting"]) == (
                *(False, None),
                *("lobby", "be kind"),
            )
            assert guest.call("enter", "Bob") == "Bob"
            assert ada.heard("connected")["name"] == "Bob"
            found = guest.call("join")
            assert found == {"room": "lobby", "members": ["Ada", "Bob"], "last": 0, "recent": []}
            assert ada.heard("joined")["name"] == "Bob"
            assert guest.call("name", "Robert") == "Robert"
            assert ada.heard("renamed") == {"chat": "renamed", "before": "Bob", "name": "Robert"}
            assert (ada.call("who"), ada.call("who", "lobby"), ada.call("who", "nowhere")) == (
                ["Ada", "Robert"],
                ["Ada", "Robert"],
                [],
            )
            assert guest.call("join", "Garden") == {"room": "Garden", "members": ["Robert"], "last": 0, "recent": []}
            rooms = [{"room": "Garden", "members": 1}, {"room": "lobby", "members": 2}]
            assert ada.call("rooms") == rooms
            assert guest.call("exit") is None
            assert ada.heard("disconnected")["name"] == "Robert"
            refused(guest, "NotHere", "say", "lobby", "am I still here?")
            guest.call("enter", "Bob")
        assert ada.heard("disconnected")["name"] == "Bob"  # a link that ends, too
        assert ada.call("rooms") == [{"room": "lobby", "members": 1}]
        assert (chat.stats.people, chat.stats.connected, chat.stats.disconnected) == (1, 3, 2)


def test_a_private_word_reaches_one_and_is_kept_nowhere(facade: str, tmp_path: Path) -> None:
    with (
        chatting(facade, history=tmp_path / "chat.db") as chat,
        guests(chat, "Ada", "Bob Miller", "Eve") as (ada, bob, eve),
    ):
        assert ada.call("tell", "bob miller", "between us") == "Bob Miller"
        found = bob.heard("told")
        assert (found["name"], found["text"]) == ("Ada", "between us")
        assert "told" not in eve.rest()
        refused(ada, "NotHere", "tell", "Bob", "nobody of that name")
        assert chat.history is not None
        assert list(chat.history.rows()) == []


def test_who_joins_reads_the_past_and_then_each_message_once(tmp_path: Path) -> None:
    with chatting(history=tmp_path / "chat.db") as chat, guests(chat, "Ada") as (ada,):
        for number in range(5):
            ada.call("say", "lobby", f"message {number}")
        with Guest(chat, "Bob", None) as bob:
            found = bob.call("join", "lobby", recent=3)
            assert (found["last"], [one["n"] for one in found["recent"]]) == (5, [3, 4, 5])
            assert all(read_pushed(one) for one in found["recent"])
            ada.call("say", "lobby", "and one more")
            assert bob.heard("said")["n"] == 6


def test_a_room_full_of_talk_has_one_order(tmp_path: Path) -> None:
    with (
        chatting(history=tmp_path / "chat.db") as chat,
        guests(chat, "Ada", "Bob", "Eve") as (ada, bob, eve),
    ):
        tasks = [
            Task(lambda who=who: [who.call("say", "lobby", f"{number}") for number in range(8)]) for who in (ada, bob)
        ]
        numbers = [number for task in tasks for number in task.result()]
        heard = [eve.heard("said") for _ in numbers]
        assert chat.history is not None
        kept = chat.history.read("lobby", count=100)

        assert sorted(numbers) == list(range(1, 17))
        assert [one["n"] for one in heard] == list(range(1, 17))
        assert [(one.n, one.name, one.text) for one in kept] == [(one["n"], one["name"], one["text"]) for one in heard]


def test_what_cannot_be_kept_is_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*facts: Any) -> Any:
        raise StoreFull("the disk takes no more")

    with (
        chatting(history=tmp_path / "chat.db") as chat,
        guests(chat, "Ada", "Bob") as (ada, bob),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(chat.history, "add", full)
            refused(ada, "StoreFull", "say", "lobby", "lost")
        assert ada.call("say", "lobby", "kept") == 1
        assert bob.heard("said")["text"] == "kept"


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_had_by_one_at_a_time(facade: str) -> None:
    with chatting(facade) as chat, guests(chat, "Ada", "Bob") as (ada, bob), Guest(chat) as guest:
        for name in ("Ada", "ADA", "Ａｄａ"):
            assert "somebody has that name" in refused(guest, "NameTaken", "enter", name)
        refused(bob, "NameTaken", "name", "ada")
        refused(bob, "NameTaken", "enter", "Carl")  # this link has entered
        assert bob.call("name", "BOB") == "BOB"  # one's own, in other letters
        ada.call("name", "Carl")
        assert guest.call("enter", "Ada") == "Ada"


UNFIT = [
    "",
    " ",
    "a\x1b[31m",
    "a\nb",
    "a\u202eb",
    "a\u200bb",
    "\u3164",
    "x" * 65,
    "a  b",
    " a",
    "\ud800",
    7,
    b"a",
    ["a"],
]


def test_a_name_that_hides_or_steers_is_refused() -> None:
    with chatting(limits=QUICK) as chat, Guest(chat) as guest, guests(chat, "Ada") as (ada,):
        for name in UNFIT:
            refused(guest, "InvalidName", "enter", name)
            refused(ada, "InvalidName", "name", name)
            refused(ada, "InvalidName", "join", name)


def test_who_names_himself_not_is_a_guest() -> None:
    with chatting() as chat, Guest(chat) as one, Guest(chat) as two:
        assert (one.call("enter"), two.call("enter")) == ("guest-1", "guest-2")


def test_who_has_a_key_of_his_own_has_its_name_on_any_number_of_links(facade: str) -> None:
    keys = {"anna": KEY, "Bert": Key.generate()}
    with chatting(facade, key=keys) as chat, Guest(chat, key=KEY) as one, Guest(chat, key=KEY) as two:
        assert one.call("about")["known_as"] == "anna"
        refused(one, "NameTaken", "enter", "Somebody")
        assert (one.call("enter"), two.call("enter", "ANNA")) == ("anna", "anna")
        refused(one, "NameTaken", "name", "Somebody")
        one.call("join"), two.call("join")
        assert one.call("who", "lobby") == ["anna"]
        with Guest(chat, "Bert", key=keys["Bert"]) as bert:
            bert.call("tell", "anna", "on both")
            assert (one.heard("told")["text"], two.heard("told")["text"]) == ("on both", "on both")
            two.call("exit")
            one.call("say", "lobby", "still here")
            bert.heard("said")
            assert not {"disconnected", "left"} & set(bert.rest())
            one.call("exit")
            assert bert.heard("disconnected")["name"] == "anna"


def test_nobody_takes_the_name_of_a_key() -> None:
    with chatting() as chat:
        chat._hall.server.keys.add(Key.generate(), user="Anna")
        with Guest(chat) as guest:
            refused(guest, "NameTaken", "enter", "anna")
            guest.call("enter", "Bob")
            refused(guest, "NameTaken", "name", "ANNA")


def test_whose_program_died_has_his_name_again() -> None:
    with chatting() as chat, Relay(place_of(chat)) as relay:
        lost = Link(relay.address, key=KEY, resume=True)
        lost.call("chat.enter", "Ada", timeout=PATIENCE_SECONDS)
        with Guest(chat, "Bob") as bob:
            (far,) = [link for link in chat._hall.links() if link.id == lost.id]
            relay.held.set()
            relay.cut()
            eventually(lambda: far.suspended)
            with Guest(chat, key=KEY) as again:
                assert again.call("enter", "Ada") == "Ada"
                assert bob.heard("disconnected")["name"] == "Ada"
                assert bob.heard("connected")["name"] == "Ada"
                eventually(lambda: far.closed)
                assert bob.call("who") == ["Ada", "Bob"]
        lost.abort()


def test_somebody_else_does_not_get_the_name_of_one_whose_link_is_cut() -> None:
    other = Key.generate()
    with chatting() as chat, Relay(place_of(chat)) as relay:
        server = chat._hall.server
        server.keys.add(other)
        lost = Link(relay.address, key=KEY)
        lost.call("chat.enter", "Ada", timeout=PATIENCE_SECONDS)
        (far,) = server.all()
        relay.held.set()
        relay.cut()
        eventually(lambda: far.suspended)
        with Guest(chat, key=other) as stranger:
            refused(stranger, "NameTaken", "enter", "Ada")
        lost.abort()


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_with_accounts_only_who_has_logged_in_is_in(facade: str, tmp_path: Path) -> None:
    counted: list[tuple[str, str]] = []
    noted: list[tuple[str, ...]] = []
    with open_accounts(tmp_path) as accounts:
        accounts.first_admin("ada", PASSWORD)
        accounts.create("Bob", PASSWORD)

        def chat_of(server: Any) -> Chat:
            return Chat(
                server,
                account_of=SignIn(Hall(server), accounts).account_of,
                count=lambda *facts: counted.append(facts),
                note=lambda *facts: noted.append(facts),
            )

        with chatting(facade, make=chat_of) as chat, Guest(chat) as bob, Guest(chat) as ada:
            assert bob.call("about")["login"]
            with pytest.raises(NotPermitted, match="log in first"):
                bob.call("enter", "Bob")
            for guest, name in ((bob, "bob"), (ada, "ada")):
                guest.link.call("accounts.login", name, PASSWORD, timeout=PATIENCE_SECONDS)
            refused(bob, "NameTaken", "enter", "Ada")
            assert (bob.call("enter"), ada.call("enter")) == ("Bob", "ada")
            assert bob.call("join")["members"] == ["Bob"]
            ada.call("join")
            bob.call("say", "lobby", "hello")
            with pytest.raises(NotPermitted, match=r"chat\.moderate"):
                bob.call("mute", "ada")
            ada.call("mute", "bob", 5.0)
            refused(bob, "Muted", "say", "lobby", "hello?")
            ada.call("unmute", "bob")
            accounts.revoke("bob", "client")
            with pytest.raises(NotPermitted, match=r"chat\.say"):
                bob.call("say", "lobby", "may I?")
            ada.link.call("accounts.logout", timeout=PATIENCE_SECONDS)
            with pytest.raises(NotPermitted, match="log in first"):
                ada.call("who")
            assert bob.heard("disconnected")["name"] == "ada"

    assert ("bob", "chat said") in counted
    assert ("Bob", "chat.mute", "ada", "NotPermitted") in [(actor, *rest) for actor, _, *rest in noted]
    assert ("ada", "chat.mute", "bob", "ok") in [(actor, *rest) for actor, _, *rest in noted]


# --- what is refused --------------------------------------------------------------------------------------------------


def test_what_is_no_message_is_refused() -> None:
    with chatting(limits=QUICK) as chat, guests(chat, "Ada", "Bob") as (ada, bob):
        for text in ("", "  \n", "x" * 2001, "\ud800", 7, None, ["hello"], {"a": 1}):
            refused(ada, "InvalidText", "say", "lobby", text)
            refused(ada, "InvalidText", "tell", "Bob", text)
        assert ada.call("say", "lobby", "x" * 2000) == 1
        assert len(bob.heard("said")["text"]) == 2000


def test_who_has_not_entered_or_joined_says_and_reads_nothing(tmp_path: Path) -> None:
    with chatting(history=tmp_path / "chat.db") as chat, guests(chat, "Ada") as (ada,), Guest(chat) as guest:
        ada.call("say", "lobby", "among us")
        calls = [("say", "lobby", "hi"), ("tell", "Ada", "hi"), ("history", "lobby"), ("who",), ("rooms",), ("join",)]
        for action, *args in [*calls, ("leave", "lobby"), ("name", "Bob"), ("mute", "Ada"), ("erase", "lobby")]:
            refused(guest, "NotHere", action, *args)
        guest.call("enter", "Bob")
        for action, *args in [
            ("say", "lobby", "hi"),
            ("history", "lobby"),
            ("leave", "lobby"),
            ("say", "nowhere", "hi"),
        ]:
            assert "not in that room" in refused(guest, "NotHere", action, *args)
        assert "said" not in ada.rest()


def test_arguments_that_cannot_be_meant_are_refused() -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        *(("join", {"recent": recent}) for recent in (-1, 201, True)),
        *(("history", {"room": "lobby", "count": count}) for count in (0, "many")),
        *(("history", {"room": "lobby", **more}) for more in ({"before": 0}, {"after": 1 << 70})),
        *(("say", {"room": "lobby"}), ("say", {"room": "lobby", "text": "hi", "as": "root"})),
    ]
    with chatting() as chat, guests(chat, "Ada") as (ada,):
        for action, named in wrong:
            with pytest.raises(BadArguments):
                ada.call(action, **named)


def test_a_flood_is_refused_and_harms_nobody_else() -> None:
    now = [0.0]
    with chatting(clock=lambda: now[0]) as chat, guests(chat, "Ada", "Bob") as (ada, bob):
        for number in range(38):  # entering and joining were two
            assert ada.call("say", "lobby", "spam") == number + 1
        told = refused(ada, "TooFast", "say", "lobby", "spam")
        assert "at most 10 a second, after 40 at once: go on in 0.1 seconds" in told
        assert bob.call("say", "lobby", "who is there?") == 39
        now[0] += 0.1
        ada.call("say", "lobby", "again")
        refused(ada, "TooFast", "about")


def test_rooms_are_so_many_and_no_more() -> None:
    limits = ChatLimits(rooms=3, rooms_of_link=2)
    with chatting(limits=limits) as chat, guests(chat, "Ada", "Bob", room=None) as (ada, bob):
        for room in ("one", "two"):
            ada.call("join", room)
        assert "at most 2 rooms of one link" in refused(ada, "LimitReached", "join", "three")
        bob.call("join", "three")
        assert "at most 3 rooms" in refused(bob, "LimitReached", "join", "four")
        ada.call("leave", "one")
        bob.call("join", "four")

        assert [room["room"] for room in bob.call("rooms")] == ["four", "three", "two"]


# --- moderation -------------------------------------------------------------------------------------------------------


def test_an_operator_mutes_puts_out_erases_and_announces(facade: str, tmp_path: Path) -> None:
    now = [0.0]
    noted: list[tuple[str, ...]] = []
    with (
        chatting(
            facade,
            history=tmp_path / "chat.db",
            limits=QUICK,
            clock=lambda: now[0],
            note=lambda *facts: noted.append(facts),
        ) as chat,
        guests(chat, "Ada", "Bob") as (ada, bob),
    ):
        bob.call("say", "lobby", "something nasty")
        assert chat.announce("the server closes at noon") == 2
        assert ada.heard("announced")["text"] == "the server closes at noon"

        chat.mute("BOB", 60)
        assert bob.heard("muted")["seconds"] == 60.0
        assert "for 60 seconds more" in refused(bob, "Muted", "say", "lobby", "why?")
        refused(bob, "Muted", "tell", "Ada", "why?")
        refused(bob, "Muted", "name", "Robert")  # a mute is not left behind with a name
        assert chat.people()[1].muted_seconds == 60.0
        now[0] += 61
        bob.call("say", "lobby", "I am sorry")
        chat.mute("Bob")
        assert chat.unmute("bob")
        assert not chat.unmute("bob")
        assert bob.heard("unmuted")

        assert chat.erase("LOBBY", 1) == 1
        assert ada.heard("erased") == {"chat": "erased", "room": "lobby", "n": 1}
        assert [one["text"] for one in ada.call("history", "lobby")] == ["I am sorry"]

        chat.kick("lobby", "bob", 10)
        assert ada.heard("kicked") == bob.heard("kicked") == {"chat": "kicked", "room": "lobby", "name": "Bob"}
        refused(bob, "NotHere", "say", "lobby", "hello?")
        assert "for 10 seconds more" in refused(bob, "ChatRefused", "join")
        now[0] += 10
        assert bob.call("join")["members"] == ["Ada", "Bob"]
        chat.kick("lobby", "bob", 0)
        bob.call("join")
        assert chat.erase("lobby") == 1
        assert ada.call("history", "lobby") == []
        assert ada.call("say", "lobby", "from here on") == 3  # no number is used again

    deeds = [(actor, action, result) for actor, _, action, _, result in noted]
    assert [deed for deed in deeds if deed[0] == "operator"] == [
        ("operator", f"chat.{what}", "ok")
        for what in ("announce", "mute", "mute", "unmute", "unmute", "erase", "kick", "kick", "erase")
    ]


def test_what_an_operator_cannot_mean_is_refused_and_noted() -> None:
    noted: list[tuple[str, ...]] = []
    wrong: list[tuple[type[Exception], Callable[[Chat], object]]] = [
        (InvalidName, lambda chat: chat.mute("")),
        (BadArguments, lambda chat: chat.mute("Ada", 0)),
        (BadArguments, lambda chat: chat.mute("Ada", float("nan"))),
        (BadArguments, lambda chat: chat.mute("Ada", True)),
        (BadArguments, lambda chat: chat.kick("lobby", "Ada", 1e9)),
        (BadArguments, lambda chat: chat.erase("lobby", 0)),
        (InvalidText, lambda chat: chat.announce("")),
        (NotHere, lambda chat: chat.kick("lobby", "Nobody")),
        (NotHere, lambda chat: chat.kick("garden", "Ada")),
    ]
    with chatting(note=lambda *facts: noted.append(facts)) as chat, guests(chat, "Ada"):
        for error, moderate in wrong:
            with pytest.raises(error):
                moderate(chat)
            assert noted[-1][2].startswith("chat.")
            assert noted[-1][4] == error.__name__


def test_without_accounts_nobody_moderates_unless_everybody_may() -> None:
    with chatting() as chat, guests(chat, "Ada", "Bob") as (ada, bob):
        for action, *args in [("mute", "Bob"), ("unmute", "Bob"), ("kick", "lobby", "Bob"), ("erase", "lobby")]:
            with pytest.raises(NotPermitted):
                ada.call(action, *args)
        assert not {"muted", "kicked", "erased"} & set(bob.rest())
    with chatting(open_permissions={"chat.say", "chat.moderate"}) as chat, guests(chat, "Ada", "Bob") as (ada, bob):
        ada.call("kick", "lobby", "Bob")
        assert bob.heard("kicked")
    with chatting(open_permissions=()) as chat, guests(chat, "Ada") as (ada,), pytest.raises(NotPermitted):
        ada.call("say", "lobby", "hi")


def test_what_an_application_hung_in_and_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*facts: str) -> None:
        raise ValueError("".join(facts) + "secret"[::-1])

    with chatting(note=broken, count=broken) as chat, guests(chat, "Ada", "Bob") as (ada, bob):
        ada.call("say", "lobby", "hello")
        assert bob.heard("said")["text"] == "hello"

    assert "ValueError" in caplog.text
    assert "terces" not in caplog.text


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_link_that_was_cut_misses_nothing() -> None:
    with chatting() as chat, guests(chat, "Ada") as (ada,), Relay(place_of(chat)) as relay:
        bob = Link(relay.address, key=KEY)
        bob.call("chat.enter", "Bob", timeout=PATIENCE_SECONDS)
        bob.call("chat.join", timeout=PATIENCE_SECONDS)
        (far,) = [link for link in chat._hall.links() if link.id == bob.id]
        relay.held.set()
        relay.cut()
        eventually(lambda: far.suspended)
        for number in range(3):
            ada.call("say", "lobby", f"message {number}")
        assert ada.call("who", "lobby") == ["Ada", "Bob"]
        relay.held.clear()
        heard = [bob.recv(timeout=PATIENCE_SECONDS) for _ in range(3)]
        assert [one["text"] for one in heard] == ["message 0", "message 1", "message 2"]
        assert bob.call("chat.say", "lobby", "I am back", timeout=PATIENCE_SECONDS) == 4
        bob.close()


def test_a_link_that_reads_nothing_delays_nobody() -> None:
    small = Limits(backlog_bytes=64 * 1024, credit_bytes=64 * 1024)
    with (
        chatting(server_limits=small, limits=QUICK) as chat,
        guests(chat, "Ada", "Bob") as (ada, bob),
        Link(place_of(chat), key=KEY, limits=small) as deaf,
    ):
        deaf.call("chat.enter", "Eve", timeout=PATIENCE_SECONDS)
        deaf.call("chat.join", timeout=PATIENCE_SECONDS)
        (far,) = [link for link in chat._hall.links() if link.id == deaf.id]
        for number in range(60):
            text = "".join(chr(0x4E00 + secrets.randbelow(20_000)) for _ in range(2000))  # nothing makes it shorter
            assert ada.call("say", "lobby", text) == number + 1
        assert bob.heard("said")["n"] == 1
        assert far.stats.messages_sent < 60  # what it had no room for was skipped
        assert not far.closed


def test_a_crowd_is_not_told_who_comes_and_goes() -> None:
    with chatting(limits=ChatLimits(presence_links=2)) as chat, guests(chat, "Ada", "Bob") as (ada, _bob):
        ada.rest()
        with guests(chat, "Carl") as (carl,):
            carl.call("say", "lobby", "hello")
            assert ada.rest() == ["said"]


def test_a_busy_room_tells_those_who_would_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.services.chat.rooms.TURN_SECONDS", 0.05)
    with chatting(limits=ChatLimits(waiting=2)) as chat, guests(chat, "Ada") as (ada,):
        (room,) = chat._rooms.all()
        with chat._rooms.held(room.name), pytest.raises(Busy):
            ada.call("say", "lobby", "hello")
        assert ada.call("say", "lobby", "hello") == 1


def test_every_pushed_value_has_the_shape_of_the_table() -> None:
    value = {"chat": "said", "room": "lobby", "n": 1, "at": 2.0, "name": "Ada", "text": "hi"}

    assert read_pushed(value) is value
    assert read_pushed({"chat": "unmuted"}) == {"chat": "unmuted"}
    for wrong in (
        *(None, 7, "said", [], {}, {"chat": None}, {"chat": "nonsense"}, {"chat": ["said"]}),
        {**value, "more": 1},
        {name: fact for name, fact in value.items() if name != "at"},
        *({**value, name: None} for name in SHAPES["said"]),
        {**value, "n": True},
    ):
        assert read_pushed(wrong) is None


def test_a_chat_leaves_its_server_as_it_was(tmp_path: Path) -> None:
    with Server(key=KEY) as server:
        with Chat(server, history=tmp_path / "chat.db") as chat:
            assert "chat.say" in server.actions
            assert "0 people" in repr(chat)
            with pytest.raises(Misuse, match="already"):
                Chat(server)
        chat.close()
        assert list(server.actions) == []
        with History(tmp_path / "chat.db") as history, Chat(server, history=history):
            pass
        with pytest.raises(Misuse, match="is closed"):
            history.rooms()


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (InvalidName, {"room": "\n"}),
        (InvalidText, {"greeting": " "}),
        (Misuse, {"open_permissions": {"chat.everything"}}),
    ],
)
def test_a_chat_that_cannot_be_meant_is_refused(error: type[Exception], options: dict[str, Any]) -> None:
    server = Server(key=KEY)
    with pytest.raises(error):
        Chat(server, **options)
    assert list(server.actions) == []


@pytest.mark.parametrize(
    "figures",
    [{"rooms": 0}, {"rooms": 1.5}, {"rooms": True}, {"per_second": 0}, {"history_days": float("inf")}, {"burst": -1}],
)
def test_limits_that_cannot_be_meant_are_refused(figures: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=next(iter(figures))):
        ChatLimits(**figures)


# --- docs/chat.md -----------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "chat.md").read_text("utf-8")


def test_the_page_has_the_pushed_values_the_limits_and_the_actions_of_the_code() -> None:
    pushed = {
        row[0]: row[1].replace("`", "").split(", ") if row[1] else [] for row in rows_of(PAGE, "Pushed values", "chat")
    }
    limits = {row[0]: row[1] for row in rows_of(PAGE, "Limits", "limit")}
    actions = {row[0] for row in rows_of(PAGE, "Actions", "action") if row[0].startswith("chat.")}
    with chatting() as chat:
        names = {
            f"{name}{inspect.signature(getattr(Desk(chat), name.removeprefix('chat.')))}".partition(" ->")[0]
            for name in chat._hall.server.actions
        }

    assert pushed == {kind: list(shape) for kind, shape in SHAPES.items()}
    assert limits == {field.name: f"{field.default:,g}" for field in dataclasses.fields(ChatLimits)}
    assert {re.sub(r"[:=].*?(?=[,)])", "", action) for action in actions} == {
        re.sub(r"[:=].*?(?=[,)])", "", name).replace("context, ", "").replace("context", "") for name in names
    }


def rows_of(page: str, heading: str, head: str) -> list[list[str]]:
    """Return the rows of the tables under a heading, without what stands above them."""
    rows = [cells_of(line) for line in section(page, heading).splitlines()]
    return [row for row in rows if row and row[0] != head and not set(row[0]) <= set("-: ")]
