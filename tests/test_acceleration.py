"""The compiled codec beside the one in Python: the same bytes, the same values, the same errors, and who runs.

Where the accelerator was not built (no C compiler, or NETSTRUCTER_PURE=1 at the build) only the choice is tested.
"""

from __future__ import annotations

import ast
import dataclasses
import gc
import math
import random
import signal
import sys
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cases import case
from netstructer.codec import acceleration, decoder, encoder, freshness, values
from netstructer.codec.acceleration import CHOICE, choose
from netstructer.codec.blob import Blob
from netstructer.codec.breath import breathe
from netstructer.codec.values import decode, encode
from netstructer.errors import UnsendableValue
from netstructer.limits import Limits
from strategies import TYPES, Celsius, Crate, Empty, Order, Pair, Point, same
from strategies import values as any_values
from test_values_vectors import VECTORS, read

fast: Any
try:
    from netstructer.codec import _fast as fast
except ImportError:
    fast = None
    FRESH = False
else:
    FRESH = freshness.digest() == fast.SOURCES

compiled = pytest.mark.skipif(not FRESH, reason="the accelerator was not built, or from other sources")
Outcome = tuple[Any, ...]

# --- who runs ---------------------------------------------------------------------------------------------------------


def built(sources: str = "now") -> ModuleType:
    return SimpleNamespace(SOURCES=sources)  # type: ignore[return-value]  # all that is asked of it


def missing() -> ModuleType:
    raise ModuleNotFoundError("no module of that name")


def broken() -> ModuleType:
    raise ImportError("built for another alphabet")


def unreadable() -> str:
    raise FileNotFoundError("tags.py")


@pytest.mark.parametrize(
    ("environment", "load", "digest", "reason"),
    [
        ({"NETSTRUCTER_PURE": "1"}, built, lambda: "now", "NETSTRUCTER_PURE is set"),
        ({}, missing, lambda: "now", "was not built"),
        ({}, broken, lambda: "now", "does not load: built for another alphabet"),
        ({}, built, lambda: "later", "from other sources"),
        ({}, built, unreadable, "from other sources"),
    ],
)
def test_python_runs_where_the_compiled_codec_cannot(
    environment: dict[str, str], load: Callable[[], ModuleType], digest: Callable[[], str], reason: str
) -> None:
    choice = choose(environment, load, digest)

    assert choice.compiled is None
    assert reason in choice.reason


@pytest.mark.parametrize("environment", [{}, {"NETSTRUCTER_PURE": ""}, {"NETSTRUCTER_PURE": "0"}])
def test_the_compiled_codec_runs_where_it_is_fresh(environment: dict[str, str]) -> None:
    choice = choose(environment, built, lambda: "now")

    assert choice.compiled is not None


def test_what_was_chosen_is_what_encodes_and_decodes() -> None:
    chosen: Any = CHOICE.compiled

    assert values.encode_value is (encoder.encode_value if chosen is None else chosen.encode_value)
    assert values.decode_value is (decoder.decode_value if chosen is None else chosen.decode_value)
    if fast is None:
        with pytest.raises(ModuleNotFoundError):
            acceleration._load()
    else:
        assert acceleration._load() is fast


def test_any_change_of_a_source_is_noticed(tmp_path: Path) -> None:
    folder = Path(freshness.__file__).parent
    for name in freshness.SOURCES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    before = freshness.digest(tmp_path)

    assert before == freshness.digest()
    for name in freshness.SOURCES:
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(kept + b"\n")
        assert freshness.digest(tmp_path) != before
        (tmp_path / name).write_bytes(kept)


def test_all_that_is_compiled_is_named_among_the_sources() -> None:
    folder = Path(freshness.__file__).parent
    text = (folder / "_fast.pyx").read_text("utf-8")
    included = {line.split('"')[1] for line in text.splitlines() if line.startswith("include ")}

    assert included | {"_fast.pyx"} == set(freshness.COMPILED)


def test_to_breathe_is_to_do_nothing() -> None:
    assert breathe.__code__.co_names == ()
    assert breathe() is None  # type: ignore[func-returns-value]  # that is the point


# --- the same in both -------------------------------------------------------------------------------------------------


def encoding(run: Callable[..., Any], value: Any, limits: Limits = Limits.DEFAULT) -> Outcome:
    """Return the bytes, as they were cut, with what was found beside them; or all that an error says."""
    try:
        encoded = run(value, limits, TYPES)
    except Exception as error:
        return type(error), str(error), vars(error), type(error.__cause__), str(error.__cause__)
    return "encoded", [bytes(buffer) for buffer in encoded.buffers], encoded.plain_bytes, encoded.blobs


def decoding(run: Callable[..., Any], source: Any, limits: Limits = Limits.DEFAULT, blobs: Any = ()) -> Outcome:
    try:
        value = run(source, limits, TYPES, blobs)
    except Exception as error:
        return type(error), str(error), type(error.__cause__), str(error.__cause__)
    return ("decoded", value)


def check_encoding(value: Any, limits: Limits = Limits.DEFAULT) -> bytes | None:
    """Encode in both; return the bytes, or None for an error."""
    ours, theirs = encoding(fast.encode_value, value, limits), encoding(encoder.encode_value, value, limits)
    assert ours == theirs
    return b"".join(ours[1]) if ours[0] == "encoded" else None


def check_decoding(data: bytes, limits: Limits = Limits.DEFAULT, cut: int = 0) -> None:
    def source() -> Any:
        return pieces(data, cut) if cut else data

    ours, theirs = decoding(fast.decode_value, source(), limits), decoding(decoder.decode_value, source(), limits)
    if ours[0] == theirs[0] == "decoded":
        assert same(ours[1], theirs[1])
        assert shape(ours[1]) == shape(theirs[1])
    else:
        assert ours == theirs


def pieces(data: bytes, cut: int) -> Iterator[bytes]:
    return (data[start : start + cut] for start in range(0, len(data), cut))


def shape(value: Any) -> Any:
    """Return the orders that `==` does not see."""
    if type(value) is dict:
        return [(key, shape(inner)) for key, inner in value.items()]
    return [shape(inner) for inner in value] if type(value) in (list, tuple) else type(value)


def mutated(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    place = draw.randrange(len(data))
    kind = draw.randrange(5)
    if kind == 0:
        del changed[place:]
    elif kind == 1:
        changed[place] = draw.randrange(256)
    elif kind == 2:
        changed.insert(place, draw.randrange(256))
    elif kind == 3:
        changed[place] ^= 1 << draw.randrange(8)
    else:
        del changed[place]
    return bytes(changed)


LEAST = {"value_items": 16, "value_depth": 1, "value_bytes": 1024, "unseeded_members": 1, "int_bits": 64}
"""The budgets, and the least that each may be."""


@compiled
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(any_values(), st.integers(0, 1 << 32))
def test_values_changed_bytes_and_small_budgets_come_out_the_same(value: Any, seed: int) -> None:
    draw = random.Random(seed)
    data = check_encoding(value)
    assert data is not None
    check_decoding(data)
    for _ in range(12):
        changed = mutated(data, draw)
        check_decoding(changed)
        check_decoding(changed, cut=draw.randrange(1, 5))
    for field, least in LEAST.items():
        limits = dataclasses.replace(Limits.DEFAULT, **{field: least + draw.choice((0, 1, 2, 3, 8, 20))})
        check_encoding(value, limits)
        check_decoding(data, limits)
        check_decoding(data, limits, cut=draw.randrange(1, 5))


def rows(count: int) -> list[Any]:
    return [{"a": place, "b": str(place), "c": place * 0.5, "d": [place] * (place % 3)} for place in range(count)]


class Sub(dict[Any, Any]):
    """No dict to the codec, which goes by exact types."""


INTS = [sign * ((1 << bits) - less) for bits in range(70) for sign in (1, -1) for less in (0, 1)]
EDGES: list[Any] = [
    *(INTS[start : start + 15] for start in range(0, len(INTS), 15)),
    *(["x" * size for size in (0, 1, 31, 32, 247, 248, 255, 256, 70_000)]),
    *(["é" * size for size in (1, 15, 16, 17, 124, 40_000)]),
    *([("日本" + "x" * size) for size in (0, 20, 5000)], "😀" + "x" * 5000, "\ud800", "x\udfff" * 40),
    *(bytes(size) for size in (0, 247, 248, 65_535, 65_536, 65_537)),
    *(kind([*range(size)]) for size in (0, 1, 15, 16, 17, 300) for kind in (list, tuple, set, frozenset)),
    *({place: str(place) for place in range(size)} for size in (0, 1, 15, 16, 17, 300)),
    *([0.5, math.nan, math.inf, -0.0] * size for size in (1, 4, 5, 2200)),
    *([[None] * size, [True, False] * size, [True] * size] for size in (7, 8, 9, 20, 1000)),
    *([[edge, 0] * 8, [-1 - edge, 0] * 8] for edge in (1, 127, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**32 - 1)),
    *([[edge, 0] * 8, [-1 - edge, 0] * 8] for edge in (128, 32768, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64)),
    *([-(10**power), 2**63] * 8 for power in (1, 10)),
    [2**64 - 1] * 16,
    [2**64] * 16,
    [[2**63, -1] * 9],
    ["a", "b"] * 8,
    ["a\0b"] * 16,
    ["é", "日"] * 8,
    ["é", "a\0"] * 8,
    ["\ud800"] * 16,
    ["a" * 300] * 300,
    [*["x"] * 16, None],
    [*[1.5] * 16, None],
    [*[b"x"] * 16, None],
    [b"x"] * 16,
    [{1}] * 16,
    [frozenset({1})] * 16,
    [..., 1] * 8,
    rows(20),
    [*rows(20), {"a": 1}],
    [*rows(20), {"a": 1, "b": 2, "c": 3, "e": 4}],
    [*rows(20), {"b": 1, "a": 2, "c": 3, "d": 4}],
    [*rows(20), {"a": 1, "b": 2, "c": 3, 4: 4}],
    [*rows(20), {"a": 1, "b": 2, "c": 3, "é": 4}],
    [{}] * 16,
    [{1: 2}] * 16,
    [{str(place): place for place in range(70)}] * 16,
    [[]] * 16,
    [()] * 16,
    [[1]] * 16,
    [(1, "a", None)] * 16,
    [[1], []] * 8,
    [[0] * 64] * 16,
    [[0] * 65] * 16,
    [(0,) * 64, (0,) * 63] * 8,
    [Point(place, str(place)) for place in range(20)],
    [Pair(place, place) for place in range(20)],
    [Decimal(place) for place in range(20)],
    [date(2020, 1, 1 + place) for place in range(20)],
    {1, "a", b"b", None, 2.5, (1, 2), frozenset((1,))},
    {frozenset({place, "x"}) for place in range(20)},
    {f"k{place}" for place in range(40)},
    {(place, str(place)) for place in range(40)},
    {1, 200, -3, 1 << 70},
    {"😀", "é", "z", "日"},
    {math.nan, 1.0, 2**0.5},
    {Decimal(1): 2, "x": 3},
    {frozenset({1}): 1, frozenset({2}): 2},
    [{1: 1, (1, 2): 2}, {Decimal(2): 1, Fraction(1, 3): 2}, {(1, Decimal(3)): 0, 4: 5}],
    [slice(1, 2), range(3), complex(1, 2), ..., deque([1, 2], 5), OrderedDict(a=1), Counter("aab")],
    [bytearray(b"x"), bytearray(70_000), memoryview(b"yy"), memoryview(bytes(70_000)), memoryview(b"abcd")[::2]],
    {"deep": [[[[{"deeper": ({1: {2}},)}]]]]},
    [Order, Point(1, "x"), Celsius(3.5)],
    [Empty(), Crate([1])],
    object(),
    [1, [object()]],
    Sub(a=1),
    {1: object},
    {2**64 * place for place in range(3)},
    [{hash("x") + (2**61 - 1) * place: 0 for place in range(200)}],
    {(2**61 - 1) * place for place in range(200)},
    {(2**61 - 1) * place: 0 for place in range(200)},
    [1 << 70_000],
    [PurePosixPath("a/b"), datetime(2020, 1, 1)],
]


@compiled
@pytest.mark.parametrize("quarter", range(4))
def test_edges_come_out_the_same(quarter: int) -> None:
    for value in EDGES[quarter::4]:
        with case(value):
            check_edge(value)


def check_edge(value: Any) -> None:
    data = check_encoding(value)
    for limits in (Limits.SMALL, dataclasses.replace(Limits.DEFAULT, value_items=40, value_depth=2, value_bytes=2000)):
        check_encoding(value, limits)
        if data is not None:
            check_decoding(data, limits)
    if data is None:
        return
    check_decoding(data)
    check_decoding(data, cut=max(1, len(data) // 50))
    for place in {*range(min(40, len(data))), *range(0, len(data), 1 + len(data) // 20)}:
        check_decoding(data[:place])
    draw = random.Random(len(data))
    for _ in range(15):
        check_decoding(mutated(data, draw))
    short = check_encoding([value, [value]])
    assert short is not None
    check_decoding(short)


@compiled
def test_the_paths_of_refusals_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in EDGES:
        found = []
        for module in (fast, encoder):
            monkeypatch.setattr(values, "encode_value", module.encode_value)
            for limits in (Limits.SMALL, dataclasses.replace(Limits.DEFAULT, value_items=16, value_depth=1)):
                try:
                    found.append(encode({"a": [0, value]}, limits=limits, types=TYPES).plain_bytes)
                except Exception as error:
                    found.append((type(error), str(error), vars(error)))

        with case(value):
            assert found[:2] == found[2:]


@compiled
@pytest.mark.parametrize("quarter", range(4))
def test_vectors_come_out_the_same(quarter: int) -> None:
    for path in VECTORS[quarter::4]:
        with case(path.stem):
            check_vector(path)


def check_vector(path: Path) -> None:
    facts, data = read(path)
    figures = dict([facts["limits"].split("=")] if "limits" in facts else [])
    limits = dataclasses.replace(Limits.DEFAULT, **{field: int(figure) for field, figure in figures.items()})

    def run(module: Any, source: Any) -> Outcome:
        sizes = facts.get("blobs", "").split()
        blobs = [Blob.from_iter(()) if size == "unknown" else Blob(bytes(int(size))) for size in sizes]
        return decoding(module.decode_value, source, limits, blobs)

    for shorter in range(0, len(data), 1 + len(data) // 40):
        kept = data[: len(data) - shorter]
        for cut in (0, 1, 3) if len(data) < 1000 else (0, 1000):
            ours, theirs = (run(module, pieces(kept, cut) if cut else kept) for module in (fast, decoder))
            if ours[0] == theirs[0] == "decoded":
                assert "blobs" in facts or same(ours[1], theirs[1])
            else:
                assert ours == theirs
    if "python" in facts:
        check_encoding(ast.literal_eval(facts["python"]))


@compiled
def test_blobs_are_the_same_and_stay_out_of_sets() -> None:
    once, again = Blob.from_iter(iter((b"x",))), Blob(b"abc", name="a")

    assert encoding(fast.encode_value, [again, again])[3] == [again, again]
    for value in ([again, 1, again], [once, once], {again}, frozenset({(again,)}), [Blob(b"", name="\ud800")]):
        check_encoding(value)


@compiled
def test_a_subclass_of_bytes_is_read_as_bytes() -> None:
    class Raw(bytes):
        pass

    assert fast.decode_value(Raw(b"\x92\x01\x02"), Limits.DEFAULT, TYPES, ()) == [1, 2]


# --- what it must not do ----------------------------------------------------------------------------------------------

STACK_BYTES = 256 * 1024


@compiled
def test_depth_takes_no_stack() -> None:
    limits = dataclasses.replace(Limits.DEFAULT, value_depth=1000)
    value: Any = 1
    for place in range(999):
        value = ([value], (value,), {"k": value})[place % 3]
    found: list[Any] = []

    def run() -> None:
        data = b"".join(fast.encode_value(value, limits, TYPES).buffers)
        found.append(
            b"".join(fast.encode_value(fast.decode_value(data, limits, TYPES, ()), limits, TYPES).buffers) == data
        )

    before = threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)

    assert found == [True]


KEPT: list[Any] = [
    ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)],
    rows(20),
    {
        "a": {1, "x"},
        "b": {"x", "y", 3},
        "c": 1 << 80,
        "é": [0.5] * 16,
        "d": (),
        "s": {f"{place}" for place in range(20)},
    },
    [Point(1, "x"), Decimal(3), {Decimal(1): 2, "x": frozenset({1, 2})}, bytearray(b"xy"), ..., [None, "a"] * 10],
    [[(1, "a")] * 16, [[1], []] * 8, "\ud800", [{1: 2}] * 16, [True] * 17, b"x" * 300],
]
REFUSED: list[Any] = [
    object(),
    [1, {2: [object()]}],
    {"a": rows(20), "b": object()},
    {1, (2, object)},
    [[1]] * 16 + [{1}],
]


def quietly(run: Callable[..., Any], *arguments: Any) -> None:
    try:
        run(*arguments)
    except Exception:
        pass


def growth(work: Callable[[], None], rounds: int) -> tuple[int, int]:
    """Return how many blocks of memory and collected objects more there are after so many rounds."""
    for _ in range(50):
        work()
    gc.collect()
    before = sys.getallocatedblocks(), len(gc.get_objects())
    for _ in range(rounds):
        work()
    gc.collect()
    return sys.getallocatedblocks() - before[0], len(gc.get_objects()) - before[1]


@compiled
def test_a_hundred_thousand_rounds_leave_nothing_and_free_nothing_twice() -> None:
    """A reference too few would free what is in use, one too many would leave a block a round."""
    value = ["hi", 1280, {b"gg": "gg", "é": 1.5}, {1, 2, 6, 4}, {3, "x"}, (False, None)]
    data = b"".join(fast.encode_value(value, Limits.DEFAULT, TYPES).buffers)
    names = [None, True, False, "hi", 1280, b"gg", TYPES, Limits.DEFAULT, value]
    references = [sys.getrefcount(name) for name in names]

    def work() -> None:
        fast.encode_value(value, Limits.DEFAULT, TYPES)
        fast.decode_value(data, Limits.DEFAULT, TYPES, ())

    blocks, objects = growth(work, 100_000)

    assert (blocks < 500, objects < 50) == (True, True)
    assert all(abs(sys.getrefcount(name) - was) < 500 for name, was in zip(names, references, strict=True))


@compiled
@pytest.mark.parametrize("place", range(len(KEPT)))
def test_refusals_leave_nothing(place: int) -> None:
    """Whatever has come when something is wrong is let go of: at each byte, under each budget, for each form."""
    value = KEPT[place]
    data = b"".join(fast.encode_value(value, Limits.DEFAULT, TYPES).buffers)
    bad = [data[:stop] for stop in range(0, len(data), 1 + len(data) // 25)]
    bad += [data + b"\0", b"\xf1\x02\xa1a\xa1a", b"\x82\x01\x02\x01\x02", b"\x81\x90\x01", b"\xf7\x01\x01\xf6\x00\x0f"]
    small = [dataclasses.replace(Limits.DEFAULT, value_items=16 + more) for more in (0, 1, 5, 20)]

    def work() -> None:
        for raw in bad:
            quietly(fast.decode_value, raw, Limits.DEFAULT, TYPES, ())
            quietly(fast.decode_value, pieces(raw, 5), Limits.DEFAULT, TYPES, ())
        for limits in small:
            quietly(fast.encode_value, value, limits, TYPES)
            quietly(fast.decode_value, data, limits, TYPES, ())
        for refused in REFUSED:
            quietly(fast.encode_value, [value, refused], Limits.DEFAULT, TYPES)

    blocks, objects = growth(work, 200)

    assert (blocks < 150, objects < 50) == (True, True)


@compiled
@pytest.mark.parametrize("seed", range(3))
def test_a_value_that_others_change_is_encoded_or_refused(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes out can be read; what cannot be written is the documented error."""
    monkeypatch.setattr(values, "encode_value", fast.encode_value)
    draw = random.Random(seed)
    inner: list[Any] = [{"a": 1, "b": [place]} for place in range(40)]
    value: dict[Any, Any] = {"list": inner, "set": {1, 2, 3, "x"}, "dict": {place: place for place in range(10)}}
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            inner[draw.randrange(len(inner))] = draw.choice(([1], {"a": 2, "b": []}, {"a": 1, "c": 2}, 7, "x"))
            if draw.random() < 0.5 and len(inner) > 8:
                inner.pop()
            else:
                inner.append({"a": 1, "b": [2]})
            value["set"].symmetric_difference_update({draw.randrange(50), str(draw.randrange(5))})
            value["dict"].pop(draw.randrange(30), None)
            value["dict"][draw.randrange(30)] = [draw.randrange(9)]
            value.pop(draw.randrange(5), None)
            value[draw.randrange(5)] = inner

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=change)
    thread.start()
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + 1.5
    try:
        while time.monotonic() < end:
            try:
                data = b"".join(values.encode([value] * 20).buffers)
            except UnsendableValue:
                outcomes["refused"] += 1
            else:
                decode(data)
                outcomes["encoded"] += 1
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)

    assert outcomes["encoded"] > 0


class Struck(Exception):
    """A signal has come."""


@compiled
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer on Windows")
@pytest.mark.parametrize("what", ["encode", "decode", "rows"])
def test_a_signal_is_handled_in_the_midst(what: str) -> None:
    """As it is in Python: after a moment, not when all is done."""
    if what == "rows":
        value: Any = [(place, str(place)) for place in range(400_000)]
    else:
        value = [{"a": [place, {place: "x"}], place: (place, {place, "y"})} for place in range(120_000)]
    data = b"".join(fast.encode_value(value, Limits.BULK, TYPES).buffers)

    def run() -> None:
        if what == "encode":
            fast.encode_value(value, Limits.BULK, TYPES)
        else:
            fast.decode_value(data, Limits.BULK, TYPES, ())

    def strike(number: int, frame: Any) -> None:
        raise Struck

    run()
    began = time.process_time()
    run()
    whole = time.process_time() - began
    before = signal.signal(signal.SIGPROF, strike)
    began = time.process_time()
    gc.disable()  # Hypothesis has a callback there; what a signal raises within one is lost
    try:
        signal.setitimer(signal.ITIMER_PROF, whole / 10)  # in time of the processor, which nobody else can take
        with pytest.raises(Struck):
            run()
        taken = time.process_time() - began
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)

    assert taken < 0.8 * whole


@compiled
def test_other_threads_go_on_meanwhile() -> None:
    value = [{"a": [place, {place: "x"}], place: (place,)} for place in range(100_000)]
    ticks: list[float] = []
    over = threading.Event()

    def tick() -> None:
        while not over.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        began = time.perf_counter()
        fast.encode_value(value, Limits.BULK, TYPES)
        ended = time.perf_counter()
    finally:
        over.set()
        thread.join()

    assert sum(began < moment < ended for moment in ticks) >= 2
