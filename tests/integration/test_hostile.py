#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A sample of the hostile soak (tests/soak): five attacks, and a hand-off under each. Before it what
another user of the device can ask for, and what he cannot (A3, N10)."""
import json
import pathlib
import re
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))
import arena    # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from kithlab import refusal     # noqa: E402
from lab import Lab     # noqa: E402
from shell import as_user   # noqa: E402
from tap import Tap     # noqa: E402

SAMPLE = ("500 idle, 50 addresses", "mDNS, hostile TXT", "local, both sockets")
SECONDS = 4
OTHER = "daemon"
SILENCE = 10        # agent/control.h


def ask(path: str, op: str) -> str:
    """The line with which kithd answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(path)
        sock.sendall(json.dumps({"id": 1, "op": op}).encode() + b"\n")
        return sock.makefile().readline()


def silent(path: str) -> tuple[float, str]:
    """How long a connection that asks nothing lives, and what the one too many hears."""
    begin = time.monotonic()
    socks = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for sock in socks:
        sock.settimeout(SILENCE + 10)
        sock.connect(path)
    last = socks[4].makefile().readline()
    socks[0].recv(1)
    return time.monotonic() - begin, last


def other_user(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A3, N10: he may ask how it is and who is there, no more, and has four places."""
    path = str(laptop.host_path("/run/kith/kithd/control.sock"))
    for op in ("status", "devices"):
        line = as_user(OTHER, lambda o=op: ask(path, o))
        tap.ok(json.loads(line)["ok"], f"another user may ask for {op}", line)
        tap.ok(not re.search(r'"[0-9a-f]{32}"', line), f"N10 {op} names no hand-off", line)
    for op in ("jobs", "watch", "vms"):
        answer = json.loads(as_user(OTHER, lambda o=op: ask(path, o)))
        tap.equal(answer.get("error", {}).get("code"), "not-allowed", f"N10 not for {op}")
        tap.ok(len(answer.get("error", {}).get("text", "").split()) > 5, "with a sentence")
        if op != "vms":
            tap.ok(json.loads(ask(path, op))["ok"], f"N10 the owner may ask for {op}")
    seconds, last = as_user(OTHER, lambda: silent(path))
    tap.equal(json.loads(last or "{}").get("error", {}).get("code"), "busy",
              "A3 whoever finds no place hears `busy`")
    tap.ok(SILENCE - 2 < seconds < SILENCE + 5, "A3 who asks nothing is hung up on",
           f"{seconds:.1f} s")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b'{"id":1,"op":"watch"}\n')
        sock.settimeout(SILENCE + 3)
        words = sock.makefile()
        tap.ok(json.loads(words.readline())["ok"], "the owner watches")
        try:
            ended = sock.recv(1, socket.MSG_PEEK) == b""
        except TimeoutError:
            ended = False
        tap.ok(not ended, "A3 and may be silent as long as he likes")
    full = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for sock in full:
        sock.connect(path)
    no = refusal(laptop, "devices")
    tap.ok(no and no.code == "busy" and no.status == 75 and "Too many" in no.text,
           "A3 `kith` tells full from absent", str(no))
    text = laptop.run(["kith", "status"], check=False).stdout
    tap.ok("no room" in text and "does not answer" not in text, "A3 and so does `kith status`", text)
    for sock in full:
        sock.close()
    tap.ok(kithlab.sighting(laptop, desktop), "then there is room again")


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    place = arena.Arena(lab)
    tap.note(f"undisturbed: hand-off {place.usual_s:.1f} s")
    other_user(tap, place.laptop, place.desktop)
    for name in SAMPLE:
        result = place.run(next(row for row in arena.ROWS if row.name == name), SECONDS)
        tap.note(" | ".join(result.cells()))
        tap.equal(result.problems(), [], f"D {name}")
    tap.ok(kithlab.ticks_now(place.guest, place.here), "the guest runs")


if __name__ == "__main__":
    kithlab.run_tests("hostile", body)
