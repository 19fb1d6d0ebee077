"""A chat: rooms, private messages, a history, for a server of either façade.  Floor: SERVICES.  Docs: docs/chat.md.

Law: a plain table of actions and pushed values, which any program can call and read; the terminal's client is one.

    chat          all of it together: `Chat`
        hub           who comes and goes, and how they are reached
        speech        rooms that one joins, and what is said       moderation    mute, put out, erase, announce
        desk          what clients may call                        pushed        what they are sent
        people        who is here, under which name                rooms         what happens in order
        history       what was said, in a file
        texts         names and messages                           pace          how fast one link may be
        mutes         who has not the word                         limits        what is bounded
"""

from netstructer.services.chat.chat import Chat, ChatStats, Presence
from netstructer.services.chat.history import History, HistoryReader, KeptRoom, Said
from netstructer.services.chat.limits import ChatLimits
from netstructer.services.chat.pushed import SHAPES, read_pushed
from netstructer.services.chat.texts import shown

__all__ = [
    "SHAPES",
    "Chat",
    "ChatLimits",
    "ChatStats",
    "History",
    "HistoryReader",
    "KeptRoom",
    "Presence",
    "Said",
    "read_pushed",
    "shown",
]
