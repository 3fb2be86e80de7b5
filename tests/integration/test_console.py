#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`kith console`: serial port and display of a VM, here and on another device, over a move; and who
is refused."""
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
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

    def __init__(self, device: Device, *words: str, keyboard: int = subprocess.PIPE):
        self.device, self.out, self.said = device, bytearray(), bytearray()
        self.process = device.popen(["kith", "console", *words], None, stdin=keyboard,
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

    def signal(self, number: int) -> None:
        """To `kith` itself; what brought it into the device only waits for it."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(children[0]), number)

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
    # The guest's ticks may come between the echoes.
    console.type(10 * b"@")
    wait_for("what was typed", lambda: console.out.count(b"@", at) >= 10, 30)
    tap.equal(console.out.count(b"@", at), 10, f"{name}: what is typed arrives")
    refused(tap, device, ("--serial", "work"), "busy", f"{name}: a second one is refused")
    console.type(LEAVE)
    tap.equal(console.end()[0], 0, f"{name}: Ctrl-] leaves it")


def terminal(tap: Tap, device: Device) -> None:
    """A real terminal: raw meanwhile, and as before whatever ends it."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    for name, leave in (("Ctrl-]", lambda c: os.write(master, LEAVE)),
                        ("a signal", lambda c: c.signal(signal.SIGTERM))):
        console = Console(device, "--serial", "work", keyboard=slave)
        tap.ok(console.ticks(), f"terminal: ticks come ({name})", console.said.decode())
        tap.ok(not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ISIG),
               "terminal: keys go to the VM, Ctrl-C too")
        leave(console)
        console.end()
        tap.equal(termios.tcgetattr(slave), before, f"terminal: it is put back after {name}")
    os.close(master)
    os.close(slave)


def vnc(tap: Tap, device: Device, console: Console, name: str) -> pathlib.Path:
    """A viewer connects to the socket that was printed last, and VNC answers."""
    uri = console.out.decode().split()[-1] if console.wait(b"\n", 20) >= 0 else ""
    tap.ok(uri.startswith("vnc+unix:///"), f"{name}: the URI is printed",
           uri + console.said.decode())
    path = device.host_path(uri.removeprefix("vnc+unix://"))
    with socket.socket(socket.AF_UNIX) as viewer:
        viewer.settimeout(15)
        viewer.connect(str(path))
        hello = viewer.recv(12)
        viewer.sendall(b"RFB 003.008\n")
        kinds = viewer.recv(16)
    tap.equal((hello, kinds[:1]), (b"RFB 003.008\n", b"\x01"), f"{name}: VNC answers")
    tap.ok(b"\x01" in kinds[1:], f"{name}: and asks for no password", repr(kinds))
    return path


def display(tap: Tap, device: Device, name: str) -> None:
    """The display comes through the private socket, as often as a viewer connects."""
    console = Console(device, "--print", "work")
    vnc(tap, device, console, name)
    path = vnc(tap, device, console, f"{name}, again")
    tap.equal(path.parent.stat().st_mode & 0o777, 0o700, f"{name}: nobody else may enter")
    console.signal(signal.SIGINT)
    tap.equal(console.end()[0], 0, f"{name}: a signal closes it")
    tap.ok(not path.parent.exists(), f"{name}: the socket is gone")


def goes_on(tap: Tap, console: Console, guest: Guest, source: Device, target: Device) -> None:
    """The VM moves; the same terminal goes on with it, and the same socket; Ctrl-] leaves."""
    screen = Console(console.device, "--print", "work")
    socket_before = vnc(tap, console.device, screen, f"display before it goes to {target.name}")
    tap.ok(console.ticks(), f"before it goes to {target.name}: ticks come", console.said.decode())
    Move(source, guest.name, target).done()
    line = f"goes on on \"{target.name}\"".encode()
    wait_for(f"the console to follow ({bytes(console.said)!r})", lambda: line in console.said, 30)
    tap.ok(console.ticks(), f"on {target.name}: ticks go on in the same terminal",
           console.said.decode())
    console.type(LEAVE)
    tap.equal(console.end()[0], 0, f"on {target.name}: Ctrl-] leaves it")
    wait_for("the display to follow", lambda: screen.out.count(b"\n") == 2, 30)
    tap.equal(vnc(tap, console.device, screen, f"display on {target.name}"), socket_before,
              "the socket is the same")
    screen.signal(signal.SIGINT)
    screen.end()


def nothing_to_see(tap: Tap, laptop: Device, bob: Device) -> None:
    """VMs that are unknown, off, or have neither display nor terminal."""
    refused(tap, laptop, ("--serial", "nothing"), "not-found", "a VM that nobody knows")
    refused(tap, bob, ("--serial", "work"), "not-found", "another person's device knows no VM")
    refused(tap, laptop, ("--serial", "--print", "work"), "usage", "options that do not fit")
    bare = Guest("bare", memory_mib=64)
    xml = re.sub(r"<disk .*?</disk>", "", bare.xml(), flags=re.S)
    laptop.virsh("define", "/dev/stdin", input=xml)
    refused(tap, laptop, ("bare",), "not-found", "a VM without a policy")
    kithlab.set_policy(laptop, "bare")
    refused(tap, laptop, ("bare",), "not-running", "a VM that is off")
    bare.start(laptop)
    refused(tap, laptop, ("bare",), "domain", "a VM without a display")
    refused(tap, laptop, ("--serial", "bare"), "domain", "a VM without a terminal")
    bare.destroy(laptop, undefine=True)


def taken_over(tap: Tap, laptop: Device) -> None:
    """--force: the first one hears that somebody else has it."""
    first = Console(laptop, "--serial", "work")
    tap.ok(first.ticks(), "forced: the first one has it")
    second = Console(laptop, "--serial", "--force", "work")
    tap.ok(second.ticks(), "forced: the second one has it", second.said.decode())
    status, said = first.end(30)
    tap.ok(status and code_of(said) == "busy", "forced: the first one is told", said)
    second.type(LEAVE)
    tap.equal(second.end()[0], 0, "forced: the second one leaves")


def allowed_no_more(tap: Tap, laptop: Device, guest: Guest) -> None:
    """What is open ends when the policy says no; and what is asked for then is refused."""
    console = Console(laptop, "--serial", "work")
    tap.ok(console.ticks(), "policy: it is open")
    kithlab.set_policy(laptop, guest.name, "allow owner move-out, move-in to own\n")
    status, said = console.end(30)
    tap.ok(status and code_of(said) == "policy", "policy: it ends when the rule is gone", said)
    refused(tap, laptop, ("--serial", "work"), "policy", "policy: and does not open")
    kithlab.set_policy(laptop, guest.name)


NOISE = """
import os, socket, struct, sys, time
hid, kept = bytes.fromhex(sys.argv[2]), []
for i in range(40):
    kept.append(socket.create_connection((sys.argv[1], 4747), 5))
    kept[-1].sendall(b"KITHDATA" + struct.pack("<HH", 1, i % 20) + hid + os.urandom(3000))
time.sleep(2)
"""


def noise(tap: Tap, console: Console, holder: Device, stranger: Device) -> None:
    """Somebody saw the number of a console on the wire, and sends nonsense to all its channels."""
    lines = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
             for pid in holder.pids("kith-mover-worker")]
    hid = next(line[line.index(b"--console-show") + 1] for line in lines
               if b"--console-show" in line)
    at = len(console.out)
    stranger.run(["python3", "-c", NOISE, holder.ip, hid.decode()], check=False)
    tap.ok(console.ticks(), "H26 noise on its channels: it goes on", console.said.decode())
    tap.ok(all(line.startswith((b"TICK", b"RAMPASS")) or not line.strip()
               for line in bytes(console.out[at:]).split(b"\n")[1:-1]),
           "H26 noise on its channels: none of it arrives", repr(bytes(console.out[at:])[:200]))


def broken(tap: Tap, laptop: Device, desktop: Device, bob: Device, guest: Guest) -> None:
    """Noise on its channels; kithd of either side dies; the holder is cut off in the middle; a
    device was changed."""
    Move(laptop, guest.name, desktop).done()
    console = Console(laptop, "--serial", "work")
    tap.ok(console.ticks(), "broken: it is open there", console.said.decode())
    noise(tap, console, desktop, bob)
    for device in (laptop, desktop):
        device.kill("kithd")
        device.start_kith("kithd")
    tap.ok(console.ticks(), "broken: it needs no kithd once it is open")
    desktop.cut()
    status, said = console.end(60)
    desktop.heal()
    tap.ok(status and code_of(said) == "interrupted", "broken: cut off, it ends", said)
    kithlab.wait_sight([laptop, desktop])
    tap.ok(kithlab.ticks_now(guest, desktop), "broken: the VM goes on")
    wait_for("the end at the holder", lambda: any(
        r["action"] == "view-end" for r in kith(desktop, "log")["records"][-3:]), 40)
    laptop.run(["tpm2_pcrextend", "4:sha256=" + 64 * "7"])
    refused(tap, laptop, ("--serial", "work"), "attest-pcr", "a changed device sees nothing")
    tap.ok(kithlab.audit(desktop, action="view", allowed=False), "and that is in the log")


def body(tap: Tap, lab: Lab) -> None:
    """A guest on the laptop; its owner looks at it from there and from elsewhere. "all": the
    way back, and what can go wrong."""
    laptop, desktop, bob = kithlab.start(lab, "laptop", "desktop", "bob:laptop")
    kith(laptop, "init", "Tom")
    kith(bob, "init", "Bob")
    kithlab.pair(laptop, desktop)
    kithlab.pair(desktop, bob)
    guest = Seen("work", memory_mib=128, disk_mib=192, data_mib=64)
    kithlab.run_guest(guest, laptop)
    nothing_to_see(tap, laptop, bob)
    serial(tap, laptop, "serial, here")
    goes_on(tap, Console(laptop, "--serial", "work"), guest, laptop, desktop)
    serial(tap, laptop, "serial, there")
    display(tap, laptop, "display, there")
    records = [(r["device"], r["action"], r["allowed"]) for r in kith(desktop, "log")["records"]
               if r["vm"] == "work" and r["action"].startswith("view")]
    tap.ok(("laptop", "view", True) in records and ("laptop", "view-end", True) in records,
           "the holder's audit log says who, and when it ended", json.dumps(records))
    if "all" in sys.argv[1:]:
        goes_on(tap, Console(laptop, "--serial", "work"), guest, desktop, laptop)
        display(tap, laptop, "display, here")
        terminal(tap, laptop)
        taken_over(tap, laptop)
        allowed_no_more(tap, laptop, guest)
        broken(tap, laptop, desktop, bob, guest)


if __name__ == "__main__":
    kithlab.run_tests("console", body)
