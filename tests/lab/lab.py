# SPDX-License-Identifier: Apache-2.0
"""The lab: any number of devices on one machine, made in seconds, torn down without a trace."""
import atexit
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "guest")]

from capture import Capture     # noqa: E402
from device import Device       # noqa: E402
from netns import Switch, existing  # noqa: E402
from shell import LabError, alive, all_pids, cmdline, kill, namespace, wait_for  # noqa: E402

REPOSITORY = HERE.parents[1]
ROLES = ("phone", "laptop", "desktop", "server")


def default_root() -> pathlib.Path:
    """$KITH_LAB, or a folder on disk: guests of 1 GiB do not belong into a tmpfs such as /run."""
    return pathlib.Path(os.environ.get("KITH_LAB") or "/var/tmp/kith-lab")


def default_build() -> pathlib.Path:
    """$KITH_BUILD, or build/ at the top of the repository."""
    return pathlib.Path(os.environ.get("KITH_BUILD") or REPOSITORY / "build").resolve()


class Lab:
    """`with Lab() as lab: laptop, desktop = lab.up("laptop", "desktop")`.

    Leaving the block (or the program) takes everything down unless keep is set. A program that was
    killed leaves a lab behind; `lab down`, or the next Lab at this root with fresh=True, clears it.
    """

    def __init__(self, root: pathlib.Path | str | None = None,
                 build: pathlib.Path | str | None = None, keep: bool = False, fresh: bool = False):
        self.root = pathlib.Path(root or default_root()).resolve()
        self.build = pathlib.Path(build or default_build()).resolve()
        self.keep = keep
        self.switch = Switch(self.root)
        self.capture = Capture(self.switch, self.root / "capture")
        self.devices: dict[str, Device] = {}
        if fresh:
            self.down()
        self._load()

    def __enter__(self) -> "Lab":
        atexit.register(self._at_exit)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_exc) -> None:
        self._at_exit()
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if not self.keep:
            self.down()

    def _load(self) -> None:
        for path in sorted(self.root.glob("*/device.json")):
            device = Device(self.root, path.parent.name, self.build, self.switch).load()
            self.devices[device.name] = device

    def __getitem__(self, name: str) -> Device:
        if name not in self.devices:
            raise LabError(f"there is no device {name}; there are: {', '.join(self.devices)}")
        return self.devices[name]

    def up(self, *names: str) -> list[Device]:
        """Starts devices side by side. "name" or "name:role"; the role defaults by the name."""
        if os.geteuid() != 0:
            raise LabError("the lab makes namespaces and needs root")
        self.root.mkdir(parents=True, exist_ok=True)
        self.build.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)
        self.switch.up()
        devices = [self._create(*name.split(":")) for name in names]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(Device.start, devices))
        return devices

    def _create(self, name: str, role: str | None = None) -> Device:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,11}", name) or name in ("switch", "capture"):
            raise LabError(f"{name!r} is no good name for a device: a-z, 0-9, -, at most 12")
        if name in self.devices and self.devices[name].running:
            raise LabError(f"{name} is up already")
        device = self.devices.get(name) or Device(self.root, name, self.build, self.switch)
        device.role = role or next((r for r in ROLES if r in name), "desktop")
        if not device.number:
            used = {other.number for other in self.devices.values()}
            device.number = next(n for n in range(11, 250) if n not in used)
        if self.switch.netns_of(name) not in existing(self.switch.prefix):
            self.switch.plug(name, device.number)
        device.base.mkdir(parents=True, exist_ok=True)
        device.save()
        self.devices[name] = device
        return device

    def remove(self, name: str) -> None:
        """Takes one device away with all its data."""
        self[name].destroy()
        del self.devices[name]

    def _stragglers(self) -> list[int]:
        """Processes in our network namespaces or started for our folder, whoever started them."""
        nets = {os.stat(f"/run/netns/{name}").st_ino for name in existing(self.switch.prefix)}
        ours = {f"net:[{inode}]" for inode in nets}
        return [pid for pid in all_pids() if pid != os.getpid() and alive(pid)
                and (namespace(pid, "net") in ours or self._ours(cmdline(pid)))]

    def _ours(self, words: list[str]) -> bool:
        return any(word.endswith("lab/holder.py") for word in words) \
            and any(word.startswith(f"{self.root}/") for word in words)

    def down(self) -> None:
        """Ends every process, namespace and mount of this lab and removes its folder."""
        self.capture.forget()
        for device in self.devices.values():
            if device.running:
                kill(device.holder)
        for pid in self._stragglers():
            kill(pid)
        wait_for("the lab's processes to end", lambda: not self._stragglers(), 30)
        for device in self.devices.values():
            device.power_off()
        self.switch.down()
        self.devices.clear()
        if (self.root / "capture").exists() or list(self.root.glob("*/device.json")) \
                or list(self.root.glob("*/log")):
            shutil.rmtree(self.root, ignore_errors=True)

    def leftovers(self) -> list[str]:
        """What is left of this lab, in words; empty after a good down()."""
        found = [f"process {pid}: {' '.join(cmdline(pid))}" for pid in self._stragglers()]
        found += [f"network namespace {name}" for name in existing(self.switch.prefix)]
        mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        found += [f"mount {line}" for line in mounts
                  if str(self.root) in line or self.switch.prefix in line]
        if self.root.exists() and any(self.root.iterdir()):
            found.append(f"folder {self.root}")
        return found

    def status(self) -> list[dict[str, object]]:
        """A row for each device."""
        rows = []
        for device in self.devices.values():
            row = {"name": device.name, "role": device.role, "ip": device.ip,
                   "running": device.running}
            if device.running:
                row["daemons"] = [name for name in
                                  ("libvirtd", "avahi-daemon", "swtpm", "kith-policyd",
                                   "kith-warden", "kithd", "kith-mover", "kith-mover-worker")
                                  if device.pids(name)]
                row["domains"] = device.virsh("list", "--all", "--name").stdout.split()
                row["ports"] = sorted({port for _, port, _ in device.listening()})
            rows.append(row)
        return rows


def as_json(rows: list[dict[str, object]]) -> str:
    """For `lab status --json`."""
    return json.dumps(rows, indent=1)
