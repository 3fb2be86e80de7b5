# SPDX-License-Identifier: Apache-2.0
"""What became of a run: one word, and sentences where it is a bad one.

The oracle believes the guest; everything else is what a person would see: custody on both devices,
libvirt's lists, files, the next move and the way home.
"""
import base64
import importlib.machinery
import importlib.util
import pathlib
import re
import time

import kithlab
import oracle
from kithlab import Refused
from shell import LabError
from world import VM, WORKERS, SoakDevice, World

GOOD = ("kept", "moved", "cold", "owner-paused")
BAD = ("DOUBLE", "LOST", "STUCK", "TRANSIENT", "NO-RETURN", "LEFT", "COLD", "WRONG", "MODEL")
TRACE = pathlib.Path(__file__).resolve().parents[1] / "model"
POLL = 0.05


class Look:
    """Both devices at one moment."""

    def __init__(self, world: World):
        self.world = world
        pool, devices = world.pool, world.devices
        vms = [pool.submit(world.vms, device) for device in devices]
        domains = [pool.submit(world.domain, device) for device in devices]
        self.vms = [future.result() for future in vms]
        self.domains = [future.result() for future in domains]
        self.census = [device.census() for device in devices]
        self.files = [world.files(device) for device in devices]

    @property
    def holder(self) -> int | None:
        """The one device that says it has the VM, if both agree."""
        rows = self.vms
        here = [i for i, row in enumerate(rows) if row.get("here")]
        if len(here) != 1 or len({row.get("holder") for row in rows}) != 1:
            return None
        return here[0]

    def running(self) -> list[int]:
        """Where a QEMU of the VM lives."""
        return [i for i, there in enumerate(self.census) if there.get("qemu")]

    def problems(self) -> list[tuple[str, str]]:
        """(class, sentence) of everything that is not as it has to be at rest."""
        return self._custody() + self._copies() + self._leftovers()

    def _custody(self) -> list[tuple[str, str]]:
        found = []
        for device, row in zip(self.world.devices, self.vms):
            if row.get("hid") or "error" in row:
                found.append(("STUCK", f"{device.name}: {row.get('error') or 'hand-off open'}"))
        if not found and self.holder is None:
            found.append(("STUCK", f"custody: {self.vms}"))
        return found

    def _copies(self) -> list[tuple[str, str]]:
        found, h = [], self.holder
        for i, (device, domain) in enumerate(zip(self.world.devices, self.domains)):
            if "error" in domain:
                found.append(("STUCK", f"{device.name}: libvirt: {domain['error']}"))
                continue
            if VM in domain["transient"]:
                found.append(("TRANSIENT", f"{device.name}: transient, {domain['state']}"))
            if h is not None and i != h and VM in domain["persistent"]:
                found.append(("LEFT", f"{device.name}: old definition ({domain['state']})"))
            if i == h and domain["state"] == "absent":
                found.append(("LOST", f"{device.name} holds the VM, and has no such domain"))
        if h is not None and [i for i in self.running() if i != h]:
            found.append(("LEFT", "a QEMU lives where the VM is not"))
        return found

    def _leftovers(self) -> list[tuple[str, str]]:
        found = []
        for device, files, there in zip(self.world.devices, self.files, self.census):
            found += [("LEFT", f"{device.name}: {what} {', '.join(names)}")
                      for what, names in files.items() if names]
            left = WORKERS & set(there)
            if left:
                found.append(("STUCK", f"{device.name}: {', '.join(left)} still at work"))
            for name, pids in there.items():
                if any(_stopped(pid) for pid in pids):
                    found.append(("STUCK", f"{device.name}: {name} is frozen"))
        return found


def _stopped(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def waiting(world: World, move: kithlab.Kith) -> list[str]:
    """The commands of people that have not ended."""
    found = ["kith move"] if move.status is None else []
    return found + [name for name, job in world.jobs if job.poll() is None]


def redefine(world: World, look: Look) -> None:
    """An owner who took the definition away from a running VM gives it back."""
    device = world.devices[look.holder]
    xml = device.virsh("dumpxml", VM, check=False).stdout
    if xml:
        device.virsh("define", "/dev/stdin", input=xml, check=False)


def settle(world: World, move: kithlab.Kith, spec: dict,
           patience: float) -> tuple[Look, list, float]:
    """Waits until the world is at rest; the last look, what is wrong with it, and the seconds."""
    begin = time.monotonic()
    mended = begin
    while True:
        late = time.monotonic() - begin > patience
        quiet = not waiting(world, move) and not any(
            names for device in world.devices for names in world.files(device).values())
        if quiet or late:
            look = Look(world)
            problems = look.problems()
            problems += [("STUCK", f"`{name}` does not end") for name in waiting(world, move)]
            if not problems or late:
                return look, problems, time.monotonic() - begin
            if spec.get("undefined") and {kind for kind, _ in problems} == {"TRANSIENT"} \
                    and look.holder is not None:
                redefine(world, look)
            time.sleep(2 * POLL)
        if time.monotonic() - mended > 1:      # what a late blow broke is started again too
            world.mend()
            mended = time.monotonic()
        time.sleep(POLL)


# -- after the settling ---------------------------------------------------------------------------


def attempt(source: SoakDevice, target: SoakDevice, patience: float = 40) -> str | None:
    """`kith move` until it works; services that just started may say "try again". The last refusal
    if it never does."""
    begin = time.monotonic()
    while True:
        try:
            kithlab.Move(source, VM, target).done(60)
            return None
        except Refused as refused:
            if refused.status not in (75, 5, 1) or time.monotonic() - begin > patience:
                return str(refused)
        except LabError as problem:
            return str(problem)
        time.sleep(0.3)


def _stayed_off(world: World, look: Look) -> list[tuple[str, str]]:
    """A VM that was off is off, and no instruction of it was executed."""
    state = look.domains[look.holder]["state"]
    found = [] if state == "shut off" else [("WRONG", f"it was off, and is {state}")]
    return found + [("WRONG", f"{device.name}: it was off, and ran")
                    for device, before in zip(world.devices, world.silent)
                    if world.serial_size(device) != before]


def _wake(world: World, look: Look, spec: dict) -> tuple[str | None, list[tuple[str, str]]]:
    """A VM that is not running is started by its owner where custody is, and only there."""
    h = look.holder
    device, other = world.devices[h], world.devices[1 - h]
    state = look.domains[h]["state"]
    # Seconds: firmware and kernel under TCG, beside other labs.
    boot = 300 if world.machine == "sealed" else 120
    if state == "running":
        if world.ticks(device, boot if spec.get("cold") else 15):
            return None, []
        return None, [("STUCK", f"{device.name}: running without a tick")]
    if state == "paused":
        device.virsh("resume", VM, check=False, timeout=20)
        good = spec.get("paused") and world.ticks(device)
        return "owner-paused", [] if good else [("STUCK", f"{device.name}: the VM is paused")]
    if other.virsh("start", VM, check=False, timeout=20).returncode == 0:
        return "cold", [("DOUBLE", f"{other.name}: `virsh start` was allowed")]
    if spec.get("again"):
        return "cold", [("WRONG", f"{device.name}: it ran, and was not started again")]
    done = device.virsh("start", VM, check=False, timeout=40)
    if done.returncode and "already active" not in done.stderr:
        return "cold", [("LOST", f"{device.name}: cannot be started: {done.stderr.strip()}")]
    if not world.ticks(device, boot):
        return "cold", [("LOST", f"{device.name}: started, but never ticks")]
    return "cold", []


def _travel(world: World, start: int, h: int) -> list[tuple[str, str]]:
    """The next move and the way home; what is left after them."""
    other = 1 - h
    no = attempt(world.devices[h], world.devices[other])
    if no:
        return [("NO-RETURN", f"next move: {no}")]
    world.here = other
    if other != start:
        no = attempt(world.devices[other], world.devices[start])
        if no:
            return [("NO-RETURN", f"way home: {no}")]
        world.here = start
    return []


def _events(world: World, device: SoakDevice, first: bool) -> list[tuple[int, bytes]]:
    found = []
    wanted = world.guest.serial.rsplit("/", 1)[1].encode()
    for line in world.since(device.log_dir / "libvirt" / "serial.events").splitlines():
        fields = line.split(b" ")
        if len(fields) == 3 and fields[1] == wanted:
            found.append((int(fields[0]), base64.b64decode(fields[2])))
    # Where the guest was before, the run may begin in the middle of a line.
    while first and found and b"\n" not in found[0][1]:
        found.pop(0)
    if first and found:
        found[0] = found[0][0], found[0][1].split(b"\n", 1)[1]
    return found


def ask_oracle(world: World, spec: dict, start: int) -> tuple[int, list[tuple[str, str]]]:
    """How often the guest was rebooted, and what the oracle objects to."""
    events = {device.name: _events(world, device, i == start)
              for i, device in enumerate(world.devices)}
    # Joined first: a write of the guest may reach the file in two pieces.
    reboots = sum(b"".join(chunk for _, chunk in chunks).count(b"BOOT ")
                  for chunks in events.values())
    report = oracle.judge(events, reboots=reboots, may_lose=5 if spec.get("cold") else 0)
    problems = []
    for text in report.problems:
        if "torn lines" in text and spec.get("cold"):
            continue    # a killed QEMU ends in the middle of a line
        kind = "DOUBLE" if "ran twice" in text or "step back" in text else "LOST"
        problems.append((kind, f"oracle: {text}"))
    return reboots, problems


def check_disk(world: World) -> list[tuple[str, str]]:
    """Digest and tick ring of the disk, and no other image, anywhere."""
    world.drop_planted()
    device = world.devices[world.here]
    match = re.search(r"<source file='([^']+)'", world.definition(device) or "")
    if not match:
        return [("LOST", f"{device.name}: no definition, or one without a disk")]
    path, problems = match[1], []
    digest = world.guest.disk_digest(device, path)
    for text in oracle.judge_disk(world.digest, digest, [], world.guest.disk_ring(device, path),
                                  world.guest.disk_every):
        problems.append(("LOST", f"disk: {text}"))
    match = re.search(r"<nvram[^>]*>([^<]+)</nvram>", world.definition(device))
    for each in world.devices:
        images = {f"/var/lib/kith/images/{name}" for name in kithlab.images(each)}
        left = images - ({path, match and match[1]} if each is device else set())
        if each is not device and world.tpms(each):
            problems.append(("LEFT", f"{each.name}: state of a virtual TPM"))
        problems += [("LEFT", f"{each.name}: image {name}") for name in sorted(left)]
    return problems


def check_trace(world: World, spec: dict) -> list[tuple[str, str]]:
    """The run's steps against the model, where the checker is there."""
    hid = world.hid() if spec.get("trace") else None
    path = next((p for p in (TRACE / "trace.py", TRACE / "trace") if p.is_file()), None)
    if not path or not hid:
        return []
    loader = importlib.machinery.SourceFileLoader("trace_checker", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    why = module.check(world.side("S").log_dir, world.side("D").log_dir, hid)
    if why and "not decided" in why:
        world.remarks.append(f"model: {why[:200]}")
        return []
    world.remarks.append("model: asked")
    return [("MODEL", f"model: {why[:300]}")] if why else []


def verdict(world: World, spec: dict, look: Look, problems: list) -> tuple[str, list]:
    """(outcome, problems). Travels on where that is still possible."""
    start, h = world.here, look.holder
    problems = list(problems)
    if not problems or {kind for kind, _ in problems} <= {"LEFT", "TRANSIENT"} and h is not None:
        more = _stayed_off(world, look) if spec.get("off") else []
        outcome, woken = _wake(world, look, spec)
        if not outcome or spec.get("off"):
            outcome = "kept" if h == start else "moved"
        more += woken
        problems += more + check_trace(world, spec)
        world.here = h
        if not more:
            problems += _travel(world, start, h)
        if not [1 for kind, _ in problems if kind in ("NO-RETURN", "LOST")]:
            problems += check_disk(world)
    else:
        outcome = problems[0][0]
    reboots, objections = ask_oracle(world, spec, start)
    problems += objections
    if outcome in ("kept", "moved") and reboots and not spec.get("off"):
        outcome = "cold" if spec.get("cold") or not spec.get("reset") else outcome
    if outcome == "cold" and not spec.get("cold"):
        problems.append(("COLD", "the guest lost its memory, and need not have"))
    if not problems and outcome not in spec.get("expect", GOOD):
        problems.append(("WRONG", f"{outcome}, not {' or '.join(spec['expect'])}"))
    if problems:
        outcome = next(kind for kind in BAD if kind in {k for k, _ in problems})
    return outcome, problems
