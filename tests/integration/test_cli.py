#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The command line as scripts use it: each command as text and as JSON, both ending alike; each
exit status reached, and by no command that does not document it; hand-offs seen and called off from
either device."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from fakekithd import FakeKithd     # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import CONTRACT, Kith, Move, kith   # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

DENY = "deny owner all\n"
COLOUR = re.compile(r"\x1b\[3\dm")


class Cli:
    """Two devices, a guest on the first, and which exit statuses were seen."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.laptop, self.desktop = kithlab.family(lab, "laptop", "desktop")
        self.guest = kithlab.small_guest(memory_mib=128, disk_mib=96)
        self.guest.create(self.laptop)
        self.guest.start(self.laptop)
        self.exits = {row["name"]: row["exits"] for row in kith(self.laptop, "help")["commands"]}
        self.reached: set[int] = set()

    def ends(self, wanted: int, *words: str, user: str | None = None,
             device: Device | None = None) -> None:
        """The command ends so as text and as JSON, with one code."""
        device = device or self.laptop
        text = device.run(["kith", *words], user, check=False)
        command = Kith(device, *words, user=user)
        status = command.wait()
        told = " ".join(words)
        self.tap.equal((text.returncode, status), (wanted, wanted), f"exit {wanted}: kith {told}")
        name = CONTRACT.command_of(list(words))[0]
        if name in self.exits:
            self.tap.ok(wanted in self.exits[name], f"`kith help {name}` names {wanted}",
                        str(self.exits[name]))
        error = command.documents[-1].get("error") if command.documents else None
        if wanted and error:
            self.tap.ok(f"(code: {error['code']})" in text.stderr, "the text has the same code",
                        text.stderr)
        self.reached.add(wanted)

    # -- commands -----------------------------------------------------------------------------

    def looks(self) -> None:
        """What only looks."""
        name = self.guest.name
        for words in ((), ("policy", "set", name), ("status",), ("devices",), ("devices", "--all"), ("vms",), ("trust",),
                      ("trust", "desktop"), ("log",), ("log", "-n", "3"), ("config",),
                      ("config", "get", "device.name"), ("policy", "show", name),
                      ("plan", name, "desktop"), ("jobs",), ("jobs", "--all"), ("disks",),
                      ("vm", "show", name), ("help",), ("help", "exit"), ("move", "--help"),
                      ("version",)):
            self.ends(0, *words)
        doctor = Kith(self.laptop, "doctor")
        doctor.wait()
        self.ends(0 if doctor.documents[-1]["ok"] else 1, "doctor")

    def log(self) -> None:
        """Parts of it."""
        laptop, tap = self.laptop, self.tap
        whole = kith(laptop, "log")["records"]
        tap.equal(kith(laptop, "log", "-n", "2")["records"], whole[-2:], "log -n 2: the newest two")
        of = kith(laptop, "log", "--vm", self.guest.name)["records"]
        tap.ok(of and all(row["vm"] == self.guest.name for row in of), "log --vm: of that VM only")
        of = kith(laptop, "log", "--device=desktop")["records"]
        tap.ok(of and all(row["device"] == "desktop" for row in of), "log --device: with it only")
        tap.equal(kith(laptop, "log", "--since", "1h")["records"], whole, "log --since 1h: all")
        tap.equal(kith(laptop, "log", "--since", "2037-01-01")["records"], [],
                  "log --since a later day: none")
        chains = kith(laptop, "log", "--verify")["chains"]
        mine = next(chain for chain in chains if chain["of"] == "owner")
        tap.ok(sum(chain["kept"] for chain in chains) == len(whole) and
               any(row["hash"] == mine["head"] for row in whole),
               "S2-05 log --verify: as many records, and the newest hash is one of them", str(chains))
        self.ends(2, "log", "--verify", "--refused")
        self.ends(0, "log", "--follow", "--timeout", "1")
        following = Kith(laptop, "log", "-n", "0", "--follow")
        following.wait_document(lambda d: d["records"] == [], "nothing yet")
        kith(laptop, "policy", "set", self.guest.name)
        new = following.wait_document(lambda d: d["records"], "a new record", 10)["records"]
        tap.equal([row["action"] for row in new], ["policy-set"], "log --follow: what comes")
        following.kill()

    # -- exit statuses ------------------------------------------------------------------------

    def statuses(self) -> None:
        """Each one, with its reason; those of a move are in hand_offs()."""
        laptop, desktop, name = self.laptop, self.desktop, self.guest.name
        self.ends(1, "plan", "nosuch", "desktop")
        self.ends(1, "cancel")
        self.ends(1, "watch", name)
        self.ends(2, "mvoe", name, "desktop")
        self.ends(2, "trust", "receive", "desktop", "off")
        self.ends(2, "move", name, "laptop")
        self.ends(2, "--config", "/nonexistent", "vms")
        self.ends(3, "log", user="daemon")
        row = [row for row in kith(laptop, "log")["records"] if row["action"] == "audit-read"][-1]
        self.tap.ok(not row["allowed"] and "local account 1 " in row["reason"]["text"],
               "S2-05 a user who is refused is recorded", str(row))
        laptop.run(["tee", "/tmp/deny"], input=DENY)
        kith(laptop, "policy", "set", name, "/tmp/deny")
        self.ends(3, "move", name, "desktop")
        kith(laptop, "policy", "set", name)
        laptop.virsh("suspend", name)
        self.ends(6, "plan", name, "desktop")
        laptop.virsh("resume", name)
        laptop.stop_kith("kithd")
        self.ends(75, "vms")
        laptop.start_kith("kithd")
        desktop.stop_kith("kithd")
        self.ends(5, "move", name, "desktop")
        self.ends(5, "move", name, "desktop", "--wait", "--timeout", "1")
        self.waits()

    def waits(self) -> None:
        """A move that waits for its destination, and is silent."""
        waiting = self.laptop.popen(["kith", "move", "--wait", "--quiet", self.guest.name,
                                     "desktop"], text=True, stdout=-1, stderr=-1)
        said = waiting.stderr.readline()
        self.tap.ok(said.startswith("Waiting: "), "move --wait says for what it waits", said)
        self.desktop.start_kith("kithd")
        out, said = waiting.communicate(timeout=60)
        self.tap.equal((waiting.returncode, out), (0, ""),
                       "it moves when the desktop is there, and --quiet says nothing")
        self.tap.ok(kithlab.ticks_now(self.guest, self.desktop), "the guest goes on there", said)

    def untrusted(self) -> None:
        """The last, as it spoils the laptop."""
        self.laptop.extend_pcr(4, b"another boot loader")
        self.ends(4, "move", self.guest.name, "laptop", device=self.desktop)
        self.tap.equal(sorted(self.reached), [0, 1, 2, 3, 4, 5, 6, 75, 130],
                       "every exit status was reached")

    # -- hand-offs ----------------------------------------------------------------------------

    def slow_move(self) -> Move:
        """A move that takes its time."""
        self.laptop.rate("60mbit")
        move = Move(self.laptop, self.guest.name, self.desktop)
        move.wait_document(lambda d: d.get("phase") == "copying disk", "the first bytes")
        return move

    def hand_offs(self) -> None:
        """Seen, watched and called off from either device."""
        tap, laptop, desktop, name = self.tap, self.laptop, self.desktop, self.guest.name
        self.guest.wait_ready(laptop)
        live = Kith(laptop, "vms", "--watch")
        live.wait_document(lambda d: "vms" in d, "a first list")
        move = self.slow_move()
        first = move.documents[-1]
        tap.ok(first["ram_total"] + first["disk_total"] >= 128 << 20,
               "the total has the memory from the first second", str(first))
        wait_for("the destination's own word", lambda: kith(desktop, "jobs")["jobs"], 10)
        for device, source in ((laptop, True), (desktop, False)):
            jobs = kith(device, "jobs")["jobs"]
            tap.equal([(job["vm"], job["source"]) for job in jobs], [(name, source)],
                      f"`kith jobs` on {device.name}")
        watching = Kith(desktop, "watch")
        seen = watching.wait_document(lambda d: d["ram_bytes"] + d["disk_bytes"] > 0, "figures")
        tap.ok(seen["vm"] == name and not seen["source"], "`kith watch` on the destination")
        self.ends(75, "watch", "--timeout", "1")
        tap.ok(len(live.documents) > 1, "`kith vms --watch` printed again", str(live.documents))
        live.kill()
        self.interrupted()
        said = kith(desktop, "cancel", "--wait")
        tap.equal((said["vm"], said["device"]), (name, "laptop"), "`kith cancel` says which")
        self.reached.add(move.wait())
        tap.equal((move.status, watching.wait()), (130, 130),
                  "the move and who watches it end as cancelled")
        laptop.rate(None)
        tap.equal(kith(laptop, "jobs")["jobs"], [], "no hand-off is under way any more")
        ended = kith(laptop, "jobs", "--all")["jobs"]
        tap.ok(ended and ended[0]["error"]["code"] == "cancelled", "`kith jobs --all` has it",
               str(ended[:1]))
        tap.ok(kithlab.ticks_now(self.guest, laptop), "the guest goes on")

    def interrupted(self) -> None:
        """Ctrl-C ends the watching, and says so."""
        watching = self.laptop.popen(["kith", "watch", self.guest.name], text=True, stdout=-1,
                                     stderr=-1)
        watching.stdout.readline()
        time.sleep(0.5)
        os.killpg(watching.pid, signal.SIGINT)
        _, said = watching.communicate(timeout=10)
        self.tap.ok("goes on" in said and "kith cancel work" in said and "kith watch work" in said,
                    "Ctrl-C: the hand-off goes on, and how to stop and see it", said)
        self.tap.ok(kith(self.laptop, "jobs")["jobs"], "and it does")

    # -- manners ------------------------------------------------------------------------------

    def manners(self) -> None:
        """Colours, silence, errors as JSON."""
        tap, laptop = self.tap, self.laptop
        always = laptop.run(["kith", "--color", "always", "status"]).stdout
        plain = laptop.run(["kith", "status"]).stdout
        tap.ok(COLOUR.search(always) and not COLOUR.search(plain), "--color always, and auto", plain)
        tap.equal(laptop.run(["kith", "status", "--quiet"]).stdout, "", "--quiet says nothing")
        done = laptop.run(["kith", "--json", "nosuch", "--xyz"], check=False)
        document = json.loads(done.stdout)
        tap.equal((document["error"]["code"], document["schema"], done.stderr), ("usage", 1, ""),
                  "a wrong command line is an error document")
        tap.ok(kith(laptop, "status", "--wait", "--timeout", "10")["ready"], "status --wait")


def several(tap: Tap) -> None:
    """Of two hand-offs one has to be named. A kithd that only talks has them."""
    def job(number: int, name: str, source: bool) -> dict:
        return {"hid": f"{number:032x}", "uuid": f"{number:032x}", "vm": name,
                "device": f"{number:064x}", "device_name": "desktop", "source": source,
                "off": False, "state": "moving", "phase": "copying disk", "ram_bytes": 0,
                "ram_total": 100 << 20, "disk_bytes": 50 << 20, "disk_total": 100 << 20,
                "rate_bytes_s": 0, "elapsed_ms": 1, "left_ms": None, "downtime_ms": 0,
                "age_ms": 65000, "error": None}

    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        (place / "kith.conf").write_text(f"[paths]\nrun = {place}\n")
        kithd = FakeKithd(place)
        kithd.jobs = [job(1, "work", True), job(2, "mail", False),
                      {**job(3, "old", True), "phase": "done"}]
        kithd.start()
        build = os.environ.get("KITH_BUILD", TOP / "build")

        def run(*words: str) -> subprocess.CompletedProcess:
            return subprocess.run([f"{build}/kith", "--config", place / "kith.conf", *words],
                                  text=True, capture_output=True, timeout=20)

        said = run("watch")
        tap.ok(said.returncode == 2 and '"work" to "desktop"' in said.stderr and
               '"mail" from "desktop"' in said.stderr and "old" not in said.stderr,
               "of two hand-offs one has to be named", said.stderr)
        listed = run("jobs").stdout
        tap.ok(len(listed.splitlines()) == 2 and "25 %" in listed and "began 65 s ago" in listed,
               "`kith jobs` has what is under way", listed)
        tap.equal(len(json.loads(run("--json", "jobs", "--all").stdout)["jobs"]), 3,
                  "and with --all what has ended")
        kithd.stop()
        new = [f"{build}/kith", "--config", place / "new.conf"]
        tap.equal([subprocess.run([*new, *words], capture_output=True, timeout=20).returncode
                   for words in (["jobs"], ["config", "get", "peer.port"])], [2, 0],
                  "a configuration that is named has to be there, but for `kith config`")


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    if not CONTRACT.possible:
        tap.skip("JSON as documented", "python3-jsonschema is not installed")
    several(tap)
    cli = Cli(tap, lab)
    cli.looks()
    cli.log()
    cli.manners()
    cli.hand_offs()
    cli.statuses()
    cli.untrusted()
    never = set(CONTRACT.commands) - CONTRACT.seen
    tap.note(f"commands whose JSON other tests look at: {', '.join(sorted(never))}")


if __name__ == "__main__":
    kithlab.run_tests("cli", body)
