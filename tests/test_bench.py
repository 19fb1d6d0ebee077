"""The bench's own honesty: inputs that are the same every time, a strict comparison, ratios that are what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import accounts, blobs, certificates, files, inputs, limits, overtaking, plots, strangers
from bench.files import Scale, fingerprint, make_tree
from bench.inputs import MIB, SMALL, same
from bench.marks import findings, marks_table
from bench.measure import describe_machine, interleave, spread
from bench.peers import PEERS, REFERENCE, Conversation
from bench.report import gigabit, gigabit_table, link_table, module_table, publish, write
from bench.scales import MODULES, SCALES, SHORT, SMOKE, participants
from bench.tables import MODULE_TABLES, TABLES
from bench.ways import WAYS, Job, Scp, Way, WayFailed
from bench.workloads import WORKLOADS


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
        assert [name for name in WORKLOADS if name in scale] == list(scale)
        assert set(WORKLOADS) - set(scale) <= {"idle5000"}
    assert sorted(TABLES) == sorted(WORKLOADS)
    assert all(set(names) <= set(MODULE_TABLES) for names in MODULES.values())


def test_everybody_has_a_turn_in_the_smoke_and_in_the_full_bench() -> None:
    chosen = list(PEERS)

    smoke = {name for workload in SCALES["smoke"] for name in participants("smoke", workload, chosen, REFERENCE)}

    assert smoke == set(PEERS)
    assert participants("full", "rows", chosen, REFERENCE) == [name for name, peer in PEERS.items() if not peer.only]
    assert "netstructer send_many" in participants("full", "oneway", chosen, REFERENCE)
    assert participants("short", "tuples", ["netstructer"], REFERENCE) == ["netstructer"]
    assert participants("short", "tuples", chosen, REFERENCE)[0] == REFERENCE
    for named in (*SHORT.values(), *SMOKE.values()):
        assert set(named) <= set(PEERS)


def test_a_peer_without_its_package_is_skipped_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = PEERS["gRPC + pickle"]
    monkeypatch.setattr(type(peer), "packages", ("no_such_package", "json"))

    assert peer.missing() == "not installed: no_such_package"
    assert PEERS[REFERENCE].missing() is None
    table = link_table("rtt", {peer.name: [{"skipped": peer.missing()}]}, {"count": 1})
    assert "Not here: gRPC + pickle: not installed: no_such_package." in table
    assert "| gRPC" not in table


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
    assert table[7].endswith("| 200 [150–250] | 300 | – | – | 2.00 |")
    assert "**failed in 2 of 2:** ended with 1" in table[8]
    assert table[2] == "`rtt`: count 10."


def test_a_report_is_written_beside_its_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "results", describe_machine(["pytest"]), ["### a table\n"], {"rtt": {}}, "short")

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
    assert json.loads((tmp_path / "results" / "results.json").read_text("utf-8"))["scale"] == "short"


# --- what is computed from the figures --------------------------------------------------------------------------------


def run_of(**figures: float) -> list[dict[str, float]]:
    """Return one round."""
    return [figures]


def figures_of_everything() -> dict[str, Any]:
    """Return a run in which ssl+pickle has round figures, and netstructer ones that keep some marks and some not."""
    return {
        "limits": [{"two processes / Fernet tokens": {"mib_s": 500.0}}],
        "values": [
            {
                "dict rows / netstructer": {"both_ms": 30.0},
                "dict rows / pickle": {"both_ms": 10.0},
                "small sets / netstructer": {"both_ms": 79.0},
                "small sets / pickle": {"both_ms": 10.0},
            }
        ],
        "rtt": {
            REFERENCE: run_of(median_us=100.0),
            "netstructer": run_of(median_us=130.0),
            "gRPC + pickle": run_of(median_us=140.0),
            "pyzmq CURVE + pickle": [{"skipped": "not installed: zmq"}],
        },
        "connect": {"ssl+pickle mTLS": run_of(per_second=100.0), "netstructer": run_of(per_second=149.0)},
        "text": {REFERENCE: run_of(mebibytes_per_second=800.0), "netstructer": run_of(mebibytes_per_second=300.0)},
        "bulk": {"netstructer": run_of(mebibytes_per_second=450.0)},
        "rows": {
            REFERENCE: run_of(per_second=10.0, pickled_bytes=12.5e6),
            "netstructer": run_of(per_second=10.0, pickled_bytes=12.5e6),
        },
        "single": {"netstructer": run_of(client_extra_mib=1.0, server_extra_mib=65.0)},
        "wire": {
            REFERENCE: run_of(text_share=1.0, rows_share=1.0, random_share=1.0),
            "netstructer": run_of(text_share=0.2, rows_share=0.25, random_share=1.0),
        },
    }


def test_each_mark_is_computed_from_the_figures() -> None:
    found = {(one.mark, one.form): one for one in findings(figures_of_everything())}
    first = next(one for one in findings(figures_of_everything()) if one.found)

    assert (first.found, first.kept) == ("1.30", True)
    assert found["small round trip", "netstructer"].found == "0.93 × the fastest of 1"
    assert found["small round trip", "netstructer"].kept
    assert (found["connect", "netstructer"].found, found["connect", "netstructer"].kept) == ("1.49", False)
    assert found["connect", "netstructer.aio"].found is None
    assert found["values alone, homogeneous", "pure"][3:] == ("3.00 (dict rows)", False)
    assert found["values alone, mixed", "pure"][3:] == ("7.90 (small sets)", True)
    assert found["values alone, all", "compiled"].found is None
    assert found["random bytes, Fernet", "netstructer"][3:] == ("0.90", True)
    assert found["dict rows over 1 Gbit/s", "netstructer"][3:] == ("1.60 (4.00 by the bytes alone)", True)
    assert found["one very large value", "netstructer"][3:] == ("1 and 65 MiB", False)
    table = marks_table(figures_of_everything())
    assert "| connect | netstructer | ≥ 1.5 × mutual TLS | 1.49 | **not kept** |" in table
    assert "| fan-out | netstructer | ≥ 1 × ssl+pickle | – | not measured |" in table
    assert marks_table({}) == ""


def test_what_runs_over_a_gigabit_is_the_slower_of_two_rates() -> None:
    cells = figures_of_everything()

    assert gigabit(cells, REFERENCE)["text"] == pytest.approx(125e6 / MIB)
    assert gigabit(cells, "netstructer")["text"] == 300.0
    assert gigabit(cells, REFERENCE)["rows"] == pytest.approx(1 / (0.1 + 0.1))
    assert gigabit(cells, "netstructer")["rows"] == pytest.approx(1 / (0.1 + 0.025))
    assert "| **netstructer** | 300.0 | 119.2 | 8.0 | – |" in gigabit_table(cells)
    assert gigabit_table({}) == ""


def test_the_compiled_codec_and_the_one_in_python_have_marks_of_their_own() -> None:
    cells = figures_of_everything()
    cells["values"][0]["dict rows / netstructer pure"] = {"both_ms": 19.0}
    cells["values"][0]["dict rows / netstructer"] = {"both_ms": 12.0}
    cells["values"][0]["small sets / netstructer"] = {"both_ms": 12.1}

    found = {one.form + one.mark: one for one in findings(cells)}

    assert found["purevalues alone, homogeneous"][3:] == ("1.90 (dict rows)", True)
    assert found["compiledvalues alone, all"][3:] == ("1.21 (small sets)", False)


def test_the_plots_show_who_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cells = {"rtt": figures_of_everything()["rtt"], "bulk": figures_of_everything()["bulk"]}

    assert plots.bars_of(cells, "rtt") == {REFERENCE: 1.0, "netstructer": 1.3, "gRPC + pickle": 1.4}
    assert plots.bars_of(cells, "bulk") == {}  # nothing to compare with
    paths = plots.draw(cells, tmp_path)
    assert [path.name for path in paths] == ["bench.png", "bench.svg"]
    assert paths[0].read_bytes()[:4] == b"\x89PNG"
    first = paths[1].read_bytes()
    assert b"<svg" in first
    assert plots.draw(cells, tmp_path)[1].read_bytes() == first
    assert plots.draw({}, tmp_path) == []


GROWING = """
import json, os
from bench.memory import Growth
growth = Growth(os.getpid())
held = bytearray(20 << 20)
held[::4096] = b"x" * len(held[::4096])
print(json.dumps(growth.figures()))
"""
"""In a process of its own: one that has had more memory before does not grow."""


def test_growth_is_what_comes_on_top() -> None:
    found = json.loads(
        subprocess.run([sys.executable, "-c", GROWING], check=True, capture_output=True, timeout=60).stdout
    )

    assert found["client_growth_mib"] == pytest.approx(found["server_growth_mib"], abs=1)
    assert 19 < found["client_growth_mib"] < 40 or sys.platform != "linux"


def test_limits_go_through_every_kind_of_channel() -> None:
    found = limits.measure("smoke")

    streams = [label for label in found if label.startswith("two processes") and "mib_s" in found[label]]
    assert [label.removeprefix("two processes / ") for label in streams] == list(limits.CHANNELS)
    assert all(figure > 0 for row in found.values() for figure in row.values())


# --- files, and blobs -------------------------------------------------------------------------------------------------

TINY = Scale(mebibytes=1, files=3, seconds=20)


def job_of(folder: Path) -> tuple[Job, dict[str, str]]:
    """Return a tree to move, and what its files are."""
    make_tree(folder / "tree", 3)
    (folder / "scratch").mkdir()
    certificates.write_config(folder / "scratch")
    expected = fingerprint(folder / "tree")
    names = folder / "names.json"
    names.write_text(json.dumps(sorted(expected)), "utf-8")
    return (
        Job(source=folder / "tree", destination=folder / "out", names=names, scratch=folder / "scratch"),
        expected,
    )


def test_a_tree_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_tree(tmp_path / name / "tree", 3)

    found = fingerprint(tmp_path / "a" / "tree")

    assert list(found) == [f"tree/part-000/file-0000{number}.txt" for number in range(3)]
    assert found == fingerprint(tmp_path / "b" / "tree")
    (tmp_path / "b" / "tree" / "part-000" / "file-00001.txt").write_bytes(b"")
    assert found != fingerprint(tmp_path / "b" / "tree")


def test_a_tree_over_https_is_timed_and_compared(tmp_path: Path) -> None:
    job, expected = job_of(tmp_path)
    https = WAYS["http.server over TLS"]

    figures = files.run_way(https, job, expected, TINY)
    assert figures["files_per_second"] == pytest.approx(3 / figures["seconds"])
    assert figures["server_peak_mib"] > 1

    changed = dict.fromkeys(expected, "another digest")
    assert files.run_way(https, job, changed, TINY) == {"error": "what arrived is not what was sent"}


class Broken(Way):
    """A way whose server does not start."""

    name = "broken"

    def server(self, job: Job, port: int) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('no such luck')"]


def test_a_way_that_fails_or_is_not_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, expected = job_of(tmp_path)

    assert files.run_way(Broken(), job, expected, TINY) == {"error": "the server ended with 1: no such luck"}
    with pytest.raises(WayFailed, match="the client ended with 3: too bad"):
        files.time_command([sys.executable, "-c", "import sys; print('too bad', file=sys.stderr); sys.exit(3)"], {}, 20)
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    assert files.run_way(Scp(), job, expected, TINY) == {"skipped": "no sshd on this machine"}
    assert not job.destination.exists()


def test_a_table_without_a_server_shows_what_was_skipped_and_what_failed() -> None:
    runs = [
        {"a / scp": {"skipped": "no sshd"}, "a / netstructer": {"seconds": 2.0}},
        {"a / scp": {"skipped": "no sshd"}, "a / netstructer": {"error": "a|b"}},
    ]

    lines = module_table("files", runs).splitlines()

    assert lines[4] == "| a | scp | – skipped: no sshd | – | – | – | – | – |"
    assert lines[5] == "| a | **netstructer** | 2.00 **failed in 1 of 2:** a/b | – | – | – | – | – |"


def test_connects_under_attack_are_measured() -> None:
    found = strangers.measure("smoke")

    assert list(found) == ["honest connects / alone", "honest connects / under attack"]
    for figures in found.values():
        assert list(figures) == [name for name, _, _ in MODULE_TABLES["strangers"].columns]
        assert 0 < figures["median_ms"] <= figures["p99_ms"] <= figures["most_ms"]
        assert figures["count"] >= 20
        assert figures["failed"] == 0


def test_a_blob_and_round_trips_beside_it_are_measured() -> None:
    rates = blobs.measure("smoke")
    trips = overtaking.measure("smoke")

    assert list(rates) == ["8 MiB / netstructer", "8 MiB / street"]
    assert list(trips) == ["round trip / idle", "round trip / during a blob"]
    for name, found in (("blobs", rates), ("overtaking", trips)):
        figure = MODULE_TABLES[name].columns[0][0]
        assert all(figures[figure] > 0 for figures in found.values())


def test_what_accounts_cost_is_measured() -> None:
    found = accounts.measure("smoke")

    assert [label.partition(" / ")[2] for label in found][:3] == ["right password", "wrong password", "unknown name"]
    for figures in found.values():
        assert list(figures) == [name for name, _, _ in MODULE_TABLES["accounts"].columns]
        assert 0 < figures["median_us"] <= figures["p99_us"]
