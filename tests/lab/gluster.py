# SPDX-License-Identifier: Apache-2.0
"""A distributed file system in a device: GlusterFS serves one volume of one brick, all of it in user
space, and devices mount it through FUSE as a storage pool of their libvirt."""
from device import Device
from shell import LabError, wait_for

BRICK = "/var/lib/libvirt/brick"
LOGS = "/var/log/glusterfs"
POOL = """\
<pool type='netfs'>
  <name>{name}</name>
  <source>
    <host name='{host}'/>
    <dir path='/{volume}'/>
    <format type='glusterfs'/>
  </source>
  <target><path>{folder}</path></target>
</pool>
"""


class Gluster:
    """The server in a device."""

    def __init__(self, device: Device):
        self.device = device
        self.quiet(device)
        device.run(["mkdir", "-p", "/var/lib/glusterd", "/run/gluster", BRICK])
        device.spawn("glusterd", ["glusterd", "-N", "--log-file=-"])
        wait_for("glusterd", lambda: self._admin("volume", "list", check=False) == 0, 30, 0.2)

    @staticmethod
    def quiet(device: Device) -> None:
        """Its logs are the device's own."""
        device.run(["mkdir", "-p", LOGS, "/var/log/libvirt/glusterfs"])
        device.run(["mount", "--bind", "/var/log/libvirt/glusterfs", LOGS])

    def _admin(self, *words: object, check: bool = True) -> int:
        return self.device.run(["gluster", "--mode=script", *words], check=check).returncode

    def add(self, volume: str) -> None:
        """Serves a volume."""
        self._admin("volume", "create", volume, f"{self.device.ip}:{BRICK}/{volume}", "force")
        self._admin("volume", "start", volume)

    def pool(self, device: Device, volume: str, folder: str, name: str = "nas") -> None:
        """Makes it a storage pool of libvirt there, which mounts it."""
        if device is not self.device:
            self.quiet(device)
        device.run(["mkdir", "-p", folder])
        device.virsh("pool-define", "/dev/stdin", input=POOL.format(
            name=name, host=self.device.ip, volume=volume, folder=folder))
        device.virsh("pool-start", name)
        kind = device.run(["stat", "-f", "-c", "%T", folder]).stdout.strip()
        if "fuse" not in kind:
            raise LabError(f"{folder} on {device.name} is {kind}, not mounted through FUSE")
