#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`kith console`: serial port and display of a VM, here and on another device, over a move; and who
is refused."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import Move, kith     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

SEEN = """    <serial type='pty'>
      <target type='isa-serial' port='1'/>
    </serial>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
"""
LEAVE = b"\x1d"


class Seen(Guest):
    """A guest with a second serial port, which is a terminal, and a display."""

    def xml(self) -> str:
        return super().xml().replace("    <memballoon", SEEN + "    <memballoon", 1)


class Console:
    """`kith console` that runs: what it wrote so far."""

    def __init__(self, device: Device, *words: str):
        self.out, self.said = bytearray(), bytearray()
        self.process = device.popen(["kith", "console", *words], None, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for pipe, store in ((self.process.stdout, self.out), (self.process.stderr, self.said)):
            threading.Thread(target=self._read, args=(pipe, store), daemon=True).start()

    @staticmethod
    def _read(pipe, store: bytearray) -> None:
        while piece := pipe.read1(4096):
            store += piece

    def type(self, keys: bytes) -> None:
        """Presses keys."""
        self.process.stdin.write(keys)
        self.process.stdin.flush()

    def wait(self, word: bytes, timeout: float = 15, after: int = 0) -> int:
        """Waits until the VM has written this after so many bytes; where it stands."""
        wait_for(f"{word!r} in the console ({bytes(self.said)!r})",
                 lambda: self.out.find(word, after) >= 0 or self.process.poll() is not None,
                 timeout, 0.05)
        return self.out.find(word, after)

    def ticks(self, timeout: float = 15) -> bool:
        """True if more ticks come from now on."""
        at = len(self.out)
        return self.wait(b"TICK", timeout, at) >= 0

    def end(self, timeout: float = 15) -> tuple[int, str]:
        """Exit status and what was said."""
        status = self.process.wait(timeout)
        time.sleep(0.1)
        return status, self.said.decode(errors="replace")


def code_of(said: str) -> str:
    """The stable code in a refusal for people."""
    return said.rsplit("(code: ", 1)[-1].split(")")[0] if "(code: " in said else ""


def refused(tap: Tap, device: Device, words: tuple, code: str, name: str) -> None:
    """This console does not open, and the code is this one."""
    status, said = Console(device, *words).end(30)
    tap.ok(status != 0 and code_of(said) == code, name, f"{status}: {said}")


def serial(tap: Tap, device: Device, name: str) -> None:
    """Ticks come, what is typed comes back, Ctrl-] leaves."""
    console = Console(device, "--serial", "work")
    tap.ok(console.ticks(), f"{name}: ticks come", console.said.decode())
    at = len(console.out)
    console.type(b"hello-kith")
    tap.ok(console.wait(b"hello-kith", 10, at) >= 0, f"{name}: what is typed arrives")
    refused(tap, device, ("--serial", "work"), "busy", f"{name}: a second one is refused")
    console.type(LEAVE)
    tap.equal(console.end()[0], 0, f"{name}: Ctrl-] leaves it")


def display(tap: Tap, device: Device, name: str) -> None:
    """The display's first words come through the private socket, as often as a viewer connects."""
    console = Console(device, "--print", "work")
    uri = ""
    if console.wait(b"\n", 20) >= 0:
        uri = console.out.decode().strip()
    tap.ok(uri.startswith("vnc+unix:///"), f"{name}: the URI is printed",
           uri + console.said.decode())
    path = device.host_path(uri.removeprefix("vnc+unix://"))
    tap.equal(path.parent.stat().st_mode & 0o777, 0o700, f"{name}: nobody else may enter")
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as viewer:
            viewer.settimeout(15)
            viewer.connect(str(path))
            hello = viewer.recv(12)
            viewer.sendall(b"RFB 003.008\n")
            kinds = viewer.recv(16)
        tap.equal((hello, kinds[:1]), (b"RFB 003.008\n", b"\x01"), f"{name}: VNC answers")
        tap.ok(b"\x01" in kinds[1:], f"{name}: and asks for no password", repr(kinds))
    os.killpg(console.process.pid, signal.SIGINT)
    tap.equal(console.end()[0], 0, f"{name}: a signal closes it")
    tap.ok(not path.parent.exists(), f"{name}: the socket is gone")


def follow(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """The same terminal goes on while the VM goes there and comes back."""
    console = Console(laptop, "--serial", "work")
    tap.ok(console.ticks(), "before the move: ticks come", console.said.decode())
    Move(laptop, guest.name, desktop).done()
    wait_for("the console to follow", lambda: b"goes on on \"desktop\"" in console.said, 30)
    tap.ok(console.ticks(), "after the move: ticks go on in the same terminal",
           console.said.decode())
    serial_is_single = Console(desktop, "--serial", "work")
    status, said = serial_is_single.end(30)
    tap.ok(status and code_of(said) == "busy", "it is open on the desktop, for the laptop", said)
    Move(desktop, guest.name, laptop).done()
    wait_for("the console to come back", lambda: b"goes on on \"laptop\"" in console.said, 30)
    tap.ok(console.ticks(), "after the way back: ticks go on", console.said.decode())
    console.type(LEAVE)
    tap.equal(console.end()[0], 0, "and Ctrl-] leaves it still")


def body(tap: Tap, lab: Lab) -> None:
    """A guest on the laptop; its owner looks at it from both devices, and others try."""
    laptop, desktop, bob = kithlab.start(lab, "laptop", "desktop", "bob:laptop")
    kith(laptop, "init", "Tom")
    kith(bob, "init", "Bob")
    kithlab.pair(laptop, desktop)
    kithlab.pair(desktop, bob)
    guest = Seen("work", memory_mib=128, disk_mib=192, data_mib=64)
    kithlab.run_guest(guest, laptop)
    serial(tap, laptop, "serial, here")
    display(tap, laptop, "display, here")
    follow(tap, laptop, desktop, guest)
    Move(laptop, guest.name, desktop).done()
    serial(tap, laptop, "serial, there")
    display(tap, laptop, "display, there")
    records = [(r["device"], r["action"], r["allowed"]) for r in kith(desktop, "log")["records"]
               if r["vm"] == "work" and r["action"].startswith("view")]
    tap.ok(("laptop", "view", True) in records and ("laptop", "view-end", True) in records,
           "the holder's audit log says who, and when it ended", json.dumps(records))
    refused(tap, laptop, ("--serial", "nothing"), "not-found", "a VM that nobody knows")


if __name__ == "__main__":
    kithlab.run_tests("console", body)
