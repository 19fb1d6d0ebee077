"""From a configuration to the arguments of a server.  Floor: SERVICES.  Law: nothing is opened here but files of keys.

    configuration = load("server.toml")
    with Server(**server_options(configuration, lan=lan_address)) as server: ...

`aio.Server` takes the same.  How to find the address in the local network comes in by the door: it needs a socket.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from netstructer.address import Address, parse_address
from netstructer.errors import MissingKey
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.services.configuration.limit_table import limits_of
from netstructer.services.configuration.loading import Configuration
from netstructer.services.configuration.option import parse_ports
from netstructer.services.configuration.origin import Strength
from netstructer.user_keys import UserKeys, UserRing

__all__ = ["listening_places", "server_arguments", "server_options"]


def server_options(configuration: Configuration, *, lan: Callable[[], str]) -> dict[str, Any]:
    """Return all that `Server` and `aio.Server` take, by name, as the sections `server` and `limits` say it.

    `lan()` returns this machine's address in the local network; it is asked only where the configuration wants it.
    Raises `MissingKey`, `InvalidKey`, and what `lan` raises.
    """
    told = configuration.section("server")
    key = _key_of(told["key_file"], told["users_file"])
    identity = True if told["identity"] == "default" else told["identity"]
    return {**server_arguments(configuration, lan=lan), "key": key, "identity": identity}


def server_arguments(configuration: Configuration, *, lan: Callable[[], str]) -> dict[str, Any]:
    """Return the same without `key` and `identity`, for whoever finds those in another way."""
    told = configuration.section("server")
    address, spare_ports = listening_places(configuration, lan=lan)
    return {
        "address": address,
        "spare_ports": spare_ports,
        "limits": limits_of(configuration.section("limits")),
        "bans": told["bans_file"],
        "padding": None if told["padding"] == "none" else told["padding"],
        **{name: told[name] for name in ("max_links", "compress", "hide_clock", "stealth", "pin_address", "cipher")},
    }


def listening_places(configuration: Configuration, *, lan: Callable[[], str]) -> tuple[Address, tuple[int, ...]]:
    """Return where to listen, and the ports to take in turn where that one is in use.

    Of `host` and `lan` the one that was said with more strength counts.
    """
    told = configuration.section("server")
    strength = {name: configuration.origins[f"server.{name}"].strength for name in ("host", "lan", "port")}
    host = lan() if told["lan"] and strength["lan"] > strength["host"] else told["host"]
    ports = [] if told["port_range"] is None else list(parse_ports(str(told["port_range"])))
    if not ports or strength["port"] > Strength.DEFAULT:
        ports.insert(0, told["port"])  # type: ignore[arg-type]  # the table says that it is a whole number
    return parse_address((str(host), ports[0])), tuple(port for port in ports[1:] if port != ports[0])


def _key_of(key_file: object, users_file: object) -> Key | KeyRing | None:
    """Return the keys that are named, None where none is: then the server looks where keys are."""
    key = None if key_file is None else _load(str(key_file))
    return key if users_file is None else UserRing(UserKeys(str(users_file)), shared=key, wall=time.time)


def _load(path: str) -> Key:
    try:
        return Key.load(path)
    except OSError as error:
        raise MissingKey(f"the key file {path} cannot be read: {error.strerror}") from error
