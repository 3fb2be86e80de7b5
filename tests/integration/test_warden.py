#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kith-warden and the fence on one device with a real guest: a copy that may not run is frozen below
libvirt (F2), whatever its owner does and whoever dies; a VM that Kith does not know is left alone.

The markers are written here as kith-policyd would, so that each moment can be looked at."""
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import kith    # noqa: E402
from shell import LabError, alive, kill, stat_field, wait_for   # noqa: E402
from tap import Tap     # noqa: E402

PING, FREEZE, SETTLE = 1, 2, 3
COPY = {b"\0": "gone", b"\1": "frozen", b"\2": "free"}
WARDEN = ["/run/lab/build/kith-warden", "-c", "/etc/kith/kith.conf"]

ASK = """
import json, socket, struct, sys, time, uuid
op, who = int(sys.argv[1]), sys.argv[2:]
body = uuid.UUID(who[0]).bytes if who else b""
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
s.connect("/run/kith/warden/warden.sock")
begin = time.monotonic()
try:
    s.send(struct.pack("<IHHIII", 0x4854494b, 1, op, 0, 1, len(body)) + body)
    answer = s.recv(65536)
except OSError:
    answer = b""
flags = struct.unpack("<IHHIII", answer[:20])[3] if answer else 0
print(json.dumps({"ms": (time.monotonic() - begin) * 1000, "closed": not answer,
                  "error": bool(flags & 2), "body": answer[20:].hex()}))
"""


class Warden:
    """One device, one small guest, and its marker."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.device, = kithlab.start(lab, "laptop")
        kith(self.device, "init", "Tom")
        self.guest = kithlab.small_guest("work", memory_mib=128)
        self.boot(self.guest)

    def boot(self, guest: Guest) -> None:
        """A fresh guest that ticks."""
        guest.create(self.device)
        guest.start(self.device)
        guest.wait_ready(self.device)

    # -- the means ------------------------------------------------------------------------------

    def mark(self, state: str | None, guest: Guest | None = None) -> None:
        """The custody marker of the guest."""
        guest = guest or self.guest
        path = self.device.host_path("/var/lib/kith/custody") / guest.uuid
        if state is None:
            path.unlink(missing_ok=True)
            return
        new = path.with_name(f".{guest.uuid}.new")
        new.write_text(f"A test.\nstate {state}\nepoch 1\nname {guest.name}\nholder desktop\n")
        new.rename(path)

    def ask(self, op: int, guest: Guest | None = None, user: str | None = None,
            bare: bool = False) -> dict:
        """One request: "copy" is the answer, "refused" the sentence."""
        words = [] if bare else [(guest or self.guest).uuid]
        said = json.loads(self.device.run(["python3", "-c", ASK, op, *words], user).stdout)
        body = bytes.fromhex(said["body"])
        said["copy"] = None if said["error"] or said["closed"] else COPY.get(body, "")
        said["refused"] = body[4:].decode() if said["error"] else ""
        return said

    def qemu(self) -> int:
        """The host's number of the guest's process."""
        for pid in self.device.pids("qemu"):
            if self.guest.uuid in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        raise LabError("the guest has no process")

    def ticks(self) -> int:
        """How often the guest has ticked."""
        return self.guest.host_log(self.device).count(b"TICK")

    def stands_still(self, name: str, seconds: float = 1.5) -> None:
        """Not one tick."""
        before = self.ticks()
        time.sleep(seconds)
        self.tap.equal(self.ticks() - before, 0, f"{name}: not one tick")

    def freeze(self, state: str = "leaving") -> float:
        """Marks and freezes it; the milliseconds that took."""
        self.mark(state)
        said = self.ask(FREEZE)
        if said["copy"] != "frozen":
            raise LabError(f"FREEZE: {said}")
        return said["ms"]

    def thaw(self) -> float:
        """Custody is here again; the milliseconds until the guest's next tick."""
        before = self.ticks()
        begin = time.monotonic()
        self.mark("here")
        wait_for("a tick", lambda: self.ticks() > before, 5, 0.001)
        return (time.monotonic() - begin) * 1000

    def log(self) -> str:
        """What kith-warden said."""
        return (self.device.log_dir / "kith-warden.log").read_text()

    # -- what it may not do ---------------------------------------------------------------------

    def strangers(self) -> None:
        """Who may ask, and for which VMs."""
        tap = self.tap
        for state in (None, "here", "kept", "elsewhere", "in doubt", "nonsense"):
            self.mark(state)
            said = self.ask(FREEZE)
            tap.ok(said["error"] and kithlab.ticks_now(self.guest, self.device),
                   f"a VM marked {state!r} is not frozen by a request", str(said))
            tap.equal(self.ask(SETTLE)["copy"], "free", f"{state!r}: it is left as it is")
        self.mark("leaving")
        for user in ("daemon", "kith", "kith-policy"):
            said = self.ask(FREEZE, user=user)
            tap.ok(said["closed"] and kithlab.ticks_now(self.guest, self.device),
                   f"{user} may not ask", str(said))
        said = self.ask(PING, user="kith-mover", bare=True)
        tap.ok(not said["error"] and not said["closed"], "kith-mover may ask", str(said))

    def foreign_stop(self) -> None:
        """A stop that is somebody else's: the owner's own business."""
        pid = self.qemu()
        self.mark("here")
        kill(pid, signal.SIGSTOP)
        time.sleep(1.5)
        self.tap.equal(stat_field(pid, 3), "T", "a stop that is not Kith's is not undone")
        kill(pid, signal.SIGCONT)

    # -- F2 -------------------------------------------------------------------------------------

    def frozen(self) -> None:
        """A running guest is frozen; root wakes it; the daemons die."""
        tap, device, pid = self.tap, self.device, self.qemu()
        tap.note(f"frozen {self.freeze():.1f} ms after the request")
        self.stands_still("frozen")
        before = self.ticks()
        for _ in range(50):
            kill(pid, signal.SIGCONT)
            time.sleep(0.02)
        tap.equal(self.ticks() - before, 0, "50 SIGCONT of root: not one tick")
        wait_for("the warning", lambda: "was woken up" in self.log(), 2)
        self.alarm()
        device.kill("kith-warden")
        self.stands_still("kith-warden killed")
        device.start_kith("kith-warden")
        self.stands_still("kith-warden again")
        kill(pid, signal.SIGCONT)
        self.stands_still("and SIGCONT again")
        self.mark(None)
        self.stands_still("its marker was taken away")
        self.mark("leaving")
        self.woken_alone(pid)

    def woken_alone(self, pid: int) -> None:
        """Root wakes it while no kith-warden lives."""
        self.device.kill("kith-warden")
        kill(pid, signal.SIGCONT)
        begin = time.monotonic()
        self.device.start_kith("kith-warden", wait=False)
        wait_for("a stop", lambda: stat_field(pid, 3) in "tT", 5, 0.001)
        self.tap.note(f"stopped {(time.monotonic() - begin) * 1000:.0f} ms after the start of a "
                      "new kith-warden")
        time.sleep(0.1)
        self.stands_still("woken while kith-warden was dead")

    def alarm(self) -> None:
        """The alarm is in the audit log and in `kith status`."""
        def told() -> bool:
            return bool(kithlab.audit(self.device, action="alarm"))
        wait_for("the alarm in `kith log`", told, 5, 0.2)
        self.tap.ok(True, "the alarm is in `kith log`")
        shown = kith(self.device, "status")["alarm"] or {}
        self.tap.ok(self.guest.name in shown.get("text", ""), "`kith status` shows it", str(shown))

    def libvirtd(self) -> None:
        """libvirtd is killed and comes back while the copy is frozen."""
        tap, device = self.tap, self.device
        for state in ("leaving", "released"):
            self.mark(state)
            device.kill("libvirtd")
            begin = time.monotonic()
            device.start_libvirtd()
            names = device.virsh("list", "--all", "--name", timeout=20).stdout.split()
            took = time.monotonic() - begin
            tap.ok(names == [self.guest.name] and took < 5,
                   f"{state}: a new libvirtd answers soon", f"{names}, {took:.1f} s")
            tap.note(f"libvirtd answers {took:.1f} s after its start")
            self.stands_still(f"{state}, a new libvirtd")

    def thawed(self) -> None:
        """Custody is here again."""
        self.tap.note(f"first tick {self.thaw():.0f} ms after the marker")
        self.tap.ok(kithlab.ticks_now(self.guest, self.device), "custody here: it ticks again")
        notes = self.device.base / "run/kith/warden/frozen"
        wait_for("the note to go", lambda: not list(notes.iterdir()), 2)
        waits = [(self.freeze(), self.thaw()) for _ in range(8)]
        for name, times in zip(("FREEZE answered", "first tick after the marker"), zip(*waits)):
            self.tap.note(f"{name}: median {statistics.median(times):.1f} ms, "
                          f"longest {max(times):.1f} ms")

    def watch_only(self) -> None:
        """Where it may not trace, it has to look: how long does a woken copy run?"""
        self.device.stop_kith("kith-warden")
        self.device.spawn("kith-warden", ["setpriv", "--bounding-set=-sys_ptrace", *WARDEN])
        wait_for("kith-warden", lambda: not self.ask(PING, bare=True)["closed"], 5, 0.1)
        self.freeze()
        pid, ran = self.qemu(), []
        for _ in range(20):
            begin = time.monotonic()
            kill(pid, signal.SIGCONT)
            wait_for("a new stop", lambda: stat_field(pid, 3) == "T", 5, 0)
            ran.append((time.monotonic() - begin) * 1000)
            time.sleep(0.05)
        self.tap.ok(statistics.median(ran) < 50, "watched only: stopped again within 50 ms",
                    str(ran))
        self.tap.note(f"watched only: stopped again after {statistics.median(ran):.1f} ms, "
                      f"longest {max(ran):.1f} ms")
        self.thaw()
        self.device.restart("kith-warden")

    def owner(self) -> None:
        """The owner resumes the paused copy; then it belongs to the other device."""
        tap, device, pid = self.tap, self.device, self.qemu()
        device.virsh("suspend", self.guest.name)
        self.freeze()
        self.mark("released")
        resume = device.popen(["virsh", "-q", "resume", self.guest.name], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.stands_still("`virsh resume`", 3)
        tap.equal(resume.poll(), None, "`virsh resume` waits")
        begin = time.monotonic()
        names = device.virsh("list", "--all", "--name", timeout=20).stdout.split()
        tap.ok(names and time.monotonic() - begin < 2, "libvirtd answers meanwhile", str(names))
        before = self.ticks()
        begin = time.monotonic()
        self.mark("elsewhere")
        wait_for("the copy's end", lambda: not alive(pid), 5, 0.001)
        tap.note(f"ended {(time.monotonic() - begin) * 1000:.0f} ms after the marker")
        tap.equal(self.ticks() - before, 0, "custody elsewhere: gone without a tick")
        words = resume.communicate(timeout=10)[0]
        tap.ok(resume.returncode, "and `virsh resume` fails", words)
        # libvirtd hears of it by QEMU's socket, on its own time.
        wait_for("libvirt to notice", lambda: self.guest.state(device) == "shut off", 10)
        tap.ok(True, "libvirt has noticed")
        tap.equal(self.ask(SETTLE)["copy"], "gone", "SETTLE says so")

    # -- the fence ------------------------------------------------------------------------------

    def fence(self) -> float:
        """Runs kith-fence; the seconds it took."""
        begin = time.monotonic()
        self.device.run(["/run/lab/build/kith-fence", "-c", "/etc/kith/kith.conf"], timeout=40)
        return time.monotonic() - begin

    def fences(self) -> None:
        """The fence freezes without kith-warden and kith-policyd, and waits only where it must."""
        tap, device = self.tap, self.device
        self.mark("here")
        self.guest.start(device)
        wait_for("the guest", lambda: kithlab.ticks_now(self.guest, device), 30)
        tap.ok(self.fence() < 2, "nothing under way: the fence is through at once")
        device.stop_kith("kith-warden", "kith-policyd")
        self.mark("released")
        tap.ok(self.fence() < 2, "kith-policyd dead: the fence goes by the markers")
        self.stands_still("frozen by the fence alone")
        device.start_kith("kith-policyd", "kith-warden")
        self.stands_still("taken over by kith-warden")
        self.thaw()
        tap.ok(kithlab.ticks_now(self.guest, device), "which lets it go on")
        self.silent()

    def silent(self) -> None:
        """A kith-policyd that lives and does not answer."""
        tap, device = self.tap, self.device
        device.kill("kith-policyd", signal.SIGSTOP)
        took = self.fence()
        tap.ok(took < 10, "silent, no hand-off: libvirtd waits a moment", f"{took:.1f} s")
        self.mark("leaving")
        waiting = device.popen(["/run/lab/build/kith-fence", "-c", "/etc/kith/kith.conf"],
                               stderr=subprocess.PIPE, text=True)
        time.sleep(9)
        tap.equal(waiting.poll(), None, "silent, a hand-off is under way: it waits")
        device.kill("kith-policyd", signal.SIGCONT)
        words = waiting.communicate(timeout=15)[1]
        tap.ok("restart kith-policyd" in words, "and says why", words)
        self.mark("here")


def main(tap: Tap, lab: Lab) -> None:
    """All in order; each leaves the guest running."""
    test = Warden(tap, lab)
    test.strangers()
    test.foreign_stop()
    test.frozen()
    test.libvirtd()
    test.thawed()
    test.watch_only()
    test.owner()
    test.fences()


if __name__ == "__main__":
    kithlab.run_tests("warden", main)
