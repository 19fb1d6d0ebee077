"""What the peers need to know each other by, fresh for each run: certificates, a shared key, a password."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from netstructer import Key
from netstructer.cli.certificates import write_certificates

__all__ = ["write_config"]


def write_config(folder: Path) -> Path:
    """Make everything in `folder` and return the path of the JSON that says where it is."""
    config: dict[str, Any] = {
        "fernet_key": Key.generate().reveal(),
        "password": secrets.token_hex(16),
        **write_certificates(folder),
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path
