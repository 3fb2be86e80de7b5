#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Restarts and states: avahi-daemon and the Kith daemons come and go, a device loses power, its
database is rolled back (D4), its measurements change (D7); the recovery key always works."""
import pathlib
import re
import shutil
import sys
import time
from collections.abc import Callable

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from config import DAEMONS  # noqa: E402
from device import Device   # noqa: E402
from kithlab import Move, kith, refusal     # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

STATE = "/var/lib/kith/policyd"
IDLE = 20       # seconds without anything to do


def switches(device: Device, name: str) -> int:
    """How often all threads of a daemon went to sleep so far."""
    files = [file for pid in device.pids(name)
             for file in pathlib.Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read_text(), re.M)[1])
               for file in files)


class Restarts:
    """Tom's two devices and a small guest."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.laptop, self.desktop = kithlab.start(lab, "laptop", "desktop")
        self.recovery = kith(self.laptop, "init", "Tom")["recovery_key"]
        kithlab.pair(self.laptop, self.desktop)
        self.guest = kithlab.small_guest("work", memory_mib=128)
        self.digest = kithlab.run_guest(self.guest, self.laptop)
        self.route = [self.laptop]

    def move(self, name: str) -> None:
        """A hand-off to the other device that must succeed."""
        source = self.route[-1]
        target = self.desktop if source is self.laptop else self.laptop
        last = Move(source, self.guest.name, target).done()
        self.route.append(target)
        self.tap.equal(last["phase"], "done", name)

    def status(self, device: Device) -> tuple[str, str]:
        """State and the sentence that explains it."""
        status = kithlab.status(device)
        return status["state"], status["detail"]

    def is_ready(self, device: Device, name: str) -> None:
        """Ready, with its peers."""
        self.tap.equal(self.status(device)[0], "ready", f"{name}: {device.name} is ready")
        peers = [row["name"] for row in kith(device, "trust")["devices"]]
        self.tap.equal(peers, ["desktop" if device is self.laptop else "laptop"],
                       f"{name}: {device.name} knows its peer")

    # -- discovery ------------------------------------------------------------------------------

    def _age(self, device: Device, other: Device) -> int | None:
        row = kithlab.sighting(device, other)
        return row["age_ms"] if row else None

    def avahi(self) -> None:
        """P3: avahi-daemon is killed on both devices; the hand-off works meanwhile, discovery
        afterwards."""
        laptop, desktop, tap = self.laptop, self.desktop, self.tap
        tap.equal(self._age(laptop, desktop), 0, "the desktop is in sight now")
        for device in (laptop, desktop):
            device.kill("avahi-daemon")
        wait_for("an ageing sighting", lambda: (self._age(laptop, desktop) or 0) > 0, 10, 0.2)
        tap.ok(True, "without avahi-daemon the sighting ages")
        self.move("and a paired device is still reached by its last address")
        time.sleep(2)
        begin = time.monotonic()
        for device in (laptop, desktop):
            device.restart("avahi-daemon")
        for one, other in ((laptop, desktop), (desktop, laptop)):
            wait_for(f"{other.name} in sight of {one.name}",
                     lambda a=one, b=other: self._age(a, b) == 0, 20, 0.1)
        took = time.monotonic() - begin
        tap.ok(took < 10, "both see each other again within 10 s", f"{took:.1f} s")
        tap.note(f"rediscovered {took:.1f} s after avahi-daemon was started again")

    # -- daemons --------------------------------------------------------------------------------

    def idle(self) -> None:
        """With nothing to do the daemons sleep: what they wait for tells them."""
        begin = {name: switches(self.desktop, name) for name in DAEMONS}
        time.sleep(IDLE)
        rate = {name: (switches(self.desktop, name) - begin[name]) / IDLE for name in DAEMONS}
        self.tap.ok(sum(rate.values()) <= 1, "idle: all daemons together wake up once a second",
                    str(rate))
        self.tap.note(f"wake-ups in a second: {rate}")

    def daemons(self) -> None:
        """Each daemon is killed and started while nothing goes on."""
        for name in ("kith-policyd", "kithd", "kith-mover"):
            for device in (self.laptop, self.desktop):
                device.restart(name)
                self.is_ready(device, f"{name} restarted")
        for device in (self.laptop, self.desktop):
            device.stop_kith()
            left = [p for p in ("kith-policyd", "kithd", "kith-mover") if device.pids(p)]
            self.tap.equal(left, [], f"{device.name}: all end on SIGTERM")
            device.start_kith()
        self.tap.ok(kithlab.ticks_now(self.guest, self.route[-1]), "the guest does not mind")
        for one, other in ((self.laptop, self.desktop), (self.desktop, self.laptop)):
            wait_for("sight", lambda a=one, b=other: kithlab.sighting(a, b), 20, 0.1)
        self.move("and hand-offs work")
        kithlab.judge(self.tap, self.guest, self.route, "after all restarts", self.digest)

    def power_cut(self) -> None:
        """The desktop, which holds nothing, loses power: same measurements, ready again."""
        self.tap.ok(self.route[-1] is self.laptop, "the guest is on the laptop")
        self.desktop.power_off()
        no = refusal(self.laptop, "move", self.guest.name, "desktop", timeout=90)
        self.tap.ok(no and no.code in ("unreachable", "interrupted"),
                    "a device without power is unreachable", str(no))
        self.tap.note(str(no))
        self.desktop.start()
        self.desktop.start_kith()
        self.is_ready(self.desktop, "after a power cut")
        wait_for("sight", lambda: kithlab.sighting(self.laptop, self.desktop), 20, 0.1)

    # -- states ---------------------------------------------------------------------------------

    def _locked(self, state: str, code: str, words: tuple[str, ...], name: str) -> None:
        """The laptop is in this state, says why, refuses, and its guest goes on."""
        tap = self.tap
        now, detail = self.status(self.laptop)
        tap.equal(now, state, f"{name}: the state is `{state}`")
        tap.ok(all(word in detail for word in words), f"{name}: a sentence says why", detail)
        tap.note(detail)
        no = refusal(self.laptop, "move", self.guest.name, "desktop")
        tap.ok(no and no.code == code, f"{name}: hand-offs are refused with `{code}`", str(no))
        tap.ok(kithlab.ticks_now(self.guest, self.laptop), f"{name}: the guest goes on")
        mistyped = self.recovery[:-1] + ("2" if self.recovery[-1] != "2" else "3")
        for key in ("", "nonsense", mistyped):
            no = refusal(self.laptop, "unlock", say=key)
            tap.ok(no and self.status(self.laptop)[0] == state,
                   f"{name}: {'an empty' if not key else 'a wrong'} recovery key is refused",
                   str(no))

    def _unlock(self, name: str) -> None:
        kith(self.laptop, "unlock", say=self.recovery)
        self.is_ready(self.laptop, f"{name}: with the recovery key")
        self.laptop.restart("kith-policyd")
        self.is_ready(self.laptop, f"{name}: and after a restart")

    def _roll_back(self, meanwhile: Callable[[], object]) -> None:
        """The laptop gets the database back that it had before something happened."""
        laptop = self.laptop
        store = laptop.host_path(STATE) / "store.db"
        old = store.with_name("old-copy")
        laptop.stop_kith("kith-policyd")
        shutil.copy2(store, old)
        laptop.start_kith("kith-policyd")
        self.is_ready(laptop, "the same database again")
        meanwhile()
        laptop.stop_kith("kith-policyd")
        store.write_bytes(old.read_bytes())
        old.unlink()
        laptop.start_kith("kith-policyd")

    def _vm(self, device: Device) -> dict:
        return next(vm for vm in kith(device, "vms")["vms"] if vm["name"] == self.guest.name)

    def _start(self) -> str:
        """What `virsh start` on the laptop says; "" if it was allowed."""
        done = self.laptop.virsh("start", self.guest.name, check=False)
        return done.stderr if done.returncode else ""

    def _change_policy(self) -> None:
        kithlab.set_policy(self.laptop, self.guest.name)
        kithlab.set_policy(self.laptop, self.guest.name)

    def rollback(self) -> None:
        """D4: a genuine older database after later guarded changes."""
        self._roll_back(self._change_policy)
        self._locked("rollback", "rollback", ("older",), "an older database")
        self._unlock("an older database")
        # H2, the twin: no other device has it, and the one there is says so.
        wait_for("the desktop's word", lambda: not self._vm(self.laptop)["doubt"], 30, 0.25)
        self.tap.ok(self._vm(self.laptop)["here"],
                    "H2 in doubt only until every device said that it does not hold the VM")

    def forgotten_move(self) -> None:
        """H2: the database is from before the VM left; nobody may start it here."""
        tap, laptop = self.tap, self.laptop
        xml = laptop.virsh("dumpxml", "--inactive", self.guest.name).stdout
        self._roll_back(lambda: self.move("H2 the VM leaves"))
        laptop.run(["tee", "/tmp/work.xml"], input=xml)
        laptop.virsh("define", "/tmp/work.xml")
        tap.ok("Kith" in self._start(), "H2 rolled back: a start here is refused")
        self.desktop.cut()
        kith(laptop, "unlock", say=self.recovery)
        vm = self._vm(laptop)
        tap.ok(vm["doubt"], "H2 unlocked: the VM is in doubt", str(vm))
        tap.ok("Kith" in self._start(), "H2 in doubt: a start here is refused")
        no = refusal(laptop, "move", self.guest.name, "desktop")
        tap.ok(no is not None, "H2 in doubt: it cannot be handed over", str(no))
        self.desktop.heal()
        wait_for("the desktop's word", lambda: not self._vm(laptop)["doubt"], 40, 0.25)
        tap.ok(not self._vm(laptop)["here"], "H2 the desktop says that it holds the VM")
        tap.ok("Kith" in self._start(), "H2 it is elsewhere: a start here is refused")
        self.move("H2 the VM comes home, over the old definition")

    def claimed(self) -> None:
        """W17: nobody can be asked, and the owner decides."""
        tap, laptop, name = self.tap, self.laptop, self.guest.name
        before = self._vm(laptop)["epoch"]
        no = refusal(laptop, "--yes", "claim", name)
        tap.ok(no is not None, "W17 a VM that is not in doubt cannot be claimed", str(no))
        self.desktop.cut()
        self._roll_back(self._change_policy)
        kith(laptop, "unlock", say=self.recovery)
        tap.ok(kithlab.ticks_now(self.guest, laptop), "W17 in doubt: a running guest goes on")
        tap.ok(self._vm(laptop)["doubt"], "W17 in doubt while nobody answers")
        kith(laptop, "--yes", "claim", name)
        vm = self._vm(laptop)
        tap.ok(vm["here"] and not vm["doubt"] and vm["epoch"] >= before + 2 ** 32,
               "W17 claimed: it is here, and its epoch is ahead of all others", str(vm))
        self.desktop.heal()
        kithlab.wait_sight([laptop, self.desktop], 40)
        self.move("W17 a claimed VM can be handed over")
        self.move("W17 and comes back")

    def measured(self) -> None:
        """D7: other measurements; the owner is not locked out, the VM not lost."""
        self.laptop.extend_pcr(7, b"secure boot was switched off")
        self.is_ready(self.laptop, "until policyd starts anew")
        self.laptop.restart("kith-policyd")
        self._locked("locked", "locked", ("PCR", "7"), "PCR 7 changed")
        self._unlock("PCR 7 changed")
        no = refusal(self.laptop, "move", self.guest.name, "desktop")
        self.tap.ok(no and no.code == "attest-pcr" and "PCR 7" in no.text,
                    "unlocked is not accepted: the desktop takes nothing from it", str(no))
        kith(self.desktop, "--yes", "trust", "accept", "laptop")
        self.move("accepted on the desktop, it can hand over")
        self.move("and gets its guest back")
        kithlab.judge(self.tap, self.guest, self.route, "at the end", self.digest)


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    tests = Restarts(tap, lab)
    tests.avahi()
    tests.idle()
    tests.daemons()
    tests.power_cut()
    tests.rollback()
    tests.forgotten_move()
    tests.claimed()
    tests.measured()


if __name__ == "__main__":
    kithlab.run_tests("restart", body)
