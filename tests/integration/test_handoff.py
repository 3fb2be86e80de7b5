#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hand-offs that succeed: raw and qcow2, there and back, without a disk; what the network saw of
them; and a destination where the name or the UUID is taken."""
import pathlib
import re
import sys
import uuid

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import Move, kith, refusal     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

PHASES = ["checking", "attesting", "preparing", "copying disk", "copying memory",
          "switching over", "done"]


def move(tap: Tap, guest: Guest, source: Device, target: Device, name: str) -> Move:
    """One hand-off that has to succeed, and what has to be true after each."""
    command = Move(source, guest.name, target)
    last = command.done()
    tap.note(f"{name}: {command.wall:.2f} s, {last['downtime_ms']} ms of downtime, "
             f"{last['ram_bytes'] >> 20} MiB of memory, {last['disk_bytes'] >> 20} MiB of disk")
    tap.ok(0 < last["downtime_ms"] < 5000 and last["elapsed_ms"] > 0,
           f"{name}: downtime and duration are measured", str(last))
    tap.equal(guest.state(source), "absent", f"{name}: the source does not know it any more")
    tap.equal(guest.state(target), "running", f"{name}: it runs at the destination")
    persistent = target.virsh("list", "--all", "--persistent", "--name").stdout.split()
    tap.ok(guest.name in persistent, f"{name}: the destination has it defined persistently")
    tap.ok("enable" not in target.virsh("dominfo", guest.name).stdout.split("Autostart")[1][:24],
           f"{name}: it is not started automatically there")
    for device, here in ((source, False), (target, True)):
        row = next(vm for vm in kith(device, "vms")["vms"] if vm["name"] == guest.name)
        tap.ok(row["here"] is here and row["holder_name"] == target.name,
               f"{name}: `kith vms` on {device.name} knows where it is", str(row))
    return command


def records(tap: Tap, guest: Guest, source: Device, target: Device) -> None:
    """S2-05: both devices' audits tell the whole story, in order."""
    def actions(device: Device) -> list[str]:
        # A destination judges the source before it is told which VM is offered.
        return [r["action"] for r in kithlab.audit(device, allowed=True)
                if r["vm"] == guest.name or r["action"] == "attest"]
    seen = actions(source)
    wanted = ["policy-set", "move", "attest", "custody-prep", "custody-released", "custody-done"]
    tap.equal([a for a in seen if a in wanted][:len(wanted)], wanted,
              "the source's audit: request, evidence, custody")
    wanted = ["attest", "custody-recv", "custody-prepared", "custody-own"]
    tap.equal([a for a in actions(target) if a in wanted][:len(wanted)], wanted,
              "the destination's audit: evidence, custody")


def first_trip(tap: Tap, lab: Lab, laptop: Device, desktop: Device) -> None:
    """Raw; with everything the network sees recorded."""
    guest = kithlab.small_guest()
    digest = kithlab.run_guest(guest, laptop)
    lab.capture.start()
    verdicts = kithlab.LogWatch("kith-policyd", "is trusted", laptop, desktop)
    command = move(tap, guest, laptop, desktop, "raw, there")
    seen = verdicts.stop()
    lab.capture.stop()
    unknown = [phase for phase in command.phases if phase not in PHASES]
    order = [PHASES.index(phase) for phase in command.phases if phase in PHASES]
    tap.ok(not unknown and order == sorted(order) and command.phases[-1] == "done",
           "the phases come in their order", str(command.phases))
    kithlab.judge(tap, guest, [laptop, desktop], "raw, there", digest)
    traffic(tap, lab, guest, seen, command.documents[-1])
    records(tap, guest, laptop, desktop)
    move(tap, guest, desktop, laptop, "raw, back")
    kithlab.judge(tap, guest, [laptop, desktop, laptop], "raw, back", digest)
    tap.equal(kithlab.leftovers(desktop, guest), [], "nothing of it is left on the desktop")
    for device in (laptop, desktop):
        ports = {(port, program) for _, port, program in device.listening()}
        tap.equal(ports, {(kithlab.PEER_PORT, "kithd")}, f"{device.name}: only Kith's port is open")
    policy = kith(laptop, "policy", "show", guest.name)
    tap.ok("allow owner all" in policy["text"], "its policy came back with it")
    guest.destroy(laptop, undefine=True)


def traffic(tap: Tap, lab: Lab, guest: Guest, verdicts: dict[str, float], last: dict) -> None:
    """S1-11, S1-13: nothing readable, nothing early, nothing elsewhere."""
    tap.equal(lab.capture.contains(guest.canaries), {}, "no canary of RAM or disk in the capture")
    facts = kithlab.data_traffic(lab.capture)
    tap.note(str(facts))
    tap.ok(facts["data"] >= last["ram_bytes"] + last["disk_bytes"] > 100 << 20,
           "the capture holds all guest data", f"{facts} {last}")
    tap.equal(sorted(verdicts), ["desktop", "laptop"], "both devices reached a verdict")
    tap.ok(verdicts and max(verdicts.values()) < facts["first_data"],
           "no data connection spoke before both verdicts were trusted", f"{verdicts} {facts}")
    tap.ok(facts["control_before"] < 128 << 10, "before them only handshake and evidence flowed",
           str(facts))
    tap.equal(facts["other"], 0, "no other TCP traffic")


def qcow2(tap: Tap, laptop: Device, desktop: Device) -> None:
    """The other format and machine type, there and back."""
    guest = kithlab.small_guest("cow", image_format="qcow2", machine="q35")
    digest = kithlab.run_guest(guest, laptop)
    move(tap, guest, laptop, desktop, "qcow2, there")
    kithlab.judge(tap, guest, [laptop, desktop], "qcow2, there", digest)
    path = kithlab.disk_path(desktop, guest)
    info = desktop.run(["qemu-img", "info", "-U", path]).stdout
    tap.ok("file format: qcow2" in info and "backing file" not in info,
           "the destination's image is qcow2 without a backing file", info)
    move(tap, guest, desktop, laptop, "qcow2, back")
    kithlab.judge(tap, guest, [laptop, desktop, laptop], "qcow2, back", digest)
    guest.destroy(laptop, undefine=True)


def names_taken(tap: Tap, laptop: Device, desktop: Device) -> None:
    """H21: a VM is its UUID and its custody, not its name."""
    guest = kithlab.small_guest("twin")
    digest = kithlab.run_guest(guest, laptop)
    other = guest.xml().replace(guest.uuid, str(uuid.uuid4()))
    renamed = guest.xml().replace("<name>twin</name>", "<name>impostor</name>")
    for xml, name, what in ((other, "twin", "name"), (renamed, "impostor", "UUID")):
        desktop.virsh("define", "/dev/stdin", input=xml)
        refused = refusal(laptop, "move", guest.name, "desktop")
        tap.ok(refused and refused.code == "identity", f"a destination where its {what} is taken "
               "refuses with `identity`", str(refused))
        tap.note(str(refused))
        tap.ok(kithlab.ticks_now(guest, laptop), f"{what} taken: the guest goes on at the source")
        tap.ok(desktop.virsh("dominfo", name, check=False).returncode == 0,
               f"{what} taken: the other VM is untouched")
        desktop.virsh("undefine", name)
    tap.equal(kithlab.leftovers(desktop, guest), [], "the refused ones left nothing")
    move(tap, guest, laptop, desktop, "with the name free again")
    kithlab.judge(tap, guest, [laptop, desktop], "with the name free again", digest)
    guest.destroy(desktop, undefine=True)


def paused(tap: Tap, laptop: Device, desktop: Device) -> None:
    """An owner pauses the guest while it is copied: it arrives, and stays paused, until he wakes
    it. An image that he put into Kith's folder himself is not Kith's to delete."""
    guest = kithlab.small_guest("idle", memory_mib=128)
    digest = kithlab.run_guest(guest, laptop)
    his = laptop.host_path("/var/lib/kith/images") / "his.raw"
    his.write_text("precious")
    laptop.rate("80mbit")
    command = Move(laptop, guest.name, desktop)
    command.wait_copied(0.1)
    laptop.virsh("suspend", guest.name)
    command.done()
    laptop.rate(None)
    tap.equal((guest.state(laptop), guest.state(desktop)), ("absent", "paused"),
              "paused by its owner while it was copied: it arrives, paused")
    tap.ok(not kithlab.ticks_now(guest, desktop, 2), "and does not tick")
    desktop.virsh("resume", guest.name)
    tap.ok(kithlab.ticks_now(guest, desktop), "until its owner resumes it")
    kithlab.judge(tap, guest, [laptop, desktop], "paused and resumed", digest)
    tap.ok(his.read_text() == "precious", "H23 an image that its owner put there stays")
    guest.destroy(desktop, undefine=True)
    his.unlink()


def diskless(tap: Tap, laptop: Device, desktop: Device) -> None:
    """`live` without a disk, of a VM that was made on the device that joined. The guest is firmware
    that found nothing to boot: the oracle cannot ask it, but libvirt's own word and the bytes can
    be checked."""
    guest = Guest("bare", memory_mib=128)
    xml = re.sub(r"<disk .*?</disk>", "", guest.xml(), flags=re.DOTALL)
    desktop.virsh("define", "/dev/stdin", input=xml.replace("<boot dev='hd'/>", ""))
    desktop.virsh("start", guest.name)
    kithlab.set_policy(desktop, guest.name)
    last = Move(desktop, guest.name, laptop).done()
    tap.ok(last["disk_bytes"] == 0 and last["ram_bytes"] > 0, "without a disk only memory moves",
           str(last))
    tap.equal((guest.state(desktop), guest.state(laptop)), ("absent", "running"),
              "and the VM runs at the destination")
    wait_for("its processor", lambda: "running" in laptop.virsh(
        "domstate", guest.name, "--reason").stdout)
    for device, target, version in ((laptop, desktop, 2), (desktop, laptop, 3)):
        no = refusal(target, "policy", "set", guest.name)
        tap.ok(no and no.code == "custody" and device.name in no.text,
               f"only where the VM is its policy is set: not on {target.name}", str(no))
        tap.equal(kith(device, "policy", "set", guest.name)["version"], version,
                  f"version {version} is signed on {device.name}")
        tap.equal(Move(device, guest.name, target).done()["phase"], "done",
                  f"and taken by {target.name}")
    guest.destroy(laptop, undefine=True)


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    laptop, desktop = kithlab.family(lab, "laptop", "desktop")
    first_trip(tap, lab, laptop, desktop)
    qcow2(tap, laptop, desktop)
    names_taken(tap, laptop, desktop)
    paused(tap, laptop, desktop)
    diskless(tap, laptop, desktop)


if __name__ == "__main__":
    kithlab.run_tests("handoff", body)
