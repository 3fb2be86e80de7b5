#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Something dies in the middle of copying: the mover's worker, kithd, kith-policyd, libvirtd or the
link, at the source or at the destination. Each time the guest goes on at the source, nothing is
left at the destination, and a second `kith move` succeeds."""
import pathlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from kithlab import Move, Refused, kith     # noqa: E402
from shell import LabError, wait_for    # noqa: E402
from tap import Tap     # noqa: E402

RATE = "160mbit"        # at which the copying lasts some ten seconds
SHARE = 0.15            # of the bytes, when the fault strikes
PATIENCE = 12           # seconds from the fault to the repair, if the command does not end before
END = 30                # seconds from the repair in which the command must have ended
CLEAN = 60              # seconds in which what is left must be gone after the repair
GOOD_CODES = ("interrupted", "unreachable", "failed", "not-ready")


@dataclass
class Fault:
    """A way to break one device and to mend it."""
    name: str
    strike: Callable[[Device], object]
    repair: Callable[[Device], object]


FAULTS = (
    Fault("mover worker", lambda d: d.kill("kith-mover-worker"), lambda d: None),
    Fault("kithd", lambda d: d.kill("kithd"), lambda d: d.start_kith("kithd")),
    Fault("kith-policyd", lambda d: d.kill("kith-policyd"),
          lambda d: d.start_kith("kith-policyd")),
    Fault("libvirtd", lambda d: d.kill("libvirtd"), Device.start_libvirtd),
    Fault("link", Device.cut, Device.heal),
)


class Faults:
    """The devices, the guest and its way so far."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.devices = kithlab.family(lab, "laptop", "desktop")
        # Enough random disk content that copying takes its time.
        self.guest = kithlab.small_guest("work", disk_mib=256, data_mib=128)
        self.digest = kithlab.run_guest(self.guest, self.devices[0])
        self.route = [self.devices[0]]

    def strike(self, fault: Fault, source: Device, victim: Device, name: str) -> Move:
        """The first move, into which the fault strikes; the guest must go on at once."""
        target = next(d for d in self.devices if d is not source)
        source.rate(RATE)
        command = Move(source, self.guest.name, target)
        command.wait_copied(SHARE)
        struck = fault.strike(victim)
        self.tap.ok(struck is None or struck, f"{name}: the fault strikes", "nothing to kill")
        begin = time.monotonic()
        while command.status is None and time.monotonic() - begin < PATIENCE:
            time.sleep(0.1)
        self.tap.note(f"{name}: after {time.monotonic() - begin:.1f} s the command "
                      f"{'still waits' if command.status is None else 'has ended'}")
        self.tap.ok(kithlab.ticks_now(self.guest, source, 10),
                    f"{name}: the guest goes on at the source before anything is mended")
        return command

    def told(self, command: Move, name: str) -> None:
        """The first command ends with a refusal that says what happened, after the repair at last:
        without its libvirtd a source cannot know yet how its guest is."""
        try:
            command.wait(END)
            command.result()
            self.tap.ok(False, f"{name}: the command fails", "it succeeded")
        except Refused as refused:
            self.tap.ok(refused.code in GOOD_CODES and len(refused.text.split()) > 4,
                        f"{name}: the command fails with a code and a sentence", str(refused))
            self.tap.note(str(refused))
        except LabError as silence:
            self.tap.ok(False, f"{name}: the command ends", str(silence))

    def mended(self, source: Device, name: str) -> None:
        """After the repair: all clean, nothing lost."""
        target = next(d for d in self.devices if d is not source)
        begin = time.monotonic()
        try:
            wait_for("a clean destination", lambda: not kithlab.leftovers(target, self.guest),
                     CLEAN, 0.25)
        except LabError:
            pass
        self.tap.equal(kithlab.leftovers(target, self.guest), [],
                       f"{name}: nothing is left at the destination")
        self.tap.note(f"{name}: clean {time.monotonic() - begin:.1f} s after the repair")
        self.tap.equal(self.guest.state(source), "running", f"{name}: it runs at the source")
        kithlab.judge(self.tap, self.guest, self.route, f"{name}, after the repair")

    def again(self, source: Device, name: str) -> None:
        """The second move. Where a service was just started, it may say `try again` (75) or not
        have seen the other device yet (5), but not for long."""
        target = next(d for d in self.devices if d is not source)
        begin, tries = time.monotonic(), 0
        while True:
            tries += 1
            try:
                Move(source, self.guest.name, target).done()
                break
            except Refused as refused:
                if refused.status not in (75, 5) or time.monotonic() - begin > 40:
                    raise
                self.tap.note(f"{name}: try {tries}: {refused}")
                time.sleep(1)
        self.route.append(target)
        self.tap.ok(True, f"{name}: the second move succeeds")
        self.tap.note(f"{name}: in try {tries}, after {time.monotonic() - begin:.1f} s")
        kithlab.judge(self.tap, self.guest, self.route, f"{name}, moved", self.digest)
        for device in self.devices:
            left = [vm for vm in kith(device, "vms")["vms"] if vm.get("hid")]
            self.tap.equal(left, [], f"{name}: no hand-off is open on {device.name}")

    def case(self, fault: Fault, at_source: bool) -> None:
        """One fault on one side, from where the guest is now to the other device."""
        source = self.route[-1]
        target = next(d for d in self.devices if d is not source)
        victim = source if at_source else target
        name = f"{fault.name} at the {'source' if at_source else 'destination'}"
        try:
            command = self.strike(fault, source, victim, name)
        finally:
            source.rate(None)
            fault.repair(victim)
        self.told(command, name)
        self.mended(source, name)
        try:
            self.again(source, name)
        except LabError as problem:
            self.tap.ok(False, f"{name}: the second move succeeds", str(problem))
            self.settle()

    def settle(self) -> None:
        """Finds out where the guest is after a failure, so that the other cases mean something."""
        for device in self.devices:
            if kithlab.ticks_now(self.guest, device):
                if device is not self.route[-1]:
                    self.route.append(device)
                return
        raise LabError("the guest ticks nowhere")


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab, each on one of the sides; `check` has more of them in test_crash.py. Arguments
    choose some, on both: `test_faults.py libvirtd link`, or `all`."""
    tests = Faults(tap, lab)
    chosen = sys.argv[1:]
    for number, fault in enumerate(FAULTS):
        if chosen and fault.name not in chosen and "all" not in chosen:
            continue
        for at_source in (True, False) if chosen else (number % 2 == 0,):
            tests.case(fault, at_source)


if __name__ == "__main__":
    kithlab.run_tests("faults", body)
