# SPDX-License-Identifier: Apache-2.0
"""A storage server in a device: tgtd serves image files as LUNs, all of it in user space."""
import re
import time

from device import Device
from guest import Guest
from shell import wait_for

IQN = "iqn.2026-01.lab.kith"
POOL = """\
<pool type='iscsi-direct'>
  <name>{name}</name>
  <source>
    <host name='{host}'/>
    <device path='{iqn}'/>
    {auth}
    <initiator><iqn name='{initiator}'/></initiator>
  </source>
</pool>
"""
AUTH = "<auth type='chap' username='lab'><secret usage='store'/></auth>"
SECRET = """\
<secret ephemeral='no' private='yes'>
  <usage type='iscsi'><target>store</target></usage>
</secret>
"""
DISK = """\
    <disk type='{type}' device='disk'>
      <driver name='qemu' type='raw' cache='{cache}'/>
      {source}
      <target dev='{target}' bus='virtio'/>
    </disk>
"""
FIRST_DISK = re.compile(r"    <disk .*?</disk>\n", re.DOTALL)


class Target:
    """One iSCSI target of a device; its LUNs are numbered from 1."""

    def __init__(self, device: Device, name: str = "store", password: str | None = None):
        self.device, self.iqn, self.password, self.luns = device, f"{IQN}:{name}", password, 0
        self.tid = 1
        if not device.pids("tgtd"):
            device.run(["mkdir", "-p", "/run/tgtd"])
            device.spawn("tgtd", ["tgtd", "-f", "-C", "0", "--iscsi",
                                  f"portal={device.ip}:3260"])
            wait_for("tgtd", lambda: self._admin("sys", "show", check=False) == 0, 10, 0.1)
        self._admin("target", "new", "--tid", self.tid, "-T", self.iqn)
        self._admin("target", "bind", "--tid", self.tid, "-I", "ALL")
        if password:
            self._admin("account", "new", "--user", "lab", "--password", password)
            self._admin("account", "bind", "--tid", self.tid, "--user", "lab")

    def _admin(self, mode: str, op: str, *more: object, check: bool = True) -> int:
        return self.device.run(["tgtadm", "-C", "0", "--lld", "iscsi", "--mode", mode, "--op", op,
                                *more], check=check).returncode

    def add(self, path: str) -> int:
        """Serves a file of the device; returns its LUN."""
        self.luns += 1
        self._admin("logicalunit", "new", "--tid", self.tid, "--lun", self.luns, "-b", path)
        return self.luns

    def secret(self, *devices: Device) -> None:
        """Gives libvirt there the password."""
        for device in devices:
            device.virsh("secret-define", "/dev/stdin", input=SECRET)
            uuid = device.virsh("secret-list").stdout.split()[0]
            device.virsh("secret-set-value", uuid, "--file", "/dev/stdin", "--plain",
                         input=self.password)

    def pool(self, device: Device, name: str = "store") -> None:
        """Makes it a storage pool of libvirt there."""
        device.virsh("pool-define", "/dev/stdin", input=POOL.format(
            name=name, host=self.device.ip, iqn=self.iqn, initiator=f"{IQN}:{device.name}",
            auth=AUTH if self.password else ""))
        device.virsh("pool-start", name)

    def source(self, lun: int) -> str:
        """<source> of a network disk."""
        auth = f"<auth username='lab'><secret type='iscsi' usage='store'/></auth>"
        return (f"<source protocol='iscsi' name='{self.iqn}/{lun}'>"
                f"<host name='{self.device.ip}' port='3260'/>{auth if self.password else ''}"
                f"</source>")

    def stop(self) -> None:
        """Ends the server."""
        self.device.kill("tgtd")
        time.sleep(0.1)


class OnTarget(Guest):
    """A guest whose disk is a LUN; further disks by their XML."""
    source, type, cache, more = "", "network", "none", ""

    def xml(self) -> str:
        disk = DISK.format(type=self.type, source=self.source, cache=self.cache, target="vda")
        return FIRST_DISK.sub(lambda _: disk + self.more, super().xml(), 1)
