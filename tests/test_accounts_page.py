"""The examples of docs/accounts.md run as they stand, one after the other, and its tables are the code's."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from netstructer.keys import Key
from netstructer.services import accounts as accounts_package
from netstructer.services.accounts import REGISTRATIONS, STATUSES, Accounts
from netstructer.services.password_policy import PasswordPolicy

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "accounts.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key = Key.generate()
    names: dict[str, Any] = {
        "__name__": "example",
        "LIST": [],
        "present": 2,
        "key": key,
        "fingerprint": key.fingerprint,
    }
    names["link"] = SimpleNamespace(user="ada-laptop")
    with ExitStack() as opened:
        real = Accounts.__init__

        def noted(self: Accounts, *arguments: Any, **options: Any) -> None:
            real(self, *arguments, **options)
            opened.callback(self.close)

        monkeypatch.setattr(Accounts, "__init__", noted)
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"example {number}", "exec"), names)
            if number == 1:
                names["accounts"].create("eve", "what eve alone knows")
            names["account"] = names.get("account", names["ada"])
        accounts = names["accounts"]

        assert len(BLOCKS) == 9
        assert names["account"].name == "ada"
        assert tuple(names["entry"]) == (True, 1)
        assert accounts.get("eve").status == "banned"
        assert accounts.get("bob").status == "active"
        assert accounts.statistics("ada")["broadcasts"] == 1


def test_the_page_names_what_there_is() -> None:
    methods = [name for name in dir(Accounts) if not name.startswith("_")]
    quiet = {
        "check",
        "close",
        "disallow",
        "demote",
        "path",
        "policy",
        "remove",
        "remove_role",
        "revoke",
        "unbind",
        "waits",
    }
    quiet |= {"all_statistics", "bound", "get", "increment_all", "invitations", "quotas", "roles", "withdraw"}

    assert [name for name in methods if name not in quiet and not re.search(rf"\b{name}\b", PAGE)] == []
    assert [status for status in STATUSES if f"| `{status}` |" not in PAGE] == []
    assert [policy for policy in REGISTRATIONS if f'| `"{policy}"` |' not in PAGE] == []
    assert [field.name for field in fields(PasswordPolicy) if f"`{field.name}`" not in PAGE] == []
    assert {"Account", "AccountEvent", "Accounts", "Quota"} <= set(accounts_package.__all__)
