"""Builds the accelerator of the value codec, where there is a C compiler; where there is none, nothing is missing.

Everything else that is to say about the package stands in pyproject.toml and setup.cfg.  With NETSTRUCTER_PURE=1 no
accelerator is built: the wheel is then one for every machine.
"""

import importlib.util
import os
import platform
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from setuptools import Extension, setup

CODEC = Path(__file__).resolve().parent / "netstructer" / "codec"


def read_freshness() -> ModuleType:
    spec = importlib.util.spec_from_file_location("freshness", CODEC / "freshness.py")
    assert spec is not None
    assert spec.loader is not None
    freshness = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(freshness)
    return freshness


def extensions() -> list[Extension]:
    if os.environ.get("NETSTRUCTER_PURE", "") not in ("", "0"):
        return []
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return []  # it is written for the one, and relies on the lock that the other does without
    if sys.maxsize < 1 << 62:
        return []  # it takes a length of 2^30 and more for one that is not there, which is so where sizes have 64 bits
    freshness = read_freshness()
    return [
        Extension(
            "netstructer.codec._fast",
            ["netstructer/codec/_fast.pyx"],
            depends=[f"netstructer/codec/{name}" for name in ("freshness.py", *freshness.SOURCES)],
            define_macros=[("NETSTRUCTER_SOURCES", f'"{freshness.digest(CODEC)}"')],
            extra_compile_args=["-O2", "-g0"] if os.name == "posix" else [],
            optional=True,  # a build that fails is reported, and is no failure
        )
    ]


# Without Cython the extension is not built either: setuptools looks for a C file that is not there.
has_cython = importlib.util.find_spec("Cython") is not None
setup(ext_modules=extensions(), options={"build_ext": {"cython_c_in_temp": True}} if has_cython else {})
