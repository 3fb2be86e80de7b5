#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Machines as virt-install makes them, with displays, UEFI and virtual TPMs, there and back.

Without an argument a sample of each class; with `all`, every definition of tests/data/domains."""
import hashlib
import pathlib
import re
import sys
import uuid
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from kithlab import Move, kith     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

DOMAINS = HERE.parents[1] / "data" / "domains"
# BIOS with SPICE; UEFI; UEFI with Secure Boot, TPM and Hyper-V's enlightenments; IDE and the like.
SAMPLE = ("debian11", "debian11-uefi", "win11-uefi", "freebsd13.1")
NVRAM = "/var/lib/libvirt/qemu/nvram"
TPM = "/var/lib/libvirt/swtpm"
NETWORK = """\
<network>
  <name>default</name>
  <forward mode='bridge'/>
  <bridge name='br-lab'/>
</network>
"""


class Machine:
    """A definition as it was written, with a small disk and little memory."""

    def __init__(self, path: pathlib.Path):
        self.name = path.stem
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.ordinary.lab"))
        self.disk = f"/var/lib/libvirt/images/{self.name}.qcow2"
        text = path.read_text()
        text = re.sub(r"<name>.*?</name>", f"<name>{self.name}</name>", text, count=1)
        text = re.sub(r"<uuid>.*?</uuid>", f"<uuid>{self.uuid}</uuid>", text, count=1)
        text = re.sub(r">\d+</(memory|currentMemory)>", r">196608</\1>", text)
        self.xml = re.sub(r"<source file='[^']*'", f"<source file='{self.disk}'", text)

    @property
    def uefi(self) -> bool:
        """Boots with UEFI."""
        return "firmware='efi'" in self.xml

    @property
    def tpm(self) -> bool:
        """Has a virtual TPM."""
        return "<tpm " in self.xml

    def start(self, device: Device) -> None:
        """Makes its disk, defines and starts it, and gives it the usual policy."""
        device.run(["qemu-img", "create", "-q", "-f", "qcow2", self.disk, "32M"])
        device.run(["dd", "if=/dev/urandom", f"of={self.disk}.raw", "bs=1M", "count=4",
                    "status=none"])
        device.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", f"{self.disk}.raw",
                    self.disk])
        device.virsh("define", "/dev/stdin", input=self.xml)
        device.virsh("start", self.name)
        kithlab.set_policy(device, self.name)

    def state(self, device: Device) -> str:
        """libvirt's word, or "absent"."""
        done = device.virsh("domstate", self.name, check=False)
        return done.stdout.strip() if done.returncode == 0 else "absent"

    def live(self, device: Device) -> ET.Element:
        """Its configuration, as it runs."""
        return ET.fromstring(device.virsh("dumpxml", self.name).stdout)

    def remove(self, device: Device) -> None:
        """Away with it."""
        device.virsh("destroy", self.name, check=False)
        device.virsh("undefine", self.name, "--nvram", check=False)


def shape(root: ET.Element) -> list[str]:
    """What the guest sees of its devices, whatever serves them."""
    found = []
    for device in root.find("devices"):
        model = device.find("model")
        target = device.find("target")
        words = [device.tag, device.get("device") or "", device.get("model") or "",
                 device.get("bus") or "",
                 (model.get("type") or model.get("name") or "") if model is not None else "",
                 (target.get("dev") or target.get("name") or "") if target is not None
                 and device.tag in ("disk", "channel") else ""]
        if device.tag in ("graphics", "redirdev", "channel", "audio"):
            words.append(device.get("type"))
        found.append(" ".join(word for word in words if word))
    return sorted(found)


def names(device: Device, folder: str) -> list[str]:
    """What is in a folder; nothing if it is not there."""
    path = device.host_path(folder)
    return sorted(p.name for p in path.iterdir()) if path.exists() else []


def digest(device: Device, path: str) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(device.host_path(path).read_bytes()).hexdigest()


def arrived(tap: Tap, machine: Machine, before: ET.Element, away: Device, here: Device,
            way: str) -> None:
    """It runs here and not there, and is what it was."""
    name = f"{machine.name} {way}"
    tap.equal([machine.state(away), machine.state(here)], ["absent", "running"], f"{name}: moved")
    after = machine.live(here)
    tap.equal(shape(after), shape(before), f"{name}: the guest sees the same devices")
    tap.equal([after.find(word).get("firmware") for word in ("os",)],
              [before.find("os").get("firmware")], f"{name}: the same kind of firmware")
    os_id = "{http://libosinfo.org/xmlns/libvirt/domain/1.0}os"
    tap.equal([e.get("id") for e in after.iter(os_id)], [e.get("id") for e in before.iter(os_id)],
              f"{name}: its operating system is still known")


def there_and_back(tap: Tap, machine: Machine, laptop: Device, desktop: Device) -> None:
    """One machine's whole journey, and what it leaves."""
    machine.start(laptop)
    before = machine.live(laptop)
    Move(laptop, machine.name, desktop).done()
    arrived(tap, machine, before, laptop, desktop, "there")
    if machine.uefi:
        [own] = names(desktop, NVRAM)
        tap.ok(re.fullmatch(rf"{re.escape(machine.name)}-[0-9a-f]{{32}}_VARS\.fd", own),
               f"{machine.name}: UEFI's variables are in a file of a new name", own)
        tap.equal(digest(desktop, f"{NVRAM}/{own}"),
                  digest(laptop, f"{NVRAM}/{machine.name}_VARS.fd"),
                  f"{machine.name}: and are those that it had")
    if machine.tpm:
        tap.equal([names(laptop, TPM), names(desktop, TPM)], [[], [machine.uuid]],
                  f"{machine.name}: the TPM's state is there, and no longer here")
    Move(desktop, machine.name, laptop).done()
    arrived(tap, machine, before, desktop, laptop, "back")
    tap.equal([names(desktop, NVRAM), names(desktop, TPM)], [[], []],
              f"{machine.name}: nothing of its firmware stays there")
    machine.remove(laptop)
    tap.equal(names(laptop, TPM), [], f"{machine.name}: an undefined VM has no TPM left")


def given_up(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A hand-off that ends in the middle leaves the firmware's state at the source alone, and
    nothing of it at the destination."""
    machine = Machine(DOMAINS / "win11-uefi.xml")
    machine.start(laptop)
    seal = names(laptop, f"{TPM}/{machine.uuid}/tpm2")
    laptop.rate("20mbit")
    move = Move(laptop, machine.name, desktop)
    move.wait_document(lambda d: d.get("phase") == "copying disk" or d.get("ram_bytes", 0) > 0,
                       "a copy under way")
    wait_for("the copy's firmware", lambda: names(desktop, NVRAM) and names(desktop, TPM))
    kith(laptop, "cancel", machine.name)
    move.wait()
    laptop.rate(None)
    tap.equal([machine.state(laptop), machine.state(desktop)], ["running", "absent"],
              "given up: it runs where it was")
    wait_for("the destination to clean up",
             lambda: not names(desktop, NVRAM) and not names(desktop, TPM), 20)
    tap.ok(True, "given up: nothing of its firmware stays there")
    tap.equal(names(laptop, f"{TPM}/{machine.uuid}/tpm2"), seal, "given up: its own TPM is there")
    Move(laptop, machine.name, desktop).done()
    tap.equal(machine.state(desktop), "running", "given up: the next try moves it")
    machine.remove(desktop)


def body(tap: Tap, lab: Lab) -> None:
    """The order of the tests."""
    laptop, desktop = kithlab.family(lab, "laptop", "desktop")
    for device in (laptop, desktop):
        device.run(["ip", "link", "add", "br-lab", "type", "bridge"])
        device.virsh("net-define", "/dev/stdin", input=NETWORK)
        device.virsh("net-start", "default")
    chosen = sorted(DOMAINS.glob("*.xml")) if "all" in sys.argv[1:] else \
        [DOMAINS / f"{name}.xml" for name in SAMPLE]
    for path in chosen:
        there_and_back(tap, Machine(path), laptop, desktop)
    given_up(tap, laptop, desktop)


if __name__ == "__main__":
    kithlab.run_tests("ordinary", body)
