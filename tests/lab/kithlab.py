# SPDX-License-Identifier: Apache-2.0
"""Kith in the lab, as its users see it: the `kith` command inside devices, and what it did.

Everything goes through `kith --json`; nothing here knows how the daemons talk to each other.
"""
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

import capture
import oracle
from contract import Contract
from device import Device
from guest import Guest
from lab import Lab
from shell import LabError, wait_for
from tap import Tap

PEER_PORT = 4747
CONTRACT = Contract()
PCR_NAMES = {0: "firmware", 2: "option ROMs", 4: "boot loader and kernel", 7: "secure boot policy"}


class Refused(LabError):
    """`kith` said no: its stable code, its sentence, its exit status."""

    def __init__(self, error: dict[str, str], status: int):
        super().__init__(f"{error['code']}: {error['text']}")
        self.code, self.text, self.next = error["code"], error["text"], error["next"]
        self.status = status


class Kith:
    """A `kith` command that runs: the JSON documents it prints, as they come."""

    def __init__(self, device: Device, *words: object, user: str | None = None):
        self.device, self.words = device, [str(word) for word in words]
        self.documents: list[dict] = []
        self.status: int | None = None
        self.start = time.monotonic()
        self.wall = 0.0
        self._changed = threading.Condition()
        self._stderr = tempfile.TemporaryFile("w+")
        self._process = device.popen(["kith", "--json", *self.words], user, text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=self._stderr)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._changed:
                document = json.loads(line)
                CONTRACT.check(self.words, document)
                self.documents.append(document)
                self._changed.notify_all()
        status = self._process.wait()
        with self._changed:
            self.wall = time.monotonic() - self.start
            self.status = status
            self._changed.notify_all()

    def _says(self) -> str:
        self._stderr.seek(0)
        return f"{self.device.name}: kith {' '.join(self.words)}: {self._stderr.read()[-600:]}"

    def wait_document(self, condition: Callable[[dict], object], what: str,
                      timeout: float = 60) -> dict:
        """The first document for which condition is true; raises if the command ends before."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for document in self.documents[seen:]:
                    if condition(document):
                        return document
                seen = len(self.documents)
                if self.status is not None:
                    self._raise()
                    raise LabError(f"{self._says()} ended without {what}")
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
        self.kill()
        raise LabError(f"{self._says()} waited {timeout:.0f} s in vain for {what}")

    def answer(self, line: str) -> None:
        """Types a line."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hang_up(self) -> None:
        """Ends its standard input."""
        self._process.stdin.close()

    def kill(self) -> None:
        """Ends the command by force."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def wait(self, timeout: float = 60) -> int:
        """Waits for the end and returns the exit status; LabError if there is none in time."""
        with self._changed:
            ended = self._changed.wait_for(lambda: self.status is not None, timeout)
        if not ended:
            self.kill()
            raise LabError(f"{self._says()} did not end within {timeout:.0f} s")
        return self.status

    def _raise(self) -> None:
        if not self.status:
            return
        error = self.documents[-1].get("error") if self.documents else None
        if error:
            raise Refused(error, self.status)
        raise LabError(f"{self._says()} (exit {self.status})")

    def result(self, timeout: float = 60) -> dict:
        """The last document after a good end; Refused where `kith` refused."""
        self.wait(timeout)
        self._raise()
        if not self.documents:
            raise LabError(f"{self._says()} printed nothing")
        return self.documents[-1]


def kith(device: Device, *words: object, user: str | None = None, say: str | None = None,
         timeout: float = 60) -> dict:
    """Runs one command to its end; `say` is a line for its standard input."""
    command = Kith(device, *words, user=user)
    if say is not None:
        command.answer(say)
    return command.result(timeout)


def status(device: Device) -> dict:
    """What `kith status` says, also of a locked device, where it ends with "not now"."""
    command = Kith(device, "status")
    command.wait()
    if not command.documents:
        raise LabError(f"{device.name}: kith status said nothing")
    return command.documents[-1]


def refusal(device: Device, *words: object, **kwargs) -> Refused | None:
    """The refusal of a command; None if it was not refused."""
    try:
        kith(device, *words, **kwargs)
    except Refused as refused:
        return refused
    return None


class Move(Kith):
    """`kith move` under way."""

    def __init__(self, source: Device, vm: str, target: Device | str, rung: str | None = None):
        words = ["--rung", rung] if rung else []
        super().__init__(source, "move", *words, vm, getattr(target, "name", target))

    def wait_copied(self, share: float, timeout: float = 60) -> dict:
        """Waits until this share of all bytes is copied."""
        def far(e: dict) -> bool:
            done = e.get("ram_bytes", 0) + e.get("disk_bytes", 0)
            total = e.get("ram_total", 0) + e.get("disk_total", 0)
            return total > 0 and done >= share * total
        return self.wait_document(far, f"{share:.0%} of the bytes", timeout)

    @property
    def phases(self) -> list[str]:
        """The phases so far, each once."""
        return list(dict.fromkeys(e["phase"] for e in self.documents if "phase" in e))

    def done(self, timeout: float = 120) -> dict:
        """The last progress event of a hand-off that succeeded; Refused otherwise."""
        last = self.result(timeout)
        if last.get("phase") != "done":
            raise LabError(f"the last words of `kith move` are {last}")
        return last


# -- a cloud ----------------------------------------------------------------------------------


def everywhere(work: Callable[[Device], object], devices: list[Device]) -> list:
    """Does the same on all devices side by side."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, devices))


def start(lab: Lab, *names: str) -> list[Device]:
    """Devices with running Kith daemons."""
    devices = lab.up(*names)
    everywhere(Device.start_kith, devices)
    return devices


def sighting(device: Device, other: Device) -> dict | None:
    """The row of `kith devices` that is about the other device, by its address or its name."""
    for row in kith(device, "devices")["devices"]:
        address = row.get("address") or ""
        if row.get("age_ms") is not None and \
                (row.get("name") == other.name or address.startswith(other.ip)):
            return row
    return None


def word_for(device: Device, other: Device) -> str:
    """What `kith devices` calls the other device; its address where it is not in the list."""
    row = sighting(device, other)
    return row["name"] if row else other.ip


def wait_sight(devices: list[Device], timeout: float = 20) -> float:
    """Waits until each sees each; returns the seconds it took."""
    begin = time.monotonic()
    for one in devices:
        for other in devices:
            if one is not other:
                wait_for(f"{other.name} in sight of {one.name}",
                         lambda a=one, b=other: sighting(a, b), timeout, 0.1)
    return time.monotonic() - begin


def open_window(device: Device, role: str = "guest") -> Kith:
    """`kith pair` on a device that waits for another one."""
    waiting = Kith(device, "pair", "as", role)
    waiting.wait_document(lambda d: d.get("event") == "open", "an open window")
    return waiting


def pair(initiator: Device, responder: Device, role: str = "guest",
         waiting: Kith | None = None) -> str:
    """Pairs as two people do: both see a code, compare, answer yes. Returns the code."""
    waiting = waiting or open_window(responder, role)
    wait_for(f"{responder.name} in sight of {initiator.name}",
             lambda: sighting(initiator, responder), 20, 0.1)
    calling = Kith(initiator, "pair", word_for(initiator, responder), "as", role)
    codes = [side.wait_document(lambda d: d.get("event") == "code", "a code")["code"]
             for side in (waiting, calling)]
    same = codes[0] == codes[1]
    for side in (waiting, calling):
        side.answer("yes" if same else "no")
    if not same:
        raise LabError(f"the pairing codes differ: {codes}")
    for side in (waiting, calling):
        side.result()
    return codes[0]


def family(lab: Lab, *names: str, owner: str = "Tom") -> list[Device]:
    """Started devices of one owner: the first makes the cloud and pairs with each other one."""
    devices = start(lab, *names)
    kith(devices[0], "init", owner)
    for other in devices[1:]:
        pair(devices[0], other)
    return devices


def audit(device: Device, /, **wanted: object) -> list[dict]:
    """The records of `kith log` with these values."""
    return [record for record in kith(device, "log")["records"]
            if all(record.get(key) == value for key, value in wanted.items())]


def set_policy(device: Device, vm: str, text: str | None = None) -> int:
    """Gives a VM this policy, or the usual one; returns its version."""
    if text is None:
        return kith(device, "policy", "set", vm)["version"]
    device.run(["tee", "/tmp/policy"], input=text)
    return kith(device, "policy", "set", vm, "/tmp/policy")["version"]


def configure(device: Device, text: str) -> None:
    """Adds lines to kith.conf, and has kith-mover read it again, for itself and its workers."""
    conf = device.base / "etc-kith" / "kith.conf"
    conf.write_text(conf.read_text().split("\n[libvirt]")[0].rstrip("\n") + "\n" + text)
    read = device.log_dir / "kith-mover.log"
    before = read.read_text(errors="replace").count("was read again")
    device.kill("kith-mover", signal.SIGHUP)
    wait_for("kith-mover to read kith.conf again",
             lambda: read.read_text(errors="replace").count("was read again") > before)


def small_guest(name: str = "work", **settings) -> Guest:
    """A guest that is quick to move: 256 MiB of memory, 192 MiB of disk."""
    return Guest(name, **{"memory_mib": 256, "disk_mib": 192, "data_mib": 64, **settings})


def run_guest(guest: Guest, device: Device, policy: str | None = None) -> str:
    """Creates, boots and gives it a policy; returns the digest of its disk."""
    guest.create(device)
    guest.start(device)
    guest.wait_ready(device)
    set_policy(device, guest.name, policy)
    return guest.disk_digest(device)


# -- what a hand-off did ------------------------------------------------------------------------


def disk_path(device: Device, guest: Guest) -> str:
    """Where libvirt on this device has the guest's disk."""
    rows = device.virsh("domblklist", guest.name).stdout.split("\n")
    return next(row.split()[1] for row in rows if row.split()[:1] == ["vda"])


def images(device: Device) -> list[str]:
    """The disk images that Kith made on the device."""
    return sorted(path.name for path in device.host_path("/var/lib/kith/images").iterdir())


def leftovers(device: Device, guest: Guest) -> list[str]:
    """What a failed hand-off left on its destination, in words."""
    found = [f"image {name}" for name in images(device)]
    if guest.state(device) != "absent":
        found.append(f"domain {guest.name} ({guest.state(device)})")
    found += [f"QEMU {pid}" for pid in device.pids("qemu")]
    return found


def ticks_now(guest: Guest, device: Device, seconds: float = 3) -> bool:
    """True if the guest ticks on the device at this moment."""
    before = guest.host_log(device).count(b"TICK")
    try:
        wait_for("ticks", lambda: guest.host_log(device).count(b"TICK") > before + 2, seconds)
    except LabError:
        return False
    return True


def judge(tap: Tap, guest: Guest, route: list[Device], name: str,
          digest: str | None = None) -> None:
    """The oracle's word on a guest's journey so far and on its disk where it is now."""
    time.sleep(0.3)
    report = oracle.judge({d.name: guest.events(d) for d in set(route)}, [d.name for d in route])
    tap.ok(report.ok, f"{name}: the oracle has no objection", report.sentence())
    tap.note(report.sentence())
    if digest:
        path = disk_path(route[-1], guest)
        problems = oracle.judge_disk(digest, guest.disk_digest(route[-1], path), [],
                                     guest.disk_ring(route[-1], path), guest.disk_every)
        tap.equal(problems, [], f"{name}: the disk is identical and no tick record is lost")


class LogWatch:
    """Notes when a text first appears in a daemon's log on each device (time.time()).

    What was written before does not count; what is written from now on is never missed."""

    def __init__(self, daemon: str, text: str, *devices: Device):
        self.seen: dict[str, float] = {}
        self._stopped = threading.Event()
        self._readers = []
        for device in devices:
            log = open(device.log_dir / f"{daemon}.log", encoding="utf-8", errors="replace")
            log.seek(0, os.SEEK_END)
            reader = threading.Thread(target=self._read, args=(log, device.name, text), daemon=True)
            self._readers.append(reader)
            reader.start()

    def _read(self, log: TextIO, name: str, text: str) -> None:
        tail = ""
        with log:
            while name not in self.seen and not self._stopped.wait(0.002):
                tail = tail[-len(text):] + log.read()
                if text in tail:
                    self.seen[name] = time.time()

    def stop(self) -> dict[str, float]:
        """Ends the watch; the times by device name."""
        self._stopped.set()
        for reader in self._readers:
            reader.join()
        return self.seen


def _flows(traffic: capture.Capture) -> Iterator[tuple[float, frozenset, bytes]]:
    """(time, the two ends, payload) of every TCP segment with content."""
    with open(traffic.pcap, "rb") as file:
        unit = 1e-9 if struct.unpack("<I", file.read(24)[:4])[0] == 0xA1B23C4D else 1e-6
        while len(head := file.read(16)) == 16:
            seconds, fraction, length, _ = struct.unpack("<IIII", head)
            frame = file.read(length)
            row = capture._tcp_of(frame)
            if row and row[2]:
                a, b = (slice(26, 30), slice(30, 34)) if frame[12:14] == b"\x08\x00" \
                    else (slice(22, 38), slice(38, 54))
                ends = frozenset({(frame[a], row[0]), (frame[b], row[1])})
                yield seconds + fraction * unit, ends, frame[-row[2]:]


def data_traffic(traffic: capture.Capture, peer_port: int = PEER_PORT) -> dict[str, float]:
    """Of a finished capture: when the first data connection spoke, and bytes by kind.

    A connection carries guest data if its first bytes are the preface of a data connection.
    """
    first, kinds = 0.0, {}
    total = {"data": 0, "control": 0, "control_before": 0, "other": 0}
    for when, ends, payload in _flows(traffic):
        if ends not in kinds:
            peer = any(port == peer_port for _, port in ends)
            kinds[ends] = "data" if payload.startswith(b"KITHDATA") else \
                "control" if peer else "other"
            if kinds[ends] == "data" and not first:
                first, total["control_before"] = when, total["control"]
        total[kinds[ends]] += len(payload)
    return {"first_data": first, **total}


def log_tails(lab: Lab, lines: int = 12) -> str:
    """The ends of all Kith daemons' logs, for a failure."""
    found = []
    for device in lab.devices.values():
        for path in sorted(device.log_dir.glob("kith*.log")):
            text = path.read_text(errors="replace").splitlines()[-lines:]
            found.append(f"--- {device.name}: {path.name}\n" + "\n".join(text))
    return "\n".join(found)


def sanitizer_words(lab: Lab) -> list[str]:
    """What AddressSanitizer and its kin wrote into the logs of the daemons, and of what ran at a
    terminal (in a build with them)."""
    return [f"{device.name}: {line}" for device in lab.devices.values()
            for path in (*device.log_dir.glob("kith*.log"),
                         *device.log_dir.glob("libvirt/kith-screen*"))
            for line in path.read_text(errors="replace").splitlines()
            if "Sanitizer: " in line or "runtime error: " in line]


def sentence_of(stderr: str) -> str:
    """Kith's sentence inside what libvirt says when the hook refuses."""
    match = re.search(r"(?:unexpected exit status \d+: |kith-hook: )(.*)", stderr, re.DOTALL)
    return " ".join((match[1] if match else stderr).split())


def run_tests(name: str, body: Callable[[Tap, Lab], None]) -> None:
    """Runs TAP tests in a lab of their own and takes it down; logs are shown if one fails."""
    with Tap() as tap:
        lab = Lab(f"{os.environ.get('KITH_LAB', '/var/tmp/kith')}-it-{name}", fresh=True)
        with lab:
            begin = time.monotonic()
            try:
                body(tap, lab)
            finally:
                if tap.failed or sys.exc_info()[0]:
                    for line in log_tails(lab, 40).splitlines():
                        tap.note(line)
            if CONTRACT.possible:
                tap.equal(CONTRACT.broken, [], "every JSON document was as documented")
            tap.equal(sanitizer_words(lab), [], "no sanitizer spoke")
            tap.note(f"{name}: {time.monotonic() - begin:.0f} s")
        tap.equal(lab.leftovers(), [], "teardown leaves nothing")


@contextlib.contextmanager
def lesser_cpu(device: Device, *features: str) -> Iterator[None]:
    """By the word of its libvirtd, the device's QEMU emulates a CPU without these: libvirtd
    believes its cache of what QEMU said."""
    folder = device.base / "cache" / "qemu" / "capabilities"
    kept = {path: path.read_text() for path in folder.glob("*.xml")}
    names = "|".join(features)

    def restart(text_of: Callable[[str], str]) -> None:
        device.kill("libvirtd")
        for path, text in kept.items():
            path.write_text(text_of(text))
        device.start_libvirtd()

    restart(lambda text: re.sub(rf"(<property name='(?:{names})' type='boolean' value=)'true'",
                                r"\1'false'", text))
    try:
        yield
    finally:
        restart(lambda text: text)
