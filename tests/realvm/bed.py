# SPDX-License-Identifier: Apache-2.0
"""The machines of the test bed: QEMU with firmware, TPM and disk of their own, on one bridge.

Everything runs in one network namespace, so that whatever is in it can be ended, and is.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lab"), str(HERE.parent / "guest")]
from shell import LabError, all_pids, alive, cmdline, kill, run, wait_for    # noqa: E402

TOP = HERE.parents[1]
FIRMWARE = pathlib.Path("/usr/share/OVMF")
ROOT_OFFSET = 65 << 20      # of the root file system in the image; mkimage puts it there
MEMORY_MIB = 2048
SSH = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
       "-o", "LogLevel=ERROR", "-o", "ControlMaster=auto", "-o", "ControlPersist=600",
       "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=20"]


def in_image(image: pathlib.Path, requests: list[str]) -> None:
    """debugfs on the root file system of a machine that is off."""
    done = run("debugfs", "-w", "-f", "-", f"{image}?offset={ROOT_OFFSET}",
               input="".join(f"{line}\n" for line in requests), stdin=None, timeout=300)
    words = [line for line in done.stderr.splitlines()[1:] if "File not found" not in line]
    if words:
        raise LabError(f"debugfs: {words[0]}")


class Machine:
    """One computer. Its files are in folder, its sockets in the bed's run folder."""

    def __init__(self, bed: "Bed", name: str, number: int):
        self.bed, self.name, self.number = bed, name, number
        self.ip = f"10.77.0.{number}"
        self.folder = bed.folder / name
        self.disk = self.folder / "disk.img"
        self.console = bed.evidence / f"console-{name}.log"
        self.clock: list[tuple[int, int]] = []      # (its monotonic ns, ours) now and then
        self._lock = threading.Lock()

    # -- power ---------------------------------------------------------------------------------

    def make(self, files: dict[str, pathlib.Path]) -> None:
        """A copy of the image with a name, an address, a TPM and these files: {path: source}."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "tpm").mkdir(parents=True)
        run("cp", "--sparse=always", "--reflink=auto", self.bed.image, self.disk, timeout=300)
        own = {
            "/etc/hostname": f"{self.name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n::1 localhost\n",
            "/etc/network/interfaces.d/lan":
                f"auto enp0s2\niface enp0s2 inet static\n\taddress {self.ip}/24\n",
        }
        requests = []
        for path, text in own.items():
            source = self.folder / path.rsplit("/", 1)[1]
            source.write_text(text)
            source.chmod(0o644)
            files = {**files, path: source}
        for path, source in files.items():
            requests += [f"rm {path}", f"write {source} {path}"]
        in_image(self.disk, requests)
        shutil.copy(FIRMWARE / "OVMF_VARS_4M.fd", self.folder / "vars.fd")
        run("swtpm_setup", "--tpm2", "--tpmstate", self.folder / "tpm", "--create-ek-cert",
            "--lock-nvram", "--pcr-banks", "sha256", "--overwrite")

    def _start(self, *words: object) -> None:
        with open(self.folder / "started.log", "ab") as log:
            self.bed.started.append(subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.bed.namespace}", *map(str, words)],
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def power_on(self) -> None:
        """Starts the TPM and QEMU; boots."""
        socket, tap = self.bed.sockets / f"{self.name}.tpm", f"tap{self.number}"
        in_ns = self.bed.in_ns
        in_ns("ip", "link", "del", tap, check=False)
        in_ns("ip", "tuntap", "add", tap, "mode", "tap")
        in_ns("ip", "link", "set", tap, "master", "br0", "up")
        self._start("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}/tpm",
                    "--ctrl", f"type=unixio,path={socket}", "--terminate")
        wait_for("the TPM's socket", socket.exists)
        self._start(
            "qemu-system-x86_64", "-name", self.name, "-machine", "q35",
            "-accel", "tcg,thread=multi", "-cpu", "max,la57=off,smap=off", "-smp", max(1, (os.cpu_count() or 1) // len(self.bed.machines)),
            "-m", MEMORY_MIB, "-nodefaults", "-display", "none",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.fd",
            "-drive", f"if=pflash,format=raw,unit=1,file={self.folder}/vars.fd",
            "-drive", f"if=none,id=d0,format=raw,file={self.disk},cache=unsafe,discard=unmap",
            "-device", "virtio-blk-pci,drive=d0,addr=3",
            "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=n0,mac=52:54:00:77:00:0{self.number},addr=2",
            "-device", "virtio-rng-pci,addr=4",
            "-chardev", f"socket,id=chrtpm,path={socket}",
            "-tpmdev", "emulator,id=tpm0,chardev=chrtpm", "-device", "tpm-crb,tpmdev=tpm0",
            "-chardev", f"file,id=ser,path={self.console},append=on", "-serial", "chardev:ser",
            "-monitor", f"unix:{self.bed.sockets}/{self.name}.mon,server=on,wait=off")

    def wait_up(self, timeout: float = 900) -> None:
        """Waits until somebody can log in and systemd has started everything."""
        wait_for(f"sshd of {self.name}",
                 lambda: self.run("true", check=False, timeout=20).returncode == 0, timeout, 1)
        self.run("systemctl is-system-running --wait", check=False, timeout=timeout)
        self.clock = []
        self.tell_time()

    def wait_off(self, timeout: float = 600) -> None:
        """Waits until QEMU has ended, and the TPM with it."""
        def runs() -> bool:
            return any(alive(pid) and str(self.folder) in " ".join(cmdline(pid))
                       for pid in self.bed.pids())
        wait_for(f"{self.name} to be off", lambda: not runs(), timeout, 0.5)

    def shut_down(self) -> None:
        """As a person does it; returns when it is off."""
        self.run("systemctl poweroff", check=False)
        self.hang_up()
        self.wait_off()

    def hang_up(self) -> None:
        """Ends the connections that ssh keeps."""
        for path in self.bed.sockets.glob(f"ssh-{self.name}-*"):
            run("ssh", "-o", f"ControlPath={path}", "-O", "exit", "x", check=False)
            path.unlink(missing_ok=True)

    # -- inside --------------------------------------------------------------------------------

    def ssh(self, user: str = "root", *options: str) -> list[str]:
        """The words that log in there; a command may follow."""
        return ["nsenter", f"--net=/run/netns/{self.bed.namespace}", *SSH,
                "-i", str(self.bed.work / "ssh/id"),
                "-o", f"ControlPath={self.bed.sockets}/ssh-{self.name}-{user}", *options,
                f"{user}@{self.ip}"]

    def run(self, command: str, user: str = "root", check: bool = True, timeout: float = 400,
            text: str | None = None) -> subprocess.CompletedProcess:
        """A shell command of that user; text is its standard input."""
        words = self.ssh(user) + [f"export LC_ALL=C.UTF-8; {command}"]
        try:
            done = subprocess.run(words, input=text or "", text=True, capture_output=True,
                                  timeout=timeout, check=False, errors="replace")
        except subprocess.TimeoutExpired as late:
            if not check:
                return subprocess.CompletedProcess(words, 124, "", "timeout")
            raise LabError(f"{self.name}: {command}: no end within {timeout:.0f} s") from late
        if check and done.returncode:
            raise LabError(f"{self.name}: {command}: exit {done.returncode}: "
                           f"{(done.stderr or done.stdout).strip()[-800:]}")
        return done

    def out(self, command: str, **kwargs) -> str:
        """What a command of root prints, without the last newline."""
        return self.run(command, **kwargs).stdout.strip()

    def virsh(self, words: str, user: str = "tom", **kwargs) -> subprocess.CompletedProcess:
        """virsh of the system's libvirt."""
        return self.run(f"virsh -c qemu:///system -q {words}", user=user, **kwargs)

    def put(self, source: pathlib.Path, path: str, user: str = "root") -> None:
        """Copies a file there."""
        with open(source, "rb") as file:
            subprocess.run(self.ssh(user) + [f"cat >{path}"], stdin=file, check=True, timeout=300)

    # -- clocks --------------------------------------------------------------------------------

    def tell_time(self) -> None:
        """Compares its clock with ours; the quickest of some answers counts."""
        best = None
        for _ in range(5):
            before = time.monotonic_ns()
            answer = self.out("cat /proc/uptime")
            after = time.monotonic_ns()
            theirs = int(float(answer.split()[0]) * 1e9)
            if best is None or after - before < best[0]:
                best = (after - before, theirs, (before + after) // 2)
        with self._lock:
            self.clock.append(best[1:])

    def our_time(self, theirs: int) -> int:
        """Our clock at a time of its clock; between two comparisons in proportion."""
        with self._lock:
            marks = list(self.clock)
        for (a, x), (b, y) in zip(marks, marks[1:]):
            if theirs <= b:
                return x + (theirs - a) * (y - x) // max(1, b - a)
        return theirs + marks[-1][1] - marks[-1][0]


class Bed:
    """A bridge and its machines. `with Bed(...)` takes everything down at the end."""

    def __init__(self, work: pathlib.Path, names: list[str], keep: bool = False):
        self.work, self.keep = work, keep
        self.folder, self.evidence = work / "machines", work / "evidence"
        self.image = work / "base.img"
        mark = hashlib.sha256(str(work.resolve()).encode()).hexdigest()[:8]
        self.namespace = f"kith-realvm-{mark}"
        self.sockets = pathlib.Path("/run") / self.namespace
        self.started: list[subprocess.Popen] = []
        self.machines = [Machine(self, name, i) for i, name in enumerate(names, 1)]

    def __getitem__(self, name: str) -> Machine:
        return next(machine for machine in self.machines if machine.name == name)

    def __enter__(self) -> "Bed":
        self.down()
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.evidence, ignore_errors=True)
        self.evidence.mkdir(parents=True)
        self.sockets.mkdir(mode=0o700)
        run("ip", "netns", "add", self.namespace)
        self.in_ns("ip", "link", "set", "lo", "up")
        self.in_ns("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.in_ns("ip", "addr", "add", "10.77.0.254/24", "dev", "br0")
        self.in_ns("ip", "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        if not self.keep:
            self.down()

    def in_ns(self, *words: object, **kwargs) -> subprocess.CompletedProcess:
        """A command in the bed's network."""
        return run("nsenter", f"--net=/run/netns/{self.namespace}", *words, **kwargs)

    @property
    def up(self) -> bool:
        """True while the namespace is there."""
        return pathlib.Path("/run/netns", self.namespace).exists()

    def pids(self) -> list[int]:
        """Every process in the namespace."""
        done = run("ip", "netns", "pids", self.namespace, check=False)
        return [int(word) for word in done.stdout.split()]

    def down(self) -> None:
        """Ends what is in the namespace and removes it, and the machines' disks."""
        if self.up:
            for pid in self.pids():
                kill(pid)
            wait_for("the machines to end", lambda: not self.pids(), 20, 0.1)
            run("ip", "netns", "del", self.namespace)
        for process in self.started:
            process.wait(10)    # so that their processor time is counted
        shutil.rmtree(self.sockets, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def leftovers(self) -> list[str]:
        """What is left of the bed, in words."""
        found = [f"process {pid}: {' '.join(cmdline(pid))[:100]}" for pid in all_pids()
                 if pid != os.getpid() and alive(pid)
                 and any(str(self.folder) in word or str(self.sockets) in word
                         for word in cmdline(pid))]
        found += [f"namespace {self.namespace}"] * self.up
        found += [str(path) for path in (self.sockets, self.folder) if path.exists()]
        found += [f"mount {line.split()[4]}" for line in
                  pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                  if self.namespace in line or str(self.work) in line]
        return found

    def slow(self, machine: Machine, rate: str | None) -> None:
        """Limits what reaches a machine, e.g. "16mbit"; None lifts it."""
        tap = f"tap{machine.number}"
        self.in_ns("tc", "qdisc", "del", "dev", tap, "root", check=False)
        if rate:
            self.in_ns("tc", "qdisc", "add", "dev", tap, "root", "tbf", "rate", rate,
                       "burst", "64kb", "latency", "400ms")
