# SPDX-License-Identifier: Apache-2.0
"""The test guest as a libvirt domain on a lab device."""
import base64
import hashlib
import uuid
from collections.abc import Iterator

import guestimage
import layout
from device import Device
from shell import LabError, run, wait_for

DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='{machine}'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='{format}'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='file'>
      <source path='{serial}' append='on'/>
      <target type='isa-serial' port='0'/>
    </serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""


class Guest:
    """A test VM. The object knows no host: every method is told which device is meant.

    folder is where the disk image lies, on a path that each device has for itself.
    """

    def __init__(self, name: str = "work", memory_mib: int = 512, disk_mib: int = 1024,
                 data_mib: int = 512, image_format: str = "raw", machine: str = "pc",
                 folder: str = "/var/lib/libvirt/images", seed: str | None = None,
                 **settings: int):
        self.name, self.memory_mib = name, memory_mib
        self.disk_mib, self.data_mib = disk_mib, data_mib
        self.format, self.machine, self.settings = image_format, machine, settings
        self.seed = seed or name
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.guest.lab"))
        self.disk = f"{folder}/{name}.{'img' if image_format == 'raw' else image_format}"
        self.serial = f"/var/log/libvirt/qemu-serial-{name}.log"
        self.disk_every = settings.get("disk_every", 5)

    @property
    def canaries(self) -> dict[str, bytes]:
        """What must never be seen on the wire: {"ram": ..., "disk": ...}."""
        return {kind: layout.canary(kind, self.seed) for kind in ("ram", "disk")}

    def xml(self) -> str:
        """The domain, as plain as it can be: no host kernel, no network, no host device."""
        return DOMAIN.format(name=self.name, uuid=self.uuid, memory=self.memory_mib,
                             machine=self.machine, format=self.format, disk=self.disk,
                             serial=self.serial)

    def create(self, device: Device, owner: str | None = None) -> None:
        """Writes the disk on the device and defines the domain."""
        path = device.host_path(self.disk)
        guestimage.make_disk(path, self.seed, self.disk_mib, self.data_mib, self.format,
                             device.build / "guest", **self.settings)
        if owner:
            run("chown", owner, path)
        device.virsh("define", "/dev/stdin", input=self.xml())

    def empty_disk(self, device: Device) -> None:
        """A blank image of the same size and format: what plain virsh wants at a destination."""
        device.run(["qemu-img", "create", "-q", "-f", self.format, self.disk, f"{self.disk_mib}M"])

    def start(self, device: Device) -> None:
        """Boots the domain."""
        device.virsh("start", self.name)

    def wait_ready(self, device: Device, timeout: float = 180) -> None:
        """Waits until the guest's RAM is filled (it ticks from about 2 s after its start)."""
        wait_for(f"{self.name} to be ready on {device.name}",
                 lambda: b"READY" in self.host_log(device).split(b"BOOT")[-1], timeout, 0.05)

    def host_log(self, device: Device) -> bytes:
        """Everything the guest wrote to its serial port on this device."""
        log = device.host_path(self.serial)
        return log.read_bytes() if log.exists() else b""

    def state(self, device: Device) -> str:
        """libvirt's word: running, paused, "shut off", or "absent"."""
        done = device.virsh("domstate", self.name, check=False)
        if done.returncode:
            if "failed to get domain" in done.stderr or "Domain not found" in done.stderr:
                return "absent"
            raise LabError(f"{device.name}: {done.stderr.strip()}")
        return done.stdout.strip()

    def destroy(self, device: Device, undefine: bool = False) -> None:
        """Cuts the guest's power if it is there."""
        device.virsh("destroy", self.name, check=False)
        if undefine:
            device.virsh("undefine", self.name, check=False)

    # -- what the oracle asks ------------------------------------------------------------------

    def events(self, device: Device) -> list[tuple[int, bytes]]:
        """(monotonic ns, bytes) of the guest's serial port on this device."""
        path = device.log_dir / "libvirt" / "serial.events"
        wanted, found = self.serial.rsplit("/", 1)[1], []
        for line in path.read_text().splitlines():
            fields = line.split(" ")
            if len(fields) == 3 and fields[1] == wanted:
                found.append((int(fields[0]), base64.b64decode(fields[2])))
        return found

    def _pieces(self, device: Device, path: str | None, image_format: str | None,
                size: int = 4 * layout.MIB) -> Iterator[tuple[int, bytes]]:
        """The disk's content as (offset, bytes), whatever the image format."""
        host, image_format = device.host_path(path or self.disk), image_format or self.format
        plain = host
        if image_format != "raw":
            plain = host.with_suffix(".plain.tmp")
            # -U: the image may be open in a running QEMU.
            run("qemu-img", "convert", "-U", "-f", image_format, "-O", "raw", host, plain)
        try:
            with open(plain, "rb") as file:
                at = 0
                while piece := file.read(size):
                    yield at, piece
                    at += len(piece)
        finally:
            if plain != host:
                plain.unlink()

    def disk_digest(self, device: Device, path: str | None = None,
                    image_format: str | None = None) -> str:
        """SHA-256 of the whole disk but for the state area, which a running guest changes."""
        digest = hashlib.sha256()
        start, end = layout.STATE_OFF, layout.STATE_OFF + layout.STATE_LEN
        for at, piece in self._pieces(device, path, image_format):
            before, after = piece[:max(0, start - at)], piece[max(0, end - at):]
            digest.update(piece if at + len(piece) <= start or at >= end else before + after)
        return digest.hexdigest()

    def disk_ring(self, device: Device, path: str | None = None,
                  image_format: str | None = None) -> list[tuple[int, int, int]]:
        """The (epoch, tick, sequence) records on the disk, by sequence."""
        state = b""
        for at, piece in self._pieces(device, path, image_format):
            if at + len(piece) > layout.RING_OFF:
                state += piece[max(0, layout.RING_OFF - at):]
            if len(state) >= layout.RING_LEN * layout.SECTOR:
                break
        records = []
        for i in range(layout.RING_LEN):
            words = state[i * layout.SECTOR:(i + 1) * layout.SECTOR].rstrip(b"\0").split()
            if len(words) == 4 and words[0] == b"TICK":
                records.append((int(words[1]), int(words[2]), int(words[3])))
        return sorted(records, key=lambda record: record[2])


class SealedGuest(Guest):
    """A guest that boots with UEFI and opens a secret of its virtual TPM all the time."""

    def __init__(self, name: str, **settings):
        super().__init__(name, **{"machine": "q35", **settings})

    def xml(self) -> str:
        # Nobody has signed this guest.
        insecure = "<firmware><feature enabled='no' name='secure-boot'/></firmware>"
        text = super().xml().replace("<os>", f"<os firmware='efi'>{insecure}", 1)
        tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
        return text.replace("    <serial", f"    {tpm}\n    <serial", 1)

    def wait_ready(self, device: Device, timeout: float = 300) -> None:
        """Its firmware takes its time."""
        super().wait_ready(device, timeout)
