# SPDX-License-Identifier: Apache-2.0
"""One lab device: namespaces around a real D-Bus, Avahi, TPM, libvirt and the Kith daemons.

Everything about a device lies in its folder, so that any program can pick it up again by load().
"""
import grp
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import uuid

import config
from netns import Switch
from shell import LabError, alive, all_pids, cmdline, kill, namespace, parent, stat_field, wait_for

HERE = pathlib.Path(__file__).resolve().parent
LIBVIRT_SOCKET = "run/libvirt/libvirt-sock"
PATH = "/run/lab/build:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Device:
    """A simulated machine of a person. `base` is its folder on the host."""

    def __init__(self, root: pathlib.Path, name: str, build: pathlib.Path, switch: Switch):
        self.name, self.build, self.switch = name, build, switch
        self.base = root / name
        self.role, self.number, self.holder, self.holder_start = "desktop", 0, 0, ""
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{switch.prefix}lab"))

    # -- what is remembered ------------------------------------------------------------------

    @property
    def ip(self) -> str:
        """The IPv4 address."""
        return f"10.77.0.{self.number}"

    screen_log = "/var/log/libvirt/kith-screen"     # a path inside, for what runs at a terminal

    @property
    def log_dir(self) -> pathlib.Path:
        """Host folder of the logs: <daemon>.log, libvirt/, serial.events."""
        return self.base / "log"

    def save(self) -> None:
        """Writes device.json."""
        keys = ("name", "role", "number", "holder", "holder_start", "uuid")
        text = json.dumps({key: getattr(self, key) for key in keys}, indent=1)
        (self.base / "device.json").write_text(text + "\n")

    def load(self) -> "Device":
        """Reads device.json back."""
        self.__dict__.update(json.loads((self.base / "device.json").read_text()))
        return self

    @property
    def running(self) -> bool:
        """True while the device's first process lives (and is the one we started)."""
        return bool(self.holder) and alive(self.holder) \
            and stat_field(self.holder, 22) == self.holder_start

    # -- running commands inside -------------------------------------------------------------

    def _enter(self, command: list[object], user: str | None = None,
               capability: str | None = None) -> list[str]:
        if not self.running:
            raise LabError(f"device {self.name} is not running")
        words = ["nsenter", "-t", str(self.holder), "-m", "-u", "-i", "-n", "-p", "--"]
        if user and user != "root":
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
            if capability:
                words += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
            words.append("--")
        return words + [str(word) for word in command]

    def _environment(self, extra: dict[str, str] | None) -> dict[str, str]:
        keep = {key: value for key, value in os.environ.items()
                if key in ("TERM", "COLUMNS", "LINES") or key.startswith(("ASAN_", "UBSAN_",
                                                                          "LSAN_"))}
        return {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "USER": "root",
                "TPM2TOOLS_TCTI": config.TCTI, "KITH_LOG_CLOCK": "1", **keep, **(extra or {})}

    def popen(self, command: list[object], user: str | None = None,
              env: dict[str, str] | None = None, capability: str | None = None,
              **kwargs) -> subprocess.Popen:
        """Starts a command in the device. Its process group on the host is the Popen's pid."""
        kwargs.setdefault("start_new_session", True)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self._enter(command, user, capability),
                                env=self._environment(env), **kwargs)

    def run(self, command: list[object], user: str | None = None, check: bool = True,
            timeout: float | None = 60, input: str | None = None,
            env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        """Runs a command in the device, text in and out; on time-out everything it started dies."""
        process = self.popen(command, user, env, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE,
                             stdin=subprocess.DEVNULL if input is None else subprocess.PIPE)
        words = " ".join(str(word) for word in command)
        try:
            out, err = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise LabError(f"{self.name}: {words}: no end after {timeout} s") from None
        if check and process.returncode:
            raise LabError(f"{self.name}: {words}: exit {process.returncode}: "
                           f"{(err or out).strip()[-600:]}")
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def virsh(self, *args: object, **kwargs) -> subprocess.CompletedProcess:
        """virsh on the device's own libvirt."""
        return self.run(["virsh", "-q", "-c", "qemu:///system", *args], **kwargs)

    def spawn(self, name: str, command: list[object], user: str | None = None,
              env: dict[str, str] | None = None) -> None:
        """Starts a daemon that stays in the foreground; its output goes to log/<name>.log."""
        with open(self.log_dir / f"{name}.log", "ab") as log:
            process = self.popen(["setsid", "--fork", *command], user, env,
                                 config.CAPABILITIES.get(name), stdout=log, stderr=log)
            if process.wait(20):
                raise LabError(f"{self.name}: cannot start {name}, see {log.name}")

    # -- the machine itself ------------------------------------------------------------------

    def start(self) -> "Device":
        """Boots the device: namespaces, then its system services. Also after power_off()."""
        self.base.mkdir(parents=True, exist_ok=True)
        self.log_dir.mkdir(exist_ok=True)
        config.fresh_runtime(self.base)
        config.write_kith(self.base, self.name, self.role)
        self._start_holder()
        self.start_tpm()
        self.spawn("dbus", ["dbus-daemon", "--system", "--nofork", "--nopidfile"])
        self.spawn("serialwatch", ["/run/lab/tests/lab/serialwatch.py", "/var/log/libvirt",
                                   "/var/log/libvirt/serial.events"])
        if (self.base / "kith/policyd/store.db").exists():  # a boot: these come before libvirtd
            self.start_kith("kith-policyd", "kith-warden", wait=False)
        self.start_libvirtd(wait=False)
        wait_for("the system bus", (self.base / "run/dbus/system_bus_socket").exists)
        self.start_avahi()
        wait_for("libvirtd", lambda: self.virsh("uri", check=False).returncode == 0, 30, 0.1)
        return self

    def _start_holder(self) -> None:
        tests = HERE.parent
        with open(self.log_dir / "holder.log", "ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.switch.netns_of(self.name), "unshare", "-m", "-u",
                 "-i", "-p", "-f", "--mount-proc", "--kill-child", sys.executable, "-B",
                 str(HERE / "holder.py"), str(self.base), self.name, str(self.build), str(tests)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True)
        if process.stdout.read(1) != b"!":
            raise LabError(f"{self.name} does not start, see {self.log_dir}/holder.log")
        process.stdout.close()
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        self.holder = int(children.split()[0])
        self.holder_start = stat_field(self.holder, 22)
        self._unshare = process     # keeps the Popen from complaining; it ends with the holder
        self.save()

    def power_off(self) -> None:
        """Pulls the plug: every process dies at once; disks and TPM state remain."""
        if self.running:
            kill(self.holder)
            # The kernel ends a namespace's first process only after all others in it.
            wait_for(f"the end of {self.name}", lambda: not alive(self.holder), 30)
        if own_child := getattr(self, "_unshare", None):
            own_child.wait(10)

    def destroy(self) -> None:
        """power_off() and remove every trace, disks included."""
        self.power_off()
        self.switch.unplug(self.name)
        shutil.rmtree(self.base, ignore_errors=True)

    # -- TPM ---------------------------------------------------------------------------------

    def start_tpm(self) -> None:
        """Powers the TPM on (PCRs are zero) and runs the simulated measured boot."""
        self.run(["swtpm", "socket", "--tpm2", "--daemon", "--tpmstate", "dir=/var/lib/swtpm",
                  "--server", "type=unixio,path=/run/swtpm/raw,mode=0600",
                  "--ctrl", "type=unixio,path=/run/swtpm/sock.ctrl,mode=0660,gid="
                  + str(grp.getgrnam("tss").gr_gid), "--flags", "not-need-init,startup-clear",
                  "--log", "file=/var/lib/swtpm/log,level=1"])
        self.spawn("tpmmux", ["/run/lab/tests/lab/tpmmux.py", "/run/swtpm/sock", "/run/swtpm/raw"])
        wait_for("the TPM", (self.base / "run/swtpm/sock").exists)
        measured = config.boot_measurements(self.build)
        self.run(["tpm2_pcrextend", *(f"{n}:sha256={digest}" for n, digest, _ in measured)])
        text = "".join(f"{n} {digest} {what}\n" for n, digest, what in measured)
        (self.log_dir / "measured-boot").write_text(text)

    def stop_tpm(self) -> None:
        """Cuts the TPM's power; what is connected to it loses its connection."""
        for name in ("tpmmux.py", "swtpm"):
            self.kill(name)
        wait_for("the TPM's end", lambda: not self.pids("swtpm"))
        for name in ("sock", "sock.ctrl", "raw"):
            (self.base / "run/swtpm" / name).unlink(missing_ok=True)

    def reboot_tpm(self) -> None:
        """TPM reset and measured boot: PCRs are again as after start()."""
        self.stop_tpm()
        self.start_tpm()

    def extend_pcr(self, pcr: int, data: bytes) -> None:
        """Extends a SHA-256 PCR with the hash of data: other software was started."""
        self.run(["tpm2_pcrextend", f"{pcr}:sha256={hashlib.sha256(data).hexdigest()}"])

    def read_pcr(self, pcr: int) -> str:
        """A SHA-256 PCR as upper-case hex."""
        return self.run(["tpm2_pcrread", f"sha256:{pcr}"]).stdout.split("0x")[1].strip()

    # -- services ----------------------------------------------------------------------------

    def start_libvirtd(self, wait: bool = True) -> None:
        """Starts libvirtd, never listening on the network; a hook built meanwhile is put in."""
        config.write_libvirt(self.base, self.uuid, self.build)
        command = ["libvirtd"]
        if (self.build / "kith-fence").exists():    # the drop-in of libvirtd.service (R5)
            fence = "/run/lab/build/kith-fence -c /etc/kith/kith.conf"
            command = ["sh", "-c", f"{fence} && exec libvirtd"]
        self.spawn("libvirtd", command)
        if wait:
            wait_for("libvirtd", lambda: self.virsh("uri", check=False).returncode == 0, 30, 0.1)

    def start_avahi(self) -> None:
        """Starts avahi-daemon under the device's host name."""
        command = ["avahi-daemon", "-D", "--no-drop-root", "--no-rlimits", "--no-chroot"]
        # The bus gives the name of a killed daemon away a moment later, and until then it fails.
        wait_for("avahi-daemon", lambda: self.run(command, check=False).returncode == 0, 5, 0.1)

    def start_kith(self, *names: str, wait: bool = True,
                   env: dict[str, str] | None = None) -> None:
        """Starts the Kith daemons (those named, or all that do not run) under their own users.

        Each must have a socket in its folder below /run/kith within 15 s, or it is an error.
        """
        config.check_users()
        for name in names or tuple(config.DAEMONS):
            user, run_dir = config.DAEMONS[name]
            if not (self.build / name).exists():
                raise LabError(f"{self.build}/{name} is missing: build first")
            sockets = self.base / "run/kith" / run_dir
            if names or not self.pids(name):
                for old in sockets.iterdir():
                    # A folder there belongs to a hand-off whose worker may still live, or holds
                    # kith-warden's notes.
                    if not old.is_dir():
                        old.unlink()
                command = [f"/run/lab/build/{name}", "-c", "/etc/kith/kith.conf"]
                self.spawn(name, config.WALLS.get(name, []) + command, user, env)
            if wait:
                self._wait_for_daemon(name, sockets)

    def _wait_for_daemon(self, name: str, sockets: pathlib.Path) -> None:
        def up() -> bool:
            if not self.pids(name) and time.monotonic() > patience:
                last = (self.log_dir / f"{name}.log").read_text(errors="replace")[-800:]
                raise LabError(f"{self.name}: {name} ended at once:\n{last}")
            return any(path.is_socket() for path in sockets.iterdir())
        patience = time.monotonic() + 0.5
        wait_for(f"a socket of {name} on {self.name}", up, 15)

    def stop_kith(self, *names: str) -> None:
        """Ends the Kith daemons in an orderly way (SIGTERM), and by force after 5 s."""
        for name in names or tuple(reversed(config.DAEMONS)):
            self.kill(name, signal.SIGTERM)
            try:
                wait_for(name, lambda: not self.pids(name), 5)
            except LabError:
                self.kill(name)
                print(f"# {self.name}: {name} ignored SIGTERM", file=sys.stderr)

    def restart(self, name: str) -> None:
        """Kills a daemon with SIGKILL if it still runs and starts it anew."""
        self.kill(name)
        wait_for(f"the end of {name}", lambda: not self.pids(name))
        if name in config.DAEMONS:
            self.start_kith(name)
        elif name == "libvirtd":
            self.start_libvirtd()
        elif name == "avahi-daemon":
            (self.base / "run/avahi-daemon/pid").unlink(missing_ok=True)
            self.start_avahi()
        else:
            raise LabError(f"the lab does not know how to start {name}")

    # -- processes ---------------------------------------------------------------------------

    def all_pids(self) -> list[int]:
        """Host pids of everything that runs in the device."""
        mine = namespace(self.holder, "pid") if self.running else None
        return [pid for pid in all_pids() if mine and namespace(pid, "pid") == mine]

    def pids(self, name: str) -> list[int]:
        """Host pids by program; "qemu" is any emulator, "kith-mover-worker" a mover's child."""
        return [pid for pid in self.all_pids() if alive(pid) and self._is(pid, name)]

    def _is(self, pid: int, name: str) -> bool:
        words = {os.path.basename(word.split(":")[0]) for word in cmdline(pid)[:2]}
        if name == "qemu":
            return any(word.startswith("qemu-system") for word in words)
        if name in ("kith-mover", "kith-mover-worker"):
            if not words & {"kith-mover", "kith-mover-worker"}:
                return False
            above = {os.path.basename(word) for word in cmdline(parent(pid))[:2]}
            worker = "kith-mover" in above or "kith-mover-worker" in words
            return worker == (name == "kith-mover-worker")
        return name in words

    def kill(self, name: str, sig: int = signal.SIGKILL) -> list[int]:
        """Sends a signal to every process of that name; returns their host pids."""
        victims = self.pids(name)
        for pid in victims:
            kill(pid, sig)
        return victims

    def listening(self) -> list[tuple[str, int, str]]:
        """(address, port, program) of every listening TCP socket, as `ss -ltnp` tells."""
        found = []
        for line in self.run(["ss", "-Hltnp"]).stdout.splitlines():
            fields = line.split()
            address, port = fields[3].rsplit(":", 1)
            program = line.split('(("')[1].split('"')[0] if '(("' in line else "?"
            found.append((address, int(port), program))
        return found

    # -- files and link ----------------------------------------------------------------------

    def host_path(self, inside: str) -> pathlib.Path:
        """Where a file of the device lies on the host, for the folders that the device owns."""
        from holder import FOLDERS
        for name, target in sorted(FOLDERS.items(), key=lambda item: -len(item[1])):
            if inside == target or inside.startswith(target + "/"):
                return self.base / name / inside[len(target):].lstrip("/")
        raise LabError(f"{inside} is not in a folder of its own in {self.name}")

    def rate(self, rate: str | None) -> None:
        """See Switch.rate."""
        self.switch.rate(self.name, rate)

    def loss(self, percent: int) -> None:
        """See Switch.loss."""
        self.switch.loss(self.name, percent)

    def cut(self) -> None:
        """See Switch.cut."""
        self.switch.cut(self.name)

    def heal(self) -> None:
        """See Switch.heal."""
        self.switch.heal(self.name)
