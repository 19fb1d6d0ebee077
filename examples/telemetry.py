"""Telemetry: sensors push readings to a station, which answers all of them at once with a broadcast.

    python examples/telemetry.py

Each sensor has a key of its own, so the station knows who sent a reading, and a key that is lost lets in nobody else.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from netstructer import Key, Link, Server

START = datetime(2025, 1, 1, tzinfo=UTC)


def measure(name: str, address: tuple[str, int], key: Key) -> None:
    """Be a sensor: push a hundred readings, then take one new setting from the station."""
    with Link(address, key=key) as link:
        readings = [(START + timedelta(seconds=second), 20.0 + second / 10) for second in range(100)]
        sent = link.send_many(readings)  # small values share records: the cheapest way to send many
        print(f"{name}: 100 readings, {sent.plain_bytes} bytes plain, {sent.wire_bytes} on the wire\n", end="")
        print(f"{name}: new setting {link.recv(timeout=10)}\n", end="")


def main() -> None:
    keys = {name: Key.generate() for name in ("attic", "cellar", "garden")}
    with Server(key=keys) as station:
        sensors = [threading.Thread(target=measure, args=(name, station.address, key)) for name, key in keys.items()]
        for sensor in sensors:
            sensor.start()
        links = [station.accept(timeout=10) for _ in sensors]
        for link in sorted(links, key=lambda link: link.user or ""):
            readings = [link.recv(timeout=10) for _ in range(100)]
            when, warmest = max(readings, key=lambda reading: reading[1])
            print(f"station: {link.user} was warmest at {when:%H:%M:%S}, {warmest:.1f} degrees")
        done = station.broadcast({"interval": timedelta(minutes=5), "unit": "C"})
        print(f"station: new setting sent to {len(done.sent)}, skipped {len(done.skipped)}")
        for sensor in sensors:
            sensor.join()


if __name__ == "__main__":
    main()
