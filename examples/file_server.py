"""Files: a server that stores what clients send, tells what it has, and gives it to whoever asks.

python examples/file_server.py                                  both, in one process
python examples/file_server.py serve 0.0.0.0:5000 DIRECTORY     the server

`netstructer serve --files DIRECTORY` with `put`, `get` and `ls` is the same for trees and patterns.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from netstructer import Key, Link, Server


def file_server(address: str, directory: Path, key: Key | None = None) -> Server:
    """Return a server of the files in a directory.  It opens no name but those that it lists itself."""

    def attend(link: Link) -> None:
        for request in link:
            names = sorted(path.name for path in directory.iterdir() if path.is_file())
            match request:
                case "put":
                    link.recv_file(directory, overwrite="keep", timeout=60)  # by a safe name, whole or not at all
                    link.send("stored")
                case ("get", str(name)) if name in names:
                    link.send_file(directory / name, timeout=60)
                case _:
                    link.send(names)

    return Server(address, key=key, handler=attend)


def visit(link: Link, file: Path, back: Path) -> None:
    """Store a file, look what is there, and fetch it again."""
    link.send("put")
    print(f"put: {link.send_file(file, timeout=60).moved} bytes, {link.recv(timeout=60)}")
    link.send("ls")
    print("ls:", link.recv(timeout=60))
    link.send(("get", file.name))
    link.recv_file(back, timeout=60)
    print("equal:", file.read_bytes() == (back / file.name).read_bytes())


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        file_server(sys.argv[2], Path(sys.argv[3])).serve_forever()
    else:
        with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
            (Path(here) / "scan.tiff").write_bytes(os.urandom(3 << 20))
            (Path(here) / "back").mkdir()
            key = Key.generate()
            with file_server("127.0.0.1:0", Path(there), key) as server, Link(server.address, key=key) as link:
                visit(link, Path(here) / "scan.tiff", Path(here) / "back")
