"""A relay between client and server that counts what the client sends."""

from __future__ import annotations

import socket
import threading

from bench.peers import HOST

__all__ = ["Relay"]


class Relay:
    """Stands between client and server and counts what the client sends."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._port = port
        self._listener = socket.create_server((HOST, 0))
        self.here: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection((HOST, self._port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            while received := source.recv(1 << 18):
                if counted:
                    self.sent += len(received)
                sink.sendall(received)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
