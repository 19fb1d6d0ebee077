"""The files in examples/service: each says what is so, names what is there, and gives nobody more than they need.

Neither systemd nor a container runs here.  So the files are read, what they name is held to the package, and the server
is started with the arguments, the variables and the directories that the unit would give it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from netstructer import Key, Link
from netstructer.cli.app import app
from netstructer.cli.outcomes import ExitCode
from netstructer.services.configuration import SECTIONS, load
from netstructer.services.configuration.section import RESERVED
from test_cli import finished, listening
from test_cli_config import told_at

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "examples" / "service"
STATE = "/var/lib/netstructer"
TOML = tomllib.loads((HERE / "server.toml").read_text(encoding="utf-8"))
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}


def unit() -> dict[str, list[str]]:
    """Return the settings of the unit, by name."""
    found: dict[str, list[str]] = {}
    for line in (HERE / "netstructer.service").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def instructions() -> list[tuple[str, str]]:
    """Return what the Dockerfile says, one instruction after the other."""
    text = (HERE / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], " ".join(line.partition(" ")[2].split())) for line in lines]


def of(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def unknown_variables(assignments: dict[str, str]) -> list[str]:
    """Return the variables of ours that no option and nothing else reads."""
    return [name for name in assignments if name.startswith("NETSTRUCTER_") and not _is_read(name)]


def _is_read(name: str) -> bool:
    return name in SECTIONS.variables or name in RESERVED


# --- the configuration ------------------------------------------------------------------------------------------------


def test_the_configuration_is_right_and_keeps_all_in_one_place() -> None:
    found = load(HERE / "server.toml", environ={})
    paths = [value for name, value in found.given().items() if SECTIONS.options[name].kind == "path"]

    assert found.notes == ()
    assert paths
    assert all(str(path).startswith(f"{STATE}/") for path in paths)


# --- systemd ----------------------------------------------------------------------------------------------------------


def test_the_unit_says_what_is_so() -> None:
    settings = unit()
    executable, *arguments = shlex.split(settings["ExecStart"][0])
    environment = dict(part.partition("=")[::2] for part in settings["Environment"])
    directories = {f"/var/lib/{name}" for name in settings["StateDirectory"][0].split()}

    assert settings["Type"] == ["notify"]  # test_the_server_does_as_the_unit_says holds that it does
    assert settings["SuccessExitStatus"] == [str(int(ExitCode.INTERRUPTED))]
    assert float(settings["TimeoutStopSec"][0]) > TOML["server"]["drain_seconds"]
    assert int(settings["LimitNOFILE"][0]) > TOML["server"]["max_links"]
    assert (os.path.basename(executable), arguments) == (
        "netstructer",
        ["serve", "--config", "/etc/netstructer/server.toml"],
    )
    assert unknown_variables(environment) == []
    assert {TOML["files"]["directory"], TOML["limits"]["spool_directory"], STATE} <= directories


def test_the_unit_gives_the_server_no_more_than_it_needs() -> None:
    settings = unit()
    wanted = {
        "DynamicUser": ["yes"],
        "NoNewPrivileges": ["yes"],
        "PrivateTmp": ["yes"],
        "PrivateDevices": ["yes"],
        "ProtectHome": ["yes"],
        "ProtectSystem": ["strict"],
        "CapabilityBoundingSet": [""],
        "UMask": ["0077"],
        "LimitCORE": ["0"],
    }

    assert {name: settings.get(name) for name in wanted} == wanted
    assert not re.search(r"(?i)key=|password|secret", (HERE / "netstructer.service").read_text(encoding="utf-8"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (HERE / "netstructer.service").read_text(encoding="utf-8")
    # The program of the unit is not installed here.
    here = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text)

    assert complaints(here, tmp_path) == []
    assert len(complaints(here.replace("ProtectClock=yes", "ProtectClock=perhaps"), tmp_path)) == 1
    assert len(complaints(here.replace("ProtectClock=", "ProtectClocks="), tmp_path)) == 1


def complaints(text: str, tmp_path: Path) -> list[str]:
    """Return what systemd says about a unit; what it says about others is of no interest."""
    place = tmp_path / "netstructer.service"
    place.write_text(text, encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", place], capture_output=True, text=True, timeout=60)
    return [line for line in done.stderr.splitlines() if "netstructer.service:" in line]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs a Unix socket")
def test_the_server_does_as_the_unit_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = unit()
    _, *arguments = shlex.split(settings["ExecStart"][0])
    state, logs = tmp_path / "lib", tmp_path / "log"
    for name in settings["StateDirectory"][0].split():
        (state / name).mkdir(parents=True)
    for assignment in settings["Environment"]:
        name, _, value = assignment.partition("=")
        monkeypatch.setenv(name, value.replace("%S", str(state)).replace("%L", str(logs)))
    place = tmp_path / "server.toml"
    text = (HERE / "server.toml").read_text(encoding="utf-8").replace("/var/lib", str(state))
    place.write_text(text.replace('"0.0.0.0"', '"127.0.0.1"').replace("port = 5000", "port = 0"), encoding="utf-8")
    arguments[arguments.index("/etc/netstructer/server.toml")] = str(place)
    monkeypatch.chdir(tmp_path)
    with told_at("notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", os.path.abspath("notify"))
        with listening(*arguments, key=None) as (server, address):
            told = manager.recv(1000)
            with Link(address, key=Key.load(state / "netstructer" / "netstructer" / "key")) as link:
                link.ping()
            server.send_signal(signal.SIGTERM)
            code, _, _ = finished(server)
    log = (logs / "netstructer" / "server.log").read_text(encoding="utf-8")

    assert told.startswith(b"READY=1\n")
    assert [str(code)] == settings["SuccessExitStatus"]
    assert f"= server at {address}" in log
    assert (state / "netstructer" / "netstructer" / "identity").exists()


# --- containers -------------------------------------------------------------------------------------------------------


def test_the_image_runs_as_nobody_in_particular() -> None:
    names = [name for name, _ in instructions()]
    users = of("USER")
    made = next(rest for rest in of("RUN") if "install -d" in rest)

    assert names.index("USER") < names.index("ENTRYPOINT")
    assert [re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user) is not None for user in users] == [True]
    assert made.startswith(f"install -d -m 0700 -o {users[0].partition(':')[0]} ")
    assert {TOML["files"]["directory"], TOML["limits"]["spool_directory"]} <= set(made.split())
    assert not re.search(r"(?i)password|secret|NETSTRUCTER_KEY\b", (HERE / "Dockerfile").read_text(encoding="utf-8"))


def test_the_image_names_what_is_there() -> None:
    environment = dict(part.partition("=")[::2] for part in shlex.split(of("ENV")[0]))
    copies = [rest.split() for rest in of("COPY") if not rest.startswith("--from")]

    assert of("FROM") == ["python:3.13 AS build", "python:3.13-slim"]
    assert all((ROOT / source).exists() for *sources, _ in copies for source in sources)
    assert ["examples/service/server.toml", environment["NETSTRUCTER_CONFIG"]] in copies
    assert unknown_variables(environment) == []
    assert of("VOLUME") == of("WORKDIR")[1:] == [environment["XDG_CONFIG_HOME"]] == [STATE]
    assert of("EXPOSE") == [str(TOML["server"]["port"])]
    assert json.loads(of("ENTRYPOINT")[0]) == ["netstructer"]
    assert json.loads(of("CMD")[0])[0] in COMMANDS
    check = json.loads(of("HEALTHCHECK")[0].partition(" CMD ")[2])
    assert (check[0], check[1] in COMMANDS, check[2]) == ("netstructer", True, f"127.0.0.1:{TOML['server']['port']}")


def test_what_the_image_is_built_from_reaches_it() -> None:
    kept = {line[1:] for line in (HERE / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert {project["readme"], *project["license-files"], "pyproject.toml", "setup.cfg", "setup.py"} <= kept
    assert {"netstructer", "examples/service/server.toml"} <= kept
    assert all((ROOT / name).exists() for name in kept)


def test_the_compose_file_names_what_is_there() -> None:
    yaml = pytest.importorskip("yaml")
    whole = yaml.safe_load((HERE / "compose.yaml").read_text(encoding="utf-8"))
    service = whole["services"]["netstructer"]
    mounts = dict(volume.split(":")[:2] for volume in service["volumes"])
    port = str(TOML["server"]["port"])

    assert (HERE / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).exists()
    assert set(whole["volumes"]) == {"state"}
    assert mounts == {"state": STATE, "./server.toml": "/etc/netstructer/server.toml"}
    assert service["ports"] == [f"{port}:{port}"]
    assert service["user"] == of("USER")[0]
    assert unknown_variables(service["environment"]) == []
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].rstrip("s")) > TOML["server"]["drain_seconds"]
    assert service["ulimits"]["core"] == 0


def test_a_variable_that_nobody_reads_is_found() -> None:
    assert unknown_variables({"NETSTRUCTER_SERVER_PROT": "1", "PATH": "x", "NETSTRUCTER_SERVER_PORT": "1"}) == [
        "NETSTRUCTER_SERVER_PROT"
    ]
