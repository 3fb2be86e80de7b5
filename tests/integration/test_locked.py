#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A locked device says so everywhere (A6), its owner gets in (M4, H6), and there is one kith-policyd."""
import os
import pathlib
import pty
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from kithlab import kith, refusal   # noqa: E402
from tap import Tap     # noqa: E402


def said(device: Device, *words: str) -> tuple[int, str]:
    """Exit status and text of a command, as a person sees them."""
    done = device.run(["kith", *words], check=False)
    return done.returncode, done.stdout + done.stderr


def typed(device: Device, key: str, *words: str) -> tuple[int, str]:
    """The same on a terminal on which the key is typed: all that the terminal showed."""
    ours, theirs = pty.openpty()
    process = device.popen(["kith", *words], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b": " not in shown:
        shown += os.read(ours, 1000)
    time.sleep(0.2)
    os.write(ours, key.encode() + b"\n")
    try:
        while data := os.read(ours, 1000):
            shown += data
    except OSError:     # the other end is closed
        pass
    os.close(ours)
    return process.wait(30), shown.decode()


def one_policyd(tap: Tap, device: Device) -> None:
    """A second kith-policyd ends, and the first does not notice."""
    before = device.pids("kith-policyd")
    done = device.run(["kith-policyd"], check=False)
    tap.ok(done.returncode != 0 and "Another kith-policyd is running" in done.stderr,
           "a second kith-policyd says so and ends", done.stderr)
    tap.equal(device.pids("kith-policyd"), before, "the first one still runs")
    tap.equal(kithlab.status(device)["state"], "ready", "and answers at its socket")


def lock(device: Device) -> None:
    """Other measurements, and kith-policyd starts anew."""
    device.extend_pcr(7, b"another secure boot policy")
    device.restart("kith-policyd")


def everywhere(tap: Tap, laptop: Device, desktop: Device) -> None:
    """A6: what people and the peer are told while the desktop is locked."""
    status, text = said(desktop, "status")
    tap.ok(status == 75 and "locked" in text and "`kith unlock`" in text and "0000" not in text,
           "A6 status: locked, `kith unlock`, exit 75, no id of zeros", text)
    tap.ok(kithlab.status(desktop)["id"] is None, "A6 status --json: no id")
    status, text = said(desktop, "devices")
    tap.ok(status == 75 and "`kith unlock`" in text and "not paired" not in text,
           "A6 devices: nobody is said to be not paired", text)
    status, text = said(desktop, "vms")
    tap.ok(status == 75 and "`kith unlock`" in text and "no policy yet" not in text,
           "A6 vms: nothing is said to have no policy", text)
    for words in (("trust",), ("plan", "work", "laptop"), ("move", "work", "laptop"),
                  ("log",), ("recovery",)):
        no = refusal(desktop, "--yes", *words)
        tap.ok(no and no.code == "locked" and "kith unlock" in no.text + no.next,
               f"A6 {words[0]}: `locked`, and what to do", str(no))
    # Who calls it gets no answer, as from a device that is switched off, and goes on trying.
    calling = kithlab.Kith(laptop, "pair", "desktop")
    time.sleep(4)
    tap.ok(calling.status is None, "A6 its peer is not told that the two do not know each other",
           str(calling.documents))
    calling.kill()


def unlock(tap: Tap, desktop: Device, recovery: str) -> None:
    """The key is not shown while it is typed, whatever it opens."""
    status, text = typed(desktop, "NOT-A-KEY", "unlock")
    tap.ok(status == 2 and "NOT-A-KEY" not in text, "A6 a wrong key is not echoed", text)
    status, text = typed(desktop, recovery, "unlock")
    tap.ok(status == 0 and recovery not in text, "A6 the right one neither, and it opens", text)
    tap.equal(kithlab.status(desktop)["state"], "ready", "unlocked")


def renew(tap: Tap, desktop: Device, old: str) -> str:
    """A new recovery key, and the earlier one is void."""
    tap.ok(refusal(desktop, "recovery", say="n") is not None, "recovery asks before")
    new = kith(desktop, "--yes", "recovery")["recovery_key"]
    lock(desktop)
    no = refusal(desktop, "unlock", say=old)
    tap.ok(no and no.code == "locked", "H6 the earlier recovery key opens nothing", str(no))
    kith(desktop, "unlock", say=new)
    tap.equal(kithlab.status(desktop)["state"], "ready", "H6 the new one does")
    return new


def without_tpm(tap: Tap, desktop: Device, key: str) -> None:
    """M4: no TPM; it is opened to look, and not handed over from."""
    path = desktop.host_path("/etc/kith/kith.conf")
    good = path.read_text()
    path.write_text(good.replace("tcti = ", "tcti = swtpm:path=/nowhere #"))
    desktop.restart("kith-policyd")
    status, text = said(desktop, "status")
    tap.ok(status == 75 and "no-tpm" in text and "`kith unlock`" in text,
           "M4 status names `kith unlock` without a TPM", text)
    kith(desktop, "unlock", say=key)
    status, text = said(desktop, "status")
    tap.ok(status == 0 and "cannot prove itself" in text, "M4 open, and what it cannot do", text)
    peers = [row["name"] for row in kith(desktop, "trust")["devices"]]
    tap.equal(peers, ["laptop"], "M4 its peers can be seen")
    no = refusal(desktop, "pair")
    tap.ok(no and no.code == "tpm", "M4 it cannot pair", str(no))
    path.write_text(good)
    desktop.restart("kith-policyd")
    tap.equal(kithlab.status(desktop)["state"], "ready", "M4 with the TPM again it is ready")


def body(tap: Tap, lab: Lab) -> None:
    """All on two devices."""
    laptop, desktop = kithlab.start(lab, "laptop", "desktop")
    kith(laptop, "init", "Tom")
    kithlab.pair(laptop, desktop)
    key = kith(desktop, "--yes", "recovery")["recovery_key"]
    one_policyd(tap, desktop)
    lock(desktop)
    everywhere(tap, laptop, desktop)
    unlock(tap, desktop, key)
    key = renew(tap, desktop, key)
    without_tpm(tap, desktop, key)


if __name__ == "__main__":
    kithlab.run_tests("locked", body)
