"""Two processes and a socket between them: nothing lost, mixed or out of order, and a peer that dies is noticed.

The other process runs this file as a program: `test_two_processes.py ROLE PORT [NUMBER]`.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from hashlib import sha256

import pytest

from loopback import KEY, PATIENCE_SECONDS, Task, eventually, finish, python
from netstructer import Limits, Link, Server
from netstructer.errors import ConnectionCut, LinkTimeout, Stalled

THREADS = 8
LONG_SECONDS = 600.0


# --- what the other process does --------------------------------------------------------------------------------------


def crowd(link: Link, each: int) -> None:
    """Exchange `each` messages for each of eight threads, both ways at once, and check every one that comes."""
    found: dict[int, int] = dict.fromkeys(range(THREADS), 0)
    faults: list[object] = []
    lock = threading.Lock()

    def send(who: int) -> None:
        for number in range(each):
            link.send((who, number, text_of(who, number)))

    def receive_all() -> None:
        for _ in range(each * THREADS):
            who, number, text = link.recv(timeout=LONG_SECONDS)
            with lock:
                if found[who] != number or text != text_of(who, number):
                    faults.append((who, number, found[who]))
                found[who] = number + 1

    receiving = Task(receive_all)
    sending = [Task(send, who) for who in range(THREADS)]
    for task in sending:
        task.result(LONG_SECONDS)
    receiving.result(LONG_SECONDS)

    assert faults == []
    assert found == dict.fromkeys(range(THREADS), each)


def text_of(who: int, number: int) -> str:
    return f"{who}:{number}" * (1 + (who + number) % 9)


def giant(link: Link, mebibytes: int) -> None:
    """Send one large message, and only then receive the one that the other end sent at the same time."""
    body = body_of(mebibytes)
    link.send(body, compress=False)
    found = link.recv(timeout=LONG_SECONDS)

    assert sha256(found).digest() == sha256(body).digest()


def body_of(mebibytes: int) -> bytes:
    return bytes(range(256)) * (mebibytes << 12)


def main(role: str, port: str, number: str = "0") -> None:
    limits = Limits(ping_seconds=0.1, dead_seconds=0.6) if role == "sleeper" else None
    with Link(("127.0.0.1", int(port)), key=None, limits=limits, resume=False) as link:
        if role == "crowd":
            crowd(link, int(number))
            link.send("done", wait="consumed")
        elif role == "giant":
            giant(link, int(number))
            link.send("done", wait="consumed")
        else:
            link.send("here")
            threading.Event().wait(LONG_SECONDS)


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [1250, pytest.param(12_500, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_eight_threads_each_way_lose_nothing_and_mix_nothing(each: int) -> None:
    """10,000 messages each way in the suite, 100,000 under `long`."""
    with Server(key=KEY) as server, python(__file__, "crowd", str(server.address.port), str(each)) as process:
        far = server.accept(timeout=PATIENCE_SECONDS)
        crowd(far, each)

        assert far.recv(timeout=PATIENCE_SECONDS) == "done"
        assert far.stats.messages_received == each * THREADS + 1
        finish(process)


@pytest.mark.parametrize("mebibytes", [64, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_one_large_message_each_way_at_once(mebibytes: int) -> None:
    with Server(key=KEY) as server, python(__file__, "giant", str(server.address.port), str(mebibytes)) as process:
        far = server.accept(timeout=PATIENCE_SECONDS)
        giant(far, mebibytes)

        assert far.recv(timeout=PATIENCE_SECONDS) == "done"
        finish(process, LONG_SECONDS)


def test_a_killed_peer_is_a_cut() -> None:
    with Server(key=KEY) as server, python(__file__, "idler", str(server.address.port)) as process:
        far = server.accept(timeout=PATIENCE_SECONDS)
        assert far.recv(timeout=PATIENCE_SECONDS) == "here"
        waiting = [Task(far.recv), Task(far.recv), Task(far.send, 1, wait="consumed")]
        time.sleep(0.05)
        process.kill()

        assert [type(task.error()) for task in waiting] == [ConnectionCut] * 3
        eventually(lambda: server.count() == 0)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
@pytest.mark.parametrize("busy", [False, True])
def test_a_stopped_peer_is_found_dead(busy: bool) -> None:
    limits = Limits(ping_seconds=0.1, dead_seconds=0.6)
    with Server(key=KEY, limits=limits) as server, python(__file__, "sleeper", str(server.address.port)) as process:
        far = server.accept(timeout=PATIENCE_SECONDS)
        assert far.recv(timeout=PATIENCE_SECONDS) == "here"
        with pytest.raises(LinkTimeout):
            far.recv(timeout=1.0)  # silence of the application is not silence of the peer
        assert not far.closed
        waiting = Task(far.recv) if busy else None
        process.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: far.closed)
        finally:
            process.send_signal(signal.SIGCONT)
        if waiting is not None:
            assert isinstance(waiting.error(), Stalled)
        for act in (far.recv, far.ping):
            with pytest.raises(Stalled):
                act()


def test_a_process_that_only_forgets_to_close_ends_all_the_same() -> None:
    """The keeper is a daemon: an interpreter that ends with links open ends."""
    program = (
        "import sys, warnings\n"
        "warnings.simplefilter('ignore', ResourceWarning)\n"
        "from netstructer import Link, Server\n"
        "server = Server().start()\n"
        "link = Link(server.address)\n"
        "far = server.accept(timeout=10)\n"
        "link.send('x')\n"
        "print(far.recv(timeout=10))\n"
    )
    with python("-c", program, afresh=True) as process:
        out, err = finish(process)

    assert out == "x\n"
    assert err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C goes to a whole console there")
@pytest.mark.parametrize(
    "wait", ["link.recv()", "[link.send(bytes(1 << 20), compress=False) for _ in range(99)]", "next(iter(link))"]
)
def test_ctrl_c_interrupts_a_wait_and_the_link_closes(wait: str) -> None:
    program = (
        "import sys\n"
        "from netstructer import Link\n"
        "with Link(('127.0.0.1', int(sys.argv[1]))) as link:\n"
        "    link.send('ready')\n"
        f"    {wait}\n"
    )
    with Server(key=KEY) as server, python("-c", program, str(server.address.port)) as process:
        far = server.accept(timeout=PATIENCE_SECONDS)
        assert far.recv(timeout=PATIENCE_SECONDS) == "ready"
        time.sleep(0.2)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        if "send" in wait:
            process.wait(PATIENCE_SECONDS)
        else:
            assert list(far) == []
        err = process.communicate(timeout=PATIENCE_SECONDS)[1]

        assert process.returncode == -signal.SIGINT
        assert "KeyboardInterrupt" in err
        assert "RuntimeError" not in err
        assert time.monotonic() - began < 8


def test_the_program_of_this_file_says_what_went_wrong() -> None:
    """The sabotage twin: a peer that gets a message out of order must fail."""
    with Server(key=KEY) as server, python(__file__, "crowd", str(server.address.port), "10") as process:
        far = server.accept(timeout=PATIENCE_SECONDS)
        numbers = list(range(10))
        numbers[3], numbers[4] = numbers[4], numbers[3]
        for who in range(THREADS):
            for number in numbers:
                far.send((who, number, text_of(who, number)))
        _, err = process.communicate(timeout=PATIENCE_SECONDS)

        assert process.returncode == 1
        assert "AssertionError" in err


if __name__ == "__main__":
    main(*sys.argv[1:])
