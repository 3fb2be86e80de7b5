#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kith beside the rest of a libvirt host: images in storage pools, good and odd ones, the old
images that a VM leaves, networks, polkit."""
import pathlib
import sys
import uuid

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
import guestimage   # noqa: E402
from iscsi import IQN, OnTarget, Target  # noqa: E402
from kithlab import Move, kith, refusal     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

POOL = "/var/lib/libvirt/images"
ROUNDS = 6      # there and back, of the guest that goes through everything


def define_pool(device: Device, name: str = "default", folder: str = POOL) -> None:
    """What virt-manager makes on a stock host."""
    device.virsh("pool-define-as", name, "dir", "--target", folder)
    device.virsh("pool-start", name)


def drop_pool(device: Device, name: str = "default") -> None:
    """Away with the pool; its files stay."""
    device.virsh("pool-destroy", name, check=False)
    device.virsh("pool-undefine", name, check=False)


def volumes(device: Device, name: str = "default") -> set[str]:
    """The paths that libvirt lists in a pool."""
    rows = device.virsh("vol-list", name).stdout.splitlines()
    return {row.split()[1] for row in rows if len(row.split()) == 2}


def files(device: Device, folder: str = POOL) -> set[str]:
    """The files that are really there."""
    return {f"{folder}/{path.name}" for path in device.host_path(folder).iterdir()}


def there_and_back(tap: Tap, laptop: Device, desktop: Device, image_format: str) -> None:
    """Images are volumes of the usual pool: listed, in libvirt's hands, gone with the VM."""
    guest = kithlab.small_guest(f"vol{image_format}", image_format=image_format)
    digest = kithlab.run_guest(guest, laptop)
    his = desktop.host_path(POOL) / "his.raw"
    his.write_text("precious")
    before = volumes(desktop)
    Move(laptop, guest.name, desktop).done()
    path = kithlab.disk_path(desktop, guest)
    tap.ok(path.startswith(f"{POOL}/{guest.name}-"), f"{image_format}: the disk is in the pool",
           path)
    tap.equal(volumes(desktop) - before, {path}, f"{image_format}: libvirt lists it there")
    tap.equal(kithlab.images(desktop), [], f"{image_format}: Kith's own folder is empty")
    xml = desktop.virsh("vol-dumpxml", path).stdout
    tap.ok(f"<format type='{image_format}'/>" in xml and "backingStore" not in xml,
           f"{image_format}: the volume's format is told, without a backing file", xml)
    mode = desktop.run(["stat", "-c", "%a %U", path]).stdout.split()
    tap.ok(mode[0] in ("600", "640") and mode[1] == "root",
           f"{image_format}: it belongs to libvirt, nobody else may read it", str(mode))
    kithlab.judge(tap, guest, [laptop, desktop], f"{image_format} in a pool", digest)
    Move(desktop, guest.name, laptop).done()
    kithlab.judge(tap, guest, [laptop, desktop, laptop], f"{image_format} back", digest)
    tap.ok(path not in volumes(desktop) and path not in files(desktop),
           f"{image_format}: when the VM leaves, volume and file are gone", str(volumes(desktop)))
    tap.equal(his.read_text(), "precious", "H23 a file that somebody put into the pool stays")
    guest.destroy(laptop, undefine=True)


def refused(tap: Tap, guest: Guest, laptop: Device, code: str, words: str, name: str) -> None:
    """A move that the destination refuses before anything is copied, and what it says."""
    command, said = Move(laptop, guest.name, "desktop"), None
    try:
        command.done()
    except kithlab.Refused as why:
        said = why
    tap.ok(said and said.code == code and words in said.text, f"{name}: refused with `{code}`",
           str(said))
    tap.note(str(said))
    sent = [e.get("ram_bytes", 0) + e.get("disk_bytes", 0) for e in command.documents]
    tap.equal(max(sent), 0, f"{name}: before anything was copied")
    tap.ok(kithlab.ticks_now(guest, laptop), f"{name}: the guest goes on at the source")


def arrives(tap: Tap, guest: Guest, laptop: Device, desktop: Device, folder: str,
            name: str) -> None:
    """The twin: it moves, to an image in this folder, and comes home."""
    Move(laptop, guest.name, desktop).done()
    path = kithlab.disk_path(desktop, guest)
    tap.equal(path.rsplit("/", 1)[0], folder, f"{name}: the image is where it belongs")
    Move(desktop, guest.name, laptop).done()
    tap.ok(path not in files(desktop, folder), f"{name}: and gone when the VM left")


def odd_pools(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """N11, H23: pools that do not do. The usual one is passed over, one that was named is not."""
    kith_folder = "/var/lib/kith/images"
    drop_pool(desktop)
    arrives(tap, guest, laptop, desktop, kith_folder, "without a pool")

    desktop.run(["mkdir", "-p", "/var/lib/libvirt/real", "/var/lib/libvirt/open"])
    desktop.run(["ln", "-s", "real", "/var/lib/libvirt/link"])
    desktop.run(["chmod", "1777", "/var/lib/libvirt/open"])
    for folder, words in (("link", "symbolic link"), ("open", "Everybody may write")):
        path = f"/var/lib/libvirt/{folder}"
        define_pool(desktop, "default", path)
        arrives(tap, guest, laptop, desktop, kith_folder, f"N11 usual pool, {folder}")
        drop_pool(desktop)
        define_pool(desktop, "mine", path)
        kithlab.configure(desktop, "[libvirt]\npool = mine\n")
        refused(tap, guest, laptop, "failed", words, f"N11 named pool, {folder}")
        drop_pool(desktop, "mine")
        kithlab.configure(desktop, "")

    kithlab.configure(desktop, "[libvirt]\npool = mine\n")
    refused(tap, guest, laptop, "not-ready", 'no storage pool "mine"', "a named pool, absent")
    define_pool(desktop, "mine", "/var/lib/libvirt/real")
    desktop.virsh("pool-destroy", "mine")
    refused(tap, guest, laptop, "not-ready", "virsh pool-start mine", "a named pool, stopped")
    desktop.virsh("pool-start", "mine")
    arrives(tap, guest, laptop, desktop, "/var/lib/libvirt/real", "a named pool")
    drop_pool(desktop, "mine")
    kithlab.configure(desktop, "")


def full_pool(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """H23: a file system of its own with too little room, then with enough."""
    folder = "/var/lib/libvirt/small"
    desktop.run(["mkdir", "-p", folder])
    for size, fits in (("160m", False), ("400m", True)):
        desktop.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "tmpfs", folder])
        define_pool(desktop, "default", folder)
        if fits:
            Move(laptop, guest.name, desktop).done()
            tap.ok(kithlab.disk_path(desktop, guest).startswith(folder), "H23 with room it arrives")
            Move(desktop, guest.name, laptop).done()
        else:
            refused(tap, guest, laptop, "room", "file system, where its storage pool", "H23 full")
        tap.equal(volumes(desktop), set(), f"H23 {size}: nothing is left in the pool")
        drop_pool(desktop)
        desktop.run(["umount", folder])


def broken_off(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """A move that is cancelled, and one whose worker dies: the volume goes, through the pool."""
    define_pool(desktop)
    before = volumes(desktop)
    laptop.rate("80mbit")
    for how in ("cancelled", "killed"):
        command = Move(laptop, guest.name, desktop)
        command.wait_copied(0.1)
        tap.equal(len(volumes(desktop) - before), 1, f"{how}: while it is copied it is listed")
        if how == "cancelled":
            kith(laptop, "cancel", guest.name)
        else:
            desktop.kill("kith-mover-worker")
        tap.ok(command.wait() != 0, f"{how}: the move fails")
        wait_for("the volume's end", lambda: volumes(desktop) == before, 30, 0.2)
        tap.equal(files(desktop), before, f"{how}: volume and file are gone, others are there")
        tap.equal(kithlab.leftovers(desktop, guest), [], f"{how}: nothing else is left")
        tap.ok(kithlab.ticks_now(guest, laptop), f"{how}: the guest goes on at the source")
    laptop.rate(None)


def stops_meanwhile(tap: Tap, laptop: Device, desktop: Device, guest: Guest) -> None:
    """The pool is stopped while a VM arrives: its file is open already, and it goes on."""
    laptop.rate("80mbit")
    command = Move(laptop, guest.name, desktop)
    command.wait_copied(0.1)
    desktop.virsh("pool-destroy", "default")
    laptop.rate(None)
    command.done()
    path = kithlab.disk_path(desktop, guest)
    tap.ok(kithlab.ticks_now(guest, desktop), "a pool that stops in the middle: the VM arrives")
    desktop.virsh("pool-start", "default")
    tap.ok(path in volumes(desktop), "and its volume is listed when the pool is back")
    Move(desktop, guest.name, laptop).done()
    tap.ok(path not in files(desktop), "and goes when the VM leaves")


# -- old images at the source -----------------------------------------------------------------


def stale(device: Device, guest: Guest) -> list[dict]:
    """What `kith disks` lists of the guest."""
    return [row for row in kith(device, "disks")["stale"] if row["vm"] == guest.name]


def keeps(tap: Tap, device: Device, guest: Guest, code: str, words: str, name: str,
          word: str | None = None) -> None:
    """Removing is refused, and the file stays."""
    said = refusal(device, "--yes", "disks", "remove", word or guest.name)
    tap.ok(said and said.code == code and words in said.text, f"{name}: refused with `{code}`",
           str(said))
    tap.note(str(said))
    tap.ok(guest.disk in files(device), f"{name}: the file stays")


def by_hand(tap: Tap, laptop: Device, desktop: Device) -> None:
    """An image outside of all pools: shown, protected, and removed by root's hand only."""
    guest = kithlab.small_guest("old", memory_mib=128)
    kithlab.run_guest(guest, laptop)
    tap.equal(stale(laptop, guest), [], "a VM that is here left nothing")
    Move(laptop, guest.name, desktop).done()
    row = (stale(laptop, guest) or [{}])[0]
    tap.ok(row.get("path") == guest.disk and row["device"] == "desktop" and row["bytes"] > 1 << 20
           and row["state"] == "there" and not row["here"] and not row["made"],
           "its image is listed, with the place it went to and its size", str(row))
    text = laptop.run(["kith", "disks"]).stdout
    tap.ok(guest.disk in text and "the folder /var/lib/kith/images" in text and " free" in text,
           "people are told too, and where new ones are made", text)
    tap.note(text.replace("\n", " | "))
    Move(desktop, guest.name, laptop).done()
    row = (stale(laptop, guest) or [{}])[0]
    tap.ok(row.get("here") and kithlab.disk_path(laptop, guest) != guest.disk,
           "back home it runs on a new image, and the old one is still listed", str(row))
    keeps(tap, laptop, guest, "custody", "on this device again", "while the VM is here")
    Move(laptop, guest.name, desktop).done()
    tap.equal([row["path"] for row in stale(laptop, guest)], [guest.disk],
              "gone again, only the owner's image is listed: Kith's own went")
    other = guest.xml().replace(guest.uuid, str(uuid.uuid4())).replace(
        f"<name>{guest.name}</name>", "<name>other</name>")
    laptop.virsh("define", "/dev/stdin", input=other)
    keeps(tap, laptop, guest, "busy", 'the VM "other" needs it', "another VM has it as its disk")
    laptop.virsh("undefine", "other")
    keeps(tap, laptop, guest, "not-found", "is no image", "a path that is not noted",
          "/var/lib/libvirt/images/none.img")
    done = kith(laptop, "--yes", "disks", "remove", guest.name)
    tap.ok(done["outcome"] == "by-hand" and done["command"] == f"sudo rm -- '{guest.disk}'"
           and guest.disk in files(laptop), "outside of pools the command is told", str(done))
    laptop.run(["sh", "-c", done["command"].removeprefix("sudo ")])
    tap.equal([row["state"] for row in stale(laptop, guest)], ["gone"], "when done it is `gone`")
    done = kith(laptop, "--yes", "disks", "remove", guest.name)
    tap.ok(done["outcome"] == "forgotten" and not stale(laptop, guest), "and off the list",
           str(done))
    guest.destroy(desktop, undefine=True)


def by_libvirt(tap: Tap, laptop: Device, desktop: Device) -> None:
    """An image in a pool: libvirt removes it, after a yes; nothing else in the pool is touched."""
    guest = kithlab.small_guest("pooled", memory_mib=128, image_format="qcow2")
    kithlab.run_guest(guest, laptop)
    his = laptop.host_path(POOL) / "his.raw"
    his.write_text("precious")
    define_pool(laptop)
    Move(laptop, guest.name, desktop).done()
    overlay = f"{POOL}/overlay.qcow2"
    laptop.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", guest.disk, "-F", "qcow2",
                overlay])
    keeps(tap, laptop, guest, "busy", 'volume "overlay.qcow2" needs it', "an image stands on it")
    laptop.run(["rm", overlay])
    laptop.virsh("pool-refresh", "default")
    said = refusal(laptop, "disks", "remove", guest.name, say="n")
    tap.ok(said and said.code == "cancelled" and guest.disk in files(laptop), "a no is a no",
           str(said))
    before = volumes(laptop)
    done = kith(laptop, "disks", "remove", guest.disk, say="y")
    tap.equal((done["outcome"], done["path"]), ("removed", guest.disk), "a yes removes it")
    laptop.virsh("pool-refresh", "default")
    tap.equal((before - volumes(laptop), before & volumes(laptop) - files(laptop)),
              ({guest.disk}, set()), "volume and file are gone, and no other")
    tap.ok(his.read_text() == "precious" and not stale(laptop, guest), "and it is off the list")
    drop_pool(laptop)
    guest.destroy(desktop, undefine=True)


def pool_is_away(tap: Tap, laptop: Device, desktop: Device) -> None:
    """Kith's own image in a pool that is stopped when the VM leaves: noted, removed later."""
    guest = kithlab.small_guest("away", memory_mib=128)
    kithlab.run_guest(guest, laptop)
    Move(laptop, guest.name, desktop).done()
    path = kithlab.disk_path(desktop, guest)
    desktop.virsh("pool-destroy", "default")
    Move(desktop, guest.name, laptop).done()
    row = (stale(desktop, guest) or [{}])[0]
    tap.ok(row.get("path") == path and row["made"], "an image of a stopped pool is listed", str(row))
    said = refusal(desktop, "--yes", "disks", "remove", guest.name)
    tap.ok(said and "is not started" in said.text and path in files(desktop),
           "and stays while the pool is stopped", str(said))
    desktop.virsh("pool-start", "default")
    done = kith(desktop, "--yes", "disks", "remove", guest.name)
    tap.ok(done["outcome"] == "removed" and path not in files(desktop), "and goes when it is back",
           str(done))
    guest.destroy(laptop, undefine=True)


def source_dies(tap: Tap, laptop: Device, desktop: Device) -> None:
    """The source's worker dies after the release: recovery notes the image as well."""
    guest = kithlab.small_guest("dies", memory_mib=128)
    digest = kithlab.run_guest(guest, laptop)
    released = kithlab.LogWatch("kith-mover", ": released after", laptop)
    command = Move(laptop, guest.name, desktop)
    wait_for("the release", lambda: released.seen or command.status is not None, 60, 0.002)
    killed = laptop.kill("kith-mover-worker")
    released.stop()
    command.wait()
    tap.note(f"killed {len(killed)} workers after the release")
    wait_for("the note", lambda: stale(laptop, guest), 60, 0.5)
    wait_for("the VM's end here", lambda: guest.state(laptop) == "absent", 30, 0.5)
    tap.equal([row["path"] for row in stale(laptop, guest)], [guest.disk],
              "a worker that died after the release: the old image is listed")
    kithlab.judge(tap, guest, [laptop, desktop], "the source's worker died", digest)
    guest.destroy(desktop, undefine=True)


# -- storage that both devices reach ------------------------------------------------------------

PASSWORD = "Zu2laengliche-Woerter"
SECOND_DISK = """\
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{path}'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
"""


def served(device: Device, guest: OnTarget) -> str:
    """The guest's disk as a file of the device that serves it."""
    path = f"/var/lib/libvirt/images/{guest.name}.lun"
    guestimage.make_disk(device.host_path(path), guest.seed, guest.disk_mib, guest.data_mib, "raw",
                         device.build / "guest", **guest.settings)
    return path


def opened(tap: Tap, desktop: Device, laptop: Device, guest: OnTarget, target: Target) -> None:
    """What has to be there before a disk may stay where it is, one after the other."""
    refused(tap, guest, laptop, "domain", "opened no storage pool", "H13 storage nobody opened")
    kithlab.configure(desktop, "[libvirt]\nshared_pools = store\n")
    refused(tap, guest, laptop, "not-ready", "no such storage pool", "a pool that is not there")
    target.pool(desktop)
    desktop.virsh("pool-destroy", "store")
    refused(tap, guest, laptop, "not-ready", "`virsh pool-start store`", "a pool that is stopped")
    desktop.virsh("pool-start", "store")
    other = OnTarget("other", memory_mib=128)
    other.type, other.source = "volume", "<source pool='store' volume='unit:0:0:1'/>"
    desktop.virsh("define", "/dev/stdin", input=other.xml())
    refused(tap, guest, laptop, "busy", "two VMs would write to it", "H12 a LUN that is another's")
    desktop.virsh("undefine", "other")


def stays(tap: Tap, laptop: Device, desktop: Device, guest: OnTarget, lun: str) -> None:
    """There and back: what is shared is neither sent, nor made, nor an old image afterwards."""
    plan = kith(laptop, "plan", guest.name, desktop.name)
    tap.equal([plan["allowed"], plan["rung"], plan["shared"], plan["disk_bytes"] <= 4 << 20],
              [True, "live-disk", 1, True], "the plan says what is sent and what is not")
    done = Move(laptop, guest.name, desktop).done()
    live = desktop.virsh("dumpxml", guest.name).stdout
    tap.ok(f"name='{IQN}:store/1'" in live and "<secret type='iscsi' usage='store'/>" in live,
           "it runs on the same LUN, which is reached as that device's pool says")
    tap.ok(done["disk_bytes"] < 16 << 20 and live.count("<source file='/") == 1,
           "only its own disk was copied, into an image", str(done))
    tap.ok(kithlab.ticks_now(guest, desktop), "it ticks")
    tap.equal([row["path"] for row in stale(laptop, guest)], [guest.disk],
              "an old image is only what was on the source itself")
    Move(desktop, guest.name, laptop).done()
    tap.equal((kithlab.leftovers(desktop, guest), desktop.host_path(lun).exists()), ([], True),
              "back again: nothing is left, and nobody removed the LUN")


def given_up(tap: Tap, laptop: Device, desktop: Device, guest: OnTarget, lun: str) -> None:
    """A hand-off that ends in the middle, and one of the VM that is off."""
    laptop.rate("50mbit")
    command = Move(laptop, guest.name, desktop)
    command.wait_copied(0.2)
    kith(laptop, "cancel", guest.name)
    command.wait()
    laptop.rate(None)
    wait_for("the destination to clean up", lambda: not kithlab.leftovers(desktop, guest), 20)
    tap.ok(kithlab.ticks_now(guest, laptop) and desktop.host_path(lun).exists(),
           "given up: it goes on at the source, on its LUN")
    guest.destroy(laptop)
    plan = kith(laptop, "plan", guest.name, desktop.name)
    tap.equal((plan["rung"], plan["shared"]), ("cold", 1), "switched off: the plan knows")
    Move(laptop, guest.name, desktop).done()
    tap.equal((guest.state(laptop), guest.state(desktop)), ("absent", "shut off"),
              "switched off: it is there, and stays off")
    guest.start(desktop)
    guest.wait_ready(desktop)


def shared_storage(tap: Tap, lab: Lab, laptop: Device, desktop: Device) -> None:
    """A disk on an iSCSI target (in the desktop; another device would be the same), one on the
    laptop: the first stays where it is."""
    guest = OnTarget("lun", memory_mib=128, disk_mib=192, data_mib=64)
    target = Target(desktop, password=PASSWORD)
    lun = served(desktop, guest)
    guest.source = target.source(target.add(lun))
    guest.more = SECOND_DISK.format(path=guest.disk)
    laptop.run(["dd", "if=/dev/urandom", f"of={guest.disk}", "bs=1M", "count=4", "status=none"])
    target.secret(laptop, desktop)
    laptop.virsh("define", "/dev/stdin", input=guest.xml())
    guest.start(laptop)
    guest.wait_ready(laptop)
    kithlab.set_policy(laptop, guest.name)
    digest = guest.disk_digest(desktop, lun, "raw")
    lab.capture.start()
    opened(tap, desktop, laptop, guest, target)
    target.pool(laptop)
    kithlab.configure(laptop, "[libvirt]\nshared_pools = store\n")
    stays(tap, laptop, desktop, guest, lun)
    lab.capture.stop()
    tap.equal(lab.capture.contains({"password": PASSWORD.encode()}), {},
              "the storage's password is not sent")
    kithlab.judge(tap, guest, [laptop, desktop, laptop], "on a LUN")
    given_up(tap, laptop, desktop, guest, lun)
    tap.equal(guest.disk_digest(desktop, lun, "raw"), digest,
              "what was on the LUN is what was written to it")
    guest.destroy(desktop, undefine=True)
    for device in (laptop, desktop):
        kithlab.configure(device, "")
        drop_pool(device, "store")
    target.stop()


# -- networks ---------------------------------------------------------------------------------

CARD = """\
    <interface type='network'>
      <mac address='52:54:00:6b:69:74'/>
      <source network='{network}'/>
      <model type='virtio'/>
    </interface>
"""
NETWORK = """\
<network>
  <name>{network}</name>
  <forward mode='bridge'/>
  <bridge name='labbr0'/>
</network>
"""


class Wired(Guest):
    """A guest with a network card."""
    network = "default"

    def xml(self) -> str:
        card = CARD.format(network=self.network)
        return super().xml().replace("    <serial", card + "    <serial", 1)


def define_network(device: Device, name: str = "default") -> None:
    """A network over a bridge that is there: it needs neither firewall nor DHCP server."""
    device.run(["ip", "link", "add", "labbr0", "type", "bridge"], check=False)
    device.run(["ip", "link", "set", "labbr0", "up"])
    device.virsh("net-define", "/dev/stdin", input=NETWORK.format(network=name))


def networks(tap: Tap, laptop: Device, desktop: Device) -> None:
    """The network that a VM is on has to be there, up, and open to those that arrive."""
    guest = Wired("wired", memory_mib=128, disk_mib=192, data_mib=64)
    define_network(laptop)
    laptop.virsh("net-start", "default")
    digest = kithlab.run_guest(guest, laptop)
    before = volumes(desktop)
    refused(tap, guest, laptop, "not-ready", '"default", which is not defined', "no network")
    define_network(desktop)
    refused(tap, guest, laptop, "not-ready", "`virsh net-start default`", "a network that is down")
    desktop.virsh("net-start", "default")
    kithlab.configure(desktop, "[libvirt]\nnetworks = none\n")
    refused(tap, guest, laptop, "domain", 'add it to "networks"', "a network not opened")
    kithlab.configure(desktop, "")
    tap.equal((kithlab.leftovers(desktop, guest), volumes(desktop)), ([], before),
              "the refused ones left nothing")
    Move(laptop, guest.name, desktop).done()
    tap.ok("<source network='default'" in desktop.virsh("dumpxml", guest.name).stdout,
           "with the network up it arrives, on the same network")
    kithlab.judge(tap, guest, [laptop, desktop], "on a network", digest)
    guest.destroy(desktop, undefine=True)

    other = Wired("island", memory_mib=128, disk_mib=192, data_mib=64)
    other.network = "island"
    for device in (laptop, desktop):
        define_network(device, "island")
        device.virsh("net-start", "island")
    kithlab.run_guest(other, laptop)
    refused(tap, other, laptop, "domain", 'the libvirt network "island"', "H13 another network")
    kithlab.configure(desktop, "[libvirt]\nnetworks = default, island\n")
    Move(laptop, other.name, desktop).done()
    tap.ok("<source network='island'" in desktop.virsh("dumpxml", other.name).stdout,
           "H13 opened by the destination's owner, it is joined by its name")
    kithlab.configure(desktop, "")
    other.destroy(desktop, undefine=True)


HOLD = """
import socket, sys, time
held = []
for _ in range(6):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect("/run/kith/mover/mover.sock")
    held.append(s)
time.sleep(1)
def alive(s):
    s.setblocking(False)
    try:
        return s.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
print(sum(map(alive, held)), flush=True)
sys.stdin.read()
"""


def who_may(tap: Tap, laptop: Device) -> None:
    """N10, F11: the owner may ask kith-mover for this and nothing else; others are hung up on."""
    conf = laptop.base / "etc-kith" / "kith.conf"
    text = conf.read_text()
    conf.write_text(text.replace("owner = root", "owner = games"))
    laptop.restart("kith-mover")
    tap.ok("place" in kith(laptop, "disks", user="games"), "N10 the owner may ask")
    said = refusal(laptop, "disks", user="daemon")
    tap.ok(said and said.code == "not-allowed", "N10 another user is hung up on", str(said))
    for user, places in (("games", 2), ("daemon", 0)):
        holder = laptop.popen(["python3", "-c", HOLD], user, text=True, stdin=-1, stdout=-1)
        tap.equal(holder.stdout.readline().strip(), str(places), f"F11 {user} gets {places} places")
        tap.ok("vms" in kith(laptop, "vms"), f"F11 {user} holds them: kithd is answered")
        tap.ok("place" in kith(laptop, "disks"), f"F11 {user} holds them: root is answered")
        holder.stdin.close()
        holder.wait(10)
    conf.write_text(text)
    laptop.restart("kith-mover")


# -- polkit -----------------------------------------------------------------------------------


def may_manage(device: Device) -> dict[str, bool]:
    """Who of a member of group libvirt, an administrator, Kith, a stranger and root may use virsh."""
    return {user: device.run(["virsh", "-c", "qemu:///system", "list"], user=user,
                             check=False).returncode == 0
            for user in ("games", "daemon", "kith-mover", "bin", "root")}


def polkit(tap: Tap, laptop: Device, desktop: Device) -> None:
    """The example rule under a real polkitd and libvirtd, and a move under it."""
    guest = kithlab.small_guest("ruled", memory_mib=128)
    conf = laptop.base / "etc-libvirt" / "libvirtd.conf"
    text = conf.read_text()
    conf.write_text(text.replace('auth_unix_rw = "none"', 'auth_unix_rw = "polkit"')
                    .replace('rw_perms = "0770"', 'rw_perms = "0777"'))
    for user, group in (("games", "libvirt"), ("daemon", "sudo")):
        laptop.run(["usermod", "-aG", group, user])
    laptop.spawn("polkitd", ["/usr/lib/polkit-1/polkitd", "--no-debug"])
    laptop.restart("libvirtd")
    stock = {"games": True, "daemon": False, "kith-mover": True, "bin": False, "root": True}
    wait_for("polkitd", lambda: may_manage(laptop) == stock, 20, 0.5)
    rule = pathlib.Path(__file__).resolve().parents[2] / "packaging/polkit/50-kith.rules"
    laptop.run(["tee", "/etc/polkit-1/rules.d/50-kith.rules"], input=rule.read_text())
    wanted = {**stock, "games": False, "daemon": True}
    wait_for("the rule", lambda: may_manage(laptop) == wanted, 20, 0.5)
    tap.equal(may_manage(laptop), wanted, "N10 with the rule group libvirt may not manage VMs, "
              "administrators and Kith may")
    digest = kithlab.run_guest(guest, laptop)
    Move(laptop, guest.name, desktop).done()
    Move(desktop, guest.name, laptop).done()
    kithlab.judge(tap, guest, [laptop, desktop, laptop], "under the rule", digest)
    guest.destroy(laptop, undefine=True)
    conf.write_text(text)
    laptop.restart("libvirtd")


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab; what takes longest only with "all"."""
    whole = "all" in sys.argv[1:]
    laptop, desktop = kithlab.family(lab, "laptop", "desktop")
    define_pool(desktop)
    for image_format in ("raw", "qcow2") if whole else ():
        there_and_back(tap, laptop, desktop, image_format)
    guest = kithlab.small_guest("work", memory_mib=128)
    digest = kithlab.run_guest(guest, laptop)
    if whole:
        odd_pools(tap, laptop, desktop, guest)
    else:
        drop_pool(desktop)
    full_pool(tap, laptop, desktop, guest)
    broken_off(tap, laptop, desktop, guest)
    if whole:
        stops_meanwhile(tap, laptop, desktop, guest)
    kithlab.judge(tap, guest, [laptop, desktop] * (ROUNDS if whole else 1) + [laptop],
                  "all of it", digest)
    guest.destroy(laptop, undefine=True)
    by_libvirt(tap, laptop, desktop)
    if whole:
        by_hand(tap, laptop, desktop)
        pool_is_away(tap, laptop, desktop)
        source_dies(tap, laptop, desktop)
    shared_storage(tap, lab, laptop, desktop)
    networks(tap, laptop, desktop)
    who_may(tap, laptop)
    polkit(tap, laptop, desktop)


if __name__ == "__main__":
    kithlab.run_tests("pools", body)
