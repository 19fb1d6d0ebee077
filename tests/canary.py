"""Canaries: secrets that are known, every way to spell them, and a look for them wherever something could leak."""

from __future__ import annotations

import base64
import io
import logging
import os
import pickle
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Watch", "spellings"]

LEAST_BYTES = 8
"""A shorter piece of a secret is found by chance."""


def spellings(secret: bytes) -> set[bytes]:
    """Return how a secret, or half of it, may be written down."""
    middle = len(secret) // 2
    found = set()
    for part in (secret, secret[:middle], secret[middle:]):
        if len(part) < LEAST_BYTES:
            continue
        found |= {part, part.hex().encode(), part.hex().upper().encode(), repr(part)[2:-1].encode()}
        found |= {base64.b64encode(part).rstrip(b"="), base64.urlsafe_b64encode(part).rstrip(b"=")}
        found |= {str(int.from_bytes(part, "big")).encode(), str(int.from_bytes(part, "little")).encode()}
        found |= {
            str(list(part))[1:-1].encode(),
            "".join(map(chr, part)).encode(),
            part.decode("latin-1").encode("utf-16-le"),
        }
    # A base64 of a half may end in a character that says less than six bits of it.
    return {needle for needle in found if len(needle) >= LEAST_BYTES}


def _of_ours(detailed: traceback.TracebackException) -> traceback.TracebackException:
    """Keep the frames of the package: those of the test hold the secrets by its own doing."""
    detailed.stack[:] = [frame for frame in detailed.stack if f"{os.sep}netstructer{os.sep}" in frame.filename]
    for other in (detailed.__cause__, detailed.__context__):
        if other is not None:
            _of_ours(other)
    return detailed


class Watch:
    """Everything that was seen, by channel; `leaks()` names the channels in which a secret is."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}
        self.seen: list[tuple[str, bytes]] = []

    def secret(self, name: str, secret: bytes | str) -> None:
        self.secrets[name] = secret.encode() if isinstance(secret, str) else bytes(secret)

    def see(self, channel: str, content: bytes | str) -> None:
        self.seen.append((channel, content.encode(errors="backslashreplace") if isinstance(content, str) else content))

    def object(self, channel: str, thing: object) -> None:
        """See what an object shows of itself."""
        for shown in (repr(thing), str(thing), f"{thing}", repr([thing]), "%s" % (thing,)):  # noqa: UP031
            self.see(channel, shown)

    def error(self, channel: str, error: BaseException, *, pickled: bool = True) -> None:
        """See an error, its traceback, with locals and without, its causes and its pickle."""
        self.object(channel, error)
        self.see(f"{channel}: traceback", "".join(traceback.format_exception(error)))
        detailed = traceback.TracebackException.from_exception(error, capture_locals=True)
        self.see(f"{channel}: locals", "".join(_of_ours(detailed).format()))
        if pickled:
            self.see(f"{channel}: pickle", pickle.dumps(error))

    def files(self, channel: str, directory: Path) -> None:
        for place in sorted(directory.rglob("*")):
            if place.is_file():
                self.see(f"{channel}: {place.name}", place.read_bytes())

    def descriptors(self, channel: str, process: int | str = "self") -> None:
        """See what the open files of a process hold, those without a name too."""
        for place in Path(f"/proc/{process}/fd").iterdir():
            try:
                if place.is_file():
                    self.see(channel, place.read_bytes())
            except OSError:
                continue

    def leaks(self, *, but: tuple[str, ...] = ()) -> set[tuple[str, str]]:
        """Return secret and channel of each leak; `but` are secrets that channels of locals may show."""
        found = set()
        for name, secret in self.secrets.items():
            needles = spellings(secret)
            for channel, content in self.seen:
                if channel.endswith(": locals") and name in but:
                    continue
                if any(needle in content for needle in needles):
                    found.add((name, channel))
        return found

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See every log record of every logger, at every level, and every warning."""
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s %(pathname)s"))
        root = logging.getLogger()
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        ours = logging.getLogger("netstructer")
        ours_before, ours.propagate = (ours.level, ours.propagate), True
        ours.setLevel(logging.DEBUG)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(before)
            ours.setLevel(ours_before[0])
            ours.propagate = ours_before[1]
            self.see("log", stream.getvalue())
            for warning in caught:
                self.see("warning", str(warning.message))
