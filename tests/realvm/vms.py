# SPDX-License-Identifier: Apache-2.0
"""The virtual machines inside the machines of the bed: what a person had before Kith came."""
import base64
import hashlib
import pathlib
import uuid

import guestimage
import layout
from bed import HERE, LabError, Machine, wait_for
from guest import Guest

WATCH = HERE.parent / "lab/serialwatch.py"
EVENTS = "/run/realvm/serial.events"

# What virt-install writes for a desktop of today, in short: q35, UEFI with variables of its own,
# an emulated TPM, SPICE. Only started and stopped, so it has no disk.
DESK = """\
<domain type='qemu'>
  <name>desk</name>
  <uuid>5f0f4b49-5448-4e0e-8000-0000000de5c0</uuid>
  <memory unit='MiB'>256</memory>
  <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/><apic/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
    <input type='tablet' bus='usb'/>
    <graphics type='spice' autoport='yes'/>
    <video><model type='virtio'/></video>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""
PLAIN = """\
<domain type='qemu'>
  <name>plain</name>
  <uuid>5f0f4b49-5448-4e0e-8000-0000000b1a11</uuid>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='pty'/>
  </devices>
</domain>
"""
OTHERS = {"plain": PLAIN, "desk": DESK}
# One whose image lies on a server that both machines reach.
POOL = """\
<pool type='netfs'>
  <name>nas</name>
  <source><host name='{host}'/><dir path='/srv/vms'/><format type='nfs'/></source>
  <target><path>{folder}</path></target>
</pool>
"""
NETTED = PLAIN.replace(">plain<", ">netted<").replace("b1a11", "ff511").replace("""\
    <serial type='pty'/>
""", """\
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{folder}/netted.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
""")
# One like the desk that is handed over.
DEN_UUID = "5f0f4b49-5448-4e0e-8000-00000000de11"
DEN = DESK.replace(">desk<", ">den<").replace("5f0f4b49-5448-4e0e-8000-0000000de5c0", DEN_UUID)


def define_others(machine: Machine, names: tuple[str, ...]) -> None:
    """The VMs that Kith never hears of."""
    for name in names:
        machine.virsh("define /dev/stdin", text=OTHERS[name])


def starts(machine: Machine, name: str) -> str:
    """Starts a VM of OTHERS and ends it again; returns libvirt's complaint, or nothing."""
    try:
        done = machine.virsh(f"start {name}", check=False)
        if done.returncode:
            return done.stderr.strip() or f"exit {done.returncode}"
        state = machine.virsh(f"domstate {name}").stdout.strip()
        return "" if state == "running" else f"it is {state}"
    finally:
        machine.virsh(f"destroy {name}", check=False)


class Work(Guest):
    """The VM that moves: the lab's test guest, small, and seen through a machine of the bed."""

    def __init__(self) -> None:
        super().__init__("work", memory_mib=96, disk_mib=112, data_mib=32, dirty_kib_s=64,
                         check_pages=4, tick_ms=200, ram_mib=16)
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, "work.realvm"))

    def image(self, folder: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
        """Its disk, made on this computer."""
        path = folder / "work.img"
        guestimage.make_disk(path, self.seed, self.disk_mib, self.data_mib, self.format, cache,
                             **self.settings)
        path.chmod(0o644)
        return path

    @staticmethod
    def digest_of_image(path: pathlib.Path) -> str:
        """As disk_digest(), of a file here."""
        content = path.read_bytes()
        end = layout.STATE_OFF + layout.STATE_LEN
        return hashlib.sha256(content[:layout.STATE_OFF] + content[end:]).hexdigest()

    def define(self, machine: Machine) -> None:
        """Makes it known to libvirt there."""
        machine.virsh("define /dev/stdin", text=self.xml())

    def boot(self, machine: Machine, timeout: float = 600) -> None:
        """Starts it and waits until it has filled its memory."""
        machine.virsh("start work")
        try:
            self.wait_ready(machine, timeout)
        except LabError as late:
            raise LabError(f"{late}: {self.host_log(machine)[-300:]!r}") from late

    def wait_ready(self, device: Machine, timeout: float = 60) -> None:
        wait_for(f"{self.name} to be ready on {device.name}",
                 lambda: b"READY" in self.host_log(device).split(b"BOOT")[-1], timeout, 1)

    def host_log(self, device: Machine) -> bytes:
        """The end of what it wrote to its serial port there."""
        return device.out(f"tail -c 20000 {self.serial}", check=False).encode()

    def ticks(self, machine: Machine, timeout: float = 60) -> bool:
        """True if it ticks there at this moment."""
        size = f"stat -c %s {self.serial}"
        before = int(machine.out(size, check=False) or 0)
        try:
            wait_for("ticks", lambda: int(machine.out(size, check=False) or 0) > before + 40,
                     timeout, 0.3)
        except LabError:
            return False
        return True

    def state(self, device: Machine) -> str:
        """libvirt's word: running, paused, shut off, or absent."""
        done = device.virsh(f"domstate {self.name}", user="root", check=False)
        return done.stdout.strip() or "absent"

    def path(self, machine: Machine) -> str:
        """Where its disk is there."""
        rows = machine.virsh(f"domblklist {self.name}", user="root").stdout.splitlines()
        return next(row.split()[1] for row in rows if row.split()[:1] == ["vda"])

    def digest(self, machine: Machine) -> str:
        """SHA-256 of its disk there, but for what a running guest changes."""
        end = layout.STATE_OFF + layout.STATE_LEN
        return machine.out(f"F={self.path(machine)}; (head -c {layout.STATE_OFF} $F; "
                           f"tail -c +{end + 1} $F) | sha256sum").split()[0]

    # -- what the oracle asks ------------------------------------------------------------------

    def events(self, device: Machine) -> list[tuple[int, bytes]]:
        """(our monotonic ns, bytes) of its serial port there since the machine was booted."""
        device.tell_time()
        found = []
        for line in device.out(f"cat {EVENTS}").splitlines():
            fields = line.split(" ")
            if len(fields) == 3 and fields[1] == self.serial.rsplit("/", 1)[1]:
                found.append((device.our_time(int(fields[0])), base64.b64decode(fields[2])))
        return found


def watch(machine: Machine) -> None:
    """Notes from now on when each piece of serial output arrives there."""
    machine.run("mkdir -p /run/realvm")
    machine.put(WATCH, "/run/realvm/serialwatch.py")
    machine.run("systemctl stop realvm-serial 2>/dev/null; "
                f"rm -f {EVENTS}; touch {EVENTS}; systemd-run -q --unit=realvm-serial --collect "
                f"python3 /run/realvm/serialwatch.py /var/log/libvirt {EVENTS}")
