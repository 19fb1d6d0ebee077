"""`python -m netstructer`: the same as the command `netstructer`.  Floor: ROOF."""

from __future__ import annotations

from netstructer.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
