#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""VMs that are switched off: there and back, refused, resumed in the middle, cancelled; mover and
power gone at several moments. No instruction of such a guest is ever executed."""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import Move, kith, refusal     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402


def off_guest(device: Device, name: str, **settings) -> tuple[Guest, str]:
    """Created and with a policy, never started; and the digest of its disk."""
    guest = kithlab.small_guest(name, memory_mib=128, **settings)
    guest.create(device)
    kithlab.set_policy(device, guest.name)
    return guest, guest.disk_digest(device)


def is_off(tap: Tap, guest: Guest, here: Device, there: Device, name: str) -> None:
    """Off and defined on one device, unknown on the other; nowhere a process, nowhere a tick."""
    tap.equal((guest.state(here), guest.state(there)), ("shut off", "absent"),
              f"{name}: off and defined on {here.name} only")
    tap.equal([d.name for d in (here, there) if d.pids("qemu")], [], f"{name}: no QEMU is left")
    tap.equal([d.name for d in (here, there) if b"TICK" in guest.host_log(d)], [],
              f"{name}: it never ran")
    for device in (here, there):
        row = next(vm for vm in kith(device, "vms")["vms"] if vm["name"] == guest.name)
        tap.equal((row["here"], row["holder_name"]), (device is here, here.name),
                  f"{name}: `kith vms` on {device.name} knows where it is")


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


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    laptop, desktop = kithlab.family(lab, "laptop", "desktop")
    round_trip(tap, laptop, desktop, "raw")
    round_trip(tap, laptop, desktop, "qcow2")


if __name__ == "__main__":
    kithlab.run_tests("off", body)
