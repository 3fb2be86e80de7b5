#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What must not happen: each refusal with its own code, a sentence, an audit record, and the guest
untouched; beside each the permitted twin."""
import pathlib
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import Move, kith, refusal     # noqa: E402
from shell import wait_for    # noqa: E402
from tap import Tap     # noqa: E402

HIGH_TIER = """\
allow owner all to own laptop, desktop, server if verdict trusted, tier >= hardware
"""
PUSH = """\
allow owner all to own
allow owner all to guest
"""
# Connects until nobody more is let in, says how often, and stays.
FILL = """\
import socket, sys
held = []
while True:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.setblocking(False)
    try:
        s.connect("/run/kith/policyd/policyd.sock")
    except BlockingIOError:
        break
    held.append(s)
print(len(held), flush=True)
sys.stdin.read()
"""
EXIT = {"policy": 3, "not-allowed": 3, "peer-unknown": 4, "attest-pcr": 4, "tier": 6, "custody": 6,
        "not-found": 1, "not-running": 6, "interrupted": 75, "not-ready": 75}


class Refusals:
    """The devices and the guest; `where` is the device that holds it."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.laptop, self.desktop, self.bob, self.stranger = kithlab.start(
            lab, "laptop", "desktop", "bob:laptop", "stranger:laptop")
        for device, owner in ((self.laptop, "Tom"), (self.bob, "Bob"), (self.stranger, "Somebody")):
            kith(device, "init", owner)
        kithlab.pair(self.laptop, self.desktop)
        kithlab.pair(self.laptop, self.bob)
        self.guest = kithlab.small_guest()
        self.guest.create(self.laptop)
        self.guest.start(self.laptop)
        self.guest.wait_ready(self.laptop)
        self.where = self.laptop

    def refused(self, target: Device, code: str, name: str) -> None:
        """A move that must be refused so; nothing may change."""
        tap, guest = self.tap, self.guest
        no = refusal(self.where, "move", guest.name, kithlab.word_for(self.where, target))
        tap.ok(no and no.code == code, f"{name}: refused with `{code}`", str(no))
        if not no:
            return
        tap.note(no.text)
        tap.equal(no.status, EXIT[code], f"{name}: exit status {EXIT[code]}")
        tap.ok(no.text.endswith((".", ")")) and len(no.text.split()) > 5,
               f"{name}: with a sentence", no.text)
        records = kithlab.audit(self.where, allowed=False)
        tap.ok(records and records[-1]["reason"]["code"] == code, f"{name}: and in the audit",
               str(records[-1:]))
        tap.ok(kithlab.ticks_now(guest, self.where), f"{name}: the guest goes on")
        tap.equal(kithlab.leftovers(target, guest), [], f"{name}: nothing of it at the target")

    def moved(self, target: Device, name: str) -> None:
        """The permitted twin."""
        last = Move(self.where, self.guest.name, target).done()
        self.tap.equal(last["phase"], "done", name)
        self.where = target

    # -- who and whither ------------------------------------------------------------------------

    def policies(self) -> None:
        """S1-07, S1-15: no policy, a policy that forbids, a level that is not reached."""
        self.refused(self.desktop, "not-found", "a VM without a policy")
        kithlab.set_policy(self.laptop, self.guest.name, HIGH_TIER)
        self.refused(self.desktop, "tier", "Tom's own device below the level")
        kithlab.set_policy(self.laptop, self.guest.name)
        self.refused(self.bob, "policy", "Bob's paired device")
        plan = kithlab.Kith(self.laptop, "plan", self.guest.name, "bob")
        self.tap.equal(plan.wait(), EXIT["policy"], "`kith plan` says no by its exit status")
        answer = plan.documents[-1]
        self.tap.ok(not answer["allowed"] and answer["rule"].startswith("deny"),
                    "and names the rule that forbids it", str(answer))
        self.tap.ok(kith(self.laptop, "plan", self.guest.name, "desktop")["allowed"],
                    "and allows the desktop")

    def why(self, *words: str) -> tuple[int, dict]:
        """What `kith policy why` says, and its exit status."""
        command = kithlab.Kith(self.laptop, "policy", "why", self.guest.name, *words)
        return command.wait(), command.documents[-1]

    def reasons(self) -> None:
        """`kith policy`: which rule decides, for whom, and what a change would be."""
        tap, laptop, vm = self.tap, self.laptop, self.guest.name
        status, said = self.why("move-out", "desktop")
        tap.ok(status == 0 and said["allowed"] and said["rule"].startswith("allow owner all"),
               "why: the owner may, by the rule", str(said))
        status, said = self.why("move-out", "bob")
        tap.ok(status == EXIT["policy"] and said["rule"].startswith("deny anyone"),
               "why: and not to Bob", str(said))
        tap.ok(self.why("view", "laptop", "family")[1]["allowed"], "why: family may look")
        tap.ok(not self.why("stop", "laptop", "family")[1]["allowed"], "why: and not stop it")
        for words, name in ((("fly", "desktop"), "action"), (("view", "desktop", "uncle"), "role")):
            no = refusal(laptop, "policy", "why", vm, *words)
            tap.ok(no and no.code == "usage" and words[-1 if name == "role" else 0] in no.text,
                   f"why: no such {name}", str(no))
        laptop.run(["tee", "/tmp/other"], input="allow owner all to own\ndeny guest all\n")
        command = kithlab.Kith(laptop, "policy", "diff", vm, "/tmp/other")
        command.wait()
        changes = command.documents[-1]["changes"]
        tap.ok({"change": "added", "rule": "allow owner all to own"} in changes and
               "deny guest all" not in [row["rule"] for row in changes],
               "diff: what a file would change", str(changes))
        tap.equal(kith(laptop, "policy", "check", "/tmp/other")["rules"], 2, "check: it is one")
        laptop.run(["tee", "/tmp/other"], input="allow owner all\ndeny guest al\n")
        no = refusal(laptop, "policy", "check", "/tmp/other")
        tap.ok(no and no.code == "usage" and "Line 2, column 12" in no.text,
               "check: where it is wrong", str(no))
        editor = ["env", "EDITOR=sed -i s/family/admin/", "kith", "--json", "policy", "edit", vm]
        version = kith(laptop, "policy", "show", vm)["version"]
        laptop.run(editor)
        said = kith(laptop, "policy", "show", vm)
        tap.ok(said["version"] == version + 1 and "allow admin view" in said["text"],
               "edit: signed as it was edited", str(said))
        for script, words in (("true", "was not edited"), ("false", "failed"),
                              ("sed -i s/deny/den/", "what you wrote is in /tmp/kith-policy-")):
            editor[1] = f"EDITOR={script}"
            done = laptop.run(editor, check=False)
            tap.ok(done.returncode != 0 and words in done.stdout + done.stderr,
                   f"edit: by `{script}` nothing is changed", done.stdout + done.stderr)
        tap.equal(kith(laptop, "policy", "show", vm)["version"], version + 1, "edit: and is not")
        kith(laptop, "policy", "withdraw", vm)
        said = self.why("move-out", "desktop")[1]
        tap.ok(not said["allowed"] and said["rule"] == "deny anyone all", "withdraw: it stays here",
               str(said))
        kithlab.set_policy(laptop, vm)
        held = {row["vm"]: row for row in kith(laptop, "policy", "list")["policies"]}
        tap.ok(held[vm]["version"] >= 2 and held[vm]["here"], "list: what is held", str(held))

    def conditions(self) -> None:
        """S1-19, and the hours: by both devices' own TPMs and clocks."""
        hour = int(self.laptop.run(["date", "+%H"]).stdout)
        later = f"{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00"
        around = f"{(hour - 1) % 24:02}:00-{(hour + 2) % 24:02}:00"
        for text, name in (("pcr 4, pcr 17", "S1-19 PCR 17 is empty there"),
                           (f"hours {later}", "out of hours")):
            kithlab.set_policy(self.laptop, self.guest.name, f"allow owner all if {text}\n")
            self.refused(self.desktop, "policy", name)
        kithlab.set_policy(self.laptop, self.guest.name,
                           f"allow owner all if pcr 4, hours {around}\n")
        self.moved(self.desktop, "S1-19 what was measured there, in hours: there")
        self.moved(self.laptop, "and back")
        kithlab.set_policy(self.laptop, self.guest.name)

    def planned(self, code: str | None, name: str) -> None:
        """`kith plan` to the desktop says why not, or that it is allowed (None)."""
        plan = kithlab.Kith(self.laptop, "plan", self.guest.name, "desktop")
        status = plan.wait()
        answer = plan.documents[-1]
        said = answer["reason"]["code"] if answer["reason"] else None
        self.tap.equal((said, status, answer["allowed"]), (code, EXIT.get(code, 0), code is None),
                       f"A5 plan: {name}")
        if said:
            self.tap.note(answer["reason"]["text"])

    def plans(self) -> None:
        """A5: what the policy allows may still not work."""
        laptop, name = self.laptop, self.guest.name
        laptop.virsh("suspend", name)
        self.planned("not-running", "a paused VM")
        laptop.virsh("resume", name)
        self.planned(None, "the same VM that runs")
        laptop.kill("libvirtd")
        self.planned("interrupted", "libvirtd is away")
        laptop.start_libvirtd()
        laptop.stop_kith("kith-mover")
        self.planned("not-ready", "kith-mover is away")
        laptop.start_kith("kith-mover")
        wait_for("kith-mover", lambda: kith(laptop, "status")["agent"]["mover"], 10)
        self.planned(None, "all are back")

    def strangers(self) -> None:
        """Unpaired devices, from both sides."""
        self.refused(self.stranger, "peer-unknown", "an unpaired device")
        own = kithlab.small_guest("hers", memory_mib=128)
        kithlab.run_guest(own, self.stranger)
        no = refusal(self.stranger, "move", own.name, kithlab.word_for(self.stranger, self.laptop))
        self.tap.ok(no and no.code == "peer-unknown", "the stranger cannot send either", str(no))
        no = refusal(self.stranger, "pair", kithlab.word_for(self.stranger, self.laptop))
        self.tap.ok(no and no.code in ("peer-unknown", "pairing"),
                    "nor pair where nobody opened a window", str(no))
        self.tap.note(str(no))
        known = [row["name"] for row in kith(self.laptop, "trust")["devices"]]
        self.tap.equal(sorted(known), ["bob", "desktop"], "the laptop knows who it knew before")
        own.destroy(self.stranger, undefine=True)

    def neighbours(self) -> None:
        """H4: what is Bob's comes to Tom's laptop if Bob *and* Tom say so."""
        own = kithlab.small_guest("his", memory_mib=128)
        kithlab.run_guest(own, self.bob, PUSH)
        no = refusal(self.bob, "move", own.name, "laptop")
        self.tap.ok(no and no.code == "policy" and "kith trust receive bob on" in no.text,
                    "Bob's VM does not come unasked, and he is told who could allow it", str(no))
        self.tap.ok(kithlab.ticks_now(own, self.bob), "it goes on at Bob's")
        self.tap.equal(own.state(self.laptop), "absent", "nothing of it on the laptop")
        records = kithlab.audit(self.laptop, action="move-in", device="bob")
        self.tap.ok(records and records[-1]["person"] == "Bob",
                    "the laptop's audit says that Bob asked", str(records[-1:]))
        kith(self.laptop, "trust", "receive", "bob", "on")
        self.tap.ok(kith(self.laptop, "trust", "bob")["receive"], "`kith trust` shows Tom's word")
        Move(self.bob, own.name, self.laptop).done()
        self.tap.ok(kithlab.ticks_now(own, self.laptop), "with it, the same VM comes and ticks")
        kith(self.laptop, "trust", "receive", "bob", "off")
        self.tap.ok(not kithlab.sighting(self.laptop, self.bob)["receive"],
                    "`kith devices` shows that he took it back")
        own.destroy(self.laptop, undefine=True)

    def pairing_codes(self) -> None:
        """P6: an owner who says that the codes differ ends it on both sides."""
        waiting = kithlab.Kith(self.laptop, "pair")
        waiting.wait_document(lambda d: d.get("event") == "open", "an open window")
        calling = kithlab.Kith(self.stranger, "pair",
                               kithlab.word_for(self.stranger, self.laptop))
        for side in (waiting, calling):
            side.wait_document(lambda d: d.get("event") == "code", "a code")
        calling.answer("yes")
        waiting.answer("no")
        codes = [side.wait(40) for side in (waiting, calling)]
        self.tap.ok(codes[0] and codes[1], "`no` on one side pairs neither", str(codes))
        known = [row["name"] for row in kith(self.laptop, "trust")["devices"]]
        self.tap.ok("stranger" not in known, "the stranger is still a stranger")

    def measurements(self) -> None:
        """S1-10, D7: other software, refused; accepted by the owner, moved without new pairing."""
        self.desktop.extend_pcr(4, b"evil boot loader")
        self.refused(self.desktop, "attest-pcr", "an own device whose PCR 4 changed")
        trust = kith(self.laptop, "trust", "desktop")
        changed = [n for n, v in trust["pcrs"].items() if v["now"] != v["accepted"]]
        self.tap.equal((trust["verdict"], changed), ("untrusted", ["4"]),
                       "`kith trust` says untrusted and shows PCR 4")
        self.tap.ok("4" in trust["reason"]["text"], "and its sentence names the PCR",
                    str(trust["reason"]))
        self.planned("attest-pcr", "a device that is known to be changed")
        self.refused(self.desktop, "attest-pcr", "the same again")
        attests = kithlab.audit(self.laptop, action="attest", device="desktop")
        self.tap.ok(attests and not attests[-1]["allowed"] and
                    attests[-1]["reason"]["code"] == "attest-pcr",
                    "the audit has the evidence as refused", str(attests[-1:]))
        row = kithlab.sighting(self.laptop, self.desktop)
        self.tap.equal(row["verdict"], "untrusted", "`kith devices` shows it too")
        kith(self.laptop, "--yes", "trust", "accept", "desktop")
        self.planned(None, "accepted by its owner")
        self.moved(self.desktop, "accepted by its owner, the same move succeeds")
        kithlab.judge(self.tap, self.guest, [self.laptop, self.desktop] * 2, "after the refusals")

    # -- custody --------------------------------------------------------------------------------

    def _start_refused(self, how: str, *command: object) -> None:
        laptop, tap = self.laptop, self.tap
        before = len(kithlab.audit(laptop, action="start", allowed=False))
        done = laptop.virsh(*command, check=False)
        tap.ok(done.returncode and "desktop" in done.stderr, f"{how}: refused with a sentence",
               done.stderr)
        tap.note(kithlab.sentence_of(done.stderr))
        tap.ok(not laptop.pids("qemu"), f"{how}: nothing runs")
        records = kithlab.audit(laptop, action="start", allowed=False)
        tap.ok(len(records) > before and records[-1]["reason"]["code"] == "custody",
               f"{how}: in the audit as `custody`", str(records[-1:]))

    def custody(self, saved: str) -> None:
        """H10: the laptop, which has an old definition, disk and memory image, cannot start it."""
        laptop, tap, name = self.laptop, self.tap, self.guest.name
        no = refusal(laptop, "move", name, "desktop")
        tap.ok(no and no.code == "custody", "the laptop cannot move what it does not hold", str(no))
        laptop.virsh("define", "/dev/stdin", input=self.guest.xml())
        self._start_refused("virsh start", "start", name)
        self._start_refused("virsh create", "create", "/tmp/guest.xml")
        self._start_refused("virsh restore", "restore", saved)
        laptop.run(["cp", saved, f"/var/lib/libvirt/qemu/save/{name}.save"])
        laptop.virsh("autostart", name)
        laptop.run(["rm", "-f", "/run/libvirt/qemu/autostarted"])
        laptop.restart("libvirtd")
        time.sleep(2)
        tap.ok(not laptop.pids("qemu"), "autostart at libvirtd's start: nothing runs")
        tap.ok("yes" in laptop.virsh("dominfo", name).stdout.split("Managed save")[1][:12],
               "libvirt has a managed save image")
        self._start_refused("start from a managed save image", "start", name)
        laptop.stop_kith("kith-policyd")
        done = laptop.virsh("start", name, check=False)
        tap.ok(done.returncode and not laptop.pids("qemu") and "desktop" in done.stderr,
               "without kith-policyd its marker decides", done.stderr)
        laptop.start_kith("kith-policyd")
        laptop.virsh("undefine", "--managed-save", name)
        tap.ok(kithlab.ticks_now(self.guest, self.desktop), "all the while it ticks on the desktop")

    def twins(self) -> None:
        """The hook stops nobody else."""
        laptop, tap = self.laptop, self.tap
        free = kithlab.small_guest("free", memory_mib=128)
        free.create(laptop)
        free.start(laptop)
        tap.equal(free.state(laptop), "running", "a VM unknown to Kith starts on the laptop")
        self._broken(free)
        free.destroy(laptop, undefine=True)
        self.guest.destroy(self.desktop)
        self.guest.start(self.desktop)
        tap.equal(self.guest.state(self.desktop), "running", "and the holder can start its own VM")
        self.guest.wait_ready(self.desktop)

    def _broken(self, free: Guest) -> None:
        """Whatever is wrong with Kith, a VM that it does not know starts, and the one that is
        elsewhere does not."""
        laptop, tap = self.laptop, self.tap
        conf = laptop.host_path("/etc/kith/kith.conf")
        right = conf.read_text()

        def starts(what: str) -> None:
            free.destroy(laptop)
            begin = time.monotonic()
            done = laptop.virsh("start", free.name, check=False)
            tap.ok(done.returncode == 0 and time.monotonic() - begin < 15,
                   f"{what}: a VM unknown to Kith starts", done.stderr)

        def both(what: str) -> None:
            starts(what)
            done = laptop.virsh("create", "/tmp/guest.xml", check=False)
            tap.ok(done.returncode and "desktop" in done.stderr,
                   f"{what}: the VM that is on the desktop does not", done.stderr)

        conf.write_text("[peer]\nprot = 1\n" + right)
        both("a mistake in kith.conf")
        laptop.stop_kith("kith-policyd")
        both("a mistake in kith.conf, and no kith-policyd")
        conf.write_text(right)
        laptop.start_kith("kith-policyd")
        laptop.run(["pkill", "-STOP", "kith-policyd"])
        starts("a kith-policyd that hangs")
        eve = laptop.popen(["python3", "-c", FILL], "daemon", text=True, stdin=-1, stdout=-1)
        tap.ok(int(eve.stdout.readline()) > 32, "N10: another user fills its queue meanwhile")
        starts("N10: a kith-policyd that hangs, with a full queue")
        eve.stdin.close()
        eve.wait()
        laptop.run(["pkill", "-CONT", "kith-policyd"])

    # -- people ---------------------------------------------------------------------------------

    def other_users(self) -> None:
        """S1-17, N10: another local user may look at the state and nothing else."""
        tap, desktop, name = self.tap, self.desktop, self.guest.name
        tap.equal(kith(desktop, "status", user="daemon")["state"], "ready",
                  "another local user may ask for the status")
        asks = (("init", "Somebody"), ("move", name, "laptop"), ("plan", name, "laptop"),
                ("policy", "show", name), ("policy", "set", name), ("pair",), ("trust",),
                ("--yes", "trust", "accept", "laptop"), ("--yes", "trust", "forget", "laptop"),
                ("log",))
        for ask in asks:
            no = refusal(desktop, *ask, user="daemon")
            tap.ok(no and no.code == "not-allowed" and no.status == 3,
                   f"another user's `kith {' '.join(ask)}` is `not-allowed`", str(no))
        no = refusal(desktop, "log", user="kith")
        tap.ok(no and no.code == "not-allowed", "kithd's own user has no person's rights", str(no))
        tap.ok(kithlab.ticks_now(self.guest, desktop), "the guest goes on")

    def forgotten(self) -> None:
        """A8: who forgets a device learns which VMs are there, before and after the yes."""
        asking = self.laptop.run(["/run/lab/build/kith", "trust", "forget", "desktop"],
                                 input="n\n", check=False)
        self.tap.ok(asking.returncode and self.guest.name in asking.stdout,
                    "A8: the question names the VM that is there", asking.stdout + asking.stderr)
        self.tap.ok("desktop" in [r["name"] for r in kith(self.laptop, "trust")["devices"]],
                    "A8: `n` forgets nothing")
        done = kith(self.laptop, "--yes", "trust", "forget", "desktop")
        self.tap.equal(done["held"], [self.guest.name], "A8: --yes says it too")
        done = kith(self.laptop, "--yes", "trust", "forget", "bob")
        self.tap.equal(done["held"], [], "A8: and nothing of a device that holds none")
        self.tap.equal(kith(self.laptop, "trust")["devices"], [], "A8: both are forgotten")

    def audits(self) -> None:
        """S2-05: what was refused stands on the device that refused, and no number is missing."""
        for device in (self.laptop, self.desktop):
            numbers = [record["seq"] for record in kith(device, "log")["records"]]
            first = numbers[0] if numbers else 0
            self.tap.equal(numbers, list(range(first, first + len(numbers))),
                           f"{device.name}: audit numbers without a gap")
        codes = {record["reason"]["code"] for record in kithlab.audit(self.laptop, allowed=False)}
        self.tap.ok({"policy", "tier", "peer-unknown", "attest-pcr", "custody"} <= codes,
                    "the laptop's audit has every refusal", str(codes))


def old_memory(device: Device, guest: Guest) -> str:
    """A memory image of the running guest, which then goes on; its path in the device."""
    path = "/var/lib/libvirt/qemu/old-memory"
    device.virsh("save", guest.name, path)
    device.run(["cp", path, path + ".kept"])
    device.virsh("restore", path)
    host = device.host_path(guest.disk)
    shutil.copy(host, host.with_suffix(".old"))
    device.run(["tee", "/tmp/guest.xml"], input=guest.xml())
    return path + ".kept"


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    tests = Refusals(tap, lab)
    saved = old_memory(tests.laptop, tests.guest)
    tests.policies()
    tests.reasons()
    tests.conditions()
    tests.plans()
    tests.strangers()
    tests.neighbours()
    tests.pairing_codes()
    tests.measurements()
    tests.custody(saved)
    tests.audits()
    tests.twins()
    tests.other_users()
    tests.forgotten()


if __name__ == "__main__":
    kithlab.run_tests("refusals", body)
