#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hand-offs that share a destination, and those that end before they began: neither makes anybody
wait. A1: two moves at once, and what the destination says meanwhile. A2: a refusal, then at once the
next move. Then deaths while the destination waits for its data."""
import concurrent.futures
import pathlib
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from kithlab import Kith, LogWatch, Move, kith, refusal     # noqa: E402
from shell import LabError, kill, wait_for    # noqa: E402
from tap import Tap     # noqa: E402

SLOW = "100mbit"
MAGIC, VERSION, GONE = 0x4854494B, 1, 6     # base/ipc.h, mover/proto.h
QUICK = 2.0             # seconds that `kith vms` may take
SETTLED = 10            # seconds after a death in which the destination is free again


def open_handoffs(device: Device) -> list[str]:
    """The VMs with an open hand-off there."""
    return [vm["name"] for vm in kith(device, "vms")["vms"] if vm.get("hid")]


def timed_vms(device: Device) -> tuple[float, list[dict]]:
    """How long `kith vms` takes, and what it says."""
    command = Kith(device, "vms")
    rows = command.result()["vms"]
    return command.wall, rows


class SideBySide:
    """The devices and their guests."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.laptop, self.desktop = kithlab.family(lab, "laptop", "desktop")
        self.work = kithlab.small_guest("work", disk_mib=256, data_mib=128)
        self.other = kithlab.small_guest("other", memory_mib=128, disk_mib=128, data_mib=48)
        self.digests = {guest.name: kithlab.run_guest(guest, self.laptop)
                        for guest in (self.work, self.other)}

    def home(self, *guests: Guest) -> None:
        """Back to the laptop."""
        for guest in guests:
            Move(self.desktop, guest.name, self.laptop).done()

    # -- A1 ---------------------------------------------------------------------------------------

    def listing(self) -> None:
        """The list of VMs asks no QEMU that may be frozen; the twin is one that is not."""
        tap = self.tap
        took, rows = timed_vms(self.laptop)
        sizes = {row["name"]: row["disk_bytes"] for row in rows}
        tap.equal(sizes, {"work": 256 << 20, "other": 128 << 20}, "A1: the sizes of all disks")
        for pid in self.laptop.pids("qemu"):
            kill(pid, signal.SIGSTOP)
        try:
            took, rows = timed_vms(self.laptop)
        finally:
            for pid in self.laptop.pids("qemu"):
                kill(pid, signal.SIGCONT)
        tap.ok(took < QUICK, f"A1: `kith vms` with two frozen QEMUs in {took:.2f} s", str(took))
        tap.equal({row["name"]: row["disk_bytes"] for row in rows}, sizes,
                  "A1: with the sizes that are known")
        tap.equal({row["state"] for row in rows}, {"running"}, "A1: and the states")

    def two_at_once(self) -> None:
        """Both move at the same time and both arrive; the destination answers meanwhile."""
        tap = self.tap
        self.laptop.rate(SLOW)
        begin = time.monotonic()
        first = Move(self.laptop, "work", self.desktop)
        first.wait_copied(0.05)
        second = Move(self.laptop, "other", self.desktop)
        second.wait_copied(0.05, 30)
        late = time.monotonic() - begin
        mark = len(first.documents)
        took = []
        while first.status is None and second.status is None:
            seconds, rows = timed_vms(self.desktop)
            took.append(seconds)
            time.sleep(0.3)
        moving = [e for e in first.documents[mark:] if e.get("phase", "").startswith("copying")]
        tap.ok(len(moving) > 2 and moving[-1]["disk_bytes"] + moving[-1]["ram_bytes"] >
               moving[0]["disk_bytes"] + moving[0]["ram_bytes"],
               "A1: both copy at the same time", str(moving[-1:]))
        tap.note(f"the second one copies {late:.1f} s after the first one began")
        tap.ok(took and max(took) < QUICK, "A1: `kith vms` at the destination meanwhile",
               f"{took}")
        if took:
            tap.note(f"`kith vms` during two arrivals: {len(took)} times, median "
                     f"{sorted(took)[len(took) // 2]:.2f} s, at most {max(took):.2f} s")
        tap.equal(first.done()["phase"], "done", "A1: the first arrives")
        tap.equal(second.done()["phase"], "done", "A1: the second arrives")
        tap.note(f"both after {time.monotonic() - begin:.1f} s")
        self.laptop.rate(None)
        for guest in (self.work, self.other):
            kithlab.judge(tap, guest, [self.laptop, self.desktop], f"A1: {guest.name}",
                          self.digests[guest.name])
        self.home(self.work, self.other)

    # -- A2 ---------------------------------------------------------------------------------------

    def after_refusal(self, code: str, spoil: Callable[[], object], mend: Callable[[], object],
                      name: str) -> None:
        """A refusal of the source when the destination is ready already; then at once the move."""
        tap = self.tap
        spoil()
        no = refusal(self.laptop, "move", "other", "desktop")
        ended = time.monotonic()
        tap.ok(no and no.code == code, f"A2: {name}: refused with `{code}`", str(no))
        tap.note(f"{no}; {no.next if no else ''}")
        if code == "not-running":
            tap.ok("virsh start" in no.next, f"A2: {name}: the next step is to start it", no.next)
        tap.equal(open_handoffs(self.desktop), [], f"A2: {name}: the destination is free at once")
        tap.note(f"{name}: known {time.monotonic() - ended:.2f} s after the refusal")
        mend()
        again = time.monotonic()
        tap.equal(Move(self.laptop, "other", self.desktop).done()["phase"], "done",
                  f"A2: {name}: then it moves at once")
        tap.note(f"{name}: moved {time.monotonic() - again:.1f} s after that")
        self.home(self.other)

    def refusals(self) -> None:
        """Saved, paused, and a libvirt that is away."""
        self.after_refusal("not-running", lambda: self.laptop.virsh("managedsave", "other"),
                           lambda: self.other.start(self.laptop), "a VM whose memory is saved")
        self.after_refusal("not-running", lambda: self.laptop.virsh("suspend", "other"),
                           lambda: self.laptop.virsh("resume", "other"), "a paused VM")
        self.after_refusal("interrupted", lambda: self.laptop.kill("libvirtd"),
                           self.laptop.start_libvirtd, "libvirtd is away")

    # -- what a kithd may say ---------------------------------------------------------------------

    def hijacked(self) -> None:
        """A kithd that lies: "the other side gave up" counts for nothing where the workers talk."""
        move = Move(self.laptop, "other", self.desktop)
        first = move.wait_document(lambda e: e.get("phase", "").startswith("copying"), "copying")
        why = b"It gave up."
        body = bytes.fromhex(first["hid"]) + struct.pack("<HH", 1, len(why)) + why
        record = struct.pack("<IHHIII", MAGIC, VERSION, GONE, 0, 7, len(body)) + body
        answers = []
        while move.status is None:
            for device in (self.laptop, self.desktop):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                    sock.settimeout(5)
                    sock.connect(str(device.host_path("/run/kith/mover/mover.sock")))
                    sock.send(record)
                    flags = 0
                    while not flags & 1:    # what is no answer is progress, told to everybody
                        flags = struct.unpack("<IHHIII", sock.recv(65536)[:20])[3]
                    answers.append(flags)
            time.sleep(0.02)
        self.tap.ok(len(answers) > 4 and set(answers) == {3},
                    "a lying kithd is refused each time", str(set(answers)))
        self.tap.equal(move.done()["phase"], "done", "a lying kithd changes nothing")
        self.home(self.other)

    # -- deaths while the destination waits -------------------------------------------------------

    def begin(self, wait: str) -> Move:
        """A move whose destination has said `wait`. A mover that was only just started may refuse
        one: it puts the hand-off that died before in order first."""
        self.laptop.rate(SLOW)      # so that the move is not over before the blow falls
        watch = LogWatch("kith-mover", wait, self.desktop)
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            move = Move(self.laptop, "other", self.desktop)
            wait_for(f"`{wait}` at the destination or a refusal",
                     lambda m=move: watch.seen or m.status is not None, 20, 0.002)
            if move.status is None:
                watch.stop()
                return move
            self.tap.note(f"`{wait}`: refused ({move.status}), again")
            watch.stop()
            time.sleep(0.5)
            watch = LogWatch("kith-mover", wait, self.desktop)
        raise LabError(f"no move began in 40 s on the way to `{wait}`")

    def kill_worker(self) -> None:
        """The destination may be `receiving` before the source has its worker."""
        wait_for("a worker to kill", lambda: self.laptop.kill("kith-mover-worker"), 10, 0.002)

    def death(self, strike: Callable[[], object], mend: Callable[[], object], name: str,
              wait: str = "receiving") -> None:
        """Something of the source dies as soon as the destination is `receiving`."""
        move = self.begin(wait)
        strike()
        begin = time.monotonic()
        wait_for("a free destination", lambda: not open_handoffs(self.desktop), 60, 0.1)
        took = time.monotonic() - begin
        self.tap.ok(took < SETTLED, f"a death at `{wait}`: {name}: the destination is free after "
                    f"{took:.1f} s", f"{took:.1f}")
        move.kill()
        mend()
        self.laptop.rate(None)
        self.tap.equal(kithlab.leftovers(self.desktop, self.other), [],
                       f"a death at `{wait}`: {name}: nothing is left there")

    def deaths(self) -> None:
        """The source's worker, mover, kithd, each restarted after; at last the whole device."""
        laptop = self.laptop
        for wait in ("receiving", "The control channel stands"):
            self.death(self.kill_worker, lambda: None, "worker", wait)
            for daemon in ("kith-mover", "kithd"):
                self.death(lambda d=daemon: laptop.kill(d),
                           lambda d=daemon: laptop.start_kith(d), daemon, wait)
            self.moves_again(f"after deaths at `{wait}`")
        for wait in ("receiving", "The control channel stands"):
            self.death(self.no_power, self.power, "the whole device", wait)
            self.moves_again(f"after a power cut at `{wait}`")

    def moves_again(self, name: str) -> None:
        """The positive twin."""
        deadline = time.monotonic() + 40
        while (no := refusal(self.laptop, "move", "other", "desktop")) and \
                time.monotonic() < deadline:
            self.tap.note(f"{name}: {no}")
            time.sleep(1)
        self.tap.equal(no, None, f"{name} it moves")
        if not no:
            self.home(self.other)

    def no_power(self) -> None:
        """Nothing is said on the network any more: the link goes first."""
        self.laptop.cut()
        self.laptop.power_off()

    def power(self) -> None:
        """On again, with the guest."""
        bus = self.laptop.base / "run/dbus/system_bus_socket"
        self.laptop.heal()
        # All services side by side, as on a real device: libvirtd's fence may ask for the others.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            booting = pool.submit(self.laptop.start)
            wait_for("the system bus", lambda: self.laptop.running and bus.exists(), 20)
            self.laptop.start_kith("kithd", "kith-mover")   # start() starts the other two
            booting.result()
        kithlab.wait_sight([self.laptop, self.desktop])
        wait_for("no open hand-off", lambda: not open_handoffs(self.laptop), 30, 0.2)
        self.other.start(self.laptop)
        self.other.wait_ready(self.laptop)


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab; the oracle first, before guests are rebooted. Arguments choose some:
    `test_sidebyside.py refusals`, or `all`."""
    tests = SideBySide(tap, lab)
    chosen = sys.argv[1:] or ["two_at_once", "hijacked"]
    for name in ("listing", "two_at_once", "refusals", "hijacked", "deaths"):
        if name in chosen or "all" in chosen:
            getattr(tests, name)()


if __name__ == "__main__":
    kithlab.run_tests("sidebyside", body)
