"""The ceremony of pairing as machines: both ends pushed at once, whole and byte by byte, honest and not."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from netstructer.codec.tokens import Sealer
from netstructer.errors import (
    BadSeal,
    IllegalFrame,
    InvalidCode,
    LinkTimeout,
    MissingDependency,
    Misuse,
    NetstructerError,
    NotNetstructer,
    PairingRefused,
    PairingStopped,
    VersionMismatch,
    WrongCode,
)
from netstructer.keys import Key
from netstructer.pairing.ceremony import (
    Asked,
    Confirmed,
    Event,
    Finished,
    Granted,
    Host,
    Installed,
    Taken,
    Visitor,
    Wished,
)
from netstructer.pairing.codes import CODES, make_code, read_code
from netstructer.pairing.desk import (
    ANSWERS_PER_SOURCE,
    CEREMONY_SECONDS,
    CODE_SECONDS,
    GUEST_SECONDS,
    MOST_FAILURES,
    MOST_GUESTS,
    Desk,
)
from netstructer.pairing.frames import (
    HEAD_BYTES,
    Grant,
    Kind,
    Refusal,
    body_bytes,
    check_user,
    pack_grant,
    pack_head,
    pack_wish,
    read_grant,
    read_head,
    read_wish,
)
from netstructer.pairing.words import WORDS
from test_spec import cells_of, section

pytest.importorskip("spake2")

CODE = "47-guitar-orbit"
OTHER = "47-guitar-orchid"
GRANT = Grant(key=Key.generate(), user="ada", identity=bytes(range(32)), host="", port=5000)
CLIENT_FRAMES = (Kind.CLIENT_SHARE, Kind.CLIENT_CONFIRM, Kind.WISH, Kind.HAVE, Kind.DONE)


def chance(seed: str) -> Callable[[int], bytes]:
    """Return a `draw` that gives the same bytes again for the same seed."""
    counter = itertools.count()

    def draw(count: int) -> bytes:
        blocks = (sha256(f"{seed} {next(counter)}".encode()).digest() for _ in range(count // 32 + 1))
        return b"".join(blocks)[:count]

    return draw


def serve(host: Host, event: Event | None, *, code: str = CODE) -> None:
    """Do at the server what is due after an event."""
    match event:
        case Asked():
            host.answer(code, os.urandom)
        case Confirmed():
            host.confirm()
        case Wished():
            host.grant(GRANT)
        case Taken():
            host.installed()
        case _:
            pass


def visit(visitor: Visitor, event: Event | None) -> None:
    """Do at the client what is due after an event."""
    match event:
        case Granted():
            visitor.have()
        case Installed():
            visitor.done()
        case _:
            pass


def push(host: Host, visitor: Visitor, *, code: str = CODE, piece: int = 1 << 20) -> list[Event]:
    """Carry bytes both ways until nobody has any; return what happened at both ends."""
    events: list[Event] = []
    ends = [(visitor, host, lambda event: serve(host, event, code=code)), (host, visitor, lambda e: visit(visitor, e))]
    moved = True
    while moved:
        moved = False
        for source, sink, act in ends:
            data = source.take()
            while data:
                moved = True
                step = data[: min(piece, sink.wanted)]
                assert step, "more was sent than the other end wants"
                data = data[len(step) :]
                event = sink.receive(step)
                if event is not None:
                    events.append(event)
                    act(event)
    return events


ALL = [Asked(), Confirmed(), Wished(user="ada"), Granted(grant=GRANT), Taken(), Installed(), Finished()]


@pytest.mark.parametrize("piece", [1, 7, HEAD_BYTES, 1 << 20])
def test_both_ends_arrive_at_one_grant_however_the_bytes_are_cut(piece: int) -> None:
    host, visitor = Host(), Visitor(" 47 GUITAR  orbit ", os.urandom, user="ada")

    events = push(host, visitor, piece=piece)

    assert events == ALL
    assert (host.over, visitor.over) == (True, True)
    assert (host.wanted, visitor.wanted) == (0, 0)


def test_a_wish_for_no_name_arrives_as_none() -> None:
    assert Wished(user=None) in push(Host(), Visitor(CODE, os.urandom))


def test_a_wrong_code_ends_it_at_both_ends_before_anything_is_sealed() -> None:
    host, visitor = Host(), Visitor(OTHER, os.urandom)
    carry(visitor, host)
    host.answer(CODE, os.urandom)
    carry(host, visitor)

    with pytest.raises(WrongCode):
        carry(visitor, host)
    refusal = host.take()
    with pytest.raises(WrongCode, match="this code is dead"):
        visitor.receive(refusal)

    assert refusal == pack_head(Kind.REFUSAL, Refusal.WRONG_CODE)
    assert (host.over, visitor.over) == (True, True)


def carry(source: Host | Visitor, sink: Host | Visitor) -> Event | None:
    """Carry what one end has to send now; return what came of the last of it."""
    data, event = source.take(), None
    while data:
        count = sink.wanted
        event, data = sink.receive(data[:count]), data[count:]
    return event


def test_a_server_that_has_another_code_is_told_from_one_that_has_ours() -> None:
    """Who is in between answers with a guess of his own, and cannot make the MAC that follows."""
    false, visitor = Host(), Visitor(CODE, os.urandom)
    carry(visitor, false)
    false.answer(OTHER, os.urandom)
    carry(false, visitor)
    visitor.take()

    with pytest.raises(WrongCode):
        feed(visitor, pack_head(Kind.SERVER_CONFIRM) + bytes(32))
    assert visitor.take() == b""


def test_who_leaves_before_the_mac_has_seen_nothing_that_depends_on_a_key() -> None:
    host, visitor = Host(), Visitor(CODE, os.urandom)
    carry(visitor, host)
    host.answer(CODE, os.urandom)

    answer = host.take()

    assert len(answer) == HEAD_BYTES + body_bytes(Kind.SERVER_SHARE)
    assert host.wanted == HEAD_BYTES


def test_a_recorded_ceremony_fits_no_other() -> None:
    """Played back to a server that shows the same code, the client's frames are a wrong guess."""
    recorded = record()

    host = Host()
    feed(host, recorded[0])
    host.answer(CODE, os.urandom)
    with pytest.raises(WrongCode):
        feed(host, recorded[1])


def test_a_recorded_server_fits_no_other_client() -> None:
    host, visitor = Host(), Visitor(CODE, chance("then"))
    carry(visitor, host)
    host.answer(CODE, chance("server"))
    share = host.take()
    feed(visitor, share)
    feed(host, visitor.take())
    host.confirm()
    confirm = host.take()

    again = Visitor(CODE, chance("now"))
    feed(again, share)
    with pytest.raises(WrongCode):
        feed(again, confirm)


def test_the_same_chance_at_both_ends_gives_the_same_bytes() -> None:
    """The sabotage twin: with the chance of the recording, the recording does fit."""
    recorded = record(chance("server"))

    host = Host()
    feed(host, recorded[0])
    host.answer(CODE, chance("server"))

    assert feed(host, recorded[1]) == Confirmed()


def record(draw: Callable[[int], bytes] = os.urandom) -> list[bytes]:
    """Return what a client sends in a whole ceremony, frame by frame."""
    host, visitor, frames = Host(), Visitor(CODE, chance("client"), user="ada"), []
    while not visitor.over or not host.over:
        frames.append(visitor.take())
        event = feed(host, frames[-1])
        if isinstance(event, Asked):
            host.answer(CODE, draw)
        else:
            serve(host, event)
        data = host.take()
        visit(visitor, feed(visitor, data) if data else None)
    return frames


def feed(end: Host | Visitor, data: bytes) -> Event | None:
    """Give bytes to an end as it wants them; return what came last."""
    event = None
    while data:
        count = end.wanted
        assert count, "it wants nothing now"
        event, data = end.receive(data[:count]), data[count:]
    return event


def test_every_flipped_bit_of_the_client_is_noticed() -> None:
    """A hundred bits of each frame: in no case is anything granted, and no frame is taken for another."""
    for position, kind in enumerate(CLIENT_FRAMES[:4]):
        size = HEAD_BYTES + body_bytes(kind)
        for at in range(0, size * 8, max(1, size * 8 // 25)):
            host, visitor = Host(), Visitor(CODE, os.urandom)
            for _ in range(position):
                serve(host, feed(host, visitor.take()))
                visit(visitor, feed(visitor, host.take()))
            frame = bytearray(visitor.take())
            assert len(frame) == size
            frame[at // 8] ^= 1 << at % 8

            with pytest.raises((WrongCode, BadSeal, IllegalFrame, NotNetstructer, VersionMismatch)):  # noqa: PT012 - the last flip shows one frame later
                serve(host, feed(host, bytes(frame)))
                feed(visitor, host.take())
                feed(host, visitor.take())
            assert host.over


def test_frames_that_are_none_are_refused_at_their_heads() -> None:
    cases: list[tuple[bytes, type[NetstructerError]]] = [
        (b"GET / HT", NotNetstructer),
        (b"NSTR\x01\x01\x00\x00", NotNetstructer),
        (b"NSPR\x02\x01\x00\x00", VersionMismatch),
        (pack_head(Kind.CLIENT_CONFIRM), IllegalFrame),
        (pack_head(Kind.REFUSAL, 1), IllegalFrame),
        (pack_head(Kind.CLIENT_SHARE, 1), IllegalFrame),
        (b"NSPR\x01\x63\x00\x00", IllegalFrame),
    ]
    for head, error in cases:
        host = Host()
        with pytest.raises(error):
            host.receive(head)
        assert host.over
        assert host.take() == b""


@pytest.mark.parametrize(
    "element",
    [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, bytes(31) + b"\x80", b"\xec" + b"\xff" * 30 + b"\x7f"],
)
def test_what_is_no_element_of_the_group_is_no_guess(element: bytes) -> None:
    host = Host()
    feed(host, pack_head(Kind.CLIENT_SHARE) + element)

    with pytest.raises(IllegalFrame, match="element"):
        host.answer(CODE, os.urandom)
    assert host.take() == b""


def test_a_share_that_is_reflected_is_refused() -> None:
    visitor = Visitor(CODE, os.urandom)
    share = visitor.take()

    with pytest.raises(IllegalFrame):
        feed(visitor, pack_head(Kind.SERVER_SHARE) + share[HEAD_BYTES:])


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [(1, WrongCode, "dead"), (2, PairingRefused, "used"), (3, PairingRefused, "too much"), (9, PairingRefused, "on")],
)
def test_refusals_become_errors(code: int, error: type[NetstructerError], words: str) -> None:
    visitor = Visitor(CODE, os.urandom)
    visitor.take()

    with pytest.raises(error, match=words):
        visitor.receive(pack_head(Kind.REFUSAL, code))
    assert visitor.over


def test_no_more_is_taken_than_is_wanted_and_nothing_is_done_out_of_turn() -> None:
    host, visitor = Host(), Visitor(CODE, os.urandom)

    with pytest.raises(Misuse):
        host.receive(bytes(HEAD_BYTES + 1))
    for early in (host.confirm, host.installed, visitor.have, visitor.done):
        with pytest.raises(Misuse):
            early()
    assert host.receive(b"") is None
    assert push(host, visitor) == [e if e != Wished(user="ada") else Wished(user=None) for e in ALL]
    with pytest.raises(Misuse):
        host.receive(b"x")


def test_a_sealed_frame_in_the_place_of_another_does_not_open() -> None:
    """Each plain text begins with its own kind, so no frame can stand for another under the same key."""
    host, visitor = Host(), Visitor(CODE, os.urandom)
    for _ in range(3):
        serve(host, feed(host, visitor.take()))
        visit(visitor, feed(visitor, host.take()))
    assert host._expected is Kind.HAVE
    assert visitor._sealer is not None
    false = bytes(visitor._sealer.seal(bytes([Kind.DONE, 0]), 0))

    with pytest.raises(BadSeal):
        feed(host, pack_head(Kind.HAVE) + false)


def test_a_word_that_says_more_than_it_should_is_refused() -> None:
    host, visitor = Host(), Visitor(CODE, os.urandom)
    for _ in range(3):
        serve(host, feed(host, visitor.take()))
        visit(visitor, feed(visitor, host.take()))
    sealer = visitor._sealer
    assert isinstance(sealer, Sealer)

    with pytest.raises(IllegalFrame):
        feed(host, pack_head(Kind.HAVE) + bytes(sealer.seal(bytes([Kind.HAVE, 1]), 0)))


def test_without_spake2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spake2", None)

    with pytest.raises(MissingDependency, match=r"netstructer\[pair\]"):
        Visitor(CODE, os.urandom)


def test_neither_the_code_nor_the_key_is_in_what_goes_over_the_wire_or_in_a_repr() -> None:
    host, visitor, wire = Host(), Visitor(CODE, os.urandom, user="ada"), b""
    while not visitor.over or not host.over:
        out = visitor.take()
        serve(host, feed(host, out))
        back = host.take()
        visit(visitor, feed(visitor, back) if back else None)
        wire += out + back

    assert GRANT.key.reveal().encode() not in wire
    assert not any(word in wire for word in (b"guitar", b"orbit", b"ada"))
    assert GRANT.key.reveal() not in repr(GRANT)
    assert b"SPR" in wire


# --- codes ------------------------------------------------------------------------------------------------------------


def test_the_words_are_told_apart_by_their_beginning_and_by_more_than_a_letter() -> None:
    assert len(WORDS) == len(set(WORDS)) == len({word[:3] for word in WORDS}) == 256
    assert list(WORDS) == sorted(WORDS)
    assert all(word.isascii() and word.isalpha() and word.islower() and 4 <= len(word) <= 9 for word in WORDS)
    assert [(a, b) for a, b in itertools.combinations(WORDS, 2) if close(a, b)] == []
    assert all(close(*pair) for pair in (("otter", "utter"), ("oyster", "oysters"), ("bacon", "beacon")))


def close(one: str, other: str) -> bool:
    """Say whether one letter changed, added or left out makes one word the other."""
    if len(one) > len(other):
        one, other = other, one
    if len(one) == len(other):
        return sum(a != b for a, b in zip(one, other, strict=True)) == 1
    return any(one == other[:at] + other[at + 1 :] for at in range(len(other)))


def test_codes_are_as_many_as_is_said_and_each_byte_counts() -> None:
    seen = {make_code(lambda _, n=number: bytes([n, 0, 255]) if _ == 3 else b"\0") for number in range(256)}

    assert CODES == 90 * 256 * 256 == 5_898_240
    assert seen == {f"{number}-{WORDS[0]}-{WORDS[255]}" for number in range(10, 100)}
    assert make_code(lambda count: bytes([1, 2, 3])[:count]) == f"11-{WORDS[2]}-{WORDS[3]}"


def test_a_number_that_would_be_likelier_is_drawn_again() -> None:
    drawn = iter([bytes([255, 0, 0]), bytes([180]), bytes([179])])

    assert make_code(lambda count: next(drawn)).startswith("99-")


@pytest.mark.parametrize(
    "text", [CODE, "47 guitar orbit", " 47-Guitar-ORBIT ", "47 - guitar - orbit", "47--guitar  orbit"]
)
def test_case_spaces_and_hyphens_are_forgiven(text: str) -> None:
    assert read_code(text) == CODE


@pytest.mark.parametrize(
    "text",
    [
        *("", "47", "47-guitar", "47-guitar-orbit-x", "guitar-orbit-47", "7-guitar-orbit", "07-guitar-orbit"),
        *("470-guitar-orbit", "47-guita-orbit", "47-guitar-orbits", "47_guitar_orbit", "47-guitar-orbit\n"),
        *("47\tguitar orbit", "٤٧-guitar-orbit", "-47-guitar-orbit", "47–guitar–orbit", "4 7-guitar-orbit"),
    ],
)
def test_nothing_else_is_and_the_error_does_not_repeat_it(text: str) -> None:
    with pytest.raises(InvalidCode) as caught:
        read_code(text)

    assert not any(word in str(caught.value).replace("47-guitar-orbit", "") for word in ("guita", "orbit", "470"))


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["", "192.168.1.5", "fe80::1%eth0", "server.example", "h" * 253])
@pytest.mark.parametrize("user", ["a", "ada.lovelace@example-1", "ada-2", "Ünal", "u" * 64])
def test_grants_come_out_as_they_went_in(host: str, user: str) -> None:
    grant = Grant(key=Key.generate(), user=user, identity=os.urandom(32), host=host, port=65535)

    packed = pack_grant(grant)

    assert read_grant(packed) == grant
    assert len(packed) == len(pack_grant(GRANT))


@pytest.mark.parametrize("user", ["", "a b", "a/b", "-a", ".a", "a\n", "a\u202eb", "ü" * 25, "u" * 49])
def test_names_that_no_user_can_wish_for(user: str) -> None:
    with pytest.raises(Misuse):
        check_user(user)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, b"!"),  # the key
        (76, b"\0\0"),  # the port
        (78, b"\xff"),  # longer than its field
        (78, b"\0"),  # a user without a name
        (78, b"\x02"),  # bytes behind the name
        (79, b"\xff"),  # not UTF-8
        (79, b" "),  # not a name
        (143, b"\x01"),  # a host of one zero byte
        (200, b"x"),  # bytes behind the host
    ],
)
def test_a_grant_that_is_none_is_refused(at: int, value: bytes) -> None:
    packed = bytearray(pack_grant(GRANT))
    packed[at : at + len(value)] = value

    with pytest.raises(IllegalFrame):
        read_grant(bytes(packed))


@pytest.mark.parametrize("changed", [{"port": 0}, {"port": 65536}, {"identity": bytes(31)}, {"host": "a b"}])
def test_what_has_no_place_in_a_grant_is_not_packed(changed: dict[str, object]) -> None:
    facts = {"key": GRANT.key, "user": "ada", "identity": bytes(32), "host": "", "port": 1}

    with pytest.raises(Misuse):
        pack_grant(Grant(**(facts | changed)))  # type: ignore[arg-type]


def test_wishes_come_out_as_they_went_in() -> None:
    assert [read_wish(pack_wish(user)) for user in (None, "ada", "u" * 48)] == [None, "ada", "u" * 48]
    with pytest.raises(IllegalFrame):
        read_wish(b"\0" + b"a" + bytes(47))
    with pytest.raises(IllegalFrame):
        read_wish(bytes([49]) + b"u" * 48)


def test_heads_come_out_as_they_went_in() -> None:
    for kind in Kind:
        assert read_head(pack_head(kind, 1 if kind is Kind.REFUSAL else 0), *Kind)[0] is kind


# --- the desk ---------------------------------------------------------------------------------------------------------


def desk() -> Desk[str]:
    return Desk(chance("desk"), now=100.0)


def test_a_code_lives_two_minutes_and_then_nobody_came() -> None:
    room = desk()

    assert room.overdue(100.0 + CODE_SECONDS - 0.1) == []
    with pytest.raises(LinkTimeout, match="120 seconds"):
        room.overdue(100.0 + CODE_SECONDS)


def test_every_failure_makes_another_code_and_the_third_ends_it() -> None:
    room = desk()
    codes = {room.code}
    for count in range(1, MOST_FAILURES):
        room.fail(100.0 + count)
        codes.add(room.code)
        assert room.deadline == 100.0 + count + CODE_SECONDS
    with pytest.raises(PairingStopped, match="3 codes"):
        room.fail(110.0)

    assert len(codes) == MOST_FAILURES
    assert room.failures == MOST_FAILURES


def test_who_has_the_code_has_it_alone_and_for_a_while() -> None:
    room = desk()
    for guest in ("one", "two", "three"):
        assert room.enter(guest, "192.0.2.1", 100.0) is None

    assert room.claim("two", 101.0) == ["one", "three"]
    assert room.claimed == "two"
    assert room.overdue(101.0 + CEREMONY_SECONDS - 0.1) == []
    assert room.overdue(100.0 + CODE_SECONDS) == ["two"]
    assert room.fail(120.0) == []
    assert room.claimed is None


def test_a_silent_guest_is_asked_to_leave_and_costs_no_code() -> None:
    room = desk()
    code = room.code
    room.enter("silent", "192.0.2.1", 100.0)
    room.enter("later", "192.0.2.1", 103.0)

    assert room.overdue(100.0 + GUEST_SECONDS) == ["silent"]
    room.leave("silent")
    assert room.overdue(100.0 + GUEST_SECONDS) == []
    assert (room.code, room.failures) == (code, 0)


def test_whoever_fills_the_room_crowds_out_himself() -> None:
    room = desk()
    room.enter("honest", "198.51.100.1", 100.0)
    for number in range(MOST_GUESTS - 1):
        assert room.enter(f"greedy {number}", "192.0.2.1", 100.0) is None

    assert room.enter("greedy again", "192.0.2.1", 100.0) == "greedy 0"
    assert room.enter("another", "203.0.113.9", 100.0) == "greedy 1"
    assert "honest" in room.claim("another", 100.0)


def test_one_source_gets_so_many_answers_for_a_code_and_no_more() -> None:
    room = desk()
    room.enter("one", "192.0.2.1", 100.0)
    room.enter("other", "192.0.2.2", 100.0)

    answers = [room.may_answer("one") for _ in range(ANSWERS_PER_SOURCE + 2)]

    assert answers == [True] * ANSWERS_PER_SOURCE + [False] * 2
    assert room.may_answer("other")
    room.fail(101.0)
    room.enter("one", "192.0.2.1", 101.0)
    assert room.may_answer("one")


# --- the specification ------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_the_page_has_the_frames_of_the_code() -> None:
    rows = [cells_of(line) for line in section(PAGE, "Pairing").splitlines()]
    stated = {row[1]: (int(row[0], 16), row[2], int(row[3])) for row in rows if len(row) == 5 and row[3].isdigit()}

    assert stated == {
        kind.name: (kind.value, "client" if kind in CLIENT_FRAMES else "server", HEAD_BYTES + body_bytes(kind))
        for kind in Kind
    }


def test_the_page_has_the_bounds_of_the_code() -> None:
    text = section(PAGE, "Pairing")

    assert f"{CODES:,} codes" in text
    assert f"| life of a code | {CODE_SECONDS:g} s," in text
    assert f"| codes that die of a failure | {MOST_FAILURES}," in text
    assert f"| from accept to CLIENT_CONFIRM | {GUEST_SECONDS:g} s |" in text
    assert f"| from there to DONE | {CEREMONY_SECONDS:g} s |" in text
    assert f"| connections before CLIENT_CONFIRM | {MOST_GUESTS};" in text
    assert f"| elements of one source that are answered, for one code | {ANSWERS_PER_SOURCE} |" in text


def test_a_ceremony_of_known_chance_has_the_bytes_of_the_page() -> None:
    """Made anew from the page's own formulas behind the elements: another reader of it would arrive here."""
    rows = (line.split() for line in section(PAGE, "Known answers").partition("### Pairing")[2].splitlines())
    known = {row[0]: bytes.fromhex(row[1]) for row in rows if len(row) == 2 and len(row[1]) % 2 == 0}
    host, visitor = Host(), Visitor(CODE, lambda count: b"\x11" * count)
    shares = [visitor.take()]
    feed(host, shares[0])
    host.answer(CODE, lambda count: b"\x22" * count)
    shares.append(host.take())
    feed(visitor, shares[1])
    confirm = visitor.take()
    feed(host, confirm)
    host.confirm()

    assert shares == [known["CLIENT_SHARE"], known["SERVER_SHARE"]]
    assert sha256(b"netstructer/1 pair" + shares[0] + shares[1]).digest() == known["T"]
    assert (confirm, host.take()) == (known["CLIENT_CONFIRM"], known["SERVER_CONFIRM"])
    assert host._keys is not None
    assert (host._keys.client_seal, host._keys.server_seal) == (known["seal_client"], known["seal_server"])
