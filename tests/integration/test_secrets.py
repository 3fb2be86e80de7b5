#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""S1-03, S1-05, D6, D8, D14: no key lies in the clear in a device's folders, and its sealed
database opens nowhere else.

The real secrets are read from kith-policyd's own memory, as only root can: first the database key
(the 32 bytes that decrypt the database), then from the database every other key.
"""
import base64
import hashlib
import mmap
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from hostile import find_database_key, keys_in, memory  # noqa: E402
from kithlab import kith, refusal   # noqa: E402
from tap import Tap     # noqa: E402

STATE = "/var/lib/kith/policyd"


def forms(secret: bytes) -> list[bytes]:
    """Ways to write 32 bytes: raw, reversed, hex, base64."""
    return [secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode(),
            base64.b64encode(secret).rstrip(b"=")[:-1],
            base64.urlsafe_b64encode(secret).rstrip(b"=")[:-1]]


def recovery_forms(text: str) -> list[bytes]:
    """Ways to write the recovery key."""
    plain = text.replace("-", "")
    return [form.encode() for form in (text, plain, text.lower(), plain.lower())]


def search(folder: pathlib.Path, needles: dict[str, list[bytes]]) -> list[str]:
    """"name in file" for everything found below the folder."""
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file() or not path.stat().st_size:
            continue
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found += [f"{name} in {path.relative_to(folder)}" for name, list_ in needles.items()
                      if any(data.find(needle) >= 0 for needle in list_)]
    return found


def find_them(tap: Tap, device: Device, recovery: str) -> dict[str, list[bytes]]:
    """The secrets of a running device, in every form; and a proof that they are the real ones."""
    key, image = find_database_key(device)
    tap.ok(image.startswith(b"SQLite format 3"), "the database key is in policyd's memory (and "
           "opens the database there)")
    keys = keys_in(image)
    tap.ok({"device_sk", "authority_sk", "owner_sk"} <= set(keys), "the database holds the device, "
           "owner and sealing keys", str(sorted(keys)))
    own_id = kith(device, "status")["id"]
    tap.equal(hashlib.sha256(keys["device_sk"][32:]).hexdigest(), own_id,
              "and they are the real ones: the device id is the hash of the public half")
    needles = {"database key": forms(key), "recovery key": recovery_forms(recovery)}
    for name, value in keys.items():
        needles[name] = forms(value[:32])
    return needles


def folders(tap: Tap, device: Device, needles: dict[str, list[bytes]]) -> None:
    """Nothing on disk, in logs, in /run, in /tmp; and the search would find it."""
    planted = device.host_path("/tmp") / "planted"
    for name, written in needles.items():
        planted.write_bytes(b"\0" * 5000 + written[-1] + b"\n")
        tap.equal(search(device.base, needles), [f"{name} in tmp/planted"],
                  f"the search finds a planted {name}")
    planted.unlink()
    tap.equal(search(device.base, needles), [],
              "no secret lies in any folder of the device, logs and TPM state included")
    state = device.host_path(STATE)
    for path in [state, *state.iterdir()]:
        tap.equal((path.stat().st_mode & 0o077, path.owner()), (0, "kith-policy"),
                  f"{path.name} is kith-policyd's alone")
    store = (state / "store.db").read_bytes()
    tap.ok(b"SQLite" not in store and b"desktop" not in store, "the database shows no plain text")


def pageable(pid: int) -> list[str]:
    """The areas of a process in which it wrote more than is locked, in words."""
    found, area = [], ""
    sizes: dict[str, int] = {}
    lines = pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines()
    for line in lines:
        word = line.split()[0]
        if re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", word):
            area, sizes = line, {}
        elif word in ("Anonymous:", "Swap:", "Locked:"):
            sizes[word] = int(line.split()[1])
            if word == "Locked:" and area.split()[1].startswith("rw") and \
                    area.split()[1].endswith("p") and \
                    (sizes["Anonymous:"] > sizes["Locked:"] or sizes["Swap:"]):
                found.append(f"{area}: {sizes}")
    return found


def processes(tap: Tap, device: Device, needles: dict[str, list[bytes]]) -> None:
    """D14: no core, no swap, no arguments; no secret in the processes that face the network."""
    pid = device.pids("kith-policyd")[0]
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    tap.ok(re.search(r"Max core file size\s+0\s+0", limits), "policyd leaves no core file")
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    tap.ok(int(re.search(r"VmLck:\s+(\d+)", status)[1]) > 0, "its secrets are locked in memory")
    areas = memory(pid)
    held = {name for name, list_ in needles.items() if any(list_[0] in area for area in areas)}
    tap.ok({"database key", "device_sk", "owner_sk"} <= held, "M6: the keys are in its memory",
           str(held))
    tap.equal(pageable(pid), [], "M6: no page of it that can be written may go to swap")
    tap.ok(pageable(device.pids("kithd")[0]), "M6: kithd's, which knows no key, may")
    tap.ok(re.search(r"Seccomp:\s+2", status), "it runs under a seccomp filter")
    tap.equal(pathlib.Path(f"/proc/{pid}/mem").owner(), "root", "its own user cannot read it")
    for name in ("kithd", "kith-mover"):
        areas = memory(device.pids(name)[0])
        found = [what for what, list_ in needles.items()
                 if any(needle in area for area in areas for needle in list_)]
        tap.equal(found, [], f"{name} knows none of them")
    words = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in device.all_pids()]
    tap.ok(not any(needle in line for line in words for list_ in needles.values()
                   for needle in list_), "no command line shows one")


def elsewhere(tap: Tap, device: Device, thief: Device, recovery: str) -> None:
    """D6: the laptop's sealed state on another device."""
    other = kith(thief, "init", "Somebody")["recovery_key"]
    thief.stop_kith("kith-policyd")
    target = thief.host_path(STATE)
    shutil.rmtree(target)
    subprocess.run(["cp", "-a", device.host_path(STATE), target], check=True)
    thief.start_kith("kith-policyd")
    status = kithlab.status(thief)
    tap.equal(status["state"], "locked", "another device's state does not open here")
    tap.ok("TPM" in status["detail"] and status["owner"] == "", "a sentence names the TPM",
           str(status))
    tap.note(status["detail"])
    for words in (("trust",), ("log",), ("policy", "show", "work")):
        no = refusal(thief, *words)
        tap.ok(no and no.code == "locked", f"`kith {' '.join(words)}` says `locked`", str(no))
    tap.ok(not find_database_key(thief), "the database key is nowhere in its memory")
    for wrong, what in ((other, "another device's"), (recovery[:-1], "an incomplete"), ("", "no")):
        no = refusal(thief, "unlock", say=wrong)
        tap.ok(no and kithlab.status(thief)["state"] == "locked", f"{what} recovery key opens it "
               "not", str(no))
    kith(thief, "unlock", say=recovery)
    status = kithlab.status(thief)
    tap.equal((status["state"], status["owner"]), ("ready", "Tom"),
              "the right recovery key does: a lost TPM is not a lost cloud")


def flipped(tap: Tap, device: Device) -> None:
    """D3: one changed bit anywhere in the sealed files, and nothing opens (never `allow`)."""
    device.stop_kith("kith-policyd")
    store = device.host_path(STATE) / "store.db"
    good = store.read_bytes()
    for at in (3, 20, 47, len(good) // 2, len(good) - 1):
        store.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        device.start_kith("kith-policyd")
        state = kithlab.status(device)["state"]
        tap.ok(state in ("locked", "rollback"), f"bit flipped at {at}: {state}", state)
        device.stop_kith("kith-policyd")
    store.write_bytes(good)
    device.start_kith("kith-policyd")
    tap.equal(kithlab.status(device)["state"], "ready", "the good file opens again")


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    laptop, desktop, thief = kithlab.start(lab, "laptop", "desktop", "thief:laptop")
    recovery = kith(laptop, "init", "Tom")["recovery_key"]
    kithlab.pair(laptop, desktop)
    needles = find_them(tap, laptop, recovery)
    folders(tap, laptop, needles)
    processes(tap, laptop, needles)
    flipped(tap, laptop)
    elsewhere(tap, laptop, thief, recovery)
    tap.equal(search(laptop.base, needles), [], "and still no secret lies in the laptop's folders")


if __name__ == "__main__":
    kithlab.run_tests("secrets", body)
