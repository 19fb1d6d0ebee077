"""Whatever the other end says: nothing outside the directory, and a documented error."""

from __future__ import annotations

import hashlib
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation import both, nothing_outside, pair, ticking
from netstructer.codec.blob import Blob
from netstructer.errors import BadValue, ConnectionCut, LimitReached, NetstructerError, TransferRefused, UnsafeName
from netstructer.transfer import Transfer, fetch, offer, places, receive, serve, source
from netstructer.transfer import partial as partials
from netstructer.transfer.body import BodyReader, end_of_file, joined, piece_of, start_of_file
from netstructer.transfer.globs import Pattern
from netstructer.transfer.manifest import MOST_ENTRIES, Entry, Taken, check_target, entries_of, entries_value
from netstructer.transfer.wording import Refused, read_answer, read_done, read_get, read_offer
from test_names import CASES

POSIX = pytest.mark.skipif(os.name != "posix", reason="symbolic links of POSIX")
NONE_LEFT = {"left": [], "left_kinds": "", "left_more": 0}
PARTIAL = f".netstructer-{'0' * 16}-{'a' * 16}.part"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    path = tmp_path / "around" / "there"
    path.mkdir(parents=True)
    (path.parent / "beside").write_bytes(b"beside")
    return path


def columns(*names: str, kinds: str = "", targets: dict[int, str] | None = None, size: int = 4) -> dict[str, Any]:
    """Return an offer's fields as a sender writes them that checks nothing."""
    kinds = kinds or "f" * len(names)
    return {
        "into": "",
        "resume": True,
        "dry": False,
        "names": list(names),
        "kinds": kinds,
        "sizes": [size if kind == "f" else None for kind in kinds],
        "times": [None] * len(names),
        "modes": [None] * len(names),
        "targets": targets or {},
        **NONE_LEFT,
    }


def whole(data: bytes) -> bytes:
    pieces = b"".join(bytes(buffer) for buffer in piece_of(data)) if data else b""
    return start_of_file(0) + pieces + end_of_file(0, hashlib.sha256(data).digest())


def body(count: int, data: bytes = b"evil") -> bytes:
    return whole(data) * count


def attack(
    directory: Path,
    first: Any,
    data: Any = b"",
    *,
    after: Callable[[Any], None] = lambda end: None,
    taking: Callable[..., Any] = receive,
) -> Any:
    """Offer as a hostile sender does; return what the receiver returned or raised."""
    end, other, _ = pair()

    def send() -> None:
        end.send(first)
        answer = end.recv(timeout=5)
        after(answer)
        if answer[0] == "answer":
            end.send(data if isinstance(data, tuple) else ("body", {"bytes": Blob(data)}), timeout=5)

    return both(lambda: taking(other, other.recv(), directory, timeout=5, clock=ticking()), send)[0]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_descriptor", [True, False])
def test_no_hostile_name_leaves_the_directory(
    there: Path, by_descriptor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One end checks nothing and offers each of them: as a file, in a directory, as a directory, into it, as a link."""
    monkeypatch.setattr(places, "BY_DESCRIPTOR", by_descriptor and places.BY_DESCRIPTOR)
    taken = []
    with nothing_outside(there):
        for _, name in CASES:
            offers = [
                columns(name),
                columns(f"inner/{name}"),
                columns(name, f"{name}/x", kinds="df"),
                columns("x") | {"into": name},
                columns("t/x", kinds="l", targets={0: name}),
                columns("t/l", "t/l/x", kinds="lf", targets={0: name}),
            ]
            for fields in offers:
                found = attack(there, ("offer", fields), body(fields["kinds"].count("f")))
                if isinstance(found, Transfer):
                    taken.append(name)
                else:
                    assert isinstance(found, (UnsafeName, BadValue)), (name, found)

    assert len(CASES) >= 200
    assert set(taken) == {"~/a", ""}  # two names, which mean a directory to a shell only; and no directory to go into


def test_the_twin_a_receiver_that_checks_no_name_is_caught(there: Path) -> None:
    with pytest.raises(AssertionError), nothing_outside(there):
        (there / "../escaped").write_bytes(b"evil")


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (("README", "readme"), "ff"),
        (("a/x", "A/y"), "ff"),
        (("a", "a/x"), "ff"),
        (("a/x", "a"), "ff"),
        (("a", "a"), "ff"),
        (("a", "a"), "df"),
        (("ﬀ", "ff"), "ff"),
        (("é", "e\u0301"), "ff"),
        ((PARTIAL,), "f"),
        ((PARTIAL.upper(),), "f"),
        ((f"{PARTIAL}/x",), "f"),
    ],
)
def test_names_that_are_one_on_some_system_are_refused(there: Path, names: tuple[str, ...], kinds: str) -> None:
    found = attack(there, ("offer", columns(*names, kinds=kinds)), body(2))

    assert isinstance(found, UnsafeName)
    assert list(there.iterdir()) == []


def test_a_link_that_something_lies_in_is_refused(there: Path) -> None:
    found = attack(there, ("offer", columns("t/l", "t/l/x", kinds="lf", targets={0: "d"})), body(1))

    assert isinstance(found, UnsafeName)
    assert list(there.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "target", "fine"),
    [
        ("t/l", "x", True),
        ("t/l", "x/y", True),
        ("t/s/l", "../x", True),
        ("t/l", "../x", False),
        ("l", "x", False),
        ("l", "..", False),
        ("t/s/l", "../../x", False),
        ("t/s/l", "..", True),
        ("t/s/l", "../s/..", False),
        ("t/s/l", "x/../../..", False),
        ("t/l", "", False),
        ("t/l", ".", False),
        ("t/l", "/etc", False),
        ("t/l", "x//y", False),
        ("t/l", "x/", False),
        ("t/l", "..\\x", False),
        ("t/l", "C:/x", False),
        ("t/l", "x" * 5000, False),
        ("t/l", "a/" * 2000 + "a", False),
    ],
)
def test_a_target_stays_in_its_tree(place: str, target: str, fine: bool) -> None:
    if fine:
        check_target(tuple(place.split("/")), target)
    else:
        with pytest.raises(UnsafeName):
            check_target(tuple(place.split("/")), target)


@POSIX
@pytest.mark.parametrize("by_descriptor", [True, False])
def test_links_that_are_there_lead_nothing_out(
    there: Path, tmp_path: Path, by_descriptor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "BY_DESCRIPTOR", by_descriptor)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"outside")
    (there / "dir").symlink_to(outside)
    (there / "file").symlink_to(outside / "file")
    (there / "up").symlink_to("..")

    with nothing_outside(there):
        found = attack(there, ("offer", columns("dir/x", "file", "up/x", "fine")), body(2), taking=_receive_all)

    assert [outcome.status for outcome in found.outcomes] == ["refused", "sent", "refused", "sent"]
    assert list(outside.iterdir()) == [outside / "file"]
    assert (outside / "file").read_bytes() == b"outside"
    assert not (there / "file").is_symlink()  # the link was replaced, not followed
    assert (there / "file").read_bytes() == b"evil"


@POSIX
@pytest.mark.parametrize("by_descriptor", [True, False])
@pytest.mark.parametrize("moment", ["after the answer", "while bytes arrive", "before the final name"])
def test_a_link_that_is_planted_meanwhile_leads_nothing_out(
    there: Path, tmp_path: Path, moment: str, by_descriptor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "BY_DESCRIPTOR", by_descriptor)
    outside = tmp_path / "outside"
    outside.mkdir()
    (there / "dir").mkdir()

    def plant(*_: object) -> None:
        if not (there / "dir").is_symlink():
            (there / "dir").rename(there / "moved")
            (there / "dir").symlink_to(outside)

    if moment == "while bytes arrive":
        _before(monkeypatch, partials.Partial, "add", plant)
    elif moment == "before the final name":
        _before(monkeypatch, partials.Partial, "finish", plant)
    data = whole(b"evil")

    found = attack(
        there,
        ("offer", columns("dir/x", "dir/y")),
        data * 2,
        after=plant if moment == "after the answer" else lambda answer: None,
        taking=_receive_all,
    )

    assert (there / "dir").is_symlink()
    assert list(outside.iterdir()) == []
    assert isinstance(found, Transfer)


def _before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], None]) -> None:
    plain = getattr(owner, name)

    def acting(*args: Any) -> Any:
        act()
        return plain(*args)

    monkeypatch.setattr(owner, name, acting)


def _receive_all(*args: Any, **options: Any) -> Any:
    return receive(*args, check=False, **options)


# --- who says that nothing is to be moved -------------------------------------------------------------------------


def test_a_dry_answer_that_nobody_asked_for_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    end, other, _ = pair()

    def server() -> Any:
        other.recv(timeout=5)
        other.send(("answer", {"wants": "w", "prefixes": {}, "reasons": {}, "dry": True}))
        return other.recv(timeout=5)

    found, told = both(lambda: offer(end, tmp_path / "a", timeout=5, clock=ticking()), server)

    assert isinstance(found, BadValue)
    assert told[1]["kind"] == "malformed"


def test_a_dry_offer_that_nobody_asked_for_is_no_success(there: Path) -> None:
    end, other, _ = pair()
    other.send(("offer", columns("a") | {"dry": True}))
    with pytest.raises(BadValue, match="asked for"):
        fetch(end, "a", there, timeout=5, clock=ticking())

    end, other, _ = pair()
    other.send(("offer", columns("a") | {"dry": True}))
    with pytest.raises(TransferRefused, match="nothing has arrived"):
        receive(end, end.recv(), there, timeout=5, clock=ticking())

    assert list(there.iterdir()) == []


@POSIX
def test_a_server_makes_no_name_into_another_file_of_its_asker(there: Path) -> None:
    (there / ".bashrc").write_bytes(b"mine")
    end, other, _ = pair()
    other.send(("offer", columns("ok", kinds="l", targets={0: ".bashrc"})))

    with pytest.raises(UnsafeName):
        fetch(end, "ok", there, timeout=5, clock=ticking())

    assert [path.name for path in there.iterdir()] == [".bashrc"]


# --- what is left out -------------------------------------------------------------------------------------------------


def test_names_that_are_left_out_are_shown_escaped_and_cut(there: Path) -> None:
    names = ["\x1b[31mred\u202e", "x" * 4000, "\udcff", "plain"]
    fields = columns("a") | {"left": names, "left_kinds": "ufol", "left_more": 3}

    found = attack(there, ("offer", fields), body(1), taking=_receive_all)

    told = [(outcome.name, outcome.status) for outcome in found.outcomes]
    assert told[0] == ("a", "sent")
    assert told[1:3] == [("\\x1b[31mred\\u202e", "unsafe"), ("x" * 255 + "…", "failed")]
    assert told[3:] == [("\\udcff", "skipped"), ("plain", "skipped"), ("…", "skipped")]
    assert found.outcomes[-1].reason == "3 more were left out"


@pytest.mark.parametrize(
    "fields",
    [
        {"left": ["a"], "left_kinds": "x"},
        {"left": ["a"], "left_kinds": ""},
        {"left": [1], "left_kinds": "u"},
        {"left": ["x" * 5000], "left_kinds": "u"},
        {"left_more": -1},
        {"left_more": 1 << 40},
        {"left_more": True},
    ],
)
def test_what_no_sender_leaves_out_is_refused(fields: dict[str, Any]) -> None:
    read_offer(("offer", columns("a")))
    with pytest.raises(BadValue):
        read_offer(("offer", columns("a") | fields))


def test_an_offer_of_nothing_is_no_success(there: Path) -> None:
    assert isinstance(attack(there, ("offer", columns()), b""), BadValue)


# --- holes, which cost nothing on the wire ----------------------------------------------------------------------------

HOLE = piece_of(source.HOLE_BYTES)[0]


def test_a_body_has_only_so_many_bytes_of_holes(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.transfer.body.MOST_HOLE_BYTES", 4 * source.HOLE_BYTES)

    found = attack(there, ("offer", columns("a", size=1 << 62)), start_of_file(0) + bytes(HOLE) * 1000)

    assert isinstance(found, BadValue)
    assert "holes" in str(found)
    assert sum(path.stat().st_size for path in there.iterdir()) <= 4 * source.HOLE_BYTES


def test_nobody_takes_holes_for_one_who_has_left(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.transfer.body.LOOK_BYTES", source.HOLE_BYTES)
    data = start_of_file(0) + bytes(HOLE) * 1000
    end, other, wire = pair(cut_after=len(data))

    def send() -> None:
        end.send(("offer", columns("a", size=1 << 62)))
        end.recv(timeout=5)
        end.send(("body", {"bytes": Blob(data + b"more")}), timeout=5)

    found, _ = both(lambda: receive(other, other.recv(), there, timeout=5, clock=ticking()), send)

    assert isinstance(found, ConnectionCut)
    assert wire.is_cut.is_set()
    assert sum(path.stat().st_size for path in there.iterdir()) <= 3 * source.HOLE_BYTES  # and not 16 GB later


def test_a_sender_with_more_holes_than_that_sends_their_zeros(
    tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(3_000_000)
    for module in ("body", "sending"):
        monkeypatch.setattr(f"netstructer.transfer.{module}.MOST_HOLE_BYTES", 2_000_000)
    monkeypatch.setattr(source, "HOLE_BYTES", 1_000_000)
    end, other, wire = pair()

    sent, taken = both(
        lambda: offer(end, path, clock=ticking()), lambda: receive(other, other.recv(), there, clock=ticking())
    )

    assert isinstance(sent, Transfer), sent
    assert isinstance(taken, Transfer), taken
    assert (there / "sparse").read_bytes() == bytes(3_000_000)
    assert 1_000_000 < wire.bytes < 1_100_000


# --- a server that is not what it seems -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("notes.txt", [".bashrc"]),
        ("*.txt", ["a.txt", "b.exe"]),
        ("docs/*.md", ["docs/a.md"]),
        ("docs", ["docs2/x"]),
        ("docs", ["Docs/x"]),
        ("a/**/*.md", ["x/y.txt"]),
        ("*", [".bashrc"]),
        ("?bashrc", [".bashrc"]),
        ("**", [".ssh/config"]),
        ("**/x", ["a/.ssh/x"]),
    ],
)
def test_what_was_not_asked_for_is_refused(there: Path, pattern: str, names: list[str]) -> None:
    end, other, _ = pair()

    def server() -> Any:
        other.recv()
        other.send(("offer", columns(*names)))
        return other.recv(timeout=5)

    found, said = both(lambda: fetch(end, pattern, there, timeout=5, clock=ticking()), server)

    assert isinstance(found, UnsafeName)
    assert said == ("refused", {"kind": "unsafe", "name": names[-1]})
    assert list(there.iterdir()) == []


def test_a_server_does_not_choose_the_directory(there: Path) -> None:
    end, other, _ = pair()

    def server() -> Any:
        other.recv()
        other.send(("offer", columns("x") | {"into": "elsewhere"}))

    found, _ = both(lambda: fetch(end, "x", there, timeout=5, clock=ticking()), server)

    assert isinstance(found, UnsafeName)
    assert list(there.iterdir()) == []


def test_a_refusal_shows_nothing_that_the_other_end_wrote_as_it_stands(there: Path) -> None:
    end, other, _ = pair()

    def server() -> None:
        other.recv()
        other.send(("refused", {"kind": "missing", "name": "\x1b[2J" + "x" * 500}))

    found, _ = both(lambda: fetch(end, "x", there, timeout=5, clock=ticking()), server)

    assert isinstance(found, Refused)
    assert "\x1b" not in str(found)
    assert len(str(found)) < 200


PARTS = st.sampled_from(["a", "b", "a.md", "x", "*", "**", "?", "[ab]", "a*"])


@given(st.lists(PARTS, min_size=1, max_size=4), st.lists(st.sampled_from(["a", "b", "a.md", "x"]), max_size=4))
def test_a_pattern_allows_what_it_matches_name_by_name(wanted: list[str], parts: list[str]) -> None:
    """Against the obvious definition, written as a recursion."""
    from fnmatch import fnmatchcase

    def matches(wanted: list[str], parts: list[str]) -> bool:
        if not wanted or not parts:
            return not wanted and not parts
        if wanted[0] == "**":
            deeper = matches(wanted, parts[1:])
            return deeper or (matches(wanted[1:], parts) if len(wanted) > 1 else len(parts) == 1)
        return fnmatchcase(parts[0], wanted[0]) and matches(wanted[1:], parts[1:])

    pattern = Pattern("/".join(wanted))

    expected = any(matches(wanted[pattern.fixed :], parts[:count]) for count in range(1, len(parts) + 1))
    assert pattern.allows(parts) == expected


# --- bodies -----------------------------------------------------------------------------------------------------------

BODIES = {
    "nothing": b"",
    "half a start": start_of_file(0)[:4],
    "a start that nobody asked for": start_of_file(2) + whole(b"il")[8:],
    "no end": start_of_file(0) + b"\0\0\0\4evil",
    "no digest": start_of_file(0) + b"\0\0\0\4evil\0\0\0\0\0",
    "an unknown end": start_of_file(0) + b"\0\0\0\4evil\0\0\0\0\3" + bytes(32),
    "more bytes than the file has": whole(b"evil!"),
    "fewer": whole(b"evi"),
    "a hole that is too long": start_of_file(0) + struct.pack(">IQ", 0xFFFFFFFF, 1 << 40),
    "a hole of nothing": start_of_file(0) + struct.pack(">IQ", 0xFFFFFFFF, 0),
    "a hole longer than the file": start_of_file(0) + struct.pack(">IQ", 0xFFFFFFFF, 5),
    "a piece that is too long": start_of_file(0) + struct.pack(">I", 262_145),
    "more than the files": whole(b"evil") + b"x",
}


def test_bodies_and_names_are_as_the_page_says() -> None:
    """Written by hand from files.md: what other implementations write."""
    digest = bytes.fromhex("edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb")  # of "abc" and newline
    written = [start_of_file(0), *piece_of(b"abc\n"), end_of_file(0, digest), start_of_file(7), end_of_file(2)]
    expected = "0000000000000000 00000004 6162630a 00000000 00" + digest.hex() + "0000000000000007 00000000 02"

    assert b"".join(map(bytes, written)) == bytes.fromhex(expected)
    assert b"".join(map(bytes, piece_of(1 << 20))) == bytes.fromhex("ffffffff 0000000000100000")
    entry = Entry(name="d/Scan.TIFF", size=5, mtime_ns=7, mode=0o644)
    target, made = hashlib.sha256(b"scan.tiff").hexdigest()[:16], hashlib.sha256(b"5 7 420").hexdigest()[:16]
    assert partials.partial_name(entry) == f".netstructer-{target}-{made}.part"


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_none_ends_in_an_error(there: Path, name: str) -> None:
    with nothing_outside(there):
        found = attack(there, ("offer", columns("x")), BODIES[name])

    assert isinstance(found, BadValue)
    assert name == "more than the files" or not (there / "x").exists()
    assert all(path.stat().st_size <= 4 for path in there.iterdir())


@pytest.mark.parametrize(
    "value",
    [
        ("body", {}),
        ("body", {"bytes": b"no blob"}),
        ("done", {"states": "s", "reasons": {}, "renamed": {}}),
        "body",
        ("body", {"bytes": Blob(b""), "more": 1}),
        None,
    ],
    ids=repr,
)
def test_something_else_than_a_body_ends_in_an_error(there: Path, value: Any) -> None:
    end, other, _ = pair()

    def send() -> Any:
        end.send(("offer", columns("x")))
        end.recv(timeout=5)
        end.out.put(value)
        return end.recv(timeout=5)

    found, said = both(lambda: receive(other, other.recv(), there, timeout=5, clock=ticking()), send)

    assert isinstance(found, BadValue)
    assert said == ("refused", {"kind": "malformed", "name": ""})


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=300), st.integers(1, 1 << 24)), max_size=8), st.data())
def test_bodies_are_read_as_they_are_written_however_they_are_cut(
    pieces: list[bytes | int], data: st.DataObject
) -> None:
    written = [start_of_file(7)]
    for piece in pieces:
        written += piece_of(piece)
    stream = b"".join(bytes(part) for part in joined([*written, end_of_file(0, b"d" * 32)]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]

    reader = BodyReader(chunks)
    start = reader.start()
    found: list[bytes | int] = []
    for piece in reader.pieces():
        if isinstance(piece, int):
            found.append(piece)
        elif found and isinstance(found[-1], bytes):
            found[-1] += bytes(piece)
        else:
            found.append(bytes(piece))
    reader.finish()

    expected: list[bytes | int] = []
    for piece in pieces:
        if isinstance(piece, bytes) and expected and isinstance(expected[-1], bytes):
            expected[-1] += piece
        else:
            expected.append(piece)
    assert (start, found, reader.state, reader.digest) == (7, expected, 0, b"d" * 32)


# --- values of any shape ----------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.binary(max_size=40),
        st.sampled_from(
            ["offer", "answer", "done", "get", "ls", "entries", "body", "refused", "f", "w", "p", "missing"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(0, 3)), inner, max_size=4),
    ),
    max_leaves=12,
)
FIELDS = ["into", "resume", "dry", "names", "kinds", "sizes", "times", "modes", "targets", *NONE_LEFT]


def _spoiled(fields: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An honest message of which one field is anything, or missing, or one too many."""
    return st.one_of(
        st.tuples(st.sampled_from(sorted(fields)), ANYTHING).map(lambda spoil: fields | {spoil[0]: spoil[1]}),
        st.sampled_from(sorted(fields)).map(lambda name: {n: v for n, v in fields.items() if n != name}),
        st.tuples(st.text(max_size=3), ANYTHING).map(lambda more: fields | {more[0]: more[1]}),
    )


HONEST = columns("d", "d/x", "d/l", kinds="dfl", targets={2: "x"})
COLUMNS = st.fixed_dictionaries(
    {
        "into": st.sampled_from(["", "a", "..", "a/b"]),
        "resume": st.booleans(),
        "dry": st.booleans(),
        "names": st.lists(st.sampled_from(["a", "b", "a/b", "A", "..", "/", "x/../y", "", "c/d/e"]), max_size=4),
        "kinds": st.text(alphabet="fdlx", max_size=4),
        "sizes": st.lists(st.one_of(st.none(), st.integers(-1, 5), st.integers()), max_size=4),
        "times": st.lists(st.one_of(st.none(), st.integers()), max_size=4),
        "modes": st.lists(st.one_of(st.none(), st.integers(0, 0o10000)), max_size=4),
        "targets": st.dictionaries(st.integers(-1, 4), st.sampled_from(["a", "..", "/etc", ""]), max_size=2),
        "left": st.lists(st.text(max_size=3), max_size=2),
        "left_kinds": st.text(alphabet="ulofmx", max_size=2),
        "left_more": st.integers(-1, 2),
    }
)


@settings(max_examples=150)
@given(
    st.one_of(
        ANYTHING, st.tuples(st.sampled_from(["offer", "get", "ls"]), st.one_of(ANYTHING, COLUMNS, _spoiled(HONEST)))
    ),
    st.one_of(ANYTHING.map(lambda value: ("body", value)), st.binary(max_size=200), st.just(body(3))),
)
def test_a_server_answers_whatever_is_asked(tmp_path_factory: pytest.TempPathFactory, first: Any, data: Any) -> None:
    there = tmp_path_factory.mktemp("around") / "there"
    there.mkdir()
    end, other, _ = pair()

    def ask() -> None:
        value = end.recv(timeout=5)
        if value[0] == "answer":
            if isinstance(data, bytes):
                end.send(("body", {"bytes": Blob(data)}), timeout=5)
            else:
                end.out.put(data)
        elif value[0] == "offer":
            end.out.put(data)

    with nothing_outside(there):
        found, asker = both(lambda: serve(other, first, there, timeout=5, clock=ticking()), ask)

    assert found is None or isinstance(found, (Transfer, NetstructerError, OSError)), repr(found)
    assert asker is None or isinstance(asker, NetstructerError), repr(asker)


ENTRIES = [
    Entry(name="d", kind="directory"),
    Entry(name="d/x", size=5),
    Entry(name="d/l", kind="link", target="x"),
    Entry(name="pipe"),
]


@given(
    st.one_of(
        ANYTHING,
        ANYTHING.map(lambda fields: ("answer", fields)),
        _spoiled({"wants": "-w-w", "prefixes": {}, "reasons": {}, "dry": False}).map(lambda f: ("answer", f)),
        _spoiled({"states": "sssx", "reasons": {3: "full"}, "renamed": {1: "y"}}).map(lambda f: ("done", f)),
        st.text(alphabet="wpx-", min_size=4, max_size=4).map(
            lambda wants: ("answer", {"wants": wants, "prefixes": {1: (3, bytes(32))}, "reasons": {}, "dry": False})
        ),
    )
)
def test_answers_and_ends_are_taken_or_refused(value: Any) -> None:
    for read in (read_answer(ENTRIES), read_done(ENTRIES), read_offer, read_get):
        try:
            read(value)
        except (BadValue, UnsafeName):
            continue


@pytest.mark.parametrize(
    "fields",
    [
        {"wants": "-ww", "prefixes": {}, "reasons": {}, "dry": False},
        {"wants": "ww-w", "prefixes": {}, "reasons": {}, "dry": False},
        {"wants": "---w", "prefixes": {}, "reasons": {}, "dry": False},
        {"wants": "-p-w", "prefixes": {}, "reasons": {}, "dry": False},
        {"wants": "-p-w", "prefixes": {1: (6, bytes(32))}, "reasons": {}, "dry": False},
        {"wants": "-p-w", "prefixes": {1: (0, bytes(32))}, "reasons": {}, "dry": False},
        {"wants": "-p-w", "prefixes": {1: (5, bytes(31))}, "reasons": {}, "dry": False},
        {"wants": "-p-w", "prefixes": {1: [5, bytes(32)]}, "reasons": {}, "dry": False},
        {"wants": "-w-p", "prefixes": {3: (5, bytes(32))}, "reasons": {}, "dry": False},
        {"wants": "-p-w", "prefixes": {0: (5, bytes(32))}, "reasons": {}, "dry": False},
        {"wants": "-w-w", "prefixes": {}, "reasons": {1: "full"}, "dry": False},
        {"wants": "-x-w", "prefixes": {}, "reasons": {1: "bad words"}, "dry": False},
        {"wants": "-x-w", "prefixes": {}, "reasons": {True: "full"}, "dry": False},
        {"wants": "-w-w", "prefixes": {}, "reasons": {}, "dry": 0},
    ],
    ids=repr,
)
def test_an_answer_that_no_receiver_gives_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        read_answer(ENTRIES)(("answer", fields))


@pytest.mark.parametrize("states", ["rsss", "ssrs", "s=ss", "scss", "sfss"])
def test_a_receiver_that_tells_another_story_is_not_believed(tmp_path: Path, states: str) -> None:
    """It wants the one file, gets it whole, and says something else of it, or of what was never sent."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_bytes(b"12345")
    (tmp_path / "d" / "y").write_bytes(b"12345")
    end, other, _ = pair()

    def lie() -> Any:
        offered = other.recv()
        wants = "-wx"
        other.send(("answer", {"wants": wants, "prefixes": {}, "reasons": {2: "full"}, "dry": False}))
        bytes(other.recv()[1]["bytes"])
        assert offered[1]["names"] == ["d", "d/x", "d/y"]
        other.send(("done", {"states": states[:3], "reasons": {}, "renamed": {}}))
        return other.recv(timeout=5)

    sent, said = both(lambda: offer(end, [tmp_path / "d"], timeout=5, clock=ticking()), lie)

    assert isinstance(sent, BadValue)
    assert said == ("refused", {"kind": "malformed", "name": ""})


def test_columns_and_entries_are_inverse() -> None:
    assert entries_of(entries_value(ENTRIES)) == ENTRIES


def test_one_entry_too_many_is_refused_unread() -> None:
    fields = entries_value(ENTRIES) | {"names": range(MOST_ENTRIES + 1)}

    with pytest.raises(BadValue, match="more than 1000000"):
        entries_of(fields)


def test_deep_names_cost_what_they_are_and_not_each_directory_above_them_in_full() -> None:
    names = ["/".join([f"{index:06x}" + "a" * 25, *["b" * 30] * 127]) for index in range(50)]
    fields = entries_value([Entry(name=name, size=0) for name in names])
    tracemalloc.start()
    entries = entries_of(fields)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [entry.name for entry in entries] == names
    assert peak < 10 * sum(map(len, names))  # with each prefix as a text it is more than 100 times


def test_the_directories_above_count_among_the_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.transfer.manifest.MOST_ENTRIES", 5)
    taken = Taken()
    taken.take(Entry(name="a/b/c/d"))
    with pytest.raises(LimitReached, match="more than 5 files"):
        taken.take(Entry(name="a/b/x/y"))
    taken.take(Entry(name="a/b/c/e"))


def test_a_directory_may_be_named_before_or_after_what_is_in_it() -> None:
    for names in (["d", "d/x"], ["d/x", "d"]):
        taken = Taken()
        for name in names:
            taken.take(Entry(name=name, kind="directory" if name == "d" else "file"))


def test_a_sender_that_is_refused_midway_learns_why(tmp_path: Path, there: Path) -> None:
    (tmp_path / "x").write_bytes(os.urandom(4 << 20))
    end, other, _ = pair()

    def give_up() -> None:
        other.recv()
        other.send(("answer", {"wants": "w", "prefixes": {}, "reasons": {}, "dry": False}))
        chunks = iter(other.recv()[1].pop("bytes"))
        next(chunks)
        del chunks
        other.send(("refused", {"kind": "full", "name": ""}))

    sent, _ = both(lambda: offer(end, [tmp_path / "x"], timeout=5, clock=ticking()), give_up)

    assert isinstance(sent, TransferRefused)
    assert "its disk is full" in str(sent)


@pytest.mark.parametrize(
    "first", [None, ("get", {"patterns": ["none"]}), ("ls", {"path": ".."}), ("put", {}), ("offer", {})]
)
def test_a_refusal_is_said_once(there: Path, first: Any) -> None:
    end, other, _ = pair()

    assert serve(other, first, there, clock=ticking()) is None

    assert len(other.sent) == 1
    assert end.recv()[0] == "refused"


def test_who_is_refused_does_not_refuse_in_return(there: Path) -> None:
    end, other, _ = pair()

    found, _ = both(
        lambda: fetch(end, "none", there, timeout=5, clock=ticking()),
        lambda: serve(other, other.recv(), there, timeout=5, clock=ticking()),
    )

    assert isinstance(found, TransferRefused)
    assert [value[0] for value in end.sent] == ["get"]


SPOILED = {
    "columns of different lengths": {"sizes": [None, 1]},
    "fewer kinds": {"kinds": "dfl"},
    "more targets than links": {"targets": {2: "d", 0: "x"}},
    "a target of another entry": {"targets": {0: "d"}},
    "a target that is no text": {"targets": {2: b"d"}},
    "a key that is no index": {"targets": {"2": "d"}},
    "a name that is none": {"names": ["d", 5, "l", "pipe"]},
    "a kind of its own": {"kinds": "dfls"},
    "a size below zero": {"sizes": [None, -1, None, None]},
    "a size of a directory": {"sizes": [5, 5, None, None]},
    "a size that is true": {"sizes": [None, True, None, None]},
    "a size beyond all files": {"sizes": [None, 1 << 63, None, None]},
    "a time beyond all clocks": {"times": [1 << 63, None, None, None]},
    "a time with a point": {"times": [1.5, None, None, None]},
    "a mode that sets the user": {"modes": [None, 0o4755, None, None]},
    "a mode of a link": {"modes": [None, None, 0o777, None]},
}


@pytest.mark.parametrize("name", SPOILED)
def test_columns_that_no_sender_writes_are_refused(name: str) -> None:
    with pytest.raises(BadValue):
        entries_of(entries_value(ENTRIES) | SPOILED[name])


@pytest.mark.parametrize("renamed", [{5: "x"}, {"1": "x"}, {1: b"x"}, {1: "x" * 5000}])
def test_new_names_that_no_receiver_gives_are_refused(renamed: dict[Any, Any]) -> None:
    with pytest.raises(BadValue):
        read_done(ENTRIES)(("done", {"states": "ssss", "reasons": {}, "renamed": renamed}))


@pytest.mark.parametrize("patterns", [["x"] * 10_001, [b"x"], ["x" * 5000], "x"])
def test_patterns_that_no_asker_sends_are_refused(patterns: Any) -> None:
    with pytest.raises(BadValue):
        read_get(("get", {"patterns": patterns}))


def test_a_refusal_of_no_known_kind_is_no_refusal(there: Path) -> None:
    with pytest.raises(BadValue, match="no known kind"):
        receive(pair()[0], ("refused", {"kind": "because", "name": ""}), there, clock=ticking())
