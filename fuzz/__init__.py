"""The fuzzer: one target for each thing that reads bytes from a stranger, and a driver that mutates what they read.

A target is a module `fuzz/<name>_target.py` with two functions:

    seeds() -> list[bytes]       well-formed inputs to start from
    one(data: bytes) -> None     read one input; return for success and every documented error, raise for anything else

Run `python -m fuzz --help`.
"""
