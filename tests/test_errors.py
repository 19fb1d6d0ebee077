"""The tree of errors: one root, the builtin that an ordinary except clause names, facts that travel through pickle."""

from __future__ import annotations

import pickle

import pytest

from cases import case
from netstructer import errors
from netstructer.errors import NetstructerError

ALL = [getattr(errors, name) for name in errors.__all__]
BUILTINS = {
    "UnsendableValue": TypeError,
    "MissingKey": LookupError,
    "InvalidKey": ValueError,
    "InvalidAddress": ValueError,
    "CannotListen": OSError,
    "MissingDependency": ImportError,
    "PeerFault": ConnectionError,
    "BadValue": ValueError,
    "BadCompression": ValueError,
    "Mismatch": ConnectionError,
    "KeyRefused": PermissionError,
    "LoginFailed": PermissionError,
    "LinkLost": ConnectionError,
    "PortClosed": ConnectionRefusedError,
    "ConnectionCut": ConnectionResetError,
    "LinkClosed": EOFError,
    "MessageTooBig": ValueError,
    "Busy": ConnectionRefusedError,
    "Banned": PermissionError,
    "LinkTimeout": TimeoutError,
    "BytesGone": OSError,
    "SourceFailed": OSError,
    "SpoolFull": OSError,
    "UnsafeName": ValueError,
    "FileChanged": OSError,
    "DigestMismatch": OSError,
    "TransferRefused": PermissionError,
    "InvalidCode": ValueError,
    "InvalidConfiguration": ValueError,
    "WrongCode": PermissionError,
}
FAMILIES = {
    "Misuse": {
        *("CannotListen", "InvalidAddress", "InvalidKey", "MissingDependency", "MissingKey", "UnsendableValue"),
    },
    "PeerFault": {"BadSeal", "IllegalFrame", "BadValue", "BadCompression", "NotNetstructer"},
    "Mismatch": {"KeyRefused", "VersionMismatch", "IdentityChanged", "LoginFailed"},
    "LinkLost": {"ConnectionCut", "Stalled", "SessionLost", "Unreachable"},
    "LimitReached": {"MessageTooBig", "SpoolFull", "BacklogFull", "Busy", "Banned", "BytesGone"},
}
"""Who is to blame: the families of the public face and their direct members."""


def test_there_is_one_root_and_every_error_of_the_module_is_public() -> None:
    classes = [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, Exception)]

    assert set(classes) == set(ALL)
    assert all(issubclass(error, NetstructerError) for error in ALL)
    assert errors.__all__ == sorted(errors.__all__)


def test_each_is_also_the_builtin_that_an_ordinary_clause_names() -> None:
    for name, builtin in BUILTINS.items():
        assert issubclass(getattr(errors, name), builtin), name


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_type_says_who_is_to_blame(family: str) -> None:
    members = {error.__name__ for error in ALL if getattr(errors, family) in error.__bases__}

    assert FAMILIES[family] <= members


def test_each_can_be_raised_shown_and_pickled() -> None:
    for error in ALL:
        with case(error.__name__):
            check_error(error)


def check_error(error: type[NetstructerError]) -> None:
    facts = {
        name: value
        for owner in error.__mro__
        if issubclass(owner, NetstructerError)
        for name, value in {"limit": 5, "found": 6, "path": "value[3]", "stage": "port", "name": "KeyError"}.items()
        if name in vars(owner)
    }
    made = error("what was found", **facts)
    again = pickle.loads(pickle.dumps(made))

    for found in (made, again):
        assert type(found) is error
        assert str(found) == "what was found"
        assert {name: getattr(found, name) for name in facts} == facts
    assert (error.__doc__ or "").endswith(".") or "`" in (error.__doc__ or "")


def test_a_fact_that_an_error_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        NetstructerError("text", colour="red")


def test_system_errors_keep_their_text_and_have_no_number() -> None:
    """`OSError(text)` parses its arguments by their count; a text alone must stay a text."""
    found = errors.CannotListen("cannot bind at 127.0.0.1:80", stage="bind")

    assert str(found) == "cannot bind at 127.0.0.1:80"
    assert found.stage == "bind"
    assert found.errno is None
