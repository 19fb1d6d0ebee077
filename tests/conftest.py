"""What holds for every test: an empty home, no key in the environment, no thread of ours left behind.

A test that starts a `Server` without a key makes the user's default key file; it must be a file of the test, never one
of whoever runs the suite.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from netstructer.codec import decoder, encoder, values

# Their assertions say what they found, as those of the tests do.
pytest.register_assert_rewrite("pairings", "scenarios")

# No deadline: the machines that run the gate are small and shared, and a slow input is the fuzzer's business.
settings.register_profile("suite", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

HOMES = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
WITHOUT = (
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "NETSTRUCTER_KEY", "NETSTRUCTER_KEY_FILE", "NOTIFY_SOCKET"),
    *(name for name in os.environ if name.startswith("NETSTRUCTER_") and name != "NETSTRUCTER_PURE"),
)
"""Variables of the environment that tests set themselves, where they want them: each may be an option of a server."""
THREAD_SECONDS = 5.0
"""How long a thread of ours may take to end after the test that started it."""

LASTING = {"netstructer-keeper", "netstructer-mate", "netstructer-action"}
"""Threads that are there for the process: from the first link on, and those of the crew for ten seconds after they had
something to do."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Share the whole suite among twice as many processes as there are processors, because half the time of a test is
    waiting; run what was named by file, or by `-k`, in one: no other would be started and collect for as long as that
    takes.  `-n` with a number says otherwise.
    """
    named = config.args_source is pytest.Config.ArgsSource.ARGS and not any(Path(arg).is_dir() for arg in config.args)
    return 0 if named or config.option.keyword else 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Keep bytecode for the time of the run where whoever runs it wants none to be written: four hundred processes that
    the tests start would each compile all the package again, which takes as long as everything else that they do.
    """
    if sys.dont_write_bytecode and "PYTEST_XDIST_WORKER" not in os.environ:
        cache = tempfile.mkdtemp(prefix="netstructer-bytecode-")
        config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))
        patch = pytest.MonkeyPatch()
        config.add_cleanup(patch.undo)
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", cache)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Share among the processes what pytest does to the assertions of each test module before its first import: each
    begins with modules of its own, and finds the bytecode of the others when it comes to theirs.
    """
    report = yield
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and isinstance(collector, pytest.Dir) and all(Path(arg).is_dir() for arg in collector.config.args):
        modules = [node.path.stem for node in report.result if isinstance(node, pytest.Module)]
        for name in modules[int(worker[2:]) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
            # What is wrong with a module is said when it is collected.
            with contextlib.suppress(Exception, pytest.skip.Exception):
                importlib.import_module(name)
    return report


def pytest_collection_finish() -> None:
    """Keep the collector from looking through all tests and modules again and again: thousands of objects that stay.

    Many tests call it, and each call would cost 50 ms and more.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Keep the collector from looking at what the modules before have left alive, for the same reason."""
    if item.path != LAST.get("module"):
        LAST["module"] = item.path
        gc.collect()
        gc.freeze()


LAST: dict[str, Path] = {}
"""The module of the test before."""


class Home:
    """The home of whatever test runs, with nothing in it: a new one, where the test before left something."""

    def __init__(self, config: pytest.Config) -> None:
        self._above = Path(tempfile.mkdtemp(prefix="netstructer-homes-"))
        config.add_cleanup(lambda: shutil.rmtree(self._above, ignore_errors=True))
        environment = pytest.MonkeyPatch()
        config.add_cleanup(environment.undo)
        for name in (*HOMES, *WITHOUT):
            environment.delenv(name, raising=False)
        self._numbers = itertools.count()
        self.path = self._above / "none yet"

    def empty(self) -> None:
        """See to it that nothing is in it, and that the environment names it and no key."""
        try:
            with os.scandir(self.path) as found:
                used = any(found)
        except FileNotFoundError:
            used = True
        if used:
            self.path = self._above / str(next(self._numbers))
            self.path.mkdir()
        place = str(self.path)
        for name in HOMES:
            if os.environ.get(name) != place:
                os.environ[name] = place
        for name in WITHOUT:
            os.environ.pop(name, None)


HOME = pytest.StashKey[Home]()


@pytest.fixture(autouse=True)
def kept_apart(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give the test an empty home, and fail it where it leaves a thread of netstructer's running: what is opened is
    closed.

    One fixture, which asks for no other: what fixtures cost is most of what the smallest tests take.
    """
    stash = request.config.stash
    if HOME not in stash:
        stash[HOME] = Home(request.config)
    stash[HOME].empty()
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + THREAD_SECONDS
    for thread in threads_of_ours(before):
        thread.join(max(0.0, deadline - time.monotonic()))

    assert [thread.name for thread in threads_of_ours(before)] == []


@pytest.fixture
def empty_home(request: pytest.FixtureRequest) -> Path:
    """Return the home of the test."""
    return request.config.stash[HOME].path


def threads_of_ours(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads of netstructer's that were not there before and should have ended by now."""
    started = [thread for thread in threading.enumerate() if thread not in before]
    return [thread for thread in started if thread.name.startswith("netstructer") and thread.name not in LASTING]


@pytest.fixture
def codec_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have values encoded and decoded by the loops in Python, for a test that changes something inside of them."""
    monkeypatch.setattr(values, "encode_value", encoder.encode_value)
    monkeypatch.setattr(values, "decode_value", decoder.decode_value)
