"""Files into a pipe: every byte in order, and an error where one is not what its sender read."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

from conversation import both, pair, ticking
from netstructer.codec.blob import Blob
from netstructer.errors import BadValue, DigestMismatch, FileChanged, Misuse, SourceFailed, UnsafeName
from netstructer.transfer import serve
from netstructer.transfer.body import CHANGED, FAILED, end_of_file, piece_of, start_of_file
from netstructer.transfer.pouring import pour
from netstructer.transfer.progress import Progress
from netstructer.transfer.wording import Refused
from test_transfer_hostile import columns, whole


def poured(directory: Path, *patterns: str, **more: Any) -> tuple[Any, bytes]:
    """Return what `pour` returned or raised, and the bytes that were written, with an honest serving end."""
    asker, server, _ = pair()
    out = io.BytesIO()
    done, _ = both(
        lambda: pour(asker, patterns, out, clock=ticking(), **more),
        lambda: serve(server, server.recv(), directory, clock=ticking()),
    )
    return done, out.getvalue()


def told(fields: dict[str, Any], data: bytes) -> tuple[Any, bytes]:
    """The same with a serving end that offers and sends what it likes, where `f` is asked for."""
    asker, server, _ = pair()
    out = io.BytesIO()

    def answer() -> None:
        server.recv()
        server.send(("offer", fields))
        if server.recv(timeout=5)[0] == "answer":
            server.send(("body", {"bytes": Blob(data)}), timeout=5)
            server.recv(timeout=5)

    return both(lambda: pour(asker, "f", out, timeout=5, clock=ticking()), answer)[0], out.getvalue()


def test_files_come_in_the_order_of_the_serving_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    contents = {"a/2": os.urandom(300_000), "a/3": b"", "a/1": b"one"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    steps: list[Progress] = []
    done, out = poured(tmp_path, "a/*", progress=steps.append)

    assert out == contents["a/1"] + contents["a/2"] + contents["a/3"]
    assert [(outcome.name, outcome.moved) for outcome in done.outcomes] == [("1", 3), ("2", 300_000), ("3", 0)]
    assert done.wire > 300_000
    assert (steps[-1].files_done, steps[-1].whole_done, steps[-1].whole_total) == (3, 300_003, 300_003)


def test_holes_are_written_as_zeros(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(1_000_000)
        file.write(b"end")
        file.truncate(1_500_000)
    done, out = poured(tmp_path, "sparse")

    assert out == bytes(1_000_000) + b"end" + bytes(499_997)
    assert done.moved == 1_500_000


def test_what_is_no_file_and_what_is_not_there_are_errors(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()

    assert [type(poured(tmp_path, name)[0]) for name in ("directory", "missing")] == [Misuse, Refused]
    with pytest.raises(UnsafeName):
        pour(pair()[0], "../x", io.BytesIO(), clock=ticking())


@pytest.mark.parametrize(
    ("fields", "data", "error", "written"),
    [
        (columns("f"), whole(b"four"), type(None), b"four"),
        (columns("other"), b"", UnsafeName, b""),
        (columns("f") | {"dry": True}, b"", BadValue, b""),
        (columns("f"), whole(b"fours"), BadValue, b""),
        (columns("f"), whole(b"tri"), BadValue, b"tri"),
        (columns("f"), whole(b"four") + b"x", BadValue, b"four"),
        (columns("f"), whole(b"four")[:-1], BadValue, b"four"),
        (columns("f"), start_of_file(1) + whole(b"four")[8:], BadValue, b""),
        (columns("f"), whole(b"four")[:-32] + hashlib.sha256(b"five").digest(), DigestMismatch, b"four"),
        (columns("f"), start_of_file(0) + b"".join(piece_of(b"fo")) + end_of_file(CHANGED), FileChanged, b"fo"),
        (columns("f"), start_of_file(0) + end_of_file(FAILED), SourceFailed, b""),
    ],
)
def test_what_is_not_the_file_is_an_error(fields: dict[str, Any], data: bytes, error: type, written: bytes) -> None:
    done, out = told(fields, data)

    assert isinstance(done, error) or (error is type(None) and done.counts["sent"] == 1)
    assert out == written


def test_a_pipe_that_breaks_ends_the_transfer(tmp_path: Path) -> None:
    class Broken:
        def write(self, data: memoryview) -> None:
            raise BrokenPipeError

    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    asker, server, _ = pair()
    done, _ = both(
        lambda: pour(asker, "big", Broken(), clock=ticking()),
        lambda: serve(server, server.recv(), tmp_path, clock=ticking()),
    )

    assert isinstance(done, BrokenPipeError)
