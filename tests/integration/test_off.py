#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""F13, VMs that are switched off: there and back, refused, resumed in the middle, cancelled; mover
and power gone at several moments. No instruction of such a guest is ever executed. F14, guests that
are stopped or shut down for their hand-off (`--rung`): there, refused, and back on again."""
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))
import crash    # noqa: E402  (sets the module path)
import judge    # noqa: E402
import plan     # noqa: E402
from lab import Lab     # noqa: E402
import kithlab  # noqa: E402
import oracle   # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import Move, Refused, kith, refusal     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402


CRASHES = ("power_device-S-off_S-deciding_n2", "power_device-D-off_D-settling_n0",
           "power_device-S-off_D-prepared_n2", "parked_power-S_S-new_start",
           "supervisor-S-killed_S-preparing_group-n0", "supervisor-D-killed_D-owning_group-n0")
JOBS = 3


def off_guest(device: Device, name: str, **settings) -> tuple[Guest, str]:
    """Created and with a policy, never started; and the digest of its disk."""
    guest = kithlab.small_guest(name, memory_mib=128, **settings)
    guest.create(device)
    kithlab.set_policy(device, guest.name)
    return guest, guest.disk_digest(device)


def remove(guest: Guest, device: Device) -> None:
    """With its disk, so that what a later hand-off leaves can be seen."""
    path = device.host_path(kithlab.disk_path(device, guest))
    guest.destroy(device, undefine=True)
    path.unlink()


def is_off(tap: Tap, guest: Guest, here: Device, there: Device, name: str) -> None:
    """Off and defined on one device, unknown on the other; nowhere a process, nowhere a tick."""
    tap.equal((guest.state(here), guest.state(there)), ("shut off", "absent"),
              f"{name}: off and defined on {here.name} only")
    tap.equal([d.name for d in (here, there) if d.pids("qemu")], [], f"{name}: no QEMU is left")
    tap.equal([d.name for d in (here, there) if b"TICK" in guest.host_log(d)], [],
              f"{name}: it never ran")
    for device in (here, there):
        rows = [(vm["here"], vm["holder_name"]) for vm in kith(device, "vms")["vms"]
                if vm["name"] == guest.name]
        tap.ok(rows == [(device is here, here.name)] or (device is there and not rows),
               f"{name}: `kith vms` on {device.name} knows where it is", str(rows))


def move(tap: Tap, guest: Guest, source: Device, target: Device, name: str) -> None:
    """A hand-off that has to succeed."""
    command = Move(source, guest.name, target)
    last = command.done()
    tap.note(f"{name}: {command.wall:.2f} s, {last['ram_bytes'] >> 10} KiB of memory, "
             f"{last['disk_bytes'] >> 20} MiB of disk")
    tap.ok(last["off"] and last["downtime_ms"] == 0, f"{name}: moved as one that is off", str(last))
    is_off(tap, guest, target, source, name)


def round_trip(tap: Tap, laptop: Device, desktop: Device, image_format: str) -> None:
    """There and back."""
    guest, digest = off_guest(laptop, image_format, image_format=image_format)
    for source, target in ((laptop, desktop), (desktop, laptop)):
        name = f"{image_format}, to the {target.name}"
        move(tap, guest, source, target, name)
        path = kithlab.disk_path(target, guest)
        tap.equal(guest.disk_digest(target, path), digest, f"{name}: the disk is identical")
    remove(guest, laptop)


def raw(tap: Tap, laptop: Device, desktop: Device) -> None:
    """There and back with this kind of image."""
    round_trip(tap, laptop, desktop, "raw")


def qcow2(tap: Tap, laptop: Device, desktop: Device) -> None:
    """There and back with this kind of image."""
    round_trip(tap, laptop, desktop, "qcow2")


def elsewhere(tap: Tap, laptop: Device, desktop: Device) -> None:
    """It is where it is: neither libvirt nor an old definition starts it at the source."""
    guest, digest = off_guest(laptop, "gone")
    xml = laptop.virsh("dumpxml", guest.name).stdout
    laptop.virsh("autostart", guest.name)
    move(tap, guest, laptop, desktop, "autostarted at the source")
    tap.ok("disable" in desktop.virsh("dominfo", guest.name).stdout.split("Autostart")[1],
           "it is not started automatically at the destination")
    laptop.virsh("define", "/dev/stdin", input=xml)
    done = laptop.virsh("start", guest.name, check=False)
    tap.ok(done.returncode and "does not hold" in done.stderr,
           "`virsh start` at the source is refused", done.stderr)
    done = laptop.virsh("start", "--paused", guest.name, check=False)
    tap.ok(done.returncode and "does not hold" in done.stderr, "and so is a paused start",
           done.stderr)
    laptop.virsh("undefine", guest.name)
    stale = [row["path"] for row in kith(laptop, "disks")["stale"]]
    tap.ok(guest.disk in stale, "`kith disks` lists the old image at the source", str(stale))
    desktop.virsh("start", guest.name)
    guest.wait_ready(desktop)
    tap.ok(kithlab.ticks_now(guest, desktop), "at the destination it starts")
    kithlab.judge(tap, guest, [desktop], "started at the destination", digest)
    remove(guest, desktop)


def refusals(tap: Tap, laptop: Device, desktop: Device) -> None:
    """What would be lost keeps the VM where it is, untouched, and says what to do."""
    guest, _ = off_guest(laptop, "kept")
    plain = guest.xml()

    def refused(name: str, code: str, words: str) -> None:
        no = refusal(laptop, "move", guest.name, "desktop")
        tap.ok(no and no.code == code and words in no.text, f"{name}: refused with `{code}`",
               str(no))
        tap.note(str(no))
        is_off(tap, guest, laptop, desktop, name)
        tap.equal(kithlab.leftovers(desktop, guest), [], f"{name}: nothing at the destination")

    laptop.virsh("undefine", guest.name)
    laptop.virsh("define", "/dev/stdin", input=plain.replace(
        "<boot dev='hd'/>", "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd"
        "</loader><nvram>/tmp/vars.fd</nvram>"))
    refused("UEFI from a file of its own", "domain", "firmware descriptors")
    laptop.virsh("undefine", "--keep-nvram", guest.name)
    laptop.virsh("define", "/dev/stdin", input=plain)
    disk = laptop.host_path(guest.disk)
    disk.rename(disk.with_suffix(".away"))
    refused("a start that fails", "failed", "Starting the VM, paused, failed")
    disk.with_suffix(".away").rename(disk)
    wait_for("no note", lambda: notes(laptop) == [], 20)

    laptop.virsh("start", guest.name)
    guest.wait_ready(laptop)
    laptop.virsh("managedsave", guest.name)
    no = refusal(laptop, "move", guest.name, "desktop")
    tap.ok(no and no.code == "not-running" and "managedsave" in no.text,
           "a saved state: refused with `not-running`", str(no))
    tap.note(str(no))
    tap.ok("yes" in laptop.virsh("dominfo", guest.name).stdout.split("Managed save")[1],
           "a saved state: it is still there")
    laptop.virsh("start", guest.name)
    tap.ok(kithlab.ticks_now(guest, laptop), "a saved state: and goes on when started")
    laptop.virsh("suspend", guest.name)
    no = refusal(laptop, "move", guest.name, "desktop")
    tap.ok(no and no.code == "not-running" and "is paused" in no.text, "a paused VM is refused",
           str(no))
    laptop.virsh("resume", guest.name)
    Move(laptop, guest.name, desktop).done()
    kithlab.judge(tap, guest, [laptop, desktop], "and moves once it runs")
    remove(guest, desktop)


def definition(device: Device, guest: Guest) -> ET.Element:
    """As it is kept there."""
    return ET.fromstring(device.virsh("dumpxml", "--inactive", guest.name).stdout)


def cpu(device: Device, guest: Guest) -> str:
    """That it is kept with there: its mode, or its name."""
    xml = definition(device, guest).find("cpu")
    return xml.findtext("model") or xml.get("mode")


def remembers(device: Device, guest: Guest) -> bool:
    """Is there a note of what it was before it was fitted?"""
    return definition(device, guest).find("metadata/{urn:kith:fit:1}fit") is not None


FITTED = {"emulated": False, "other_cpu": False, "cpu_lacks": "", "machine_from": None,
          "machine_to": None}


def fitted(tap: Tap, laptop: Device, desktop: Device) -> None:
    """S1-28: between different processors. There is no KVM here: what needs it is a matter of
    tests/unit/test-fit.c."""
    cpus = {"maximum": ("<cpu mode='maximum'/>", "", "maximum"),
            "named": ("<cpu mode='custom'><model>Nehalem</model>"
                      "<feature policy='require' name='avx2'/></cpu>", "avx2", "host-model")}
    for name, (own, lacks, there) in cpus.items():
        if name == "maximum" and sys.argv[1:] == []:
            continue
        guest, digest = off_guest(laptop, name, machine="q35")
        laptop.virsh("define", "/dev/stdin",
                     input=guest.xml().replace("  <on_poweroff", f"{own}<on_poweroff", 1))
        was = cpu(laptop, guest)
        tap.equal(kith(laptop, "plan", guest.name, "desktop")["fitted"], FITTED,
                  f"fitted, {name}: between equal processors nothing changes")
        with kithlab.lesser_cpu(desktop, "avx2", "bmi1"):
            wait_for("sight", lambda: kithlab.sighting(laptop, desktop), 20, 0.1)
            tap.equal(kith(laptop, "plan", guest.name, "desktop")["fitted"],
                      {**FITTED, "other_cpu": bool(lacks), "cpu_lacks": lacks},
                      f"fitted, {name}: the plan knows what the other processor lacks")
            told = laptop.run(["kith", "plan", guest.name, "desktop"]).stdout
            tap.equal("its own needs avx2" in told and "will have that again" in told, bool(lacks),
                      f"fitted, {name}: and says so")
            move(tap, guest, laptop, desktop, f"fitted, {name}")
            tap.equal((cpu(desktop, guest), remembers(desktop, guest)), (there, bool(lacks)),
                      f"fitted, {name}: it has what the device can give")
            tap.equal(guest.disk_digest(desktop, kithlab.disk_path(desktop, guest)), digest,
                      f"fitted, {name}: the disk is identical")
            desktop.virsh("start", guest.name)
            guest.wait_ready(desktop)
            tap.ok(kithlab.ticks_now(guest, desktop), f"fitted, {name}: and starts there")
            desktop.virsh("destroy", guest.name)
            Move(desktop, guest.name, laptop).done()
        tap.equal((guest.state(laptop), cpu(laptop, guest), remembers(laptop, guest)),
                  ("shut off", was, False), f"fitted, {name}: at home it is what it was")
        remove(guest, laptop)
    if sys.argv[1:]:
        fitted_running(tap, laptop, desktop, cpus["named"][0])


def fitted_running(tap: Tap, laptop: Device, desktop: Device, own: str) -> None:
    """What cannot go while it runs is told the way that there is: shut down, it boots there."""
    guest, _ = off_guest(laptop, "runs", machine="q35", power_button=1)
    laptop.virsh("define", "/dev/stdin",
                 input=guest.xml().replace("  <on_poweroff", f"{own}<on_poweroff", 1))
    laptop.virsh("start", guest.name)
    guest.wait_ready(laptop)
    with kithlab.lesser_cpu(desktop, "avx2", "bmi1"):
        wait_for("sight", lambda: kithlab.sighting(laptop, desktop), 20, 0.1)
        command = kithlab.Kith(laptop, "plan", guest.name, "desktop")
        command.wait()
        told = command.documents[-1]
        tap.equal((told["allowed"], told["rung"], [row["rung"] for row in told["rungs"]
                                                   if not row["reason"]], told["fitted"]),
                  (False, "none", ["cold"], {**FITTED, "other_cpu": True, "cpu_lacks": "avx2"}),
                  "fitted, running: the plan knows that only a cold move would work")
        told = laptop.run(["kith", "plan", guest.name, "desktop"], check=False).stdout
        tap.ok(f"`kith move --rung cold {guest.name} desktop`" in told,
               "fitted, running: and says how", told)
        tap.equal((refusal(laptop, "move", guest.name, "desktop").code, guest.state(laptop)),
                  ("domain", "running"), "fitted, running: without that word it stays and runs")
        last = Move(laptop, guest.name, desktop, "cold").done()
        tap.ok(not last["off"] and last["downtime_ms"] > 0, "fitted, running: it moves cold",
               str(last))
        booted(tap, guest, [laptop, desktop], 1, "fitted, running")
        tap.equal((cpu(desktop, guest), remembers(desktop, guest)), ("host-model", True),
                  "fitted, running: with what the device can give")
    remove(guest, desktop)


def snapshots(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A snapshot stays in libvirt: told beforehand, with the command that mends it."""
    guest, _ = off_guest(laptop, "snap", image_format="qcow2")
    laptop.virsh("snapshot-create-as", guest.name, "before")
    no = refusal(laptop, "move", guest.name, "desktop")
    tap.ok(no and no.code == "domain" and "virsh snapshot-delete" in no.text
           and '("before")' in no.text,
           "a VM with a snapshot is refused", str(no))
    laptop.virsh("snapshot-delete", guest.name, "before")
    move(tap, guest, laptop, desktop, "without it")
    remove(guest, desktop)


def notes(device: Device) -> list[str]:
    """The notes of hand-offs that the mover has on the device."""
    folder = device.host_path("/var/lib/kith/mover")
    return sorted(path.name for path in folder.iterdir() if re.fullmatch("[0-9a-f]{32}", path.name))


SLOW = """#!/bin/sh
[ "$1 $2" != "slow prepare" ] || sleep 75
"""


def slow(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A computer on which a start takes longer than the two kithds wait for each other's answer."""
    guest, digest = off_guest(laptop, "slow")
    hook = "/etc/libvirt/hooks/qemu.d/50-slow"
    laptop.run(["mkdir", "-p", "/etc/libvirt/hooks/qemu.d"])
    laptop.run(["tee", hook], input=SLOW)
    laptop.run(["chmod", "755", hook])
    command = Move(laptop, guest.name, desktop)
    command.done()
    laptop.run(["rm", hook])
    tap.ok(command.wall > 75, "slow: the start took its time", str(command.wall))
    is_off(tap, guest, desktop, laptop, "slow: it arrives")
    tap.equal(guest.disk_digest(desktop, kithlab.disk_path(desktop, guest)), digest,
              "slow: the disk is identical")
    remove(guest, desktop)


def resumed(tap: Tap, laptop: Device, desktop: Device) -> None:
    """Somebody wakes it while it is copied: it runs where it is, and nothing of it is lost."""
    for again in (False, True):
        name = "woken, and paused again" if again else "woken"
        guest, _ = off_guest(laptop, "woken2" if again else "woken")
        command = Move(laptop, guest.name, desktop)
        wait_for("the paused start", lambda g=guest: g.state(laptop) == "paused", 20, 0.01)
        laptop.virsh("resume", guest.name)
        if again:
            laptop.virsh("suspend", guest.name)
        try:
            command.done()
            tap.ok(False, f"{name}: the move ends", "it succeeded")
        except Refused as no:
            tap.ok(no.code == "interrupted" and "switched off" in no.text,
                   f"{name}: the move ends with a sentence", str(no))
            tap.note(str(no))
        wait_for("the end", lambda g=guest: not kithlab.leftovers(desktop, g), 20)
        tap.equal(guest.state(laptop), "paused" if again else "running",
                  f"{name}: it stays as it is")
        if again:
            laptop.virsh("resume", guest.name)
        guest.wait_ready(laptop)
        wait_for("no note", lambda: notes(laptop) == [], 20)
        Move(laptop, guest.name, desktop).done()
        kithlab.judge(tap, guest, [laptop, desktop], f"{name}: and moves as one that runs")
        remove(guest, desktop)


def too_late(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A resume in the middle of the copy waits for libvirt's job, and finds nothing to resume."""
    guest, digest = off_guest(laptop, "late", disk_mib=256, data_mib=128)
    laptop.rate("160mbit")
    command = Move(laptop, guest.name, desktop)
    command.wait_copied(0.1)
    waiting = laptop.popen(["virsh", "-c", "qemu:///system", "resume", guest.name],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command.wait_copied(0.3)
    laptop.rate(None)
    command.done()
    tap.ok(waiting.wait(60), "woken in the middle of the copy: too late for that")
    is_off(tap, guest, desktop, laptop, "woken in the middle of the copy")
    tap.equal(guest.disk_digest(desktop, kithlab.disk_path(desktop, guest)), digest,
              "woken in the middle of the copy: the disk is identical")
    remove(guest, desktop)


def cancelled(tap: Tap, laptop: Device, desktop: Device) -> None:
    """Its owner changes his mind; then the mover dies with all it does."""
    guest, digest = off_guest(laptop, "stays", disk_mib=256, data_mib=128)
    for name, strike in (("cancelled", lambda: kith(laptop, "cancel", guest.name)),
                         ("mover of the source dead", lambda: killed(laptop)),
                         ("mover of the destination dead", lambda: killed(desktop))):
        laptop.rate("80mbit")
        command = Move(laptop, guest.name, desktop)
        command.wait_copied(0.1)
        tap.equal(guest.state(laptop), "paused", f"{name}: at the source it stands still")
        done = laptop.virsh("start", guest.name, check=False)
        tap.ok(done.returncode, f"{name}: and cannot be started meanwhile", done.stdout)
        strike()
        laptop.rate(None)
        tap.ok(command.wait(60) != 0, f"{name}: the command fails")
        wait_for("rest", lambda: guest.state(laptop) == "shut off" and not notes(laptop)
                 and not kithlab.leftovers(desktop, guest), 40)
        is_off(tap, guest, laptop, desktop, name)
        wait_for("sight", lambda: kithlab.sighting(laptop, desktop), 20, 0.1)
    move(tap, guest, laptop, desktop, "after all that")
    path = kithlab.disk_path(desktop, guest)
    tap.equal(guest.disk_digest(desktop, path), digest, "and its disk is identical")
    remove(guest, desktop)


def killed(device: Device) -> None:
    """The mover and its worker, by force; the first is started again."""
    device.kill("kith-mover")
    device.kill("kith-mover-worker")
    device.start_kith("kith-mover")


def early_death(tap: Tap, laptop: Device, desktop: Device) -> None:
    """The mover dies between the paused start and the first record: the journal knows nothing."""
    guest, _ = off_guest(laptop, "early")
    command = Move(laptop, guest.name, desktop)
    wait_for("the paused start", lambda: bool(laptop.pids("qemu")), 20, 0.005)
    killed(laptop)
    command.wait(60)
    wait_for("rest", lambda: guest.state(laptop) == "shut off" and not notes(laptop)
             and not kithlab.leftovers(desktop, guest), 40)
    is_off(tap, guest, laptop, desktop, "the mover died at the start")
    remove(guest, laptop)


def diskless(tap: Tap, laptop: Device, desktop: Device) -> None:
    """Without a disk only the definition moves."""
    guest = Guest("bare", memory_mib=64)
    xml = re.sub(r"<disk .*?</disk>", "", guest.xml(), flags=re.DOTALL)
    laptop.virsh("define", "/dev/stdin", input=xml.replace("<boot dev='hd'/>", ""))
    kithlab.set_policy(laptop, guest.name)
    move(tap, guest, laptop, desktop, "without a disk")
    guest.destroy(desktop, undefine=True)


def everything(tap: Tap, laptop: Device, desktop: Device) -> None:
    """`kith move --all`: running, off, forbidden, without a policy."""
    nothing = kith(laptop, "move", "--all", "desktop")
    tap.equal((nothing["moved"], nothing["refused"]), ([], []), "--all with nothing to move")
    running = kithlab.small_guest("a-runs", memory_mib=128)
    kithlab.run_guest(running, laptop)
    off, _ = off_guest(laptop, "b-off")
    forbidden, _ = off_guest(laptop, "c-stays")
    kithlab.set_policy(laptop, forbidden.name, "deny anyone all to own\n")
    other = kithlab.small_guest("d-other", memory_mib=64)
    other.create(laptop)
    command = kithlab.Kith(laptop, "move", "--all", "desktop")
    status = command.wait(120)
    last = command.documents[-1]
    tap.equal((sorted(last["moved"]), [row["vm"] for row in last["refused"]], last["left"]),
              (["a-runs", "b-off"], ["c-stays"], ["d-other"]), "--all says what became of each")
    tap.equal((status, last["refused"][0]["error"]["code"]), (3, "policy"),
              "--all ends with the status of the refusal")
    tap.equal([guest.state(desktop) for guest in (running, off, forbidden, other)],
              ["running", "shut off", "absent", "absent"], "--all: they are there")
    done = desktop.run(["kith", "move", "--all", "laptop"])
    tap.ok("2 of 2 moved to \"laptop\"." in done.stdout and "switched off" in done.stdout,
           "--all, back: a summary for people, and status 0", done.stdout)
    for line in done.stdout.splitlines():
        tap.note(line)
    kithlab.judge(tap, running, [laptop, desktop, laptop], "--all there and back")
    for guest in (running, off, forbidden, other):
        remove(guest, laptop)


def rungs(device: Device, guest: Guest) -> dict[str, dict]:
    """What `kith plan` says of each rung, on the way to the other device."""
    other = {"laptop": "desktop", "desktop": "laptop"}[device.name]
    return {row["rung"]: row for row in kith(device, "plan", guest.name, other)["rungs"]}


def warm(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A guest that changes its memory faster than the link carries it: live it would never end.
    Stopped for its memory it arrives; and an abort in that lets it go on where it is."""
    guest = kithlab.small_guest("busy", memory_mib=128, dirty_kib_s=160000)
    digest = kithlab.run_guest(guest, laptop)
    rows = rungs(laptop, guest)
    tap.equal([name for name, row in rows.items() if not row["reason"]], ["live", "warm", "cold"],
              "plan: rungs of a VM that runs")
    laptop.rate("160mbit")
    if sys.argv[1:]:
        with tempfile.TemporaryFile("a+") as said:
            command = laptop.popen(["kith", "move", guest.name, "desktop"], stderr=said,
                                   stdout=subprocess.DEVNULL)
            wait_for("advice", lambda: said.seek(0) or "kith move --rung warm" in said.read(), 90)
            tap.equal(guest.state(laptop), "running", "live: it runs, does not end, and that is said")
            kith(laptop, "cancel", guest.name)
            tap.ok(command.wait(60), "live: cancelled")
        wait_for("rest", lambda: not notes(laptop) and not kithlab.leftovers(desktop, guest), 40)
    for name, strike in (("cancelled", lambda: kith(laptop, "cancel", guest.name)),
                         ("mover of the source dead", lambda: killed(laptop)),
                         ("libvirtd of the source dead", lambda: libvirtd_killed(laptop))):
        wait_for("sight", lambda: kithlab.sighting(laptop, desktop), 20, 0.1)
        command = Move(laptop, guest.name, desktop, "warm")
        wait_for("the stop", lambda: guest.state(laptop) == "paused", 40, 0.05)
        strike()
        tap.ok(command.wait(60) != 0, f"warm, {name}: the command fails")
        wait_for("rest", lambda: not notes(laptop) and not kithlab.leftovers(desktop, guest), 40)
        tap.equal((guest.state(laptop), kithlab.ticks_now(guest, laptop)), ("running", True),
                  f"warm, {name}: it goes on at the source")
        if name == "cancelled" and sys.argv[1:] == []:
            break
    last = Move(laptop, guest.name, desktop, "warm").done()
    laptop.rate(None)
    tap.ok(not last["off"] and last["downtime_ms"] > 1000 and last["ram_bytes"] < 150 << 20,
           "warm: moved, with a pause and each page sent once", str(last))
    tap.note(f"warm: {last['downtime_ms']} ms pause, {last['ram_bytes'] >> 20} MiB of memory")
    kithlab.judge(tap, guest, [laptop, desktop], "warm", digest)
    rows = rungs(desktop, guest)
    tap.ok(rows["warm"]["pause_ms"] is None or rows["warm"]["pause_ms"] > 1000,
           "plan: the pause of the warm rung", str(rows))
    remove(guest, desktop)


def booted(tap: Tap, guest: Guest, hosts: list[Device], times: int, name: str) -> None:
    """It ran on these devices one after the other, and booted so many times since its first."""
    def epochs() -> set[bytes]:
        return {line for d in hosts for line in guest.host_log(d).split(b"\n")
                if line.startswith(b"BOOT")}

    wait_for("the boot", lambda: len(epochs()) > times, 60)
    guest.wait_ready(hosts[-1])
    tap.ok(kithlab.ticks_now(guest, hosts[-1]), f"{name}: it runs on {hosts[-1].name}")
    report = oracle.judge({d.name: guest.events(d) for d in set(hosts)}, [d.name for d in hosts],
                          reboots=times)
    tap.ok(report.ok and len(epochs()) == times + 1, f"{name}: the oracle has no objection",
           f"{report.sentence()} {epochs()}")


FOLDER = """<filesystem type='mount'><source dir='/srv'/><target dir='srv'/></filesystem>"""


def other_next_time(tap: Tap, guest: Guest, laptop: Device) -> None:
    """What runs can move, but what would start next cannot: not shut down for nothing."""
    laptop.run(["tee", "/tmp/folder.xml"], input=FOLDER)
    laptop.virsh("attach-device", guest.name, "/tmp/folder.xml", "--config")
    told = rungs(laptop, guest)
    tap.ok(not told["live"]["reason"] and "next start" in told["cold"]["reason"]["text"],
           "plan: a definition that cannot move, of a VM that can", str(told))
    no = refusal(laptop, "move", "--rung", "cold", guest.name, "desktop")
    tap.ok(no and no.code == "domain" and "filesystem" in no.text and
           guest.state(laptop) == "running", "cold: refused before it is shut down", str(no))
    laptop.virsh("detach-device", guest.name, "/tmp/folder.xml", "--config")
    tap.ok(not rungs(laptop, guest)["cold"]["reason"], "plan: and without it")


def cold(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A guest that runs is shut down, carried, and boots at the destination; if the hand-off ends
    before that, where it was."""
    guest = kithlab.small_guest("boots", memory_mib=96, data_mib=48, power_button=1)
    digest = kithlab.run_guest(guest, laptop)
    tap.equal([name for name, row in rungs(laptop, guest).items() if not row["reason"]],
              ["live", "warm", "cold"], "plan: all rungs of a VM that runs")
    other_next_time(tap, guest, laptop)
    command = Move(laptop, guest.name, desktop, "cold")
    last = command.done()
    tap.ok("shutting down" in command.phases and not last["off"] and last["ram_bytes"] < 32 << 20,
           "cold: shut down, and its memory stayed", str(last))
    tap.note(f"cold: {command.wall:.1f} s, {last['downtime_ms']} ms without a process")
    booted(tap, guest, [laptop, desktop], 1, "cold")
    tap.equal(guest.disk_digest(desktop, kithlab.disk_path(desktop, guest)), digest,
              "cold: the disk is identical")
    boots = 1
    for name, strike in (("cancelled", lambda: kith(desktop, "cancel", guest.name)),
                         ("mover of the source dead", lambda: killed(desktop)),
                         ("libvirtd of the source dead", lambda: libvirtd_killed(desktop))):
        wait_for("sight", lambda: kithlab.sighting(desktop, laptop), 20, 0.1)
        desktop.rate("80mbit")
        command = Move(desktop, guest.name, laptop, "cold")
        command.wait_document(lambda e: e.get("phase") == "copying disk", "the copy")
        strike()
        desktop.rate(None)
        tap.ok(command.wait(60) != 0, f"cold, {name}: the command fails")
        boots += 1
        wait_for("rest", lambda: not notes(desktop) and not kithlab.leftovers(laptop, guest), 40)
        booted(tap, guest, [laptop, desktop], boots, f"cold, {name}")
        if sys.argv[1:] == []:
            break
    remove(guest, desktop)


ONCE = """#!/bin/sh
[ "$1 $2" = "stays-off prepare" ] || exit 0
[ ! -e /tmp/carried ] || exit 1
touch /tmp/carried
"""


def unstartable(tap: Tap, laptop: Device, desktop: Device) -> None:
    """What carried it came, and the machine itself does not start there: it is there, off."""
    guest = kithlab.small_guest("stays-off", memory_mib=96, data_mib=48, power_button=1)
    kithlab.run_guest(guest, laptop)
    hook = "/etc/libvirt/hooks/qemu.d/50-once"
    desktop.run(["mkdir", "-p", "/etc/libvirt/hooks/qemu.d"])
    desktop.run(["tee", hook], input=ONCE)
    desktop.run(["chmod", "755", hook])
    done = laptop.run(["kith", "move", "--rung", "cold", guest.name, "desktop"])
    tap.ok('is on "desktop" now, switched off' in done.stdout,
           "cold, but it does not start there: it is said that it is off", done.stdout)
    tap.equal((guest.state(laptop), guest.state(desktop)), ("absent", "shut off"),
              "cold, but it does not start there: it is there")
    desktop.run(["rm", hook])
    desktop.virsh("start", guest.name)
    booted(tap, guest, [laptop, desktop], 1, "cold, but it does not start there")
    remove(guest, desktop)


def disobedient(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A guest that does not shut down: nothing has changed, and whoever does not want to wait for
    that moves it live. If the mover dies and it obeys then, it is started again."""
    guest = kithlab.small_guest("deaf", memory_mib=96)
    kithlab.run_guest(guest, laptop)
    command = Move(laptop, guest.name, desktop, "cold")
    command.wait_document(lambda e: e.get("phase") == "shutting down", "the question")
    kith(laptop, "cancel", guest.name)
    tap.ok(command.wait(20) != 0, "deaf: cancelled")
    wait_for("rest", lambda: not kithlab.leftovers(desktop, guest), 20)
    Move(laptop, guest.name, desktop).done()
    kithlab.judge(tap, guest, [laptop, desktop], "deaf: and moves live")
    Move(desktop, guest.name, laptop).done()
    no = refusal(laptop, "move", "--rung", "cold", guest.name, "desktop", timeout=240)
    tap.ok(no and no.code == "not-running" and "did not shut down" in no.text,
           "deaf: refused after a while", str(no))
    wait_for("rest", lambda: not notes(laptop) and not kithlab.leftovers(desktop, guest), 40)
    kithlab.judge(tap, guest, [laptop, desktop, laptop], "deaf: it ran all the time")
    command = Move(laptop, guest.name, desktop, "cold")
    command.wait_document(lambda e: e.get("phase") == "shutting down", "the question")
    killed(laptop)
    guest.destroy(laptop)
    command.wait(60)
    wait_for("a start", lambda: guest.state(laptop) == "running", 40)
    booted(tap, guest, [laptop, desktop, laptop], 1, "mover dead, and the guest is off then")
    wait_for("rest", lambda: not notes(laptop) and not kithlab.leftovers(desktop, guest), 40)
    command = Move(laptop, guest.name, desktop, "cold")
    command.wait_document(lambda e: e.get("phase") == "shutting down", "the question")
    time.sleep(75)      # the conversation of the two kithds is long over
    guest.destroy(laptop)
    command.done()
    booted(tap, guest, [laptop, desktop, laptop, desktop], 2, "obeyed after more than a minute")
    remove(guest, desktop)


def libvirtd_killed(device: Device) -> None:
    """libvirtd dies and is back, as systemd would have it."""
    device.kill("libvirtd")
    device.start_libvirtd()


def chosen_rungs(tap: Tap, laptop: Device, desktop: Device) -> None:
    """What does not fit is refused before anything is begun; what fits is done."""
    guest, digest = off_guest(laptop, "choice")
    tap.equal([name for name, row in rungs(laptop, guest).items() if not row["reason"]], ["cold"],
              "plan: rungs of a VM that is off")
    for rung in ("live", "warm"):
        no = refusal(laptop, "move", "--rung", rung, guest.name, "desktop")
        tap.ok(no and no.code == "not-running" and "Start it first" in no.text,
               f"--rung {rung} of a VM that is off is refused", str(no))
        is_off(tap, guest, laptop, desktop, f"--rung {rung}")
    no = refusal(laptop, "move", "--rung", "hot", guest.name, "desktop")
    tap.ok(no and no.code == "usage", "an unknown rung is refused", str(no))
    Move(laptop, guest.name, desktop, "cold").done()
    is_off(tap, guest, desktop, laptop, "--rung cold")
    tap.equal(guest.disk_digest(desktop, kithlab.disk_path(desktop, guest)), digest,
              "--rung cold: the disk is identical")
    remove(guest, desktop)


def crashes(tap: Tap, *_devices: Device) -> None:
    """Power and movers gone at several moments, in labs of the soak; it judges each (tests/soak)."""
    runs = [run for run in plan.off() if run["id"].endswith(CRASHES)]
    tap.equal(len(runs), len(CRASHES), "the crashes are in the plan")
    with tempfile.TemporaryDirectory(prefix="kith-off-") as folder:
        soak = crash.Soak(runs, JOBS, crash.PATIENCE, pathlib.Path(folder))
        for result in soak.results_as_they_come():
            tap.ok(result["outcome"] in judge.GOOD and result["struck"],
                   f"{result['outcome']}: {result['victim']} @ {result['moment']}",
                   "\n".join(result["detail"]))
    tap.equal(len(soak.results), len(runs), "every crash was made")


def body(tap: Tap, lab: Lab) -> None:
    """In one lab a sample, "all", or what words choose."""
    laptop, desktop = kithlab.family(lab, "laptop", "desktop")
    chosen = sys.argv[1:] or ["warm", "cold", "fitted", "cancelled"]
    for part in (warm, cold, unstartable, disobedient, chosen_rungs, fitted, raw, qcow2, elsewhere, refusals,
                 snapshots, slow, resumed, too_late, cancelled, early_death, diskless, everything,
                 crashes):
        if "all" in chosen or part.__name__ in chosen:
            part(tap, laptop, desktop)


if __name__ == "__main__":
    kithlab.run_tests("off", body)
