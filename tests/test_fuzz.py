"""The fuzzer itself: its inputs are told again by a seed, and what a target may not do is found, by each engine.

The targets get a few hundred inputs each here, by mutation and through Hypothesis; `python -m fuzz` gives them as many
as there is time for.  What needs atheris is in test_fuzz_guided.py.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from random import Random
from zlib import crc32

import pytest

import fuzz.__main__ as driver
from fuzz import blind, drawn, engines, ledger, oracle, targets
from fuzz.__main__ import main
from fuzz.blind import fuzz
from fuzz.mutate import LONGEST, mutate
from fuzz.oracle import Judge, TooMuch
from fuzz.splits import pieces, splits
from fuzz.targets import Fault, Target, keep, load_target, names, read_vector, regressions
from netstructer.durable.letter import Letter

CORPUS = (b"", b"\0", b"abcdefgh" * 8, bytes(range(256)))
NAMES = names()
HEAVY = {"outbox": 100}
"""Inputs for the targets of which each takes milliseconds; the others get 300."""


# --- inputs -----------------------------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_inputs() -> None:
    first, second, other = (_inputs(seed) for seed in (1, 1, 2))

    assert first == second
    assert first != other


def test_mutations_change_nearly_everything_and_stay_short() -> None:
    draw = Random(3)
    big = bytes(range(256)) * (LONGEST // 256)
    made = [mutate(big, CORPUS, draw) for _ in range(300)]

    assert max(map(len, made)) <= LONGEST
    assert sum(data != big for data in made) > 200
    assert len(set(_inputs(4))) > 700  # a quarter of the corpus is empty, a quarter one byte


def test_every_seed_is_run_before_any_mutation_and_what_once_failed_before_that() -> None:
    seen: list[bytes] = []

    run = fuzz(Target(name="fake", corpus=CORPUS, one=seen.append, regressions=(b"once",)), seed=0, runs=10)

    assert run.count == 10
    assert tuple(seen[: 1 + len(CORPUS)]) == (b"once", *CORPUS)
    assert run.fault is None


@pytest.mark.parametrize("size", [0, 1, 2, 23, 24, 25, 1000, LONGEST])
def test_pieces_give_the_input_when_they_are_joined(size: int) -> None:
    for seed in range(20):
        data = Random(seed).randbytes(size)

        assert b"".join(pieces(data)) == data
        assert pieces(data) == pieces(data)
        assert all(pieces(data))


def test_splits_differ_between_inputs_and_have_single_bytes() -> None:
    found = [pieces(Random(seed).randbytes(300)) for seed in range(100)]

    assert len({tuple(map(len, parts)) for parts in found}) > 60
    assert 20 < sum(sum(len(part) == 1 for part in parts) >= 20 for parts in found) < 80
    assert all(len(part) == 1 for part in next(splits(bytes(300))))


# --- what is a fault --------------------------------------------------------------------------------------------------


def test_an_exception_is_a_fault_and_ends_the_run() -> None:
    def one(data: bytes) -> None:
        if len(data) > 64:
            raise IndexError("sabotage")

    run = fuzz(_target(one), seed=0, runs=1000)

    assert run.count == 4
    assert run.fault is not None
    assert run.fault.data == bytes(range(256))
    assert "IndexError: sabotage" in run.fault.text


def test_deep_recursion_is_a_fault_and_not_a_crash() -> None:
    def one(data: bytes) -> None:
        one(data)

    run = fuzz(_target(one), seed=0, runs=1)

    assert run.fault is not None
    assert "RecursionError" in run.fault.text


def test_a_slow_input_is_a_fault_only_if_it_is_slow_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "SLOW_SECONDS", 0.05)
    tries: list[bytes] = []

    def slow_once(data: bytes) -> None:
        tries.append(data)
        if len(tries) == 1:
            time.sleep(0.1)

    busy = fuzz(_target(slow_once), seed=0, runs=3)
    slow = fuzz(_target(lambda data: time.sleep(0.1)), seed=0, runs=3)

    assert busy.fault is None
    assert slow.fault is not None
    assert "twice" in slow.fault.text


def test_time_in_which_others_had_the_processor_is_not_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "SLOW_SECONDS", 0.05)
    waits = iter((10.0, 10.09, 10.0, 10.0))
    monkeypatch.setattr(oracle, "waited_seconds", lambda: next(waits))

    Judge(lambda data: time.sleep(0.1))(b"")
    with pytest.raises(TooMuch, match="twice"):
        Judge(lambda data: time.sleep(0.1))(b"")


def test_an_input_that_takes_too_much_memory_is_a_fault() -> None:
    if not oracle.peak_bytes():
        pytest.skip("this system does not say what a process has had")
    spare = oracle.peak_bytes() - oracle.resident_bytes()  # what the process has had before shows nothing
    judge = Judge(lambda data: _fill(spare + 2 * oracle.JUMP_BYTES) if data == CORPUS[3] else None)

    judge(CORPUS[2])
    with pytest.raises(TooMuch, match="MiB"):
        judge(CORPUS[3])


def test_what_an_input_holds_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "TRACED_BYTES", 1 << 20)
    monkeypatch.setattr(oracle, "SAMPLE", 8)
    modest, greedy = Judge(lambda data: _fill(100 << 10)), Judge(lambda data: _fill(2 << 20))

    for _ in range(16):
        modest(b"")
    for _ in range(7):
        greedy(b"")
    with pytest.raises(TooMuch, match="held 2 MiB"):
        greedy(b"")


def test_what_inputs_leave_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SAMPLE", 8), ("WARM_UP", 16), ("GROWTH_BYTES", 10 << 20)):
        monkeypatch.setattr(oracle, name, value)
    kept: list[bytearray] = []
    tidy, leaky = Judge(lambda data: _fill(1 << 20)), Judge(lambda data: kept.append(_fill(1 << 20)))
    if not oracle.resident_bytes():
        pytest.skip("this system does not say what a process has")

    def many(judge: Judge) -> None:
        for _ in range(100):
            judge(b"")

    many(tidy)
    with pytest.raises(TooMuch, match="left"):
        many(leaky)


def test_a_hang_is_kept_and_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    over = threading.Event()
    statuses: list[int] = []
    monkeypatch.setattr(targets, "REGRESSIONS", tmp_path)
    monkeypatch.setattr(oracle, "HANG_SECONDS", 0.2)
    monkeypatch.setattr(blind.faulthandler, "dump_traceback", lambda: None)
    monkeypatch.setattr(blind, "leave", lambda status: (statuses.append(status), over.set()))

    fuzz(_target(lambda data: over.wait(60) if data == CORPUS[2] else None), seed=0, runs=4)

    assert statuses == [1]
    assert list(regressions("fake").values()) == [CORPUS[2]]
    assert "no end" in capsys.readouterr().out


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_fault_is_kept_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one(data: bytes) -> None:
        raise ValueError(f"{len(data)} bytes")

    monkeypatch.setattr(targets, "REGRESSIONS", tmp_path)
    monkeypatch.setattr(driver, "load_targets", lambda: [_target(one)])

    assert main(["--runs", "5", "--engine", "mutate"]) == 1
    assert "FAULT in fake" in capsys.readouterr().out
    assert [path.read_text() for path in (tmp_path / "fake").iterdir()] == ["\n"]
    assert main(["--target", "fake", "--replay", str(keep(_target(one), Fault(data=b"abc", text="")))]) == 1
    assert "ValueError: 3 bytes" in capsys.readouterr().out
    assert sorted(regressions("fake").values()) == [b"", b"abc"]


def test_an_unknown_target_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "nothing", "--runs", "1"]) == 2
    assert "no such target" in capsys.readouterr().err


@pytest.mark.parametrize(("engine", "package"), [("atheris", "atheris"), ("hypothesis", "Hypothesis")])
def test_an_engine_that_is_missing_says_how_it_is_installed(
    engine: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engines.guided, "have_atheris", lambda: False)
    monkeypatch.setattr(engines.drawn, "have_hypothesis", lambda: False)

    assert main(["--engine", engine, "--target", "token", "--runs", "1"]) == 2
    text = capsys.readouterr().err
    assert package in text
    assert "pip install 'netstructer[" in text
    assert engines.resolve("auto") == "mutate"


def test_a_campaign_goes_on_where_the_last_one_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    made = {name: Target(name=name, corpus=CORPUS, one=seen.append) for name in ("one", "two")}
    monkeypatch.setattr(driver, "load_targets", lambda: list(made.values()))
    monkeypatch.setattr(driver, "load_target", made.__getitem__)
    monkeypatch.setattr(driver, "CHUNK_SECONDS", 0.01)
    campaign = ["--engine", "mutate", "--until", "500", "--corpora", str(tmp_path)]

    assert main([*campaign, "--seconds", "60"]) == 0
    done = ledger.sums(tmp_path / "ledger.jsonl")
    before = len(seen)
    assert main(campaign) == 0

    assert min(total.count for total in done.values()) >= 500
    assert sum(total.count for total in done.values()) == before == len(seen)
    assert set(done) == {"one", "two"}


def test_the_ledger_counts_what_was_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = tmp_path / "ledger.jsonl"
    ledger.note(book, target="value", engine="mutate", count=1_000_000, seconds=10, cpu=5.0, fault=False)
    ledger.note(book, target="value", engine="atheris", count=500, seconds=2, cpu=1.0, edges=7, features=9, fault=True)

    assert main(["--ledger", "--corpora", str(tmp_path)]) == 0

    assert "| `value` | 1,000,500 | 500 | 6 µs | 7 | 9 |" in capsys.readouterr().out
    assert ledger.sums(book)["value"].faults == 1
    assert len([json.loads(line) for line in book.read_text().splitlines()]) == 2


def test_a_vector_is_read_as_its_body(tmp_path: Path) -> None:
    path = tmp_path / "one.vector"
    path.write_text("expect: BadValue\ncomment: two lines.\n\n00ff\n10\n")

    assert read_vector(path) == b"\x00\xff\x10"


# --- the targets ------------------------------------------------------------------------------------------------------


def test_there_is_a_target_for_each_thing_that_reads_bytes_of_a_stranger() -> None:
    wanted = {
        "hello",
        "answer",
        "frame",
        "record",
        "token",
        "value",
        "expand",
        "wire",
        "session",
        "flow",
        "aside",
        "blob",
    }

    assert wanted | {"spool", "slot", "outbox", "row", "pair", "grant", "registry", "access"} <= set(NAMES)
    assert set(targets.AREAS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_takes_its_corpus_and_some_mutations(name: str) -> None:
    target = load_target(name)

    run = fuzz(target, seed=7, runs=HEAVY.get(name, 300), seconds=20)

    assert run.fault is None, run.fault.text
    assert target.corpus


@pytest.mark.parametrize("name", NAMES)
def test_every_target_takes_what_hypothesis_draws(name: str) -> None:
    run = drawn.drive(load_target(name), seed=crc32(name.encode()), runs=HEAVY.get(name, 240) // 6, seconds=20)

    assert run.fault is None, run.fault.text
    assert run.count >= 6


@pytest.mark.parametrize("name", NAMES)
def test_what_once_failed_fails_no_more(name: str) -> None:
    judge = Judge(load_target(name).one)

    for data in regressions(name).values():
        judge(data)


def test_the_committed_corpora_are_small_and_each_belongs_to_a_target() -> None:
    files = [path for path in targets.CORPUS.rglob("*") if path.is_file()]

    assert {path.parent.name for path in files} <= set(NAMES)
    assert {path.parent.name for path in targets.REGRESSIONS.rglob("*.hex")} <= set(NAMES)
    assert sum(path.stat().st_size for path in files) < 2 << 20


# --- sabotage: each engine finds what is planted ------------------------------------------------------------------


def _planted(data: bytes) -> None:
    """Break as a parser would whose length is not checked: a first byte that says more than follows."""
    if len(data) > 3 and data[0] > 0x60 and data[1] == data[2]:
        raise IndexError("planted")


@pytest.mark.parametrize("engine", ["mutate", "hypothesis"])
def test_an_engine_finds_what_is_planted(engine: str) -> None:
    target = Target(name="planted", corpus=(b"", b"abcdefgh" * 2), one=_planted)

    found = engines.run(target, engine, corpora=None, seed=1, runs=5000)

    assert found.fault is not None
    assert "IndexError: planted" in found.fault.text
    with pytest.raises(IndexError, match="planted"):
        _planted(found.fault.data)


def test_hypothesis_makes_what_it_finds_small() -> None:
    found = engines.run(
        Target(name="planted", corpus=(b"abcdefgh" * 30,), one=_planted), "hypothesis", corpora=None, seed=1
    )

    assert found.fault is not None
    assert len(found.fault.data) == 4


@pytest.mark.usefixtures("codec_in_python")
@pytest.mark.parametrize(
    ("name", "module", "attribute", "broken"),
    [
        ("value", "netstructer.codec.decoder", "NARROWER", ((1, 0),) * 9),
        ("token", "netstructer.codec.tokens", "_PADDINGS", tuple(bytes(count) for count in range(17))),
        (
            *("frame", "netstructer.codec.frames", "FrameReader.__init__.__kwdefaults__"),
            {"least_bytes": 0, "step_bytes": 16},
        ),
        ("record", "netstructer.protocol.records", "FLOOD_SECONDS", 0.0),
        ("row", "netstructer.durable.letter", "Letter.unpack", lambda row: Letter(row[1:], bool(row[0] & 1))),
        ("aside", "netstructer.protocol.asides", "MOST_AHEAD", 2),
    ],
)
def test_a_breakage_of_the_package_is_found(
    name: str, module: str, attribute: str, broken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = load_target(name)
    monkeypatch.setattr(f"{module}.{attribute}", broken)

    assert fuzz(target, seed=3, runs=3000, seconds=20).fault is not None


def _target(one: object) -> Target:
    return Target(name="fake", corpus=CORPUS, one=one)


def _fill(count: int) -> bytearray:
    """Take memory and use it: what is not written to, the kernel does not give."""
    return bytearray(b"\1") * count


def _inputs(seed: int) -> list[bytes]:
    draw = Random(seed)
    return [mutate(CORPUS[i % len(CORPUS)], CORPUS, draw) for i in range(1000)]
