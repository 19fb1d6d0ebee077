"""`python -m bench.peers NAME CONFIG`: serve as one of the peers until stdin closes; its port goes to stdout."""

from __future__ import annotations

import json
import os
import sys
import threading

from bench.peers import PEERS


def serve_until_stdin_closes(name: str, config_path: str) -> None:
    """Serve for ever, and end when stdin does."""

    def leave() -> None:
        while os.read(0, 1 << 10):  # not through sys.stdin, whose lock a failing main thread would wait for
            pass
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()
    with open(config_path) as file:
        config = json.load(file)
    PEERS[name].serve(config, lambda port: print("READY " + json.dumps(port), flush=True))


if __name__ == "__main__":
    serve_until_stdin_closes(*sys.argv[1:])
