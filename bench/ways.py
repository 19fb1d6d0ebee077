"""The ways to put a file or a tree on another machine: ours, scp, rsync, HTTPS from the standard library.

Each starts a server process and gives the command of a client process.  Nothing of the user's is read or written: ssh
gets keys, a list of known hosts and a configuration of its own, netstructer a home and a key of its own.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

__all__ = ["ROOT", "WAYS", "Job", "Running", "Way", "WayFailed", "last_words"]

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
"""Where `python -m` finds us, installed or not."""
OWN = (sys.executable, "-m", "bench.ways")
START_SECONDS = 15.0


class WayFailed(Exception):
    """A process of a way failed; the text says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to arrive where: `source` as `destination / source.name`."""

    source: Path
    destination: Path
    """A folder that is there, and empty."""
    names: Path
    """A JSON list of the files of `source`, relative to its parent: what a script over HTTP knows beforehand."""
    scratch: Path
    """For keys and configurations; with the run's `config.json` (see certificates.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that accepts connections."""

    port: int
    pid: int


class Way:
    """One way: how its server is started and what its client's command is."""

    name: ClassVar[str]
    one_process: ClassVar[bool] = True
    """Whether each end is one process, so that its peak of resident memory is the way's."""

    def missing(self) -> str | None:
        """Return why this machine cannot do it, or None."""
        return None

    def prepare(self, job: Job) -> dict[str, str]:
        """Make keys and configurations; return what both processes get in their environment."""
        return {}

    def server(self, job: Job, port: int) -> list[str]:
        """Return the command that serves at a port."""
        raise NotImplementedError

    def client(self, job: Job, port: int) -> list[str]:
        """Return the command whose end is the end of the transfer."""
        raise NotImplementedError

    @contextlib.contextmanager
    def serving(self, job: Job, environment: dict[str, str]) -> Iterator[Running]:
        """Run the server until the block ends."""
        port = _free_port()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                self.server(job, port),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, **environment},
                cwd=ROOT,
            )
            try:
                _wait_for(port, process, errors)
                yield Running(port=port, pid=process.pid)
            finally:
                process.kill()
                process.wait()


# --- netstructer ------------------------------------------------------------------------------------------------------


class Put(Way):
    """`netstructer put` and `netstructer serve --files`, as the README shows them."""

    name = "netstructer"

    def prepare(self, job: Job) -> dict[str, str]:
        config = json.loads((job.scratch / "config.json").read_text("utf-8"))
        home = job.scratch / "home"
        home.mkdir(exist_ok=True)
        return {"NETSTRUCTER_KEY": config["fernet_key"], "HOME": str(home), "XDG_STATE_HOME": str(home)}

    def server(self, job: Job, port: int) -> list[str]:
        return [sys.executable, "-m", "netstructer", "serve", "--files", str(job.destination), f"{HOST}:{port}"]

    def client(self, job: Job, port: int) -> list[str]:
        return [sys.executable, "-m", "netstructer", "put", str(job.source), f"{HOST}:{port}"]


# --- over ssh ---------------------------------------------------------------------------------------------------------


class Ssh(Way):
    """What a copy over ssh needs: an sshd of our own on loopback, with a host key and a user key of this run."""

    one_process = False
    programs: ClassVar[tuple[str, ...]]

    def missing(self) -> str | None:
        for program in ("sshd", "ssh", "ssh-keygen", *self.programs):
            if _find(program) is None:
                return f"no {program} on this machine"
        if os.geteuid() == 0 and not os.path.isdir("/run/sshd"):
            return "sshd run by root wants the directory /run/sshd"
        return None

    def prepare(self, job: Job) -> dict[str, str]:
        scratch = job.scratch
        for name in ("ssh_host", "ssh_user"):
            if not (scratch / name).exists():
                command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(scratch / name)]
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return {}

    def server(self, job: Job, port: int) -> list[str]:
        scratch = job.scratch
        kind, key = (scratch / "ssh_host.pub").read_text("utf-8").split()[:2]
        (scratch / "known_hosts").write_text(f"[{HOST}]:{port} {kind} {key}\n", "utf-8")
        options = {
            "Port": port,
            "ListenAddress": HOST,
            "HostKey": scratch / "ssh_host",
            "PidFile": "none",
            "AuthorizedKeysFile": scratch / "ssh_user.pub",
            "StrictModes": "no",  # the folder of the run is below a directory that anybody may write to
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "Subsystem": "sftp internal-sftp",
            "LogLevel": "ERROR",
        }
        (scratch / "sshd_config").write_text("".join(f"{name} {what}\n" for name, what in options.items()), "utf-8")
        # In the foreground, and by its whole path: it starts itself again for each connection.
        return [_find("sshd") or "sshd", "-D", "-e", "-f", str(scratch / "sshd_config")]

    def options(self, job: Job) -> list[str]:
        """Return the options that keep ssh away from what is the user's."""
        settings = {
            "IdentityFile": job.scratch / "ssh_user",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": job.scratch / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "BatchMode": "yes",
        }
        return ["-F", "/dev/null", *(part for name, what in settings.items() for part in ("-o", f"{name}={what}"))]


class Scp(Ssh):
    """As it is: over SFTP, where the client is of 2022 or later."""

    name = "scp"
    programs = ("scp",)

    def client(self, job: Job, port: int) -> list[str]:
        target = f"{HOST}:{job.destination}/"
        return ["scp", "-q", "-r", *self.options(job), "-P", str(port), str(job.source), target]


class Rsync(Ssh):
    """`rsync -a`, into an empty folder: there is nothing that it could leave out."""

    name = "rsync over ssh"
    programs = ("rsync",)

    def client(self, job: Job, port: int) -> list[str]:
        shell = " ".join(["ssh", *self.options(job), "-p", str(port)])
        return ["rsync", "-a", "-e", shell, str(job.source), f"{HOST}:{job.destination}/"]


# --- the standard library ---------------------------------------------------------------------------------------------


class Https(Way):
    """`http.server` with a certificate, and a script that fetches with `urllib`: the client is who receives."""

    name = "http.server over TLS"

    def server(self, job: Job, port: int) -> list[str]:
        return [*OWN, "serve", str(job.source.parent), str(port), str(job.scratch / "config.json")]

    def client(self, job: Job, port: int) -> list[str]:
        return [*OWN, "fetch", str(job.names), str(job.destination), str(port), str(job.scratch / "config.json")]


WAYS: dict[str, Way] = {way.name: way for way in (Put(), Scp(), Rsync(), Https())}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class _SecuredServer(http.server.ThreadingHTTPServer):
    """Does the handshake in the thread of the connection, so that one client does not wait for another's."""

    context: ssl.SSLContext

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError):
            super().process_request_thread(self.context.wrap_socket(request, server_side=True), client_address)


def _serve(folder: str, port: str, config_path: str) -> None:
    config = json.loads(Path(config_path).read_text("utf-8"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config["certificate"], config["private_key"])
    server = _SecuredServer((HOST, int(port)), functools.partial(_Quiet, directory=folder))
    server.context = context
    server.serve_forever()


def _fetch(names: str, folder: str, port: str, config_path: str) -> None:
    config = json.loads(Path(config_path).read_text("utf-8"))
    context = ssl.create_default_context(cafile=config["authority"])
    for name in json.loads(Path(names).read_text("utf-8")):
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        url = f"https://localhost:{port}/{quote(name)}"
        with urllib.request.urlopen(url, context=context) as reply, open(path, "wb") as file:
            shutil.copyfileobj(reply, file, 1 << 20)


def _find(program: str) -> str | None:
    # A user's path seldom has the directories of what only servers run.
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return shutil.which(program, path=places)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], errors: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                errors.seek(0)
                raise WayFailed(f"the server ended with {process.returncode}: {last_words(errors.read())}") from None
            if time.monotonic() > deadline:
                raise WayFailed(f"the server did not listen within {START_SECONDS:.0f} s") from None
            time.sleep(0.02)


def last_words(errors: bytes) -> str:
    """Return the last line that a process wrote to its standard error."""
    lines = errors[-4000:].decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:200] if lines else "nothing on stderr"


if __name__ == "__main__":
    {"serve": _serve, "fetch": _fetch}[sys.argv[1]](*sys.argv[2:])
