"""Both readers and every vector: the same outcome, the same name, and the same bytes before the fault.

The package is asked through the players of the other tests, the second reader through `reader_vectors.py`.  Each check
that is taken away from the second reader is missed by some vector.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

import test_exchanges
import test_handshake
import test_resume_vectors
import test_session_faults
from netstructer.codec.blob import Blob
from netstructer.codec.tokens import Opener
from netstructer.codec.values import decode
from netstructer.errors import NetstructerError
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.records import RecordReader
from reader_vectors import Facts, outcome, raw, read_vector
from strategies import TYPES

FOLDER = Path(__file__).parent / "vectors"
VECTORS = sorted(FOLDER.glob("*/*.vector"))
README = (FOLDER / "README.md").read_text("utf-8")


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


# --- the package ------------------------------------------------------------------------------------------------------


def expected(run: Callable[[], Facts]) -> Facts:
    """Return what a run finds, `expect` included."""
    try:
        return {"expect": "success", **run()}
    except NetstructerError as error:
        return {"expect": type(error).__name__}


def of_value(facts: Facts, body: str) -> Facts:
    figures = [row.split("=") for row in facts.get("limits", "").split()]
    limits = dataclasses.replace(Limits.DEFAULT, **{name: int(figure) for name, figure in figures})
    sizes = facts.get("blobs", "").split()
    blobs = [Blob.from_iter(()) if size == "unknown" else Blob(bytes(int(size))) for size in sizes]
    if "needs" in facts:
        pytest.importorskip(facts["needs"])

    def run() -> Facts:
        decode(raw(body), limits=limits, types=TYPES, blobs=blobs)
        return {}

    return expected(run)


def of_key(facts: Facts, body: str) -> Facts:
    def run() -> Facts:
        Key(raw(body).decode())
        return {}

    return expected(run)


def of_token(facts: Facts, body: str) -> Facts:
    return expected(lambda: {"record": bytes(Opener(raw(facts["key"])).open(raw(body))).hex()})


def of_record(facts: Facts, body: str) -> Facts:
    def run() -> Facts:
        records = RecordReader(raw(facts["secret"]), 0.0)
        records.sequence = int(facts["sequence"])
        record = records.read(raw(body))
        return {"record": f"{record.kind} {record.flags} {record.stream}", "body": bytes(record.body).hex()}

    return expected(run)


def of_handshake(facts: Facts, body: str) -> Facts:
    hello = facts["read"] == "hello"
    read = test_handshake._read_hello if hello else test_handshake._read_answer

    def run() -> Facts:
        agreed = read(facts, raw(body))
        secrets = agreed.send_secret, agreed.receive_secret
        c2s, s2c = secrets[::-1] if hello else secrets
        found = {"c2s": c2s, "s2c": s2c, "export": agreed.export_secret, "binding": agreed.binding}
        return {name: secret.hex() for name, secret in found.items()}

    return expected(run) | ({"answer": facts["answer"]} if hello else {})  # `_read_hello` has held it to that


def of_session(facts: Facts, body: str) -> Facts:
    _, delivered, error = test_session_faults.play_vector(facts, [raw(body)])
    return {"expect": type(error).__name__ if error else "success", "delivered": sha256(delivered).hexdigest()}


def of_exchange(facts: Facts, body: str) -> Facts:
    return test_exchanges.play(facts, body.splitlines()).outcome()


def of_resumption(facts: Facts, body: str) -> Facts:
    return test_resume_vectors.play(facts, body.splitlines()).outcome()


PACKAGE: dict[str, Callable[[Facts, str], Facts]] = {
    "values": of_value,
    "keys": of_key,
    "tokens": of_token,
    "records": of_record,
    "handshakes": of_handshake,
    "sessions": of_session,
    "exchanges": of_exchange,
    "resumptions": of_resumption,
}


@pytest.mark.parametrize("path", VECTORS, ids=named)
def test_both_readers_agree_with_a_vector_and_with_each_other(path: Path) -> None:
    facts, body = read_vector(path)
    theirs = outcome(path)

    assert theirs == {name: facts.get(name) for name in theirs}
    assert PACKAGE[path.parent.name](facts, body) == theirs
