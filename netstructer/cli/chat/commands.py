"""Commands: what somebody typed -> what he wants.  Floor: ROOF.  Law: what is no command of the table is never sent.

A line that begins with a slash is a command, one that begins with two is said with one of them; the bare words `exit`
and `disconnect` leave; anything else is said in the room that one is in.  A name with spaces stands in quotes where
something follows it.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

from netstructer.errors import Misuse

__all__ = ["COMMANDS", "Command", "help_lines", "parse", "words_meant"]

BARE = frozenset(["exit", "disconnect"])
"""Words that leave without a slash, as people type them into a chat."""


class Usage(NamedTuple):
    """How a command is typed, and what it does."""

    arguments: str
    help: str


COMMANDS = {
    "rooms": Usage("", "list the rooms, and how many are in each"),
    "who": Usage("[ROOM]", "list who is here, or in a room"),
    "join": Usage("ROOM", "join a room, which is made if it is not there, and talk there"),
    "leave": Usage("[ROOM]", "leave the room that you talk in, or another"),
    "tell": Usage("NAME TEXT", "say something to one person alone"),
    "history": Usage("[COUNT]", "show what was said in the room before"),
    "name": Usage("NAME", "take another name"),
    "mute": Usage("NAME [SECONDS]", "moderators: take the word from somebody"),
    "unmute": Usage("NAME", "moderators: give it back"),
    "kick": Usage("NAME", "moderators: put somebody out of the room that you talk in"),
    "erase": Usage("NUMBER|all", "moderators: erase a message of the room that you talk in, or all"),
    "help": Usage("", "show this"),
    "exit": Usage("", "leave the chat; so do the bare words exit and disconnect, and the end of the input"),
}


class Command(NamedTuple):
    """What somebody wants: the word of a command, or "say", and what stands behind it."""

    word: str
    rest: str = ""

    def one(self, what: str) -> str:
        """Return all that stands behind the command as one name.  Raises `Misuse` where there is nothing."""
        name, rest = _first(self.rest)
        if not name:
            raise Misuse(f"expected {what}: {usage_of(self.word)}")
        return name if not rest else self.rest

    def two(self, what: str) -> tuple[str, str]:
        """Return the name and what stands behind it.  Raises `Misuse` where one of them is missing."""
        name, rest = _first(self.rest)
        if not name or not rest:
            raise Misuse(f"expected {what}: {usage_of(self.word)}")
        return name, rest


def parse(line: str) -> Command | None:
    """Return what a line wants; None for an empty one.  Raises `Misuse` for a command that there is not."""
    text = line.strip()
    if not text:
        return None
    if text.casefold() in BARE:
        return Command("exit")
    if not text.startswith("/"):
        return Command("say", line.strip("\r\n"))
    if text.startswith("//"):
        return Command("say", text[1:])
    word, _, rest = text[1:].partition(" ")
    word = word.casefold()
    if word not in COMMANDS:
        near = difflib.get_close_matches(word[:20], COMMANDS, n=1)
        raise Misuse(f"there is no such command{f'; did you mean /{near[0]}?' if near else ': /help lists them'}")
    return Command(word, rest.strip())


def usage_of(word: str) -> str:
    """Return how a command is typed."""
    return f"/{word} {COMMANDS[word].arguments}".rstrip()


def help_lines() -> list[str]:
    """Return a line for each command."""
    width = max(len(usage_of(word)) for word in COMMANDS)
    return [f"{usage_of(word):<{width}}  {usage.help}" for word, usage in COMMANDS.items()]


def words_meant(typed: str) -> list[str]:
    """Return the commands that may be meant by the beginning of a line: all of them, of a slash."""
    if not typed.startswith("/"):
        return []
    return [word for word in COMMANDS if word.startswith(typed[1:].casefold())]


def _first(text: str) -> tuple[str, str]:
    """Return the first name of a text, which quotes may hold together, and the rest."""
    if text.startswith('"') and (end := text.find('"', 1)) > 0:
        return text[1:end], text[end + 1 :].strip()
    name, _, rest = text.partition(" ")
    return name, rest.strip()
