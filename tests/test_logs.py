"""Log files: what is where, that no text forges a line, that a full disk hurts nobody, and that nothing is doubled."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import queue
import stat
import sys
import threading
from collections.abc import Iterator
from logging.handlers import QueueHandler
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopback import finish, open_files, python
from netstructer.errors import Misuse, UnsafeName
from netstructer.services import outlets, rolling
from netstructer.services.lines import MOST_CAUSES, TEXT_CHARACTERS, json_line, text_line
from netstructer.services.logs import LEVELS, log_to
from netstructer.services.printing import cut, moment, one_line, quoted

OURS = logging.getLogger("netstructer")
HOSTILE = ("a\nb", "a\r\nb", "\x1b[31mred", "\x1b]0;title\x07", "a\tb", "exe.\u202egpj", "a\u2028b", "\x9b2J", "a\x00b")
"""What would begin a line, a field, a colour, a title, or turn the text around."""


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    before = {name: logging.getLogger(name).level for name in ("netstructer", "shop", "shop.orders")}
    yield
    for name, level in before.items():
        logger = logging.getLogger(name)
        assert (name, logger.level) == (name, level)
        assert [found for found in logger.handlers if isinstance(found, outlets.Outlet)] == []
    assert outlets._outlets == {}
    assert outlets._levels == {}


def lines_of(place: Path) -> list[str]:
    return place.read_text("utf-8").split("\n")[:-1]


def record_of(text: object = "text", *arguments: object, **more: object) -> logging.LogRecord:
    """Return a record as a logger makes it; `error=` was caught, the rest is `extra=`."""
    error = more.pop("error", None)
    caught = None if error is None else (type(error), error, getattr(error, "__traceback__", None))
    return OURS.makeRecord("shop", logging.WARNING, "shop.py", 7, text, arguments, caught, extra=more or None)


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["server", "client"])
def test_everything_is_in_one_file_and_errors_in_another_too(tmp_path: Path, role: str) -> None:
    with log_to(tmp_path / "new", role=role, level="debug") as files:  # type: ignore[arg-type]
        for name in LEVELS:
            OURS.log(getattr(logging, name.upper()), "this is %s", name)
    everything = [line.split("\t")[1:] for line in lines_of(tmp_path / "new" / f"{role}.log")]
    errors = [line.split("\t")[1:] for line in lines_of(tmp_path / "new" / "error.log")]

    assert everything == [[name.upper(), "netstructer", f"this is {name}"] for name in LEVELS]
    assert errors == everything[3:]
    assert files.paths == (str(tmp_path / "new" / f"{role}.log"), str(tmp_path / "new" / "error.log"))
    assert files.lost == 0


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "server.log").touch(0o644)
    for place in ("new", "old"):
        with log_to(tmp_path / place):
            OURS.info("hello")

        assert {stat.S_IMODE(found.stat().st_mode) for found in (tmp_path / place).iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_below_the_level_is_not_written(tmp_path: Path, level: str) -> None:
    with log_to(tmp_path, level=level):
        for name in LEVELS:
            OURS.log(getattr(logging, name.upper()), name)

    written = [line.split("\t")[-1] for line in lines_of(tmp_path / "server.log")]
    assert written == list(LEVELS[LEVELS.index(level) :])


def test_the_application_logs_by_its_own_names_into_a_file_of_its_own_name(tmp_path: Path) -> None:
    with log_to(tmp_path, file="shop.log", also=["shop", "shop.orders"]):
        logging.getLogger("shop").info("open")
        logging.getLogger("shop.orders").info("one, though two of its loggers were named")
        logging.getLogger("stranger").error("of somebody else")

    assert [line.split("\t", 2)[2] for line in lines_of(tmp_path / "shop.log")] == [
        "shop\topen",
        "shop.orders\tone, though two of its loggers were named",
    ]


def test_to_be_called_twice_doubles_no_line_and_the_later_settings_count(tmp_path: Path) -> None:
    with log_to(tmp_path), log_to(tmp_path, level="debug") as inner:
        OURS.debug("seen by the later")
        OURS.error("both")
        inner.close()
        inner.close()
        OURS.debug("seen by nobody")
        OURS.info("seen by the earlier")
    OURS.error("after all")

    assert [line.split("\t")[-1] for line in lines_of(tmp_path / "server.log")] == [
        "seen by the later",
        "both",
        "seen by the earlier",
    ]
    assert [line.split("\t")[-1] for line in lines_of(tmp_path / "error.log")] == ["both"]


def test_the_level_changes_while_lines_come(tmp_path: Path) -> None:
    with log_to(tmp_path, level="warning") as files:
        assert files.level == "warning"
        OURS.info("not yet")
        files.level = "debug"
        OURS.debug("now")
        files.level = "critical"
        OURS.error("no more")
        OURS.critical("still")
        assert files.level == "critical"
        with pytest.raises(Misuse, match="expected a level"):
            files.level = "loud"
    files.level = "debug"

    assert [line.split("\t")[-1] for line in lines_of(tmp_path / "server.log")] == ["now", "still"]
    assert [line.split("\t")[-1] for line in lines_of(tmp_path / "error.log")] == ["still"]
    assert OURS.level == logging.NOTSET


def test_a_server_and_a_client_in_one_process_share_the_file_of_errors(tmp_path: Path) -> None:
    with log_to(tmp_path, role="server"), log_to(tmp_path, role="client"):
        OURS.error("once")

    for name in ("server.log", "client.log", "error.log"):
        assert len(lines_of(tmp_path / name)) == 1


def test_a_level_that_was_finer_before_stays(tmp_path: Path) -> None:
    OURS.setLevel(logging.DEBUG)
    try:
        with log_to(tmp_path, level="error"):
            assert OURS.level == logging.DEBUG
        assert OURS.level == logging.DEBUG
    finally:
        OURS.setLevel(logging.NOTSET)


def test_a_level_that_somebody_sets_meanwhile_stays(tmp_path: Path) -> None:
    try:
        with log_to(tmp_path, level="debug"):
            OURS.setLevel(logging.CRITICAL)
        assert OURS.level == logging.CRITICAL
    finally:
        OURS.setLevel(logging.NOTSET)


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = open_files()
    for _ in range(3):
        with log_to(tmp_path, verbose=True):
            OURS.error("hello")

    assert open_files() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "loud"},
        {"level": 25},
        {"level": True},
        {"role": "bridge"},
        {"most_bytes": 4_095},
        {"keep": 0},
        {"keep": 1_001},
        {"file": "error.log"},
        {"file": "ERROR.LOG"},
        {"also": "shop"},
        {"also": [7]},
        {"also": ["a\nb"]},
        {"also": [f"shop.{n}" for n in range(64)]},
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(Misuse, match="expected"):
        log_to(tmp_path / "new", **wrong)  # type: ignore[arg-type]

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../server.log", "a/b", "", "con"])
def test_a_file_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeName):
        log_to(tmp_path, file=name)


def test_a_place_that_is_no_file_or_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    (tmp_path / "error.log").mkdir()
    os.mkfifo(tmp_path / "client.log")

    with pytest.raises(OSError, match="taken"):
        log_to(tmp_path / "taken")
    with pytest.raises(OSError, match=r"error\.log"):
        log_to(tmp_path)
    with pytest.raises((Misuse, OSError), match=r"client\.log"):
        log_to(tmp_path, role="client")


# --- rolling ----------------------------------------------------------------------------------------------------------


def test_a_full_file_is_rolled_and_the_oldest_goes(tmp_path: Path) -> None:
    with log_to(tmp_path, most_bytes=4_096, keep=2):
        for number in range(200):
            OURS.info("%04d %s", number, "x" * 100)
    found = {path.name: lines_of(path) for path in tmp_path.iterdir() if path.name != "error.log"}
    numbers = [int(line.split("\t")[-1][:4]) for name in sorted(found, reverse=True) for line in found[name]]

    assert sorted(found) == ["server.log", "server.log.1", "server.log.2"]
    assert all((tmp_path / name).stat().st_size <= 4_096 for name in found)
    assert numbers == list(range(numbers[0], 200))


def test_a_line_longer_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    with log_to(tmp_path, most_bytes=4_096) as files:
        for letter in "abc":
            OURS.info(letter * 6_000)

    assert [lines_of(tmp_path / name)[0][-1] for name in ("server.log.2", "server.log.1", "server.log")] == list("abc")
    assert files.lost == 0


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    with log_to(tmp_path):
        OURS.info("before")
        os.rename(tmp_path / "server.log", tmp_path / "elsewhere")
        OURS.info("after")

    assert lines_of(tmp_path / "elsewhere")[0].endswith("before")
    assert lines_of(tmp_path / "server.log")[0].endswith("after")


def test_processes_that_share_a_file_lose_no_line_when_it_rolls(tmp_path: Path) -> None:
    script = (
        "import sys, logging\n"
        "from netstructer.services.logs import log_to\n"
        "with log_to(sys.argv[1], most_bytes=8_192, keep=500) as files:\n"
        "    for number in range(400):\n"
        "        logging.getLogger('netstructer').info('%s %d %s', sys.argv[2], number, 'x' * 100)\n"
        "assert files.lost == 0\n"
    )
    with contextlib.ExitStack() as stack:
        for process in [stack.enter_context(python("-c", script, str(tmp_path), name)) for name in "abc"]:
            finish(process)
    texts = [line.split("\t")[-1].split() for path in tmp_path.glob("server.log*") for line in lines_of(path)]

    assert len(list(tmp_path.glob("server.log*"))) > 10
    assert sorted((name, int(number)) for name, number, _ in texts) == [(n, i) for n in "abc" for i in range(400)]


def test_where_it_cannot_be_rolled_a_file_grows_to_twice_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "it is in use")

    monkeypatch.setattr(rolling.os, "replace", refuse)
    with log_to(tmp_path, most_bytes=4_096) as files:
        for _ in range(100):
            OURS.info("x" * 100)
        lost = files.lost

        assert 4_096 < (tmp_path / "server.log").stat().st_size <= 8_192
        assert lost > 0
        monkeypatch.undo()
        OURS.info("again")

    assert len(lines_of(tmp_path / "server.log.1")) == 100 - lost
    assert [line.split("\t")[-1] for line in lines_of(tmp_path / "server.log")] == [
        f"{lost} lines were lost here: the file is full, and cannot be rolled",
        "again",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_writes_on_into_the_same_file(tmp_path: Path) -> None:
    script = (
        "import sys, logging, os\n"
        "from netstructer.services.logs import log_to\n"
        "with log_to(sys.argv[1], most_bytes=4_096, keep=100) as files:\n"
        "    logging.getLogger('netstructer').info('first')\n"
        "    child = os.fork()\n"
        "    for _ in range(100):\n"
        "        logging.getLogger('netstructer').info('%s %s', 'parent' if child else 'child', 'x' * 100)\n"
        "assert files.lost == 0\n"
        "assert not child or os.waitpid(child, 0)[1] == 0\n"
    )
    with python("-c", script, str(tmp_path)) as process:
        finish(process)
    words = [line.split("\t")[-1].split()[0] for path in tmp_path.glob("server.log*") for line in lines_of(path)]

    assert words.count("parent") == words.count("child") == 100


# --- a disk that is full ----------------------------------------------------------------------------------------------


class Disk:
    """Takes the bytes of log files until it is full; what is written to it is in the file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 1 << 30
        self._write = os.write
        monkeypatch.setattr(rolling.os, "write", self.write)

    def write(self, descriptor: int, content: bytes) -> int:
        if not self.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(descriptor, bytes(content[: self.free]))
        self.free -= taken
        return taken


def test_a_full_disk_is_counted_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = Disk(monkeypatch)
    with log_to(tmp_path) as files:
        OURS.info("before")
        disk.free = 30
        for _ in range(5):
            OURS.info("this does not fit any more")
        complaints = capsys.readouterr().err.splitlines()
        disk.free = 1 << 30
        OURS.info("after")
    lines = lines_of(tmp_path / "server.log")

    assert len(complaints) == 1
    assert complaints[0].endswith("server.log takes no more lines: No space left on device; they are counted")
    assert files.lost == 5
    assert [line.split("\t")[-1] for line in (lines[0], *lines[2:])] == [
        "before",
        "5 lines were lost here: No space left on device",
        "after",
    ]
    assert len(lines[1]) == 30  # the half of one that still fitted is a line of its own


def test_a_disk_that_is_full_at_the_beginning_is_no_fault_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(rolling.os, "open", refuse)
        files = log_to(tmp_path)
        OURS.info("lost")
    with files:
        OURS.info("after")

    assert "takes no more lines" in capsys.readouterr().err
    assert files.lost == 1
    assert [line.split("\t")[-1] for line in lines_of(tmp_path / "server.log")][1:] == ["after"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_a_terminal_that_takes_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115 closed below, which fails: it still holds what it could not write
    with monkeypatch.context() as patched, log_to(tmp_path, verbose=True) as files:
        patched.setattr(sys, "stderr", full)
        OURS.info("hello")
    with contextlib.suppress(OSError):
        full.close()

    assert files.lost == 1
    assert len(lines_of(tmp_path / "server.log")) == 1


# --- the terminal -----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_verbose_shows_lines_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with log_to(tmp_path, verbose=True, json_lines=True), log_to(tmp_path, verbose=True):
        OURS.info("hello")
    shown = capsys.readouterr()

    assert [line.split("\t")[1:] for line in shown.err.splitlines()] == [["INFO", "netstructer", "hello"]]
    assert shown.out == ""


@pytest.mark.parametrize(
    ("level", "colour"),
    [
        ("debug", "\x1b[2m"),
        ("info", ""),
        ("warning", "\x1b[38;5;208m"),
        ("error", "\x1b[31m"),
        ("critical", "\x1b[1;35m"),
    ],
)
def test_levels_have_colours_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, colour: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with log_to(tmp_path, level="debug", verbose=True):
        OURS.log(getattr(logging, level.upper()), "hello\x1b[0m")
    line = terminal.getvalue()

    assert line.startswith(colour + "2")
    assert line.endswith("hello\\x1b[0m" + ("\x1b[0m" if colour else "") + "\n")
    assert "\x1b" not in (tmp_path / "server.log").read_text()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_none_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with log_to(tmp_path, verbose=True):
        OURS.critical("hello")

    assert "hello" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


@pytest.mark.parametrize("stream", [None, "closed"])
def test_without_a_stderr_nothing_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", stream and closed)
    with log_to(tmp_path, verbose=True) as files:
        OURS.info("hello")
    monkeypatch.undo()

    assert files.lost == 1


# --- lines ------------------------------------------------------------------------------------------------------------


class Hostile:
    """Shows itself as a text, or not at all."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text

    def __str__(self) -> str:
        if self.text is None:
            raise RuntimeError("no face")
        return self.text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_begins_a_line_or_a_field_or_moves_a_cursor(text: str) -> None:
    error = ValueError(text)
    error.__cause__ = Hostiles(text)
    record = record_of(f"{text} %s", Hostile(text), **{text: Hostile(text)}, error=error)  # type: ignore[arg-type]
    record.name = record.levelname = text
    record.stack_info = text
    line = text_line(record)

    assert line.replace("\t", "").isprintable()
    assert line.count("\t") == 5
    assert json_line(record).isprintable()
    assert json.loads(json_line(record))["text"] == f"{text} {text}"


class Hostiles(Exception):
    pass


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(), st.text(), st.dictionaries(st.text(min_size=1), st.text(), max_size=3))
def test_any_text_is_one_line_with_its_fields(text: str, argument: str, told: str, extra: dict[str, str]) -> None:
    added = {name: value for name, value in extra.items() if name not in vars(record_of())}
    record = record_of("%s", argument, error=ValueError(told))
    vars(record).update(added)
    record.name = text
    line = text_line(record)
    facts = json.loads(json_line(record))

    assert line.replace("\t", "").isprintable()
    assert line.count("\t") == 5
    assert line.encode("utf-8")
    assert (facts["logger"], facts["text"], facts["error"]) == (text, argument, f"ValueError: {told}")
    assert facts.get("extra", {}) == {cut(name, 64): cut(value, 512) for name, value in added.items()}


def test_a_value_cannot_pose_as_another_field() -> None:
    line = text_line(record_of("hello", user='bob" admin=true', rows=3, none=None, **{"x y": "z"}))  # type: ignore[arg-type]

    assert line.split("\t")[4] == 'user="bob\\" admin=true" rows=3 none=None "x y"=z'


def test_what_json_has_words_for_stays_what_it_is() -> None:
    more: dict[str, object] = {"a": 1, "b": 1.5, "c": None, "d": True, "e": float("nan"), "f": 1 << 70, "g": [1]}
    facts = json.loads(json_line(record_of("hello", **more)))

    assert facts["extra"] == {"a": 1, "b": 1.5, "c": None, "d": True, "e": "nan", "f": str(1 << 70), "g": "[1]"}
    assert facts["level"] == "warning"
    assert "error" not in facts


def test_an_error_says_where_and_from_what() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        told = text_line(record_of("failed", error=error)).split("\t")[5]
    here = "test_an_error_says_where_and_from_what"

    assert told.startswith(f"ValueError: outer [at {__file__}:")
    assert told.count(f" in {here}]") == 2
    assert "; from KeyError: 'inner' [at " in told


def test_errors_that_hold_others_are_told_and_bounded() -> None:
    group = ExceptionGroup("several", [ValueError(str(n)) for n in range(100)])
    circle = ValueError("a")
    circle.__cause__ = KeyError("b")
    circle.__cause__.__context__ = circle

    assert text_line(record_of(error=group)).count("ValueError") == MOST_CAUSES - 1
    assert text_line(record_of(error=circle)).count("ValueError") == 1
    assert len(text_line(record_of("x" * 100_000, error=ValueError("y" * 100_000)))) < 2 * TEXT_CHARACTERS + 100


def test_a_deep_traceback_shows_its_innermost_places() -> None:
    def deep(left: int) -> None:
        if not left:
            raise ValueError("bottom")
        deep(left - 1)

    with pytest.raises(ValueError, match="bottom") as caught:
        deep(100)

    assert text_line(record_of(error=caught.value)).count(" in deep") == 16


def test_what_cannot_be_shown_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OURS, "propagate", False)  # pytest's own handler raises
    with log_to(tmp_path) as files:
        OURS.info("%d", "text")
        OURS.info("%s", Hostile())
        OURS.info("hello", extra={"face": Hostile()})
    lines = [line.split("\t", 3)[3] for line in lines_of(tmp_path / "server.log")]

    assert lines == [
        "%d (its arguments cannot be shown: TypeError)",
        "%s (its arguments cannot be shown: RuntimeError)",
        'hello\tface="a Hostile that cannot be shown (RuntimeError)"',
    ]
    assert files.lost == 0


def test_a_record_that_came_through_a_queue_keeps_its_error(tmp_path: Path) -> None:
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        QueueHandler(waiting).handle(record_of("failed", error=error))  # type: ignore[arg-type]

    assert "ValueError: a\\nb" in text_line(waiting.get())


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    with log_to(tmp_path, json_lines=True) as files:
        threads = [threading.Thread(target=lambda: [OURS.info("x" * 200) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    texts = [json.loads(line)["text"] for line in lines_of(tmp_path / "server.log")]

    assert texts == ["x" * 200] * 200
    assert files.lost == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain text", "plain text"), ("é 漢 🙂", "é 漢 🙂"), ("a\nb", "a\\nb"), ("\x1b", "\\x1b"), ("\u202e", "\\u202e"),
     ("\ud800", "\\ud800"), ("\u00a0", "\\xa0"), ("C:\\new", "C:\\new")],
)  # fmt: skip
def test_one_line_escapes_what_is_not_printable(text: str, expected: str) -> None:
    assert one_line(text) == expected


def test_a_word_is_quoted_where_it_could_be_something_else() -> None:
    assert [quoted(text) for text in ("ada", "[::1]:5000", "", "a b", 'a"b', "a\\b", "a=b")] == [
        "ada", "[::1]:5000", '""', '"a b"', '"a\\"b"', '"a\\\\b"', '"a=b"',
    ]  # fmt: skip


def test_moments_are_in_utc() -> None:
    assert moment(0) == "1970-01-01T00:00:00.000Z"
    assert moment(1.5, places=6) == "1970-01-01T00:00:01.500000Z"
    assert moment(1.5, places=0) == "1970-01-01T00:00:01Z"
    assert moment(1e30, places=0) == "1000000000000000019884624838656"
