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
from guest import Guest, SealedGuest     # noqa: E402
from kithlab import Move, kith     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

DOMAINS = HERE.parents[1] / "data" / "domains"
NVRAM = "/var/lib/libvirt/qemu/nvram"
IMAGES = "/var/lib/kith/images"
TPM = "/var/lib/libvirt/swtpm"
SECRET_UUID = "5f0f4b49-5448-4e0e-8000-00000000f1e5"
SECRET = f"""\
<secret ephemeral='no' private='yes'>
  <uuid>{SECRET_UUID}</uuid>
  <usage type='vtpm'><name>tpms</name></usage>
</secret>
"""
ENCRYPTED = (f"<backend type='emulator' version='2.0'><encryption secret='{SECRET_UUID}'/>"
             "</backend>")
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
        self.disks: list[str] = []
        text = path.read_text()
        text = re.sub(r"<name>.*?</name>", f"<name>{self.name}</name>", text, count=1)
        text = re.sub(r"<uuid>.*?</uuid>", f"<uuid>{self.uuid}</uuid>", text, count=1)
        text = re.sub(r">\d+</(memory|currentMemory)>", r">196608</\1>", text)
        self.xml = re.sub(r"<source file='[^']*'", self._own_disk, text)

    def _own_disk(self, _match: re.Match) -> str:
        self.disks.append(f"/var/lib/libvirt/images/{self.name}-{len(self.disks)}.qcow2")
        return f"<source file='{self.disks[-1]}'"

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
        for disk in self.disks:
            device.run(["dd", "if=/dev/urandom", f"of={disk}.raw", "bs=1M", "count=4",
                        "status=none"])
            device.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", f"{disk}.raw", disk])
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


def variables(device: Device) -> list[str]:
    """Files of UEFI variables that Kith has on the device."""
    return [name for name in names(device, IMAGES) if name.endswith("_VARS.fd")]


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
    plan = kith(laptop, "plan", machine.name, desktop.name)
    tap.equal([plan["allowed"], plan["rung"]], [True, "live-disk"], f"{machine.name}: so is the plan")
    Move(laptop, machine.name, desktop).done()
    arrived(tap, machine, before, laptop, desktop, "there")
    if machine.uefi:
        [own] = variables(desktop)
        tap.ok(re.fullmatch(rf"{re.escape(machine.name)}-[0-9a-f]{{32}}_VARS\.fd", own),
               f"{machine.name}: UEFI's variables are in a file of a new name", own)
    if machine.tpm:
        tap.equal([names(laptop, TPM), names(desktop, TPM)], [[], [machine.uuid]],
                  f"{machine.name}: the TPM's state is there, and no longer here")
    Move(desktop, machine.name, laptop).done()
    arrived(tap, machine, before, desktop, laptop, "back")
    tap.equal([variables(desktop), names(desktop, NVRAM), names(desktop, TPM)], [[], [], []],
              f"{machine.name}: nothing of its firmware stays there")
    machine.remove(laptop)
    tap.equal(names(laptop, TPM), [], f"{machine.name}: an undefined VM has no TPM left")


def know_secret(device: Device, value: str) -> None:
    """libvirt there can store the state of such a TPM; how is its own affair."""
    device.virsh("secret-define", "/dev/stdin", input=SECRET)
    device.virsh("secret-set-value", SECRET_UUID, "--file", "/dev/stdin", "--plain", input=value)


def locked(tap: Tap, laptop: Device, desktop: Device) -> Machine:
    """A VM whose TPM is stored encrypted needs the same secret there, too."""
    machine = Machine(DOMAINS / "win11-uefi.xml")
    machine.xml, count = re.subn(r"<backend type='emulator' version='2.0'/>", ENCRYPTED, machine.xml)
    tap.equal(count, 1, "locked: the machine has a TPM to be encrypted")
    know_secret(laptop, "correct-horse")
    machine.start(laptop)
    said = kithlab.refusal(laptop, "move", machine.name, desktop.name)
    tap.ok(said and said.code == "domain" and f"the secret {SECRET_UUID}" in said.text
           and "virsh secret-define" in said.text, "locked: refused without that secret", str(said))
    know_secret(desktop, "wrong-horse")
    said = kithlab.refusal(laptop, "move", machine.name, desktop.name)
    tap.ok(said, "locked: with another value it does not go", str(said))
    tap.note(str(said))
    wait_for("the destination to clean up", lambda: machine.state(desktop) == "absent", 20)
    tap.equal(machine.state(laptop), "running", "locked: and runs on where it was")
    know_secret(desktop, "correct-horse")
    return machine


def home_off(tap: Tap, machine: Machine, laptop: Device, desktop: Device) -> None:
    """Switched off there, it comes home with its encrypted TPM, and starts."""
    desktop.virsh("destroy", machine.name)
    Move(desktop, machine.name, laptop).done()
    tap.equal([names(laptop, TPM), names(desktop, TPM)], [[machine.uuid], []],
              "locked: switched off it came home, and its TPM with it")
    laptop.virsh("start", machine.name)
    tap.equal(machine.state(laptop), "running", "locked: it starts with it")
    machine.remove(laptop)


def given_up(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A hand-off that ends in the middle leaves the firmware's state at the source alone, and
    nothing of it at the destination."""
    machine = locked(tap, laptop, desktop)
    seal = names(laptop, f"{TPM}/{machine.uuid}/tpm2")
    laptop.rate("20mbit")
    move = Move(laptop, machine.name, desktop)
    move.wait_document(lambda d: d.get("phase") == "copying disk" or d.get("ram_bytes", 0) > 0,
                       "a copy under way")
    wait_for("the copy's firmware", lambda: variables(desktop) and names(desktop, TPM))
    kith(laptop, "cancel", machine.name)
    move.wait()
    laptop.rate(None)
    wait_for("the destination to clean up", lambda: machine.state(desktop) == "absent" and
             not variables(desktop) and not names(desktop, TPM), 20)
    tap.equal(machine.state(laptop), "running", "given up: it runs where it was, and only there")
    tap.equal(names(laptop, f"{TPM}/{machine.uuid}/tpm2"), seal, "given up: its own TPM is there")
    Move(laptop, machine.name, desktop).done()
    tap.equal(machine.state(desktop), "running", "given up: the next try moves it")
    home_off(tap, machine, laptop, desktop)


def opens(guest: Guest, device: Device) -> bool:
    """True if the guest opens its secret on this device now."""
    before = guest.host_log(device).count(b"TPMPASS")
    wait_for("the secret to be opened",
             lambda: guest.host_log(device).count(b"TPMPASS") > before + 2, 20)
    return True


def tpm_keys(guest: Guest, device: Device) -> list[bytes]:
    """The primary key of the guest's TPM, as each boot on this device saw it."""
    return re.findall(rb"TPMKEY ([0-9a-f]{16})", guest.host_log(device))


def pieces(data: bytes, size: int = 48) -> list[bytes]:
    """Parts of a file that could only come from it."""
    parts = [data[at:at + size] for at in range(0, len(data) - size, size)]
    return [part for part in parts if len(set(part)) > 24]


def sealed(tap: Tap, lab: Lab, laptop: Device, desktop: Device) -> None:
    """S1-13: a secret sealed by the guest's TPM opens after each move; nothing of the TPM or of
    UEFI's variables is readable on the way."""
    guest = SealedGuest("sealed", memory_mib=256, disk_mib=192, data_mib=64)
    guest.create(laptop)
    guest.start(laptop)
    guest.wait_ready(laptop)
    kithlab.set_policy(laptop, guest.name)
    tap.ok(opens(guest, laptop), "sealed: Debian's kernel started by UEFI uses the TPM")
    state = laptop.host_path(f"{TPM}/{guest.uuid}/tpm2/tpm2-00.permall").read_bytes()
    before = laptop.host_path(f"{NVRAM}/{guest.name}_VARS.fd").read_bytes()
    secrets = pieces(state)[:60] + pieces(before)[:60]
    tap.ok(len(secrets) > 40, "S1-13 there is something to look for", str(len(secrets)))
    lab.capture.start()
    Move(laptop, guest.name, desktop).done()
    tap.ok(opens(guest, desktop), "sealed: the secret opens after the move")
    [own] = variables(desktop)
    tap.equal(digest(desktop, f"{IMAGES}/{own}"),
              hashlib.sha256(before).hexdigest(), "sealed: UEFI's variables are those it had")
    Move(desktop, guest.name, laptop).done()
    tap.ok(opens(guest, laptop), "sealed: and after the way back")
    lab.capture.stop()
    facts = kithlab.data_traffic(lab.capture)
    tap.ok(facts["data"] > 100 << 20 and facts["other"] == 0,
           "S1-13 the capture holds both moves", str(facts))
    tap.equal(lab.capture.contains({str(i): part for i, part in enumerate(secrets)}), {},
              "S1-13 no part of the TPM's state or of UEFI's variables is in the capture")
    kithlab.judge(tap, guest, [laptop, desktop, laptop], "sealed")
    guest.destroy(laptop)
    [own] = variables(laptop)
    switched_off = digest(laptop, f"{IMAGES}/{own}")
    Move(laptop, guest.name, desktop).done()
    tap.equal([guest.state(laptop), guest.state(desktop)], ["absent", "shut off"],
              "sealed: switched off it moves, too")
    [own] = variables(desktop)
    tap.equal(digest(desktop, f"{IMAGES}/{own}"), switched_off,
              "sealed: with UEFI's variables, though QEMU never wrote them there")
    tap.equal([variables(laptop), names(laptop, TPM)], [[], []],
              "sealed: and nothing of its firmware stays behind")
    guest.start(desktop)
    wait_for("the guest's second boot", lambda: tpm_keys(guest, desktop), 90)
    tap.ok(opens(guest, desktop), "sealed: started there it uses its TPM")
    tap.equal(len(set(tpm_keys(guest, laptop) + tpm_keys(guest, desktop))), 1,
              "sealed: which has been the same all the time")
    guest.destroy(desktop)
    desktop.virsh("undefine", guest.name, "--nvram")


def body(tap: Tap, lab: Lab) -> None:
    """The order of the tests."""
    laptop, desktop = kithlab.family(lab, "laptop", "desktop")
    for device in (laptop, desktop):
        device.run(["ip", "link", "add", "br-lab", "type", "bridge"])
        device.virsh("net-define", "/dev/stdin", input=NETWORK)
        device.virsh("net-start", "default")
    # Without a word only the one of given_up(): UEFI with Secure Boot, TPM, SPICE, Hyper-V's clocks.
    chosen = sorted(DOMAINS.glob("*.xml")) if "all" in sys.argv[1:] else \
        [DOMAINS / f"{name}.xml" for name in sys.argv[1:]]
    for path in chosen:
        there_and_back(tap, Machine(path), laptop, desktop)
    given_up(tap, laptop, desktop)
    sealed(tap, lab, laptop, desktop)


if __name__ == "__main__":
    kithlab.run_tests("ordinary", body)
