"""The fuzzer itself: its inputs are told again by a seed, and what a target may not do is found.

The targets get a few hundred inputs each here; `python -m fuzz` gives them as many as there is time for.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

import fuzz.__main__ as driver
from fuzz.__main__ import Fault, Target, fuzz, keep, load_targets, main, read_vector
from fuzz.mutate import LONGEST, mutate

CORPUS = (b"", b"\0", b"abcdefgh" * 8, bytes(range(256)))


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


def test_every_seed_is_run_before_any_mutation() -> None:
    seen: list[bytes] = []

    run = fuzz(_target(seen.append), seed=0, runs=10)

    assert run.count == 10
    assert tuple(seen[: len(CORPUS)]) == CORPUS
    assert run.fault is None


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
    monkeypatch.setattr(driver, "SLOW_SECONDS", 0.05)
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


def test_a_fault_is_kept_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one(data: bytes) -> None:
        raise ValueError(f"{len(data)} bytes")

    monkeypatch.setattr(driver, "CRASHES", tmp_path)
    monkeypatch.setattr(driver, "load_targets", lambda: [_target(one)])

    assert main(["--runs", "5"]) == 1
    assert "FAULT in fake" in capsys.readouterr().out
    assert [path.read_text() for path in tmp_path.iterdir()] == ["\n"]
    assert main(["--target", "fake", "--replay", str(keep(_target(one), Fault(data=b"abc", text="")))]) == 1
    assert "ValueError: 3 bytes" in capsys.readouterr().out


def test_an_unknown_target_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "nothing", "--runs", "1"]) == 2
    assert "no such target" in capsys.readouterr().err


def test_a_vector_is_read_as_its_body(tmp_path: Path) -> None:
    path = tmp_path / "one.vector"
    path.write_text("expect: BadValue\ncomment: two lines.\n\n00ff\n10\n")

    assert read_vector(path) == b"\x00\xff\x10"


def test_every_target_takes_its_corpus_and_some_mutations() -> None:
    targets = load_targets()
    faults = {t.name: run.fault.text for t in targets if (run := fuzz(t, seed=7, runs=300, seconds=20)).fault}

    assert faults == {}
    assert {"aside", "flow", "session", "spool"} < {t.name for t in targets}
    assert [t.name for t in targets if not t.corpus] == []


def _target(one: object) -> Target:
    return Target(name="fake", corpus=CORPUS, one=one)


def _inputs(seed: int) -> list[bytes]:
    draw = Random(seed)
    return [mutate(CORPUS[i % len(CORPUS)], CORPUS, draw) for i in range(1000)]
