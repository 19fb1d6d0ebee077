"""One payload's street: value, fewer bytes, chunks, tokens, frames, and back.  Floor: CODEC.

Law: bytes in, bytes out.  Each step is a stranger to the others; `protocol/session.py` introduces them to one another.
"""
