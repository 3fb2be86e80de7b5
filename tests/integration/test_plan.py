#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`kith plan` tells the truth beforehand: in each situation first the plan, then the move itself,
and both say the same, by code, sentence and exit status."""
import contextlib
import pathlib
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import Kith, Move, kith     # noqa: E402
from shell import wait_for    # noqa: E402
from tap import Tap     # noqa: E402

CARD = """\
    <interface type='network'>
      <source network='default'/>
      <model type='virtio'/>
    </interface>
"""
NETWORK = """\
<network>
  <name>default</name>
  <forward mode='bridge'/>
  <bridge name='labbr0'/>
</network>
"""
SHARE = """\
    <filesystem type='mount' accessmode='mapped'>
      <source dir='/srv'/>
      <target dir='share'/>
    </filesystem>
"""
DISC = """\
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='/srv/disc.iso'/>
      <target dev='hda' bus='ide'/>
      <readonly/>
    </disk>
"""
DISK = re.compile(r"    <disk .*?</disk>\n", re.DOTALL)
DENY = "deny owner all to own desktop\nallow owner all to own\n"
# Whose word it is, before the sentence.
PREFIX = re.compile(r'^"\w+" (?:(?:would stop|stopped) the hand-off|says): ')


class Odd(Guest):
    """A guest with more devices than its disk, or without that."""
    more, disk_too, memory_kib, cpu = "", True, 0, ""

    def xml(self) -> str:
        text = super().xml()
        if not self.disk_too:
            text = DISK.sub("", text)
        if self.memory_kib:
            text = re.sub(r"<memory.*?</memory>", f"<memory unit='KiB'>{self.memory_kib}</memory>",
                          text)
        text = text.replace("  <on_poweroff", self.cpu + "  <on_poweroff", 1)
        return text.replace("    <serial", self.more + "    <serial", 1)


@dataclass
class Said:
    """What a plan or a move said: code, sentence without numbers and prefix, exit status."""
    code: str | None
    text: str
    status: int

    @classmethod
    def of(cls, error: dict | None, status: int) -> "Said":
        # Free memory and disk space change all the time.
        text = re.sub(r"\d+ MiB", "N MiB", PREFIX.sub("", error["text"])) if error else ""
        return cls(error["code"] if error else None, text, status)


class Plans:
    """The devices and the guest, which is on the laptop between two situations."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.laptop, self.desktop, self.bob = kithlab.start(lab, "laptop", "desktop", "bob:laptop")
        kith(self.laptop, "init", "Tom")
        kith(self.bob, "init", "Bob")
        kithlab.pair(self.laptop, self.desktop)
        kithlab.pair(self.laptop, self.bob)
        for device in (self.laptop, self.desktop):
            device.run(["ip", "link", "add", "labbr0", "type", "bridge"])
            device.run(["ip", "link", "set", "labbr0", "up"])
            device.virsh("net-define", "/dev/stdin", input=NETWORK)
            device.virsh("net-start", "default")
            device.run(["mkdir", "-p", "/srv"])
        self.guest = Odd("work", memory_mib=128, disk_mib=192, data_mib=64)
        self.guest.more = CARD
        self.digest = kithlab.run_guest(self.guest, self.laptop)
        self.route = [self.laptop]

    # -- the two answers ------------------------------------------------------------------------

    def plan(self, source: Device, guest: Guest, target: Device) -> tuple[Said, dict, float]:
        """What `kith plan` says, its document, and the seconds it took."""
        command = Kith(source, "plan", guest.name, target.name)
        status = command.wait()
        answer = command.documents[-1]
        return Said.of(answer.get("reason") or answer.get("error"), status), answer, command.wall

    def move(self, source: Device, guest: Guest, target: Device) -> Said:
        """What `kith move` says; if it moved, the guest is there."""
        command = Move(source, guest.name, target)
        try:
            command.done()
        except kithlab.Refused as no:
            sent = [e.get("ram_bytes", 0) + e.get("disk_bytes", 0) for e in command.documents]
            self.tap.ok(max(sent) == 0, "  nothing was copied before the refusal", str(sent[-3:]))
            return Said.of({"code": no.code, "text": no.text}, no.status)
        return Said(None, "", 0)

    def agree(self, name: str, code: str | None, guest: Guest | None = None) -> dict:
        """A plan and then the move: the same answer, which has this code. The guest is back on the
        laptop afterwards."""
        tap, guest = self.tap, guest or self.guest
        said, answer, took = self.plan(self.laptop, guest, self.desktop)
        tap.ok(took < 8, f"{name}: the plan does not hang", f"{took:.1f} s")
        time.sleep(1)   # a hand-off each second is what a device takes
        done = self.move(self.laptop, guest, self.desktop)
        tap.equal(said, done, f"{name}: plan and move agree")
        tap.equal(done.code, code, f"{name}: the code is {code}")
        tap.equal((answer["allowed"], answer["rung"] == "none"), (code is None, code is not None),
                  f"{name}: allowed and rung fit")
        if code is None:
            self.home(guest)
        else:
            tap.note(f"{answer['reason']['text']}")
            tap.ok(len(answer["reason"]["text"].split()) > 4, f"{name}: a sentence")
        return answer

    def home(self, guest: Guest) -> None:
        """Back to the laptop: the way back is planned, too."""
        said, _, _ = self.plan(self.desktop, guest, self.laptop)
        self.tap.equal(said, Said(None, "", 0), "  the way back is planned as possible")
        Move(self.desktop, guest.name, self.laptop).done()
        if guest is self.guest:
            self.route += [self.desktop, self.laptop]

    # -- what may be wrong ----------------------------------------------------------------------

    @contextlib.contextmanager
    def no_network(self) -> Iterator[None]:
        self.desktop.virsh("net-destroy", "default")
        self.desktop.virsh("net-undefine", "default")
        yield
        self.desktop.virsh("net-define", "/dev/stdin", input=NETWORK)
        self.desktop.virsh("net-start", "default")

    @contextlib.contextmanager
    def network_down(self) -> Iterator[None]:
        self.desktop.virsh("net-destroy", "default")
        yield
        self.desktop.virsh("net-start", "default")

    @contextlib.contextmanager
    def configured(self, text: str) -> Iterator[None]:
        kithlab.configure(self.desktop, text)
        yield
        kithlab.configure(self.desktop, "")

    @contextlib.contextmanager
    def small_pool(self) -> Iterator[None]:
        folder = "/var/lib/libvirt/small"
        self.desktop.run(["mkdir", "-p", folder])
        self.desktop.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=711", "tmpfs", folder])
        self.desktop.virsh("pool-define-as", "small", "dir", "--target", folder)
        self.desktop.virsh("pool-start", "small")
        with self.configured("[libvirt]\npool = small\n"):
            yield
        self.desktop.virsh("pool-destroy", "small")
        self.desktop.virsh("pool-undefine", "small")
        self.desktop.run(["umount", folder])

    @contextlib.contextmanager
    def same_name(self) -> Iterator[None]:
        other = self.guest.xml().replace(self.guest.uuid, "5f0f3f2e-2b5c-4a83-9d5c-0123456789ab")
        self.desktop.virsh("undefine", self.guest.name, check=False)
        self.desktop.virsh("define", "/dev/stdin", input=other)
        yield
        self.desktop.virsh("undefine", self.guest.name)

    def policy(self, text: str | None = None) -> None:
        """Gives the guest a policy, when the last hand-off has been put in order."""
        def given() -> bool:
            try:
                kithlab.set_policy(self.laptop, self.guest.name, text)
            except kithlab.Refused as no:
                if no.code != "busy":
                    raise
                return False
            return True
        wait_for("the policy", given, 30, 0.5)

    @contextlib.contextmanager
    def denied(self) -> Iterator[None]:
        self.policy(DENY)
        yield
        self.policy()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self.laptop.virsh("suspend", self.guest.name)
        yield
        self.laptop.virsh("resume", self.guest.name)

    @contextlib.contextmanager
    def without(self, device: Device, daemon: str) -> Iterator[None]:
        """A daemon of Kith's is away."""
        device.stop_kith(daemon)
        yield
        device.start_kith(daemon)
        for other in (self.laptop, self.desktop):
            wait_for("kith-mover", lambda d=other: kith(d, "status")["agent"]["mover"], 20)
        kithlab.wait_sight([self.laptop, self.desktop])

    @contextlib.contextmanager
    def no_libvirt(self, device: Device) -> Iterator[None]:
        device.kill("libvirtd")
        yield
        device.start_libvirtd()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        self.desktop.cut()
        yield
        self.desktop.heal()
        kithlab.wait_sight([self.laptop, self.desktop])

    # -- situations -----------------------------------------------------------------------------

    def faults(self) -> dict[str, tuple[str, Callable[[], contextlib.AbstractContextManager]]]:
        """Each fault of a situation: the code it leads to when it is alone, and how it is made."""
        laptop, desktop = self.laptop, self.desktop
        return {
            "the destination lacks the network": ("not-ready", self.no_network),
            "its network is down": ("not-ready", self.network_down),
            "its network is not opened":
                ("domain", lambda: self.configured("[libvirt]\nnetworks = none\n")),
            "its pool is too small": ("room", self.small_pool),
            "its pool is not there":
                ("not-ready", lambda: self.configured("[libvirt]\npool = mine\n")),
            "it has another VM of that name": ("identity", self.same_name),
            "the policy forbids it": ("policy", self.denied),
            "the VM is paused": ("not-running", self.paused),
            "the destination's libvirtd is stopped": ("not-ready", lambda: self.no_libvirt(desktop)),
            "the destination's kith-mover is stopped":
                ("not-ready", lambda: self.without(desktop, "kith-mover")),
            "the destination's kith-warden is stopped":
                ("not-ready", lambda: self.without(desktop, "kith-warden")),
            "the destination's kithd is stopped":
                ("unreachable", lambda: self.without(desktop, "kithd")),
            "the destination is cut off": ("unreachable", self.cut),
            "this device's libvirtd is stopped":
                ("interrupted", lambda: self.no_libvirt(laptop)),
            "this device's kith-warden is stopped":
                ("not-ready", lambda: self.without(laptop, "kith-warden")),
        }

    def single(self) -> None:
        """All is well; then each fault alone, and that it is the fault: without it all is well."""
        answer = self.agree("all is well", None)
        self.tap.ok(answer["rung"] == "live-disk" and answer["reached"]
                    and answer["memory_bytes"] == 128 << 20
                    and 0 < answer["disk_bytes"] <= 192 << 20
                    and answer["most_ms"] is None, "rung and bytes", str(answer))
        for name, (code, fault) in self.faults().items():
            with fault():
                self.agree(name, code)
        answer = self.agree("all is well again", None)
        self.tap.ok(0 < answer["least_ms"] < answer["most_ms"] < 60000,
                    "and how long it takes, by the last one", str(answer))

    def guests(self) -> None:
        """What a VM has, or is."""
        laptop, tap = self.laptop, self.tap
        laptop.run(["dd", "if=/dev/zero", "of=/srv/disc.iso", "bs=1M", "count=1"])
        free = {line.split()[0]: int(line.split()[1])
                for line in pathlib.Path("/proc/meminfo").read_text().splitlines()}
        wanted = (free["MemAvailable:"] + free["MemTotal:"]) // 2 // 1024 * 1024
        for name, code, settings in (
                ("no disk", None, {"disk_too": False}),
                ("a folder of this device", "domain", {"disk_too": False, "more": SHARE}),
                ("a disc in its drive", "domain", {"disk_too": False, "more": DISC}),
                ("more memory than there is", "room",
                 {"disk_too": False, "memory_kib": wanted})):
            guest = Odd(name.split()[-1], memory_mib=64)
            for key, value in settings.items():
                setattr(guest, key, value)
            laptop.virsh("define", "/dev/stdin", input=guest.xml())
            guest.start(laptop)
            told = kith(laptop, "policy", "set", guest.name)["warning"]
            answer = self.agree(name, code, guest)
            tap.equal(told["text"] if told else None,
                      answer["reason"]["text"] if code == "domain" else None,
                      f"{name}: `kith policy set` warned by the same sentence, or not")
            if code is None:
                tap.equal((answer["rung"], answer["disk_bytes"]), ("live", 0), f"{name}: rung")
            if guest.more == DISC:
                self.ejected(guest)
            guest.destroy(laptop, undefine=True)

    def cpus(self) -> None:
        """What the destination's processor lacks is named, and another CPU is the way out."""
        kinds = {"host-model": "<cpu mode='host-model'/>\n",
                 "maximum": "<cpu mode='maximum'/>\n",
                 "Nehalem": "<cpu mode='custom'><model>Nehalem</model>"
                            "<feature policy='require' name='avx2'/></cpu>\n"}
        for name in kinds if "all" in sys.argv[1:] else ("host-model",):
            guest = Odd(name.lower(), memory_mib=64)
            guest.disk_too, guest.cpu = False, kinds[name]
            self.laptop.virsh("define", "/dev/stdin", input=guest.xml())
            guest.start(self.laptop)
            kithlab.set_policy(self.laptop, guest.name)
            if name != "host-model":
                self.agree(f"{name} between equal processors", None, guest)
            with kithlab.lesser_cpu(self.desktop, "avx2", "bmi1"):
                answer = self.agree(f"{name}, and a lesser processor", "domain", guest)
                self.tap.ok("avx2" in answer["reason"]["text"]
                            and f"kith vm roam {guest.name}" in answer["reason"]["text"],
                            f"{name}: what it lacks is named, and the way out", str(answer))
                self.roam(guest)
            guest.destroy(self.laptop, undefine=True)

    def roam(self, guest: Guest) -> None:
        """`kith vm roam`: nothing but the CPU changes, from the next start on; and the way back."""
        laptop, tap = self.laptop, self.tap

        def kept() -> str:
            return laptop.virsh("dumpxml", "--inactive", guest.name).stdout

        def other(xml: str) -> str:
            return re.sub(r"\n  <(cpu|metadata)\b.*?</\1>|\n  <cpu [^>]*/>", "", xml,
                          flags=re.DOTALL)

        before, live = kept(), laptop.virsh("dumpxml", guest.name).stdout
        no = kithlab.Kith(laptop, "vm", "roam", guest.name)
        no.answer("n")
        no.wait()
        tap.equal((no.documents[-1]["error"]["code"], kept()), ("cancelled", before),
                  "roam without a yes changes nothing")
        told = kith(laptop, "--yes", "vm", "roam", guest.name)
        tap.ok(told["waits"] and told["undo"] and told["devices"] == ["desktop"]
               and "avx2" in told["loses"], "roam: what it loses is said", str(told))
        tap.ok(other(kept()) == other(before) and kept() != before
               and "name='avx2'" not in kept().replace("policy='disable' name='avx2'", "")
               .split("</metadata>")[-1], "roam: only the CPU is another", kept())
        tap.equal(laptop.virsh("dumpxml", guest.name).stdout, live,
                  "roam: the running guest is as it was")
        said, answer, _ = self.plan(laptop, guest, self.desktop)
        tap.ok(said.code == "domain" and "avx2" in said.text,
               "roam: before the restart it does not move", str(answer))
        kith(laptop, "vm", "roam", guest.name, "--undo")
        tap.equal(kept(), before, "roam --undo: the definition is as before, byte by byte")
        text = laptop.run(["kith", "--yes", "vm", "roam", guest.name, "--devices",
                           "laptop,desktop"]).stdout
        tap.ok("It loses" in text and "avx2" in text and "shut it down and start it" in text,
               "roam: and people are told", text)
        tap.note(text.replace("\n", " | "))
        laptop.virsh("destroy", guest.name)
        guest.start(laptop)
        shown = kith(laptop, "vm", "show", guest.name)
        tap.ok(not shown["waits"] and shown["cpu"] == shown["next_cpu"] == told["next_cpu"],
               "roam: after the restart it has it", str(shown))
        self.agree("roam: and moves", None, guest)
        away = kithlab.Kith(self.desktop, "vm", "roam", guest.name)
        away.wait()
        tap.equal(away.documents[-1]["error"]["code"], "custody",
                  "roam: only where the VM is")
        kith(laptop, "vm", "roam", guest.name, "--undo")
        tap.ok("avx2" in kept() or "mode='custom'" not in kept(),
               "roam --undo: it came back with the VM", kept())

    def ejected(self, guest: Guest) -> None:
        """What is in the way of a move goes at a yes, for good, and then the guest moves."""
        laptop, desktop, tap = self.laptop, self.desktop, self.tap

        def discs() -> list[bool]:
            return ["disc.iso" in laptop.virsh("dumpxml", guest.name, *words).stdout
                    for words in ((), ("--inactive",))]
        said = kithlab.refusal(laptop, "move", "--eject", guest.name, desktop.name, say="n")
        tap.equal((said and said.code, discs()), ("cancelled", [True, True]), "a no ejects nothing")
        said = kithlab.refusal(laptop, "--yes", "move", "--eject", guest.name, "nobody")
        tap.equal((bool(said), discs()), (True, [True, True]),
                  "nor does a move that cannot be meant")
        last = kith(laptop, "--yes", "move", "--eject", guest.name, desktop.name)
        tap.equal((last["phase"], guest.state(desktop)), ("done", "running"),
                  "after a yes the disc is out, and the guest moves")
        tap.ok("disc.iso" not in desktop.virsh("dumpxml", guest.name).stdout
               and laptop.run(["test", "-e", "/srv/disc.iso"], check=False).returncode == 0,
               "the disc's image stays where it was")
        Move(desktop, guest.name, laptop).done()

    def off(self) -> None:
        """A VM that is off: cold, unless its memory is saved."""
        laptop, tap = self.laptop, self.tap
        guest = Odd("rests", memory_mib=64, disk_mib=192, data_mib=64)
        guest.create(laptop)
        kithlab.set_policy(laptop, guest.name)
        answer = self.agree("a VM that is off", None, guest)
        tap.ok(answer["rung"] == "cold" and not answer["memory_bytes"] and answer["disk_bytes"],
               "a VM that is off: rung and bytes", str(answer))
        tap.equal(guest.state(laptop), "shut off", "a VM that is off: it is off at home")
        laptop.virsh("start", guest.name)
        laptop.virsh("managedsave", guest.name)
        self.agree("a VM whose memory is saved", "not-running", guest)
        laptop.virsh("undefine", "--managed-save", guest.name)

    def uuid_taken(self) -> None:
        """H21: the desktop has a VM of this UUID, which Kith does not know there."""
        guest = Odd("twin", memory_mib=64)
        guest.disk_too = False
        self.laptop.virsh("define", "/dev/stdin", input=guest.xml())
        guest.start(self.laptop)
        kithlab.set_policy(self.laptop, guest.name)
        self.desktop.virsh("define", "/dev/stdin", input=guest.xml())
        self.agree("a VM of this UUID", "identity", guest)
        self.desktop.virsh("undefine", guest.name)
        self.agree("no VM of this UUID any more", None, guest)
        # Left behind when it went home: its own, and not in its way (F7).
        self.desktop.virsh("define", "/dev/stdin", input=guest.xml())
        self.agree("the definition that it left there itself", None, guest)
        guest.destroy(self.laptop, undefine=True)

    def pairs(self, rounds: int = 10) -> None:
        """Two faults at once: both name the same one of them."""
        dice = random.Random(4747)
        faults = self.faults()
        # One network, one kith.conf; and a device that is cut off cannot be put in order.
        groups = [{"the destination lacks the network", "its network is down"},
                  {"its network is not opened", "its pool is too small", "its pool is not there"},
                  {name for name in faults if "cut off" in name or "kithd" in name}]
        for _ in range(rounds):
            while True:
                names = dice.sample(sorted(faults), 2)
                if not any(set(names) <= group for group in groups) \
                        and sum("libvirtd" in n or "network" in n or "pool" in n or "VM of" in n
                                for n in names) < 2:
                    break
            with faults[names[0]][1](), faults[names[1]][1]():
                said, _, _ = self.plan(self.laptop, self.guest, self.desktop)
                time.sleep(1)
                done = self.move(self.laptop, self.guest, self.desktop)
            self.tap.equal(said, done, " and ".join(names))
            self.tap.ok(done.code is not None, "  and it is a refusal")

    def hangs(self) -> None:
        """What hangs on either device costs a person some seconds, and is a reason."""
        for device, daemon, code in ((self.desktop, "kithd", "unreachable"),
                                     (self.desktop, "kith-policyd", "unreachable"),
                                     (self.desktop, "kith-mover", "unreachable"),
                                     (self.desktop, "libvirtd", "not-ready"),
                                     (self.laptop, "libvirtd", "not-ready")):
            device.kill(daemon, signal.SIGSTOP)
            try:
                said, answer, took = self.plan(self.laptop, self.guest, self.desktop)
            finally:
                device.kill(daemon, signal.SIGCONT)
            name = f"{daemon} hangs on the {device.name}"
            self.tap.equal(said.code, code, name)
            self.tap.ok(took < 8, f"{name}: told in time", f"{took:.1f} s")
            self.tap.note(f"{took:.1f} s: {answer['reason']['text']}")
            wait_for("all to be well again", lambda: self.plan(
                self.laptop, self.guest, self.desktop)[0].code is None, 30, 0.5)

    def others(self) -> None:
        """H25: Bob's device tells Tom's nothing; what Tom's own device knows is told all the same."""
        self.policy("allow owner all to guest\n")
        said, answer, _ = self.plan(self.laptop, self.guest, self.bob)
        self.tap.ok(said.code is None and not answer["reached"] and answer["rung"] == "live-disk",
                    "H25 another person's device is not asked", str(answer))
        text = self.laptop.run(["kith", "plan", self.guest.name, "bob"]).stdout
        self.tap.ok("another person's device" in text, "and people are told that", text)
        with self.paused():
            said, _, _ = self.plan(self.laptop, self.guest, self.bob)
            self.tap.equal(said.code, "not-running", "what is wrong here is said")
        self.policy()

    def often(self) -> None:
        """H25: who asks all the time is put off, and served again a little later."""
        laptop = self.laptop
        script = f"for i in $(seq 40); do kith plan {self.guest.name} desktop; done"
        text = laptop.run(["sh", "-c", script], check=False).stdout
        self.tap.ok("asked too often" in text and "allowed" in text,
                    "H25 forty plans in a row: some are put off", text[-400:])
        time.sleep(3)
        said, _, _ = self.plan(laptop, self.guest, self.desktop)
        self.tap.equal(said.code, None, "and soon it is answered again")

    def text(self) -> None:
        """What people read."""
        done = self.laptop.run(["kith", "plan", self.guest.name, "desktop"])
        self.tap.ok("how: while it runs, with its disks; about 128 MiB of memory" in done.stdout,
                    "people are told how, and how much", done.stdout)
        self.tap.note(done.stdout.replace("\n", " | "))
        with self.paused():
            done = self.laptop.run(["kith", "plan", self.guest.name, "desktop"], check=False)
        self.tap.ok("(code: not-running)" in done.stdout and "virsh resume" in done.stdout,
                    "and what to do next", done.stdout)


def body(tap: Tap, lab: Lab) -> None:
    """In an order that leaves the guest on the laptop: a sample, or "all"."""
    plans = Plans(tap, lab)
    parts = [plans.text, plans.single, plans.cpus, plans.off, plans.others]
    if "all" in sys.argv[1:]:
        parts += [plans.guests, plans.uuid_taken, plans.pairs, plans.hangs, plans.often]
    for part in parts:
        part()
    kithlab.judge(tap, plans.guest, plans.route, "after all of it", plans.digest)


if __name__ == "__main__":
    kithlab.run_tests("plan", body)
