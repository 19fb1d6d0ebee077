"""The fuzzer: one target for each thing that reads bytes from a stranger, and engines that bring inputs to them.

A target is a module `fuzz/<name>_target.py` with two functions:

    seeds() -> list[bytes]       well-formed inputs to start from
    one(data: bytes) -> None     read one input; return for success and every documented error, raise for anything else

`targets.py` finds them, `oracle.py` judges each input, `engines.py` has the engines, `corpus.py` makes the corpora that
are committed, `oss-fuzz/` is the project for OSS-Fuzz.  Run `python -m fuzz --help`.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
"""A target may lie in another folder `fuzz/` of the path: those of the tests do, which are there to be found."""
