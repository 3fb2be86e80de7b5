# SPDX-License-Identifier: Apache-2.0
"""Two lab devices that are broken and mended again and again, and the stopper that aims.

A device stays up between runs; only what a fault broke is started again. Its daemons run under
stopper.so, which all processes of a lab steer by one control file (see stopper.c).
"""
import concurrent.futures
import errno
import json
import mmap
import os
import pathlib
import pwd
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
import lab as lab_module    # noqa: E402  (sets the module path)
import config   # noqa: E402
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from guest import Guest, SealedGuest     # noqa: E402
from lab import Lab, default_root    # noqa: E402
from shell import LabError, all_pids, cmdline, kill, namespace, stat_field, wait_for     # noqa: E402

VM = "work"
STOPPER = "/run/lab/build/tests/soak/stopper.so"
CHILDREN = {"--source": "source", "--destination": "destination", "--recover": "recovery",
            "--recover-again": "recovery", "--vms": "listing", "--offers": "offers",
            "--plan": "plan"}
SERVICES = ("kith-policyd", "kithd", "kith-warden", "kith-mover", "libvirtd")
WORKERS = {"source", "destination", "recovery"}
SMALL = {"memory_mib": 96, "disk_mib": 80, "data_mib": 4, "ram_mib": 16, "check_pages": 8,
         "dirty_kib_s": 64}
# By the word of a run: what it moves.
MACHINES = {"plain": lambda: Guest(VM, **SMALL),
            "button": lambda: Guest(VM, **SMALL, power_button=1),   # obeys ACPI's
            "sealed": lambda: SealedGuest(VM, **{**SMALL, "memory_mib": 256}, power_button=1)}


class SoakDevice(Device):
    """A lab device whose daemons can be stopped anywhere, and which mends itself as systemd would."""

    control = ""        # the control file's name in the build folder
    frozen_by_us: set[int]

    def spawn(self, name: str, command: list[object], user: str | None = None,
              env: dict[str, str] | None = None) -> None:
        """Daemons of interest get the stopper; the tools that start them do not."""
        if self.control and (name.startswith("kith") or name == "libvirtd"):
            command = ["env", f"LD_PRELOAD={STOPPER}",
                       f"KITH_STOPPER=/run/lab/build/{self.control}",
                       f"KITH_STOPPER_DEVICE={self.name}", "KITH_LOG_CLOCK=1", *command]
        super().spawn(name, command, user, env)

    def census(self) -> dict[str, list[int]]:
        """Host pids by what the process is; one look at /proc."""
        found: dict[str, list[int]] = {}
        mine = namespace(self.holder, "pid") if self.running else None
        for pid in all_pids() if mine else ():
            if namespace(pid, "pid") != mine or stat_field(pid, 3) in (None, "Z", "X"):
                continue
            words = cmdline(pid)
            name = os.path.basename(words[0]) if words else "?"
            if name == "sh" and any("kith-fence" in word for word in words):
                name = "fence-shell"
            elif name == "kith-mover":
                name = next((CHILDREN[w] for w in words if w in CHILDREN), "supervisor")
            elif name.startswith("qemu-system") and "-uuid" in words:
                name = "qemu"
            found.setdefault({"kith-policyd": "policyd", "kith-fence": "fence",
                              "kith-warden": "warden"}.get(name, name), []).append(pid)
        return found

    def strike(self, who: str, sig: int = signal.SIGKILL) -> bool:
        """A signal to every process of that kind; "worker" is any child of the mover."""
        pids = [pid for name, found in self.census().items() for pid in found
                if name == who or (who == "worker" and name in WORKERS)]
        for pid in pids:
            kill(pid, sig)
        if who == "qemu" and sig == signal.SIGSTOP:
            self.frozen_by_us = set(pids)
        return bool(pids)

    def thaw(self) -> None:
        """Frozen processes go on; a QEMU only if it was the harness that froze it."""
        for name, pids in self.census().items():
            for pid in pids:
                if stat_field(pid, 3) == "T" and (name != "qemu" or pid in self.frozen_by_us):
                    kill(pid, signal.SIGCONT)
        self.frozen_by_us = set()

    def boot(self) -> None:
        """Power on: as Device.start(), but the fence holds libvirtd until policyd is there."""
        config.fresh_runtime(self.base)
        config.write_kith(self.base, self.name, self.role)
        self._start_holder()
        self.start_tpm()
        self.spawn("dbus", ["dbus-daemon", "--system", "--nofork", "--nopidfile"])
        self.spawn("serialwatch", ["/run/lab/tests/lab/serialwatch.py", "/var/log/libvirt",
                                   "/var/log/libvirt/serial.events"])
        wait_for("the system bus", (self.base / "run/dbus/system_bus_socket").exists)
        self.start_avahi()
        self.mend()

    def mend(self) -> None:
        """Starts what does not run, at once and without waiting, as systemd's Restart= does."""
        if not self.running:
            self.boot()
            return
        there = self.census()
        for name in SERVICES:
            if name == "libvirtd":
                if not {"libvirtd", "fence", "fence-shell"} & set(there):
                    self.start_libvirtd(wait=False)
            elif not there.get({"kith-policyd": "policyd", "kith-warden": "warden",
                                "kith-mover": "supervisor"}.get(name, name)) \
                    and (self.build / name).exists():
                self.start_kith(name, wait=False)


def with_warden(build: pathlib.Path) -> None:
    """kith-warden is a daemon like the others where the build has it."""
    if (build / "kith-warden").exists():
        config.DAEMONS.setdefault("kith-warden", ("root", "warden"))


def root_of(number: int) -> pathlib.Path:
    """The folder of one of the labs that work side by side."""
    return pathlib.Path(f"{default_root()}-soak{number}")


class Stopper:
    """The control file of one lab."""

    SLOT = struct.Struct("10I96s16s16s16s")     # struct slot in stopper.c
    COUNT = 8
    ACTIONS = {"kill": 0, "stop": 1, "park": 2, "note": 3, "fail": 4}
    CALLS = {"write": 1, "send": 2, "sync": 4, "rename": 8, "unlink": 16, "connect": 32, "file": 64}
    OFF, WAITS, COUNTS, HIT = range(4)

    def __init__(self, path: pathlib.Path):
        size = self.SLOT.size * self.COUNT
        path.write_bytes(bytes(size))
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), size)

    def _word(self, slot: int, index: int, value: int | None = None) -> int:
        at = slot * self.SLOT.size + 4 * index
        if value is not None:
            self.memory[at:at + 4] = struct.pack("I", value)
        return struct.unpack("I", self.memory[at:at + 4])[0]

    def state(self, slot: int) -> int:
        return self._word(slot, 0)

    def count(self, slot: int) -> int:
        return self._word(slot, 3)

    def release(self, slot: int) -> None:
        """A parked thread goes on."""
        self._word(slot, 6, 0)

    def off(self) -> None:
        """Nothing is armed and nobody waits any more."""
        for slot in range(self.COUNT):
            self._word(slot, 0, self.OFF)
            self._word(slot, 6, 0)

    def arm(self, slot: int, *, action: str, nth: int, text: str, text_device: str, victim: str,
            victim_device: str, calls: list[str] | None = None, error: str = "EIO",
            each: bool = False) -> None:
        """Fills a slot; without a text it counts at once."""
        mask = sum(self.CALLS[name] for name in calls or self.CALLS)
        data = self.SLOT.pack(self.OFF, self.ACTIONS[action], nth, 0, mask,
                              getattr(errno, error), 0, 0, int(each), 0, text.encode(),
                              text_device.encode(), victim_device.encode(), victim.encode())
        at = slot * self.SLOT.size
        self.memory[at:at + self.SLOT.size] = data
        self._word(slot, 0, self.WAITS if text else self.COUNTS)


class World:
    """One lab: two devices of one owner, one small guest, and where it is now."""

    def __init__(self, number: int, build: pathlib.Path | None = None):
        lab_module.Device = SoakDevice
        self.number = number
        self.root = root_of(number)
        self.lab = Lab(self.root, build=build)
        with_warden(self.lab.build)
        SoakDevice.control = f"soak-control-{self.lab.switch.prefix}{number}"
        SoakDevice.frozen_by_us = set()
        self.stopper = Stopper(self.lab.build / SoakDevice.control)
        self.pool = concurrent.futures.ThreadPoolExecutor(4)
        self.devices: list[SoakDevice] = []
        self.here = 0
        self.jobs: list[tuple[str, subprocess.Popen]] = []    # commands of people
        self.note: tuple[str, bytes] | None = None
        self.digest = ""
        self.spoilt = True      # a lab has to be made before the next run
        self.machine = "plain"
        self.marks: dict[pathlib.Path, int] = {}
        self.silent: list[int] = []     # bytes at the serial ports when the VM was switched off
        self.remarks: list[str] = []
        self.cut_happened = False
        self.planted: list[pathlib.Path] = []
        self.strangers: list[subprocess.Popen] = []

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_exc) -> None:
        self.down()
        (self.lab.build / SoakDevice.control).unlink(missing_ok=True)

    def down(self) -> None:
        """Everything away."""
        self.stopper.off()
        self.lab.down()

    # -- making it -----------------------------------------------------------------------------

    def up(self, machine: str = "plain") -> None:
        """A fresh lab with this machine, in a second try if a busy machine spoilt the first."""
        self.machine = machine
        for last in (False, False, True):
            try:
                self._up()
                return
            except LabError:
                if last:
                    raise

    def _up(self) -> None:
        """Afterwards the guest has moved there and back once, so that all worlds are
        alike, and a genuine note of an arrival is kept for the runs with old state."""
        self.down()
        self.lab.root.mkdir(parents=True, exist_ok=True)
        self.devices = kithlab.family(self.lab, "s", "d")
        self.guest = MACHINES[self.machine]()
        self.digest = kithlab.run_guest(self.guest, self.devices[0])
        self.here = 0
        self.stopper.arm(0, action="park", nth=0, text=": settling after ", text_device="d",
                         victim="destination", victim_device="d")
        move = kithlab.Move(self.devices[0], VM, self.devices[1])
        wait_for("an arrival", lambda: self.stopper.state(0) == Stopper.HIT, 60)
        notes = [path for path in (self.devices[1].base / "kith/mover").iterdir()
                 if re.fullmatch("[0-9a-f]{32}", path.name)]
        if notes:
            self.note = (notes[0].name, notes[0].read_bytes())
        self.stopper.off()
        move.done()
        kithlab.Move(self.devices[1], VM, self.devices[0]).done()
        self.devices[0].host_path(self.guest.disk).unlink()

    def side(self, letter: str) -> SoakDevice:
        """"S" is where the guest is when the run begins, "D" the other one."""
        return self.devices[self.here if letter == "S" else 1 - self.here]

    def name(self, letter: str) -> str:
        return self.side(letter).name

    # -- deeds: one line of text each, so that a run can be written down and repeated ------------

    def do(self, deed: str) -> None:
        """Carries out one deed, such as `kill S qemu`, `cut D`, `virsh S resume work`."""
        word, *rest = deed.split()
        if word == "sleep":
            time.sleep(float(rest[0]))
            return
        if word == "heal":
            self.heal()
            return
        if word == "go":
            for slot in range(Stopper.COUNT):
                self.stopper.release(slot)
            return
        device, words = self.side(rest[0]), rest[1:]
        getattr(self, "_do_" + word.replace("-", "_"))(device, words)

    def _do_kill(self, device: SoakDevice, words: list[str]) -> None:
        device.strike(words[0])

    def _do_stop(self, device: SoakDevice, words: list[str]) -> None:
        device.strike(words[0], signal.SIGSTOP)

    def _do_cont(self, device: SoakDevice, words: list[str]) -> None:
        device.strike(words[0], signal.SIGCONT)

    def _do_cut(self, device: SoakDevice, _words: list[str]) -> None:
        device.cut()

    def _do_power(self, device: SoakDevice, _words: list[str]) -> None:
        device.power_off()

    def _do_mend(self, device: SoakDevice, _words: list[str]) -> None:
        device.thaw()
        device.mend()

    def _do_mend_only(self, device: SoakDevice, _words: list[str]) -> None:
        """What died is started again; what is frozen stays so."""
        device.mend()

    def _do_restart(self, device: SoakDevice, words: list[str]) -> None:
        for name in words:
            device.strike(name)
        wait_for("their ends", lambda: not set(words) & set(device.census()), 10)
        device.mend()

    def _job(self, device: SoakDevice, command: list[str]) -> None:
        log = open(device.log_dir / "owner.log", "ab")
        log.write((" ".join(command) + "\n").encode())
        log.flush()
        self.jobs.append((" ".join(command), device.popen(command, stdout=log, stderr=log)))

    def _do_ticks(self, device: SoakDevice, _words: list[str]) -> None:
        """Waits until the guest ticks there, at most 12 s."""
        self.ticks(device, 12)

    def _do_off(self, device: SoakDevice, _words: list[str]) -> None:
        """The owner switches the VM off. From now on it says nothing, anywhere."""
        device.virsh("destroy", VM)
        time.sleep(0.1)
        self.silent = [self.serial_size(each) for each in self.devices]

    def _do_virsh(self, device: SoakDevice, words: list[str]) -> None:
        self._job(device, ["virsh", "-c", "qemu:///system", *words])

    def _do_kith(self, device: SoakDevice, words: list[str]) -> None:
        names = {"@S": self.name("S"), "@D": self.name("D")}
        self._job(device, ["kith", "--json", *(names.get(word, word) for word in words)])

    def _do_wait(self, device: SoakDevice, words: list[str]) -> None:
        """`wait S PROGRAM TEXT...`: until a log says so, at most 15 s."""
        path, text = device.log_dir / f"{words[0]}.log", " ".join(words[1:]).encode()
        start = self.marks.get(path, 0)
        try:
            wait_for(f"{text!r}", lambda: text in path.read_bytes()[start:], 15, 0.03)
        except LabError as problem:
            self.remarks.append(str(problem))

    def _do_olddef(self, device: SoakDevice, _words: list[str]) -> None:
        """What F7 left: a definition of a VM that is elsewhere."""
        device.virsh("define", "/dev/stdin", input=self.guest.xml())

    def _do_ghost(self, device: SoakDevice, _words: list[str]) -> None:
        """What a libvirtd leaves that dies between noting an arrival and starting its QEMU (F12).
        The moment itself cannot be hit every time, so the note is put back to it."""
        note = device.host_path(f"/run/libvirt/qemu/{VM}.xml")
        device.strike("libvirtd")
        wait_for("libvirtd's end", lambda: not device.pids("libvirtd"), 10)
        device.strike("qemu")
        text, n = re.subn(r"<domstatus state='\w+' reason='[^']*' pid='\d+'",
                          "<domstatus state='paused' reason='starting up' pid='0'",
                          note.read_text())
        if "async='migration in'" not in text:
            text, m = re.subn(r"</qemuCaps>", "</qemuCaps><job type='none' async='migration in'"
                              " phase='prepare' flags='0x61'/>", text)
            n *= m
        if n != 1:
            raise LabError("libvirt's note of an arrival looks different")
        note.write_text(text)
        device.host_path(f"/run/libvirt/qemu/{VM}.pid").unlink(missing_ok=True)

    def _do_oldnote(self, device: SoakDevice, _words: list[str]) -> None:
        """What F4 and F5 left: the note of a hand-off that is over."""
        if not self.note:
            return
        name, data = self.note
        user = pwd.getpwnam("kith-mover")
        path = device.base / "kith/mover" / name
        path.write_bytes(data)
        os.chown(path, user.pw_uid, user.pw_gid)
        path.chmod(0o600)

    def _do_oldimage(self, device: SoakDevice, words: list[str]) -> None:
        """The same, and the image that the note names is still there."""
        self._do_oldnote(device, words)
        user = pwd.getpwnam("kith-mover")
        for name in re.findall(rb"/var/lib/kith/images/([\w.-]+)", self.note[1]):
            path = device.base / "kith/images" / name.decode()
            if not path.exists():
                path.write_bytes(bytes(4096))
                os.chown(path, user.pw_uid, user.pw_gid)
                self.planted.append(path)

    def drop_planted(self) -> None:
        """Images that only the harness made may stay or go."""
        for path in self.planted:
            if path.exists():
                self.remarks.append(f"the planted image {path.name} stayed")
                path.unlink()
        self.planted = []

    def _do_hold(self, device: SoakDevice, words: list[str]) -> None:
        """`hold S policyd/policyd.sock 64`: a stranger keeps idle connections (F11)."""
        script = ("import os,socket,sys,time\nl=[]\nos.setgid(65534);os.setuid(65534)\nfor i in range(int(sys.argv[2])):\n"
                  " s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET);s.setblocking(False)\n"
                  " try: s.connect(sys.argv[1]); l.append(s)\n"
                  " except OSError: pass\ntime.sleep(20)")
        self.strangers.append(device.popen(
            ["python3", "-c", script, f"/run/kith/{words[0]}", words[1]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        time.sleep(0.4)

    def heal(self) -> None:
        for device in self.devices:
            device.heal()

    def mend(self) -> None:
        """The end of every fault: the link heals, the frozen thaw, services and power are back."""
        self.stopper.off()
        if self.cut_happened:
            self.heal()
        for device in self.devices:
            if device.running:
                device.thaw()
        list(self.pool.map(SoakDevice.mend, self.devices))

    # -- what is where -------------------------------------------------------------------------

    def mark(self) -> None:
        """Remembers where all logs end now."""
        self.remarks, self.cut_happened = [], False
        self.marks = {path: path.stat().st_size for device in self.devices
                      for path in (*device.log_dir.glob("*.log"),
                                   *device.log_dir.glob("libvirt/serial.events"))}

    def since(self, path: pathlib.Path) -> bytes:
        """What was added to a log since mark()."""
        if not path.exists():
            return b""
        with open(path, "rb") as file:
            file.seek(self.marks.get(path, 0))
            return file.read()

    def hid(self) -> str | None:
        """The hand-off of this run, from the source's log; none if the source refused before PREP,
        which the model's source never does."""
        text = self.since(self.side("S").log_dir / "kith-mover.log")
        found = re.findall(rb"source: ([0-9a-f]{32}): preparing after new", text)
        return found[0].decode() if found else None

    def files(self, device: SoakDevice) -> dict[str, list[str]]:
        """What hand-offs leave in the file system while they last."""
        def names(where: str, folders: bool = False) -> list[str]:
            try:
                return sorted(p.name for p in (device.base / where).iterdir()
                              if not folders or p.is_dir())
            except FileNotFoundError:
                return []
        kept = names("kith/mover")      # beside the notes: retired definitions, marks of images
        images = {f"image-{name}" for name in names("kith/images")}
        return {"note": [n for n in kept if re.fullmatch("[0-9a-f]{32}", n)],
                "mark without image": [n for n in kept
                                       if n.startswith("image-") and n not in images],
                "run folder": names("run/kith/mover", True),
                "note of the warden": names("run/kith/warden/frozen")}

    def vms(self, device: SoakDevice) -> dict:
        """The guest's row of `kith vms`, or {"error": ...}."""
        done = device.run(["kith", "--json", "vms"], check=False, timeout=25)
        try:
            document = json.loads(done.stdout.splitlines()[-1])
            return next((row for row in document["vms"] if row["name"] == VM), {"known": False})
        except (IndexError, KeyError, ValueError):
            return {"error": (done.stderr or done.stdout).strip()[-300:]}

    def domain(self, device: SoakDevice) -> dict:
        """libvirt's word: persistent, transient, state."""
        words = ("list --all --persistent --name; echo ==; list --all --transient --name; echo ==;"
                 f"domstate {VM}")
        try:
            done = device.run(["virsh", "-q", "-c", "qemu:///system", words], check=False,
                              timeout=15)
        except LabError as problem:
            return {"error": str(problem)}
        parts = [part.split("\n") for part in done.stdout.split("==")]
        if len(parts) != 3:
            return {"error": done.stderr.strip()[-300:]}
        names = [[n.strip() for n in part if n.strip()] for part in parts]
        return {"persistent": names[0], "transient": names[1],
                "state": names[2][0] if names[2] else "absent"}

    def definition(self, device: SoakDevice) -> str:
        return device.virsh("dumpxml", "--inactive", VM, check=False).stdout

    def tpms(self, device: SoakDevice) -> list[str]:
        """Virtual TPMs of which libvirt has the state there."""
        path = device.host_path("/var/lib/libvirt/swtpm")
        return sorted(p.name for p in path.iterdir()) if path.exists() else []

    def serial_size(self, device: SoakDevice) -> int:
        path = device.host_path(self.guest.serial)
        return path.stat().st_size if path.exists() else 0

    def ticks(self, device: SoakDevice, seconds: float = 5) -> bool:
        """True if the guest writes to its serial port there within this time."""
        path, before = device.host_path(self.guest.serial), self.serial_size(device)

        def ticked() -> bool:
            with open(path, "rb") as file:
                file.seek(before)
                return file.read().count(b"TICK") > 2
        try:
            wait_for("ticks", lambda: path.exists() and ticked(), seconds, 0.03)
        except LabError:
            return False
        return True

    def keep_logs(self, folder: pathlib.Path) -> None:
        """Everything the daemons said since mark(), for a run that went wrong."""
        folder.mkdir(parents=True, exist_ok=True)
        for device in self.devices:
            for path in (*sorted(device.log_dir.glob("*.log")),
                         *device.log_dir.glob("libvirt/serial.events"),
                         *device.log_dir.glob("libvirt/qemu/*.log")):
                text = self.since(path)
                if text:
                    (folder / f"{device.name}-{path.name}").write_bytes(text[-200000:])
            if device.running:
                done = device.run(["sh", "-c", "virsh list --all; virsh dumpxml work; ls -lR "
                                   "/var/lib/kith/mover /var/lib/kith/images /run/kith; cat "
                                   "/var/lib/kith/custody/*; kith --json vms; kith status; "
                                   "ps axo pid,ppid,stat,args"], check=False, timeout=30)
                (folder / f"{device.name}-state.txt").write_text(done.stdout + done.stderr)

    def reap_jobs(self) -> None:
        """The owner's commands that still wait are given up."""
        for job in [*(job for _, job in self.jobs), *self.strangers]:
            if job.poll() is None:
                try:
                    os.killpg(job.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            job.wait()
        self.jobs.clear()
        self.strangers.clear()


def clear(number: int) -> None:
    """Removes what a killed harness left of a lab."""
    root = root_of(number)
    Lab(root).down()
    shutil.rmtree(root, ignore_errors=True)
