"""Conversations as pure machines: the handshake, the records, the session.  Floor: PROTOCOL.

Law: no socket, no thread, no loop and no clock.  Bytes and times come in by calls; bytes and events are handed out.
"""
