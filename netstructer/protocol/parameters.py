"""Parameters: what each end states in the sealed handshake.  Floor: PROTOCOL.  Spec: protocol.md, "Parameters".

64 bytes, big-endian.  Limits are *receive* limits: each end obeys the other's, so a value that the peer would refuse
fails at its sender.  A zero in a field that may be zero stands for the figure of `Limits.DEFAULT`.  Room to grow is
the version, not the spare bit; only `features` may hold bits that an end does not know, and it ignores them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from struct import Struct
from typing import Any

from netstructer.errors import IllegalFrame, Misuse, VersionMismatch
from netstructer.limits import Limits

__all__ = ["COMPRESSION", "PADDING", "PARAMETERS_BYTES", "RESUME", "VERSION", "Parameters"]

VERSION = 1
"""The one version of the protocol that this package speaks."""

COMPRESSION = 1
RESUME = 2
PADDING = 4

PARAMETERS_BYTES = 64
INSTANCE_BYTES = 16
KEPT_LIMITS = 64
"""So many peers' limits are kept, those asked for last: to check fifty figures takes a tenth of a millisecond, and
nearly all peers of a server state the same."""
_LAYOUT = Struct(">BBHIQIIII16sQHHBBBB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """One end's versions, features and receive limits, as on the wire.

    `instance` names a server's run, 16 random bytes that change when it restarts; a client's is zeros.  A field called
    `..._width` is the bit length of its limit: `w` states a limit of at least `2 ** (w - 1)`, which is what the peer
    obeys.
    """

    min_version: int = VERSION
    max_version: int = VERSION
    features: int
    body_bytes: int
    message_bytes: int
    credit_bytes: int
    ping_milliseconds: int
    dead_milliseconds: int
    value_items: int = 0
    instance: bytes = bytes(INSTANCE_BYTES)
    value_bytes: int = 0
    value_depth: int = 0
    unseeded_members: int = 0
    int_width: int = 0
    decimal_digits_width: int = 0
    decimal_exponent_width: int = 0
    streams_width: int = 0

    def __post_init__(self) -> None:
        if len(self.instance) != INSTANCE_BYTES:
            raise Misuse(f"expected an instance of {INSTANCE_BYTES} bytes, found {len(self.instance)}")

    @classmethod
    def of(cls, limits: Limits, features: int, instance: bytes = bytes(INSTANCE_BYTES)) -> Parameters:
        """Return the parameters that state these limits."""
        return cls(
            features=features,
            body_bytes=limits.body_bytes,
            message_bytes=limits.message_bytes,
            credit_bytes=limits.credit_bytes,
            ping_milliseconds=round(limits.ping_seconds * 1000),
            dead_milliseconds=round(limits.dead_seconds * 1000),
            value_items=limits.value_items,
            instance=instance,
            value_bytes=limits.value_bytes,
            value_depth=limits.value_depth,
            unseeded_members=limits.unseeded_members,
            int_width=limits.int_bits.bit_length(),
            decimal_digits_width=limits.decimal_digits.bit_length(),
            decimal_exponent_width=limits.decimal_exponent.bit_length(),
            streams_width=limits.streams.bit_length(),
        )

    def limits(self, base: Limits = Limits.DEFAULT) -> Limits:
        """Return what this end receives, as `Limits`; what parameters do not state is taken from `base`.

        Peers that state the same get the same object.  Raises `Misuse` for figures that no `Limits` may hold;
        parameters that were unpacked hold none.
        """
        return _limits_of(self, base)

    def pack(self) -> bytes:
        """Return the 64 bytes."""
        return _LAYOUT.pack(*(getattr(self, name) for name in _FIELDS))

    @classmethod
    def unpack(cls, packed: bytes, *, of_server: bool) -> Parameters:
        """Return the parameters that the peer packed; `of_server` says which end it is.

        Raises `VersionMismatch` where the peer does not speak version 1, `IllegalFrame` for a wrong length, for figures
        outside the bounds of `Limits`, for a client with an instance and for a server without.
        """
        if len(packed) != PARAMETERS_BYTES:
            raise IllegalFrame(f"expected parameters of {PARAMETERS_BYTES} bytes, found {len(packed)}")
        stated = cls(**dict(zip(_FIELDS, _LAYOUT.unpack(packed), strict=True)))
        if not stated.min_version <= VERSION <= stated.max_version:
            raise VersionMismatch(
                f"this end speaks version {VERSION}, the peer speaks {stated.min_version} to {stated.max_version}"
            )
        if any(stated.instance) != of_server:
            raise IllegalFrame("expected an instance from a server, and none from a client")
        try:
            stated.limits()
        except Misuse as error:
            raise IllegalFrame(f"the peer states an impossible limit: {error}") from None
        return stated


_FIELDS = tuple(field.name for field in fields(Parameters))
"""The order of the fields is the order of the wire."""


@lru_cache(maxsize=KEPT_LIMITS)
def _limits_of(stated: Parameters, base: Limits) -> Limits:
    figures: dict[str, Any] = {
        "value_items": stated.value_items,
        "value_bytes": stated.value_bytes,
        "value_depth": stated.value_depth,
        "unseeded_members": stated.unseeded_members,
        "int_bits": _from_width(stated.int_width),
        "decimal_digits": _from_width(stated.decimal_digits_width),
        "decimal_exponent": _from_width(stated.decimal_exponent_width),
        "streams": _from_width(stated.streams_width),
    }
    return replace(
        base,
        body_bytes=stated.body_bytes,
        message_bytes=stated.message_bytes,
        credit_bytes=stated.credit_bytes,
        ping_seconds=stated.ping_milliseconds / 1000,
        dead_seconds=stated.dead_milliseconds / 1000,
        **{name: figure or getattr(Limits.DEFAULT, name) for name, figure in figures.items()},
    )


def _from_width(width: int) -> int:
    """Return the least figure of that many bits, 0 for no statement."""
    return 1 << width >> 1
