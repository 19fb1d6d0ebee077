"""The bench's own honesty: inputs that are the same every time, a strict comparison, ratios that are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import inputs
from bench.inputs import MIB, SMALL, same
from bench.measure import describe_machine, interleave, spread
from bench.peers import PEERS, Conversation
from bench.report import TABLES, link_table, publish, write
from bench.workloads import SCALES, WORKLOADS


def test_inputs_are_the_same_every_time() -> None:
    assert inputs.make_rows(20) == inputs.make_rows(20)
    assert inputs.make_tuples(20) == inputs.make_tuples(20)
    assert inputs.make_mixed(20) == inputs.make_mixed(20)
    assert inputs.make_random_mebibytes(2) == inputs.make_random_mebibytes(2)
    assert [len(text) for text in inputs.make_text_mebibytes(2)] == [MIB, MIB]


@pytest.mark.parametrize("other", [["hi"], ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, [False, True]], tuple(SMALL)])
def test_what_came_back_changed_is_not_the_same(other: object) -> None:
    assert same(SMALL, ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)])
    assert not same(SMALL, other)
    assert not same([1], [True])
    assert not same({1: 2}, {1: 2.0})


def test_a_conversation_counts_what_it_sinks() -> None:
    joined: list[int] = []
    conversation = Conversation(lambda: joined.append(1), joined.append)

    assert conversation.reply_to(SMALL) == SMALL
    assert conversation.reply_to("!measure") is True
    assert conversation.reply_to("abc") == 3
    conversation.reply_to("!sink")
    conversation.reply_to("abc")
    conversation.reply_to("de")
    assert conversation.reply_to("!total") == [2, 5]
    assert conversation.reply_to("!total") == [0, 0]
    conversation.reply_to("!join")
    conversation.reply_to("!fan:7")
    assert joined == [1, 7]


def test_every_workload_has_a_scale_and_a_table() -> None:
    for scale in SCALES.values():
        assert list(scale) == list(WORKLOADS)
    assert sorted(TABLES) == sorted(WORKLOADS)


def test_everything_that_is_compared_has_its_turn() -> None:
    calls: list[str] = []

    taken = interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, seconds=0, least=3)

    assert calls == ["a", "b"] * 4
    assert sorted(taken) == ["a", "b"]


def test_a_spread_shows_the_median_between_the_ends() -> None:
    assert spread([3.0, 1.0, 2.0], 1) == "2.0 [1.0–3.0]"
    assert spread([2.0, 2.01], 1) == "2.0"
    assert spread([1234.0], 0) == "1,234"


def test_a_table_shows_ratios_order_and_failures() -> None:
    cells = {
        "netstructer": [{"median_us": 250.0, "p99_us": 300.0}, {"median_us": 150.0, "p99_us": 300.0}],
        "ssl+pickle": [{"median_us": 100.0, "p99_us": 120.0}] * 2,
        "mp.connection": [{"error": "ended with 1"}] * 2,
    }

    table = link_table("rtt", cells, {"count": 10, "warm": 1}).splitlines()

    assert [line.split("|")[1].strip() for line in table[6:]] == ["ssl+pickle", "**netstructer**", "mp.connection"]
    assert table[7].endswith("| 200 [150–250] | 300 | 2.00 |")
    assert "**failed in 2 of 2:** ended with 1" in table[8]
    assert table[2] == "`rtt`: count 10."


def test_a_report_is_written_beside_its_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "results", describe_machine(["pytest"]), ["### a table\n"], {"rtt": {}})

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- tables: begin -->\nold\n<!-- tables: end -->\nafter\n", "utf-8")
    publish(path, page)

    assert "### a table" in path.read_text("utf-8")
    assert "pytest" in path.read_text("utf-8")
    published = page.read_text("utf-8")
    assert published.startswith("before\n<!-- tables: begin -->\n\n20")
    assert published.endswith("### a table\n\n<!-- tables: end -->\nafter\n")
    assert "old" not in published
    path.write_text("no markers")
    with pytest.raises(ValueError, match="tables: begin"):
        publish(page, path)
    assert (tmp_path / "results" / "results.json").exists()
    assert [name for name in PEERS if name.startswith("netstructer")] == ["netstructer", "netstructer send_many"]
