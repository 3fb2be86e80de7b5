#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`kith plan` and `kith move` say the same of whatever libvirt can define: domains of libvirt's own
tests, switched off, on small disks. `test_fixtures.py [N [SEED [WORD]]]`: N of them (40), whose file's name has
the word."""
import pathlib
import random
import re
import sys
import tempfile
import time
import uuid
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1] / "lab"))
sys.path.insert(0, str(HERE.parents[1] / "domains"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from fixtures import fetch_fixtures     # noqa: E402
from kithlab import Kith, Move, kith     # noqa: E402
from tap import Tap     # noqa: E402

# What QEMU alone knows, and says when it is started: no plan can.
NO_START = "Starting the VM, paused, failed; libvirt says: "
IMAGES = "/var/lib/libvirt/images"
# Whose word it is, before the sentence; and numbers that change all the time.
UNSTABLE = re.compile(r'^"\w+" (?:(?:would stop|stopped) the hand-off|says): |\d+ MiB')


class Fixture:
    """One of libvirt's domains, so changed that this machine can have it."""

    def __init__(self, number: int, path: pathlib.Path):
        self.name, self.path = f"fixture{number}", path
        self.disks: list[tuple[str, str]] = []
        self.root = ET.fromstring(path.read_bytes())

    def fits(self) -> bool:
        """Whether it is a PC under QEMU at all."""
        kind = self.root.find("os/type")
        return self.root.get("type") in ("qemu", "kvm") and kind is not None \
            and kind.get("arch", "x86_64") == "x86_64" and kind.text == "hvm"

    def adapt(self) -> str:
        """Its XML: a new name, little memory, no KVM, disks of its own."""
        root = self.root
        root.set("type", "qemu")
        for word, text in (("name", self.name), ("uuid", str(uuid.uuid4()))):
            for old in root.findall(word):
                root.remove(old)
            ET.SubElement(root, word).text = text
        for word in ("memory", "currentMemory"):
            for old in root.findall(word):
                old.text = "65536"
                old.attrib.clear()
        devices = root.find("devices")
        if devices is None:
            devices = ET.SubElement(root, "devices")
        for emulator in devices.findall("emulator"):
            emulator.text = "/usr/bin/qemu-system-x86_64"
        for disk in devices.findall("disk"):
            source, driver = disk.find("source"), disk.find("driver")
            if source is not None and source.get("file") and disk.get("device", "disk") == "disk":
                kind = driver.get("type", "raw") if driver is not None else "raw"
                self.disks.append((f"{IMAGES}/{self.name}-{len(self.disks)}.img", kind))
                source.set("file", self.disks[-1][0])
        return ET.tostring(root, encoding="unicode")

    def define(self, device: Device) -> bool:
        """Makes disks and definition; False if this libvirt has no such machine."""
        xml = self.adapt()
        for path, kind in self.disks:
            if device.run(["qemu-img", "create", "-q", "-f", kind, path, "1M"],
                          check=False).returncode:
                return False
        return device.virsh("define", "/dev/stdin", input=xml, check=False).returncode == 0

    def remove(self, device: Device) -> None:
        """Away with it, also with what it has elsewhere."""
        device.virsh("destroy", self.name, check=False)
        device.virsh("undefine", self.name, "--nvram", check=False)
        device.run(["rm", "-f", *(path for path, _ in self.disks)])


class Agreement:
    """Two devices, and what plan and move say between them."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.laptop, self.desktop = kithlab.start(lab, "laptop", "desktop")
        kith(self.laptop, "init", "Tom")
        kithlab.pair(self.laptop, self.desktop)
        self.moved = self.refused = self.stuck = 0

    def try_one(self, fixture: Fixture) -> None:
        """The plan, then the move."""
        name = f"{fixture.path.parent.name}/{fixture.path.stem}"
        kithlab.set_policy(self.laptop, fixture.name)
        asked = Kith(self.laptop, "plan", fixture.name, self.desktop.name)
        status = asked.wait()
        answer = asked.documents[-1]
        planned = self.said(answer.get("reason") or answer.get("error"))
        time.sleep(1)   # a hand-off each second is what a device takes
        command, done = Move(self.laptop, fixture.name, self.desktop), None
        try:
            command.done()
            self.moved += 1
        except kithlab.Refused as no:
            done = self.said({"code": no.code, "text": no.text})
            self.refused += 1
        if done and done[1].startswith(NO_START):
            self.stuck += 1
            self.tap.ok(fixture.name in self.defined(self.laptop),
                        f"{name}: does not start, and is not handed over", done[1])
            return
        self.tap.equal(planned, done, f"{name}: {planned[0] if planned else 'moves'}")
        self.tap.equal(status == 0, done is None, f"{name}: and the plan's exit status fits")
        if done:
            self.tap.note(done[1])
            self.tap.ok(fixture.name in self.defined(self.laptop), f"{name}: nothing changed")

    @staticmethod
    def said(error: dict | None) -> tuple[str, str] | None:
        """Code and sentence, as far as they last."""
        return (error["code"], UNSTABLE.sub("", error["text"])) if error else None

    @staticmethod
    def defined(device: Device) -> list[str]:
        """The domains that libvirt has there."""
        return device.virsh("list", "--all", "--name").stdout.split()


def body(tap: Tap, lab: Lab) -> None:
    """As many as asked for, of those that libvirt takes here."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 4747
    word = sys.argv[3] if len(sys.argv) > 3 else ""
    agreement = Agreement(tap, lab)
    with tempfile.TemporaryDirectory() as folder:
        paths = fetch_fixtures(pathlib.Path(folder))
        paths = [path for path in paths if word in path.stem]
        random.Random(seed).shuffle(paths)
        tried = 0
        for path in paths:
            try:
                fixture = Fixture(tried, path)
            except ET.ParseError:
                continue
            if tried == wanted:
                break
            if fixture.fits() and fixture.define(agreement.laptop):
                tried += 1
                agreement.try_one(fixture)
            fixture.remove(agreement.laptop)
            if fixture.name in agreement.defined(agreement.desktop):
                fixture.remove(agreement.desktop)
    tap.note(f"seed {seed}: {agreement.moved} moved, {agreement.refused} refused, of "
             f"which {agreement.stuck} do not start here")
    tap.ok(agreement.moved and agreement.refused > agreement.stuck, "both answers were given")
    tap.ok(10 * agreement.stuck <= agreement.refused, "nearly all of them start here")


if __name__ == "__main__":
    kithlab.run_tests("fixtures", body)
