"""Pythons that are forked: for whoever started them they are what `subprocess` starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import commands
from commands import CAN_FORK, Forked, start_python
from test_cli import environment_with

SECONDS = 60.0
pytestmark = pytest.mark.skipif(not CAN_FORK, reason="nothing is forked where no descriptors of processes are")

SAYS_ALL = """
import atexit, json, locale, multiprocessing, os, random, signal, sys, threading, warnings
def facts_of(stream):
    return [stream.fileno(), stream.encoding, stream.errors, stream.line_buffering, stream.isatty(), stream.mode]
atexit.register(print, "at the end", flush=True)
threading.Thread(target=lambda: threading.main_thread().join() or print("a thread after the last line")).start()
streams = sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__
facts = {
    "arguments": sys.argv,
    "name": __name__,
    "main": sys.modules["__main__"].__dict__ is globals(),
    "streams": [facts_of(stream) for stream in streams],
    "environment": dict(os.environ),
    "directory": os.getcwd(),
    "filters": [str(one) for one in warnings.filters if one[0] == "error" and one[2] is Warning],
    "signals": {number.name: str(signal.getsignal(number)) for number in signal.valid_signals() if number < 32},
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:3],
    "threads": [thread.name for thread in threading.enumerate()][:1],
    "flags": str(sys.flags),
    "given": sys.stdin.read(),
}
print(json.dumps(facts))
"""


def afresh(*arguments: str, **more: Any) -> subprocess.Popen[Any]:
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.Popen([sys.executable, "-W", "error", *arguments], **(piped | more))


def both(*arguments: str, directory: Path, given: Any = None, encoding: str | None = "utf-8") -> list[tuple[Any, ...]]:
    """Start a Python in both ways, and return what came of each: its exit code and both outputs."""
    environment = environment_with(None)
    environment.pop("PYTHONUNBUFFERED", None)
    forked = start_python(*arguments, environment=environment, directory=directory, encoding=encoding)
    other = afresh(*arguments, env=environment, cwd=directory, encoding=encoding)
    assert isinstance(forked, Forked)
    found = []
    for process in (forked, other):
        with process:
            out, err = process.communicate(given, timeout=SECONDS)
        found.append((process.returncode, out, err))
    return found


def test_a_forked_one_finds_itself_as_one_that_was_started(tmp_path: Path) -> None:
    found = both("-c", SAYS_ALL, "one", "zwö", directory=tmp_path, given="a line\nand another")
    forked, other = (json.loads(out.splitlines()[0]) for _, out, _ in found)

    assert forked == other
    assert forked["given"] == "a line\nand another"
    assert [out.splitlines()[1:] for _, out, _ in found] == [["a thread after the last line", "at the end"]] * 2
    assert [(code, err) for code, _, err in found] == [(0, "")] * 2


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import sys; sys.exit(7)", 7),
        ("import sys; sys.exit('words')", 1),
        ("import os; os._exit(9)", 9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os, signal; signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
        ("import atexit, os; atexit.register(os._exit, 4)", 4),
        ("import os, sys; os.close(1); print('lost')", 120),
        ("import socket; socket.socket()", 0),
    ],
)
def test_it_ends_as_that_one_ends(tmp_path: Path, program: str, code: int) -> None:
    forked, other = both("-c", program, directory=tmp_path)

    assert forked[0] == other[0] == code
    assert forked[1] == other[1] == ""
    assert last_line(forked[2]) == last_line(other[2])


def last_line(text: str) -> str:
    return "".join(text.splitlines()[-1:])


def test_an_error_that_nobody_catches_is_shown(tmp_path: Path) -> None:
    forked, other = both("-c", "import warnings\nwarnings.warn('heard')", directory=tmp_path)

    assert forked[0] == other[0] == 1
    assert last_line(forked[2]) == last_line(other[2]) == "UserWarning: heard"


def test_a_script_and_a_module_are_run_as_such(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys, beside\nprint(__name__, __file__, sys.argv, beside.HERE)\n")
    (tmp_path / "beside.py").write_text("import sys\nHERE = 'here'\nif __name__ == '__main__': print(sys.argv)\n")
    scripts = both(str(script), "-x", directory=tmp_path)
    modules = both("-m", "beside", "-x", directory=tmp_path)

    assert scripts == [(0, f"__main__ {script} ['{script}', '-x'] here\n", "")] * 2
    assert modules == [(0, f"['{tmp_path / 'beside.py'}', '-x']\n", "")] * 2


@pytest.mark.parametrize(
    "arguments", [("send", "nonsense host:1", "1"), ("recv", "0", "--timeout", "0.01", "--key-file", "nowhere")]
)
def test_a_command_says_the_same(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    pytest.importorskip("typer")
    forked, other = both("-m", "netstructer", *arguments, directory=tmp_path)

    assert forked == other
    assert forked[0] != 0


def test_bytes_go_through_as_they_are(tmp_path: Path) -> None:
    program = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    forked, other = both("-c", program, directory=tmp_path, given=b"\r\n\xff\0" * 100_000, encoding=None)

    assert forked == other == (0, b"\0\xff\n\r" * 100_000, b"")


def test_what_runs_is_waited_for_interrupted_and_killed() -> None:
    with start_python("-c", "print('here', flush=True)\nimport time\ntime.sleep(600)") as process:
        assert process.stdout is not None
        heard = process.stdout.readline()
        still = process.poll()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.01)
        os.kill(process.pid, signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        code = process.wait(SECONDS)
        process.kill()  # it has ended: nobody is killed

    assert (heard, still, code, process.returncode, process.poll()) == ("here\n", None, *[-signal.SIGINT] * 3)


def test_each_has_its_own_chance_and_its_own_pipes() -> None:
    program = "import random, uuid, sys; print(random.random(), uuid.uuid4(), len(sys.stdin.read()))"
    processes = [start_python("-c", program) for _ in range(8)]
    for process in processes:  # each reads to the end of its own stdin: nobody else holds that open
        assert process.stdin is not None
        process.stdin.close()
    said = [process.communicate(timeout=SECONDS)[0] for process in processes]

    assert len({word for line in said for word in line.split()}) == 2 * 8 + 1
    assert all(line.endswith(" 0\n") for line in said)


def test_the_mother_ends_with_who_started_her(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import commands
with commands.start_python("-c", "pass") as process:
    process.communicate()
print(commands.mother()._process.pid)
if sys.argv[1] == "killed":
    import os
    os.kill(os.getpid(), 9)
"""
    for how in ("ended", "killed"):
        with afresh("-c", program, how, env=environment_with(None)) as process:
            out, _ = process.communicate(timeout=SECONDS)
        number = int(out)
        # She has ended, or ends now.
        descriptor = None
        try:
            descriptor = os.pidfd_open(number)
        except ProcessLookupError:
            continue
        with os.fdopen(descriptor, "rb") as file:
            assert commands.select.select([file], [], [], SECONDS)[0]
