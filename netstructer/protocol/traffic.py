"""Traffic: what one session has moved.  Floor: PROTOCOL.  Law: facts only; who asks pays for the sum."""

from __future__ import annotations

from netstructer.protocol.inflow import Inflow
from netstructer.protocol.outflow import Outflow

__all__ = ["Traffic"]


class Traffic:
    """Messages and bytes of one session, both ways.  Single owner."""

    __slots__ = ("_inflow", "_outflow", "_plain_received", "_plain_sent", "messages_received", "messages_sent")

    def __init__(self, outflow: Outflow, inflow: Inflow) -> None:
        self._outflow, self._inflow = outflow, inflow
        self.messages_sent = self.messages_received = 0
        self._plain_sent = self._plain_received = 0

    def sent(self, messages: int, plain_bytes: int) -> None:
        """Count what was queued or sealed, without its blobs."""
        self.messages_sent += messages
        self._plain_sent += plain_bytes

    def received(self, plain_bytes: int, messages: int = 1) -> None:
        """Count messages that are whole, without their blobs."""
        self.messages_received += messages
        self._plain_received += plain_bytes

    @property
    def plain_sent(self) -> int:
        """Plain bytes of what was sent; of blobs, of those that are wholly sealed."""
        return self._plain_sent + self._outflow.plain_blob_bytes

    @property
    def plain_received(self) -> int:
        """Plain bytes of the messages and blobs that are whole."""
        return self._plain_received + self._inflow.arrivals.plain_bytes

    @property
    def waiting_bytes(self) -> int:
        """Plain bytes of the messages that are not wholly sealed, and those of records that are not acknowledged."""
        return self._outflow.lanes.waiting_bytes + self._outflow.kept.held_bytes

    @property
    def wire_sent(self) -> int:
        """Bytes of the frames that were sealed."""
        return self._outflow.wire_bytes

    @property
    def wire_received(self) -> int:
        """Bytes that came in."""
        return self._inflow.received_bytes
