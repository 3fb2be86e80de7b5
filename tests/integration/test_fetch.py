#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Moves that begin where the VM shall go: `kith fetch`, there and back, running and off; what the
device that has it refuses, and with which code; and wishes that are repeated or not its owner's."""
import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from kithlab import Kith, Move, kith, refusal    # noqa: E402
from device import Device   # noqa: E402
from tap import Tap     # noqa: E402
from terminal import Terminal   # noqa: E402

STAY = "deny anyone all to any\n"


def fetched(tap: Tap, device: Device, name: str, what: str, *options: str) -> None:
    """It has to come."""
    command = Kith(device, "fetch", *options, name)
    command.wait(120)
    last = command.documents[-1] if command.documents else {}
    tap.ok(command.status == 0 and last.get("phase") == "done" and last.get("vm") == name,
           f"{what}: `kith fetch` on {device.name} brings it", str(last)[:600])


def refused(tap: Tap, device: Device, name: str, code: str, words: str, what: str) -> None:
    """It must not."""
    no = refusal(device, "fetch", name, timeout=90)
    tap.ok(no and no.code == code and words in no.text, f"{what}: refused with `{code}`", str(no))


def on_screen(tap: Tap, device: Device, name: str, holder: str, *says: str) -> None:
    """The same by a key on the full screen."""
    terminal = Terminal(device, 100, 30)
    terminal.type("kith")
    terminal.wait(name, f"on {holder}")
    terminal.press("b")
    terminal.wait("Bring it here?", f'"{name}" is on "{holder}"')
    terminal.press("y")
    tap.ok(terminal.wait(*says, timeout=60), f"by a key on the screen: {says[0]}")
    terminal.press("Escape", "q")
    terminal.close()


def there_and_back(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A guest follows its owner by his word at the device where he is."""
    guest = kithlab.small_guest("work", memory_mib=128)
    digest = kithlab.run_guest(guest, laptop)
    refused(tap, desktop, guest.name, "not-found", "", "a VM that this device never heard of")
    refused(tap, laptop, guest.name, "exists", "here already", "a VM that is here")
    Move(laptop, guest.name, desktop).done()
    on_screen(tap, laptop, guest.name, "desktop", "here, running", 'came from "desktop"')
    fetched(tap, desktop, guest.name, "running, the other way", "--rung", "warm")
    kithlab.judge(tap, guest, [laptop, desktop, laptop, desktop], "fetched", digest)
    seen = [record["action"] for record in kith(laptop, "log")["records"]]
    tap.ok("fetch" in seen and "move" in seen, "both devices' logs say who asked", str(seen[-12:]))
    guest.destroy(desktop)
    fetched(tap, laptop, guest.name, "switched off")
    tap.equal((guest.state(laptop), guest.state(desktop)), ("shut off", "absent"),
              "switched off: it is off where it came to")
    no = refusal(laptop, "move", guest.name, "laptop")
    tap.ok(no and "kith fetch" in no.text, "`kith move` to oneself names `kith fetch`", str(no))
    Move(laptop, guest.name, desktop).done()


def refusals(tap: Tap, laptop: Device, desktop: Device) -> None:
    """The holder decides, and says no with its own code."""
    laptop.run(["tee", "/tmp/stay"], input=STAY)
    desktop.run(["tee", "/tmp/stay"], input=STAY)
    kith(desktop, "policy", "set", "work", "/tmp/stay")
    refused(tap, laptop, "work", "policy", "policy", "the policy keeps it")
    records = kithlab.audit(desktop, allowed=False)
    tap.ok(records and records[-1]["action"] == "move" and
           records[-1]["reason"]["code"] == "policy",
           "the policy keeps it: the holder's log has it", str(records[-1:]))
    on_screen(tap, laptop, "work", "desktop", '"work" was not brought here', "(code: policy)")
    kith(desktop, "policy", "set", "work")
    desktop.cut()
    command = Kith(laptop, "fetch", "work")
    no = refusal(laptop, "fetch", "--timeout", "3", "work")
    tap.ok(no and no.code == "busy" and "still comes" in no.text,
           "the holder is away: --timeout ends the wait, and says that the wish goes on", str(no))
    desktop.heal()
    command.wait(90)
    tap.ok(command.status == 0, "the holder comes back within the minute: it is still asked",
           str(command.documents[-1:])[:400])


def strangers(tap: Tap, laptop: Device, bob: Device) -> None:
    """Whoever is not the owner's device gets nothing; nor does another local user."""
    no = refusal(laptop, "fetch", "work", user="daemon")
    tap.ok(no and no.code == "not-allowed", "another local user may not fetch", str(no))
    refused(tap, bob, "work", "not-found", "", "Bob's device does not know of the VM")


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    laptop, desktop, bob = kithlab.start(lab, "laptop", "desktop", "bob:laptop")
    for device, owner in ((laptop, "Tom"), (bob, "Bob")):
        kith(device, "init", owner)
    kithlab.pair(laptop, desktop)
    kithlab.pair(laptop, bob)
    there_and_back(tap, laptop, desktop)
    refusals(tap, laptop, desktop)
    strangers(tap, laptop, bob)


if __name__ == "__main__":
    kithlab.run_tests("fetch", body)
