"""Every error that netstructer raises.  Floor: GROUND.

One root, `NetstructerError`.  Below it the *type* says who is to blame:

    Misuse          the caller, here
    PeerFault       the peer broke the protocol, or the bytes were changed on the way
    Mismatch        both ends are sound but do not agree (key, version, identity, login)
    LinkLost        the world: a cut, a stall, a host that is not there
    LinkClosed      nobody: the peer said farewell, or this end was closed
    LimitReached    a stated limit, named with its figure
    LinkTimeout     the time that the caller allowed has passed
    RemoteError     an action failed at the peer

Each type also inherits the builtin that an ordinary `except` clause would name.  Facts are attributes, keyword-only at
birth, and travel through pickle (only `multiprocessing` of a user's own does that; netstructer never unpickles).
No error text holds a key, a password or a payload.
"""

from __future__ import annotations

from netstructer.errors.accounts import (
    AccountExists,
    AccountRefused,
    InvalidName,
    LastAdmin,
    PasswordRefused,
    QuotaReached,
    RegistrationRefused,
    UnknownAccount,
)
from netstructer.errors.chat import ChatRefused, InvalidText, Muted, NameTaken, NotHere, TooFast
from netstructer.errors.files import (
    AuditDamaged,
    DigestMismatch,
    FileChanged,
    OutboxDamaged,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreTooNew,
    TransferRefused,
    UnsafeName,
)
from netstructer.errors.limits import (
    BacklogFull,
    Banned,
    Busy,
    BytesGone,
    LimitReached,
    LinkTimeout,
    MessageCancelled,
    MessageTooBig,
    OutboxFull,
    PairingStopped,
    SourceFailed,
    SpoolFull,
)
from netstructer.errors.lost import (
    AnswerRefused,
    ConnectionCut,
    LinkClosed,
    LinkLost,
    PortClosed,
    SessionLost,
    Stalled,
    Unreachable,
)
from netstructer.errors.mismatch import (
    Downgrade,
    IdentityChanged,
    KeyRefused,
    LoginFailed,
    Mismatch,
    PairingRefused,
    VersionMismatch,
    WrongCode,
)
from netstructer.errors.misuse import (
    CannotListen,
    InvalidAddress,
    InvalidBan,
    InvalidCode,
    InvalidConfiguration,
    InvalidIdentity,
    InvalidKey,
    InvalidKnownServers,
    InvalidReport,
    MissingDependency,
    MissingKey,
    Misuse,
    UnknownServer,
    UnsendableValue,
)
from netstructer.errors.peer import (
    BadCompression,
    BadFrame,
    BadSeal,
    BadValue,
    CreditExceeded,
    FrameTooBig,
    Gap,
    IllegalFrame,
    InboxGap,
    NotNetstructer,
    OutOfOrder,
    PeerFault,
    RekeyOverdue,
)
from netstructer.errors.remote import BadArguments, CallCancelled, NotPermitted, RemoteError, UnknownAction
from netstructer.errors.root import NetstructerError

__all__ = [
    "AccountExists",
    "AccountRefused",
    "AnswerRefused",
    "AuditDamaged",
    "BacklogFull",
    "BadArguments",
    "BadCompression",
    "BadFrame",
    "BadSeal",
    "BadValue",
    "Banned",
    "Busy",
    "BytesGone",
    "CallCancelled",
    "CannotListen",
    "ChatRefused",
    "ConnectionCut",
    "CreditExceeded",
    "DigestMismatch",
    "Downgrade",
    "FileChanged",
    "FrameTooBig",
    "Gap",
    "IdentityChanged",
    "IllegalFrame",
    "InboxGap",
    "InvalidAddress",
    "InvalidBan",
    "InvalidCode",
    "InvalidConfiguration",
    "InvalidIdentity",
    "InvalidKey",
    "InvalidKnownServers",
    "InvalidName",
    "InvalidReport",
    "InvalidText",
    "KeyRefused",
    "LastAdmin",
    "LimitReached",
    "LinkClosed",
    "LinkLost",
    "LinkTimeout",
    "LoginFailed",
    "MessageCancelled",
    "MessageTooBig",
    "Mismatch",
    "MissingDependency",
    "MissingKey",
    "Misuse",
    "Muted",
    "NameTaken",
    "NetstructerError",
    "NotHere",
    "NotNetstructer",
    "NotPermitted",
    "OutOfOrder",
    "OutboxDamaged",
    "OutboxFull",
    "PairingRefused",
    "PairingStopped",
    "PasswordRefused",
    "PeerFault",
    "PortClosed",
    "QuotaReached",
    "RegistrationRefused",
    "RekeyOverdue",
    "RemoteError",
    "SessionLost",
    "SourceFailed",
    "SpoolFull",
    "Stalled",
    "StoreBusy",
    "StoreDamaged",
    "StoreFull",
    "StoreTooNew",
    "TooFast",
    "TransferRefused",
    "UnknownAccount",
    "UnknownAction",
    "UnknownServer",
    "Unreachable",
    "UnsafeName",
    "UnsendableValue",
    "VersionMismatch",
    "WrongCode",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # what users import them from is what their tracebacks show
