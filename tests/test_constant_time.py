"""Secrets are compared in constant time: nowhere by `==`, which stops at the first byte that differs.

How long a comparison takes is measured for the seal of a token (test_tokens.py); here the source is read, with `ast`,
because the other comparisons are made once in a handshake and no clock would tell.
"""

from __future__ import annotations

import ast
import re

import pytest

from test_floors import read_package, tree_of

PACKAGE = read_package()

PLACES = {
    ("netstructer.codec.tokens", "open"): "verify",
    ("netstructer.codec.gcm", "open"): "decrypt",
    ("netstructer.keys", "__eq__"): "compare_digest",
    ("netstructer.protocol.opening", "check"): "compare_digest",
    ("netstructer.protocol.opening", "conclude"): "compare_digest",
    ("netstructer.durable.chain", "matches"): "compare_digest",
    ("netstructer.durable.state", "verifies"): "compare_digest",
    ("netstructer.pairing.ceremony", "_read"): "compare_digest",
    ("netstructer.services.passwords", "verify"): "compare_digest",
    ("netstructer.services.passwords", "verify_nobodys"): "compare_digest",
}
"""Every function that holds a secret, or a tag that is made with one, against what came; and the call that does it.
What AES-GCM and ChaCha20-Poly1305 verify themselves is not here, but for records."""

SECRETS = re.compile(r"mac|hmac|proof|prove|secret|confirm|finalize|psk|signature|private|digest|hexdigest|raw")
"""Words in the names of what must not be compared by `==`."""

PUBLIC = {
    ("netstructer.codec.arrays", "raw != 0"): "items of a numpy array",
    ("netstructer.codec.bulk", "raw.count(0) != count - 1"): "a value's own bytes",
    ("netstructer.codec.bulk", "raw[8 * place:8 * place + 8] != _LITTLE_NAN"): "a value's own bytes",
    ("netstructer.codec.decoder", "bytes(sorted(value)) != raw"): "a value's own bytes",
    ("netstructer.codec.text", "lead in raw"): "a value's own bytes",
    (
        "netstructer.durable.mark",
        "sha256(body).digest()[:_PLACE_BYTES - _BODY_BYTES] != place[_BODY_BYTES:]",
    ): "a checksum",
    (
        "netstructer.identity",
        "binascii.b2a_base64(private, newline=False) != standard",
    ): "two spellings of one's own file",
    ("netstructer.keys", "binascii.b2a_base64(raw, newline=False) != standard"): "two spellings of one text",
    ("netstructer.services.passwords", "_base64(digest) != found[5]"): "two spellings of what the file has",
    ("netstructer.cli.users", "read_secret('again: ') != first"): "typed twice by the same person",
    ("netstructer.services.admin.typed", "'\\n' in secret"): "a line of a file of one's own",
    ("netstructer.transfer.pouring", "digest.digest() != reader.digest"): "the digest of a file",
    ("netstructer.transfer.receiving", "reader.digest != digest"): "the digest of a file",
    ("netstructer.transfer.receiving", "partial.digest.digest() != reader.digest"): "the digest of a file",
    ("netstructer.transfer.sending", "prefix.digest() == theirs"): "the digest of a file",
    ("netstructer.transfer.sending", "digest_of(source.handle, length).digest() == theirs"): "the digest of a file",
}
"""Comparisons that look like one of a secret, and what they are."""


@pytest.mark.parametrize(("module", "function"), sorted(PLACES))
def test_a_secret_is_compared_by_what_takes_as_long_whatever_differs(module: str, function: str) -> None:
    found = [node for node in ast.walk(tree_of(PACKAGE[module])) if getattr(node, "name", "") == function]

    assert found != []
    for node in found:
        assert not _compares(node) or PLACES[module, function] in calls_of(node)
    assert any(PLACES[module, function] in calls_of(node) for node in found)


def test_no_secret_is_compared_by_equality() -> None:
    """And what is listed as public is there: a line that is gone would hide the next one like it."""
    found = {(module, text) for module, source in PACKAGE.items() for text in suspicious(source)}

    assert found - PUBLIC.keys() == set()
    assert PUBLIC.keys() - found == set()


@pytest.mark.parametrize(
    "source",
    [
        "if signer.finalize() != view[-32:]: raise InvalidSignature",
        "proved = asked.secret == self._proof(_OPENING, binding)",
        "return self._raw == other._raw",
        "return hmac.digest(key, body, 'sha256') == seal",
        "ok = frame[8:] == self._keys.client_confirm",
        "found = psk in [key.psk for key in ring]",
    ],
)
def test_sabotage_is_reported(source: str) -> None:
    assert len(suspicious(f"def f():\n    {source}")) == 1


def test_what_is_harmless_is_not_reported() -> None:
    assert suspicious("len(secret) != 32 or type(private) == bytes or secret is None or tag == STR") == []


# --- the reader -------------------------------------------------------------------------------------------------------


def suspicious(source: str) -> list[str]:
    """Return the comparisons by equality in which something has the name of a secret."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree_of(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops)
        and any(_is_secret(name) for side in (node.left, *node.comparators) for name in _names_in(side))
    ]


def _is_secret(name: str) -> bool:
    """A name in capitals is a length or a layout."""
    return not name.isupper() and any(SECRETS.fullmatch(word) for word in name.lower().strip("_").split("_"))


def _names_in(node: ast.expr) -> list[str]:
    """Return the names in an expression, except for those whose length or type alone is asked for."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("len", "type"):
        return []
    if isinstance(node, ast.Constant):
        return []
    own = [node.id] if isinstance(node, ast.Name) else [node.attr] if isinstance(node, ast.Attribute) else []
    return own + [
        name for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr) for name in _names_in(child)
    ]


def calls_of(node: ast.AST) -> set[str]:
    """Return the names of what is called in a function."""
    called = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in called}


def _compares(node: ast.AST) -> bool:
    return any(isinstance(found, ast.Compare) for found in ast.walk(node))
