#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Images on a file system that both devices have mounted, each where its own storage pool says: a
real GlusterFS, through FUSE. They stay where they are; what is not the very same file does not."""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from gluster import Gluster     # noqa: E402
from guest import Guest     # noqa: E402
import guestimage   # noqa: E402
from kithlab import Kith, Move, kith, refusal     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

HERE, THERE = "/var/lib/libvirt/nas", "/var/lib/libvirt/vms"    # on the laptop, on the desktop
OPEN = "[libvirt]\nshared_pools = nas\n"


def make(laptop: Device, name: str, image_format: str) -> Guest:
    """A guest whose disk lies on the file system, as the laptop sees it."""
    guest = Guest(name, memory_mib=128, disk_mib=192, data_mib=64, image_format=image_format,
                  folder=HERE)
    own = laptop.host_path("/var/lib/libvirt/images/made")
    guestimage.make_disk(own, guest.seed, guest.disk_mib, guest.data_mib, image_format,
                         laptop.build / "guest", **guest.settings)
    laptop.run(["cp", "/var/lib/libvirt/images/made", guest.disk])
    own.unlink()
    laptop.virsh("define", "/dev/stdin", input=guest.xml())
    guest.start(laptop)
    guest.wait_ready(laptop)
    kithlab.set_policy(laptop, guest.name)
    return guest


def files(device: Device, folder: str) -> set[str]:
    """What is on the file system, seen from there."""
    return set(device.run(["ls", "-A", folder]).stdout.split())


def plan(laptop: Device, guest: Guest) -> list:
    """What matters here of `kith plan`."""
    command = Kith(laptop, "plan", guest.name, "desktop")
    command.wait()
    said = command.documents[-1]
    return [said["allowed"], said["rung"], said["shared"], said["disk_bytes"]]


def refused(tap: Tap, laptop: Device, guest: Guest, code: str, words: str, name: str) -> None:
    """Plan and move say no, with the same words, and the guest goes on."""
    said = refusal(laptop, "move", guest.name, "desktop")
    foreseen = plan(laptop, guest)
    tap.ok(said and said.code == code and words in said.text, f"{name}: refused with `{code}`",
           str(said))
    tap.note(str(said))
    if code != "identity":  # only the move itself opens files
        tap.equal(foreseen[0], False, f"{name}: the plan knew")
    tap.ok(kithlab.ticks_now(guest, laptop), f"{name}: the guest goes on at the source")


def there_and_back(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """Running, both ways: the same file by each one's own path, and nothing is copied."""
    name = guest.format
    before = files(laptop, HERE)
    tap.equal(plan(laptop, guest), [True, "live", 1, 0], f"{name}: the plan copies no disk")
    done = Move(laptop, guest.name, desktop).done()
    tap.equal((done["disk_bytes"], kithlab.disk_path(desktop, guest)),
              (0, f"{THERE}/{pathlib.Path(guest.disk).name}"),
              f"{name}: it runs on the same file, where this device has it mounted")
    tap.ok(kithlab.ticks_now(guest, desktop), f"{name}: it ticks")
    live = desktop.virsh("dumpxml", guest.name).stdout
    tap.ok(f"type='{name}'" in live, f"{name}: the format is the image's", live)
    tap.equal((kith(laptop, "disks")["stale"], guest.state(laptop)), ([], "absent"),
              f"{name}: the source calls nothing an old image")
    Move(desktop, guest.name, laptop).done()
    tap.equal((files(laptop, HERE), kithlab.images(desktop)), (before, []),
              f"{name}: back again, nothing was made and nothing removed")
    kithlab.judge(tap, guest, [laptop, desktop, laptop], f"{name} on a shared file system")


def cut_off(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """The destination's worker dies in the middle: its copy ends, the image stays."""
    laptop.rate("20mbit")
    command = Move(laptop, guest.name, desktop)
    command.wait_copied(0.1)
    desktop.kill("kith-mover-worker")
    laptop.rate(None)
    tap.ok(command.wait() != 0, "a worker that dies: the move fails")
    wait_for("the destination to clean up", lambda: not kithlab.leftovers(desktop, guest), 30)
    tap.ok(kithlab.ticks_now(guest, laptop) and guest.disk.rsplit("/", 1)[1] in files(laptop, HERE),
           "a worker that dies: the guest goes on at the source, on its image")
    Move(laptop, guest.name, desktop).done()
    Move(desktop, guest.name, laptop).done()
    tap.ok(kithlab.ticks_now(guest, laptop), "a worker that died: there and back")


def off(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """Switched off, and home again running."""
    guest.destroy(laptop)
    tap.equal(plan(laptop, guest), [True, "cold", 1, 0], "switched off: the plan copies no disk")
    Move(laptop, guest.name, desktop).done()
    tap.equal((guest.state(laptop), guest.state(desktop)), ("absent", "shut off"),
              "switched off: it is there, and stays off")
    guest.start(desktop)
    guest.wait_ready(desktop)
    Move(desktop, guest.name, laptop).done()
    tap.ok(kithlab.ticks_now(guest, laptop), "and home again, running")


def another(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """H12: the same names, and another file, or one that another VM has."""
    desktop.run(["sh", "-c", f"umount {THERE}; mkdir -p {THERE}; "
                             f"truncate -s {guest.disk_mib}M {THERE}/{guest.name}.img"])
    refused(tap, laptop, guest, "identity", "another one", "H12 another file of that name")
    desktop.run(["rm", "-rf", THERE])
    desktop.virsh("pool-destroy", "nas", check=False)
    desktop.run(["mkdir", "-p", THERE])
    desktop.virsh("pool-start", "nas")
    other = Guest("other", folder=THERE)
    other.disk = f"{THERE}/{guest.name}.img"
    desktop.virsh("define", "/dev/stdin", input=other.xml())
    refused(tap, laptop, guest, "busy", "two VMs would write", "H12 another VM's disk there")
    desktop.virsh("undefine", "other")
    Move(laptop, guest.name, desktop).done()
    Move(desktop, guest.name, laptop).done()
    tap.ok(kithlab.ticks_now(guest, laptop), "H12 the right one: there and back")


def copied(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """What this device's owner did not name as shared is copied, like any other image."""
    kithlab.configure(laptop, "")
    rung = plan(laptop, guest)
    tap.equal(rung[1:3], ["live-disk", 0], "not named here: the plan copies it")
    Move(laptop, guest.name, desktop).done()
    path = kithlab.disk_path(desktop, guest)
    tap.ok(path.startswith("/var/lib/kith/images/"), "not named here: it is copied", path)
    tap.equal([row["path"] for row in kith(laptop, "disks")["stale"]], [guest.disk],
              "not named here: the old image is listed")


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    laptop, desktop = kithlab.family(lab, "laptop", "desktop")
    gluster = Gluster(desktop)
    gluster.add("vms")
    gluster.pool(laptop, "vms", HERE)
    guest = make(laptop, "work", "raw")
    kithlab.configure(laptop, OPEN)
    refused(tap, laptop, guest, "domain", "opened no storage pool", "H13 storage nobody opened")
    gluster.pool(desktop, "vms", THERE)
    kithlab.configure(desktop, OPEN)
    there_and_back(tap, laptop, desktop, guest)
    cut_off(tap, laptop, desktop, guest)
    off(tap, laptop, desktop, guest)
    another(tap, laptop, desktop, guest)
    there_and_back(tap, laptop, desktop, make(laptop, "qwork", "qcow2"))
    copied(tap, laptop, desktop, guest)


if __name__ == "__main__":
    kithlab.run_tests("netfs", body)
