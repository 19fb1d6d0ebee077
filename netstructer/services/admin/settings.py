"""Settings: what of a configuration may change while the server runs.  Floor: SERVICES.

Law: a table; what is not in it is shown, and changed only by a new start.  What is set here lasts until the server
ends: its configuration is a file that somebody keeps, and is not written by a program.

    server.max_links       how many links there may be; those that are open stay
    admin.greeting         what new links are told
    admin.maintenance      why nobody but administrators is let in; empty lets everybody in
    logs.level             what is less than this is not logged; where log files are written
    accounts.registration  who may make an account for himself; where there are accounts

An application has settings of its own in it: `Admin(settings=[Setting(...)])`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from netstructer.errors import Misuse
from netstructer.services.admin.desk import Desk
from netstructer.services.admin.kinds import Plain, Text
from netstructer.services.admin.office import Office
from netstructer.services.admin.verbs import Facts, verb
from netstructer.services.configuration import SECTIONS, Configuration, Option, Value

__all__ = ["Setting", "SettingVerbs", "usual_settings"]

logger = logging.getLogger("netstructer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An option that may change live: a row of the table of options, and what reads and writes it."""

    section: str
    option: Option
    read: Callable[[], Value]
    write: Callable[[Value], object]

    @property
    def name(self) -> str:
        """Its full name, as `server.max_links`."""
        return f"{self.section}.{self.option.name}"


class SettingVerbs(Desk):
    """What may be asked of the configuration."""

    _settings: dict[str, Setting]
    _configuration: Configuration | None

    @verb("config.get")
    def get_config(self, name: Annotated[str, Text("an option; without, all", 128)] = "") -> list[Facts]:
        """Show options: their value, where it is from, and whether it may change while the server runs."""
        rows = {name: _live(setting) for name, setting in self._settings.items()}
        if self._configuration is not None:
            found = self._configuration
            fixed = {
                option: {"option": option, "value": _shown(value), "live": False, "from": str(found.origins[option])}
                for option, value in found.values.items()
            }
            rows = {option: rows.get(option, row) for option, row in fixed.items()} | rows
        if not name:
            return list(rows.values())
        if name not in rows:
            raise Misuse(f"there is no such option here{_advice(name, rows)}")
        return [rows[name]]

    @verb("config.set")
    def set_config(
        self,
        name: Annotated[str, Text("an option that may change live", 128)],
        value: Annotated[Value, Plain("what it is to be")],
    ) -> Facts:
        """Change an option of the running server; a new start takes what its configuration says again."""
        setting = self._settings.get(name)
        if setting is None:
            live = ", ".join(self._settings)
            raise Misuse(f"this option is not one that changes while the server runs: {live}")
        option = setting.option
        try:
            if value in ("", None) and option.default is None:
                wanted = None
            else:
                wanted = option.parse(value) if isinstance(value, str) else option.read(value)
        except Misuse as error:
            raise Misuse(f"{name}: {error}") from None
        setting.write(wanted)
        logger.info("= %s was set while the server runs", name)
        return _live(setting)


def _live(setting: Setting) -> Facts:
    return {"option": setting.name, "value": _shown(setting.read()), "live": True, "from": "now"}


def _shown(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value


def _advice(name: str, known: dict[str, Facts]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def usual_settings(office: Office, maintain: Callable[[str | None], None]) -> Iterator[Setting]:
    """Return what may change live at every server; `maintain(reason)` begins a maintenance, or ends it."""

    def set_max_links(value: Value) -> None:
        office.server.max_links = value

    def set_greeting(value: Value) -> None:
        office.greeting = "" if value is None else str(value)

    def set_maintenance(value: Value) -> None:
        maintain(None if value is None else str(value))

    options = SECTIONS.options
    links = options["server.max_links"]
    yield Setting(section="server", option=links, read=lambda: int(office.server.max_links), write=set_max_links)
    yield Setting(
        section="admin", option=options["admin.greeting"], read=lambda: office.greeting or None, write=set_greeting
    )
    yield Setting(
        section="admin", option=options["admin.maintenance"], read=lambda: office.maintenance, write=set_maintenance
    )
    logs, accounts = office.logs, office.accounts
    if logs is not None:

        def set_level(value: Value) -> None:
            logs.level = str(value)

        yield Setting(section="logs", option=options["logs.level"], read=lambda: logs.level, write=set_level)
    if accounts is not None:

        def set_registration(value: Value) -> None:
            accounts.registration = value  # type: ignore[assignment]  # one of its choices, as the option has checked

        yield Setting(
            section="accounts",
            option=options["accounts.registration"],
            read=lambda: accounts.registration,
            write=set_registration,
        )
