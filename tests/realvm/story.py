# SPDX-License-Identifier: Apache-2.0
"""The story that is told on the machines, step by step: what a person does from `apt install` to
`apt purge`, and what must be true after each step. A step is a method; STEPS and SHORT name them.
"""
import concurrent.futures
import json
import pathlib
import re
import subprocess
import time
from collections.abc import Callable

import oracle
import vms
from bed import Bed, LabError, Machine, run, wait_for
from person import Person
from tap import Tap

UNITS = ("kith-policyd", "kith-warden", "kith-mover", "kithd")
CONFINED = ("kith-policyd", "kith-mover", "kithd")
COMMANDS_MAX = 8        # of a person, on both machines, from `apt install` to the first move
SLOW = "3mbit"          # so that there is time for something in the middle of a hand-off
DENIED = re.compile(r'apparmor="DENIED".*')
# What is done, where, the command, and what of (exit status, words) is right.
Command = tuple[str, Machine, str, Callable[[int, str], bool]]
PROGRAMS = ("/usr/lib/libvirt/kith-hook /usr/libexec/kith/kith-fence /usr/sbin/kith-policyd "
            "/usr/sbin/kith-warden /usr/sbin/kith-mover /usr/sbin/kithd")

# What eve tries, and how she is refused. setsid: else libvirt would ask her for tom's password.
STRANGER = {
    "kith pair": "not-allowed", "kith policy set work": "not-allowed",
    "kith init eve": "not-allowed", "kith move work laptop": "not-allowed",
    "setsid -w virsh -c qemu:///system start plain": "authentication unavailable",
    "cat /var/lib/kith/policyd/*": "Permission denied",
    "ls /var/lib/kith/images": "Permission denied", "sudo -n kith status": "password is required",
}


def later(deb: pathlib.Path, folder: pathlib.Path, mark: str) -> pathlib.Path:
    """The same package with a higher version."""
    tree = folder / f"deb-{mark}"
    run("rm", "-rf", tree)
    run("dpkg-deb", "-R", deb, tree)
    control = tree / "DEBIAN/control"
    text, count = re.subn(r"(?m)^Version: .*$", rf"\g<0>+{mark}", control.read_text())
    if count != 1:
        raise LabError(f"{deb} has no version")
    control.write_text(text)
    out = folder / f"kith-{mark}.deb"
    run("dpkg-deb", "--root-owner-group", "-b", tree, out)
    run("rm", "-rf", tree)
    return out


class Story:
    """The machines, the people, and what is remembered from step to step."""

    def __init__(self, tap: Tap, bed: Bed, deb: pathlib.Path, cache: pathlib.Path):
        self.tap, self.bed, self.deb, self.cache = tap, bed, deb, cache
        self.machines = bed.machines
        self.laptop = bed.machines[0]
        self.desktop = bed.machines[-1]
        self.work = vms.Work()
        self.tom = {machine: Person(machine, "tom") for machine in self.machines}
        self.denied: dict[Machine, list[str]] = {machine: [] for machine in self.machines}
        # What is there besides: everywhere a plain VM, on one of them one like a person's desktop.
        self.others = {machine: tuple(vms.OTHERS) if machine is self.desktop else ("plain",)
                       for machine in self.machines}
        self.stock: set[tuple[str, ...]] = set()    # what stock Debian denies before we come
        self.installed = self.guest_ran = False
        self.route = [self.laptop]
        self.digest = ""

    # -- tools ---------------------------------------------------------------------------------

    def everywhere(self, work: Callable[[Machine], object]) -> list:
        """Does the same on all machines side by side."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(work, self.machines))

    @staticmethod
    def kind(line: str) -> tuple[str, ...]:
        """What makes two denials the same one."""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', line))
        text = (fields.get(key, "") for key in ("profile", "operation", "name", "denied_mask"))
        return tuple(re.sub(r"[0-9a-f-]{36}|\d+", "*", word) for word in text)

    def denials(self, step: str) -> None:
        """0 denials of AppArmor since the last look, but for those that a stock machine has."""
        for machine in self.machines:
            text = machine.out("journalctl -q --no-pager -o cat -g 'apparmor=.DENIED'", check=False)
            lines = sorted({m.group().split(" FSUID=")[0] for m in DENIED.finditer(text)})
            new = [line for line in lines if line not in self.denied[machine]]
            self.denied[machine] += new
            if not self.installed:
                self.stock |= {self.kind(line) for line in new}
                for line in new:
                    self.tap.note(f"{machine.name}, before Kith: {line}")
                continue
            ours = [line for line in new if self.kind(line) not in self.stock]
            self.tap.ok(not ours, f"{step}: AppArmor denied nothing on {machine.name}",
                        "\n".join(ours))

    def all_start(self, when: str, *names: str) -> None:
        """Every VM that could be started before starts now, on every machine."""
        def look(machine: Machine) -> list[str]:
            return [f"{name} on {machine.name}: {said}" for name in names or self.others[machine]
                    if (said := vms.starts(machine, name))]
        wrong = sum(self.everywhere(look), [])
        self.tap.ok(not wrong, f"{when}: every VM that Kith does not know starts "
                    f"({', '.join(names or vms.OTHERS)})", "\n".join(wrong))

    def units_up(self, when: str, machines: list[Machine] | None = None) -> None:
        """The four services run, at the first attempt, and will at the next boot."""
        def look(machine: Machine) -> list[str]:
            def not_up() -> list[str]:
                text = machine.out("systemctl show -p Id -p ActiveState -p NRestarts "
                                   f"-p UnitFileState {' '.join(UNITS)}")
                return [" ".join(unit.split()) for unit in text.split("\n\n")
                        if "ActiveState=active" not in unit or "NRestarts=0" not in unit
                        or "UnitFileState=enabled" not in unit]
            try:
                wait_for("units", lambda: not not_up(), 90, 1)
            except LabError:
                return [f"{machine.name}: {text}" for text in not_up()]
            return []
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            wrong = sum(pool.map(look, machines or self.machines), [])
        self.tap.ok(not wrong, f"{when}: all services are up and enabled, none was restarted",
                    "\n".join(wrong))

    def qemu(self, machine: Machine) -> tuple[str, str, str]:
        """(pid, user, AppArmor label) of the QEMU of "work" there."""
        pid = machine.out("cat /run/libvirt/qemu/work.pid", check=False)
        if not pid:
            return "", "", ""
        return (pid, machine.out(f"ps -o user:32= -p {pid}", check=False),
                machine.out(f"tr -d '\\0' </proc/{pid}/attr/current", check=False))

    def confined(self, machine: Machine, when: str) -> str:
        """QEMU runs as stock Debian has it; returns its pid."""
        pid, user, label = self.qemu(machine)
        self.tap.equal((user, label), ("libvirt-qemu", f"libvirt-{self.work.uuid} (enforce)"),
                       f"{when}: QEMU on {machine.name} is user libvirt-qemu, confined")
        return pid

    def judge(self, name: str, reboots: int = 0) -> None:
        """The oracle's word on everything since the last boot of the machines, and on the disk."""
        time.sleep(1)
        events = {machine.name: self.work.events(machine) for machine in set(self.route)}
        (self.bed.evidence / f"ticks-{name.split(':')[0].replace(' ', '-')}.json").write_text(
            json.dumps({host: [(ns, data.decode(errors="replace")) for ns, data in rows]
                        for host, rows in events.items()}))
        report = oracle.judge(events, [machine.name for machine in self.route], reboots)
        self.tap.ok(report.ok, f"{name}: the oracle has no objection", report.sentence())
        self.tap.note(report.sentence())
        where = self.route[-1]
        self.tap.equal(self.work.digest(where), self.digest, f"{name}: the disk is identical")

    def once(self, where: Machine, name: str) -> None:
        """"work" runs there and nowhere else."""
        states = {machine.name: self.work.state(machine) for machine in self.machines}
        wanted = {machine.name: "running" if machine is where else "absent"
                  for machine in self.machines}
        self.tap.equal(states, wanted, f"{name}: it runs on {where.name} and only there")
        self.tap.ok(self.work.ticks(where), f"{name}: it ticks there")

    def moved(self, source: Machine, target: Machine, name: str) -> None:
        """A move as a person makes it, and what has to be true afterwards."""
        status, text = self.tom[source].types(f"kith move work {target.name}", 1500)
        if self.tap.ok(status == 0, f"{name}: `kith move work {target.name}`", text[-800:]):
            self.route.append(target)
            self.tap.note(next((x for x in text.splitlines() if " runs on " in x), text[-200:]))
        self.once(self.route[-1], name)
        self.confined(self.route[-1], name)

    def resume(self) -> None:
        """Takes kept machines as they are, for a single step."""
        self.digest = self.work.digest_of_image(self.bed.folder / "work.img")
        self.installed = self.laptop.run("command -v kith", check=False).returncode == 0
        self.route = [m for m in self.machines if self.work.state(m) == "running"] or self.route
        self.saved = self.work.xml()
        self.everywhere(Machine.tell_time)
        self.everywhere(vms.watch)

    # -- chapters ------------------------------------------------------------------------------

    def boot(self) -> None:
        """Two stock Debian machines come up."""
        tap, begin = self.tap, time.monotonic()
        image = self.work.image(self.bed.folder, self.cache)
        self.digest = self.work.digest_of_image(image)
        for machine in self.machines:
            machine.make({f"/var/lib/libvirt/images/{image.name}": image}
                         if machine is self.laptop else {})
            machine.power_on()
        self.everywhere(Machine.wait_up)
        tap.note(f"booted in {time.monotonic() - begin:.0f} s")
        for machine in self.machines:
            tap.equal(machine.out("systemctl is-system-running", check=False), "running",
                      f"{machine.name}: systemd has started everything")
            tap.equal(machine.out("test -c /dev/tpmrm0 && cat /sys/class/tpm/tpm0/tpm_version_major",
                                  check=False), "2",
                      f"{machine.name}: there is a TPM 2.0 at /dev/tpmrm0")
            profiles = machine.out("cat /sys/module/apparmor/parameters/enabled; "
                                   "grep -c enforce /sys/kernel/security/apparmor/profiles")
            tap.ok(profiles.startswith("Y") and int(profiles.split()[1]) > 5,
                   f"{machine.name}: AppArmor enforces", profiles)
            tap.note(machine.out("uname -r; dpkg-query -W -f '${Package} ${Version}, ' "
                                 "libvirt-daemon qemu-system-x86 systemd apparmor shim-signed "
                                 "grub-efi-amd64-signed").replace("\n", ", "))

    def before(self) -> None:
        """What runs before Kith comes."""
        self.everywhere(vms.watch)
        self.everywhere(lambda machine: vms.define_others(machine, self.others[machine]))
        begin = time.monotonic()
        self.work.define(self.laptop)
        self.laptop.virsh("start work")     # takes its time, so the others do not wait for it
        self.all_start("before Kith")
        # Long enough for its firmware to use its TPM: what stock libvirt denies swtpm then.
        self.desktop.virsh("start desk")
        self.work.wait_ready(self.laptop, 600)
        self.guest_ran = True
        self.tap.note(f"the guest was ready after {time.monotonic() - begin:.0f} s")
        self.desktop.virsh("destroy desk")
        self.confined(self.laptop, "before Kith")

    def define(self) -> None:
        """What is defined, and never started, before Kith comes."""
        self.everywhere(lambda machine: vms.define_others(machine, self.others[machine]))
        self.work.define(self.laptop)

    def install(self) -> None:
        """`apt install ./kith.deb` by tom, on each machine."""
        begin, name = time.monotonic(), self.deb.name
        pid = self.qemu(self.laptop)[0]
        self.everywhere(lambda machine: machine.put(self.deb, f"/home/tom/{name}", "tom"))
        self.installed = True

        def install(machine: Machine) -> tuple[int, str]:
            command = self.tom[machine].begins(f"sudo apt install -y ./{name}")
            return command.end(1500)
        for machine, (status, text) in zip(self.machines, self.everywhere(install)):
            self.tap.ok(status == 0, f"install: `apt install` on {machine.name}", text[-1500:])
        self.tap.note(f"installed in {time.monotonic() - begin:.0f} s")
        self.units_up("install")
        for machine in self.machines:
            labels = [machine.out(f"tr -d '\\0' </proc/$(pidof -s {name})/attr/current", check=False)
                      for name in CONFINED]
            self.tap.equal(labels, [f"{name} (enforce)" for name in CONFINED],
                           f"install: the daemons on {machine.name} are confined")
            fence = machine.out("systemctl show -p ExecStartPre libvirtd")
            self.tap.ok("kith-fence" in fence and "status=0" in fence,
                        f"install: libvirtd on {machine.name} started behind the fence", fence)
            failed = machine.out("systemctl --failed --plain --no-legend", check=False)
            self.tap.equal(failed, "", f"install: no unit of {machine.name} has failed")
        if self.guest_ran:
            self.tap.ok(pid and self.qemu(self.laptop)[0] == pid and self.work.ticks(self.laptop),
                        "install: the guest that ran goes on, in the same process")

    def starts(self) -> None:
        """Every VM that started before starts now."""
        self.all_start("with Kith")

    def pair(self) -> None:
        """A cloud on the laptop, and the desktop joins it: README's commands."""
        tap, laptop, desktop = self.tap, self.tom[self.laptop], self.tom[self.desktop]
        status, text = laptop.types("sudo kith init")
        tap.ok(status == 0 and "recovery key" in text.lower(), "pair: `kith init` on the laptop",
               text)
        # As README says: from here on tom is the owner on the laptop, and then on the desktop.
        sides = [laptop.begins("kith pair"), desktop.begins("sudo kith pair")]
        codes = [side.expect(r"\n +(\d{3} \d{4})\n[\s\S]*Type yes or no: ", 300).group(1)
                 for side in sides]
        tap.equal(codes[0], codes[1], "pair: both screens show the same code")
        for side in sides:
            side.type("yes")
        for person, side in zip((laptop, desktop), sides):
            status, text = side.end(300)
            tap.ok(status == 0, f"pair: {person} has paired", text)
        for machine, other in ((self.laptop, self.desktop), (self.desktop, self.laptop)):
            trust = machine.out("kith trust", check=False)
            tap.ok(re.search(r"\btrusted\b", trust) and other.name in trust,
                   f"pair: {other.name} is trusted on {machine.name}", trust)

    def move(self) -> None:
        """The policy, and the first move."""
        status, text = self.tom[self.laptop].types("kith policy set work")
        self.tap.ok(status == 0, "move: `kith policy set work`", text)
        self.saved = self.laptop.virsh("dumpxml --inactive work").stdout
        self.moved(self.laptop, self.desktop, "move")
        typed = sum(person.typed for person in self.tom.values())
        self.tap.ok(typed <= COMMANDS_MAX, f"move: {typed} commands on both machines together from "
                    f"`apt install` to the first move, at most {COMMANDS_MAX}")
        self.judge("move")

    def den(self) -> None:
        """A VM with UEFI, a virtual TPM and SPICE goes there running, and comes back off."""
        self.laptop.virsh("define /dev/stdin", text=vms.DEN)
        self.laptop.virsh("start den")
        status, text = self.tom[self.laptop].types("kith policy set den")
        self.tap.ok(status == 0, "den: `kith policy set den`", text)
        for state, source, target in (("running", self.laptop, self.desktop),
                                      ("shut off", self.desktop, self.laptop)):
            if state == "shut off":
                source.virsh("destroy den")
            name = f"den: {state}, to {target.name}"
            status, text = self.tom[source].types(f"kith move den {target.name}", 900)
            self.tap.ok(status == 0, f"{name}: `kith move den {target.name}`", text[-800:])
            there = target.virsh("domstate den", check=False).stdout.strip()
            here = source.virsh("domstate den", check=False).returncode
            self.tap.ok(there == state and here, f"{name}: it is there, and not here", there)
            folder = f"/var/lib/libvirt/swtpm/{vms.DEN_UUID}"
            tpm = [machine.run(f"test -d {folder}", check=False).returncode
                   for machine in (source, target)]
            self.tap.equal(tpm, [1, 0], f"{name}: so is its TPM")
        self.laptop.virsh("start den")
        self.tap.equal(self.laptop.virsh("domstate den").stdout.strip(), "running",
                       "den: at home it starts")
        self.laptop.virsh("destroy den")
        self.laptop.virsh("undefine den --nvram")

    def nfs(self) -> None:
        """A VM whose image is on NFS goes there and back, running and off; the image stays."""
        tap, folders = self.tap, {self.laptop: "/mnt/nas", self.desktop: "/mnt/vms"}
        self.desktop.run("mkdir -p /srv/vms; echo '/srv/vms *(rw,no_root_squash,no_subtree_check)' "
                         ">/etc/exports; systemctl start nfs-server; exportfs -ra")
        for machine, folder in folders.items():
            machine.run(f"mkdir -p {folder}")
            machine.virsh("pool-define /dev/stdin",
                          text=vms.POOL.format(host=self.desktop.ip, folder=folder))
            machine.virsh("pool-start nas")
            tap.equal(machine.out(f"stat -f -c %T {folder}"), "nfs", f"nfs: mounted on {machine.name}")
            status, text = self.tom[machine].types("sudo kith config set libvirt.shared_pools nas")
            tap.ok(status == 0, f"nfs: the owner of {machine.name} names the pool", text)
        self.laptop.run("qemu-img create -q -f qcow2 /mnt/nas/netted.qcow2 64M")
        self.laptop.virsh("define /dev/stdin", text=vms.NETTED.format(folder="/mnt/nas"))
        self.laptop.virsh("start netted")
        self.tom[self.laptop].types("kith policy set netted")
        plan = json.loads(self.laptop.out("kith --json plan netted desktop", user="tom"))
        tap.equal((plan["allowed"], plan["rung"], plan["shared"], plan["disk_bytes"]),
                  (True, "live", 1, 0), "nfs: the plan copies no disk")
        for state, source, target in (("running", self.laptop, self.desktop),
                                      ("running", self.desktop, self.laptop),
                                      ("shut off", self.laptop, self.desktop)):
            if state == "shut off":
                source.virsh("destroy netted")
            name = f"nfs: {state}, to {target.name}"
            status, text = self.tom[source].types(f"kith move netted {target.name}", 900)
            tap.ok(status == 0, f"{name}: `kith move netted {target.name}`", text[-800:])
            there = target.virsh("domstate netted", check=False).stdout.strip()
            tap.equal((there, source.virsh("domstate netted", check=False).returncode), (state, 1),
                      f"{name}: it is there, and not here")
            tap.ok(f"{folders[target]}/netted.qcow2" in target.virsh("domblklist netted").stdout,
                   f"{name}: on the same image, by that machine's own path")
        self.desktop.virsh("start netted")
        tap.equal(self.desktop.virsh("domstate netted").stdout.strip(), "running",
                  "nfs: started there it runs")
        tap.equal(self.laptop.out("ls -A /mnt/nas; ls -A /var/lib/kith/images"), "netted.qcow2",
                  "nfs: the image is the only one")

    def custody(self) -> None:
        """What was given away does not start here."""
        laptop, tap = self.laptop, self.tap
        laptop.virsh("define /dev/stdin", text=self.saved)

        def refused(when: str, reason: str) -> None:
            status, text = self.tom[laptop].types("virsh -c qemu:///system start work")
            tap.ok(status != 0 and re.search(reason, text),
                   f"custody: `virsh start` at the source is refused, {when}", text)
        refused("with the reason", r'it is on "desktop"')
        laptop.run("systemctl stop kith-policyd")
        refused("also with kith-policyd stopped", r'it is elsewhere \("desktop"')
        laptop.run("systemctl start kith-policyd kith-mover kithd")
        laptop.virsh("undefine work")
        self.once(self.desktop, "custody")

    def strangers(self) -> None:
        """eve has an account on the laptop, and no group."""
        eve, tap = Person(self.laptop, "eve"), self.tap
        for words, reason in STRANGER.items():
            status, text = eve.types(words, 300)
            tap.ok(status not in (0, 255) and reason in text, f"strangers: eve may not `{words}`",
                   text)
        status, text = self.tom[self.laptop].types("kith vms")
        tap.ok(status == 0 and "work" in text, "strangers: tom may", text)

    def broken(self) -> None:
        """Whatever is wrong with Kith, other VMs start."""
        def root(command: str) -> None:
            self.everywhere(lambda machine: machine.run(command, timeout=600))
        root("systemctl stop kith-policyd")
        self.all_start("with kith-policyd stopped", "plain")
        root("mkdir -p /etc/kith; cd /etc/kith; [ ! -e kith.conf ] || cp -a kith.conf /root; "
             "printf '[device\\nname = \\001' >kith.conf; "
             f"systemctl restart {' '.join(UNITS)} || true; systemctl restart libvirtd")
        self.all_start("with a broken configuration", "plain")
        again = self.everywhere(lambda machine: machine.out(
            f"systemctl show -p NRestarts {' '.join(UNITS)} | grep -v 'NRestarts=0$'", check=False))
        self.tap.ok(not any("=" in text for text in again),
                    "with a broken configuration no service is started again and again", str(again))
        root("rm /etc/kith/kith.conf; [ ! -e /root/kith.conf ] || mv /root/kith.conf /etc/kith/; "
             f"systemctl stop {' '.join(UNITS)}; mkdir -p /root/away; "
             f"for p in {PROGRAMS}; do mv $p /root/away/; done; systemctl restart libvirtd")
        self.all_start("without any program of Kith", "plain")
        root(f"for p in {PROGRAMS}; do mv /root/away/${{p##*/}} $p; done; "
             f"systemctl reset-failed; systemctl restart libvirtd {' '.join(UNITS)}")
        self.units_up("when all is repaired")

    def restart(self) -> None:
        """libvirtd starts anew on both machines while the guest runs."""
        pid = self.qemu(self.desktop)[0]
        self.everywhere(lambda machine: machine.run("systemctl restart libvirtd"))
        self.once(self.desktop, "libvirtd restarted")
        self.tap.equal(self.qemu(self.desktop)[0], pid, "libvirtd restarted: the same process")

    def upgrade(self) -> None:
        """Back home, and in the middle of it the package is to be removed, which is refused; then a
        newer one arrives at both ends."""
        deb = later(self.deb, self.bed.folder, "u1")
        self.everywhere(lambda machine: machine.put(deb, f"/home/tom/{deb.name}", "tom"))
        install = f"apt-get install -y /home/tom/{deb.name}"

        def installed(status: int, _text: str) -> bool:
            return status == 0
        self.meanwhile("upgrade", self.desktop, self.laptop, [
            [("remove at the source", self.desktop, "apt-get remove -y kith",
              lambda status, text: status != 0 and "hand-off is under way" in text)],
            [("upgrade at the source", self.desktop, install, installed),
             ("upgrade at the destination", self.laptop, install, installed)]])
        versions = self.everywhere(lambda machine: machine.out("dpkg-query -W kith"))
        self.tap.ok(all(text.endswith("+u1") for text in versions),
                    "upgrade: the newer version is installed", str(versions))
        self.units_up("upgrade")
        self.all_start("upgrade")
        self.once(self.laptop, "upgrade")

    def do(self, command: Command) -> None:
        """A command of root, and whether it was right."""
        what, where, words, right = command
        done = where.run(f"export DEBIAN_FRONTEND=noninteractive; {words}", check=False, timeout=1500)
        said = done.stdout + done.stderr
        (self.bed.evidence / f"{what.replace(' ', '-')}.txt").write_text(said)
        self.tap.ok(right(done.returncode, said), f"{what}: `{words}`", said[-800:])

    def meanwhile(self, name: str, source: Machine, target: Machine,
                  rounds: list[list[Command]]) -> None:
        """A slow move, and commands of root in the middle of it, those of a round side by side: the
        move ends well, or it is refused with a sentence and works when it is tried again."""
        self.bed.slow(target, SLOW)
        words = source.ssh() + [f"kith --json move work {target.name}"]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as move:
            seen = []
            for line in move.stdout:
                seen.append(line)
                if '"phase": "copying' in line or '"phase":"copying' in line:
                    break
            for commands in rounds:
                self.tap.ok(move.poll() is None, f"{commands[0][0]}: the move is still copying")
                with concurrent.futures.ThreadPoolExecutor(len(commands)) as pool:
                    list(pool.map(self.do, commands))
            copying = move.poll() is None
            self.bed.slow(target, None)
            seen += move.communicate(timeout=1500)[0].splitlines(True)
        (self.bed.evidence / f"{name}-move.txt").write_text("".join(seen[:3] + seen[-3:]))
        self.tap.note(f"{name}: the move was {'still copying' if copying else 'over'} afterwards")
        last = json.loads(seen[-1]) if seen and seen[-1].startswith("{") else {}
        text = (last.get("error") or {}).get("text", "")
        if last.get("phase") == "done":
            self.tap.ok(move.returncode == 0, f"{name}: the move is done", "".join(seen[-3:]))
            self.route.append(target)
        else:
            self.tap.ok(move.returncode != 0 and len(text.split()) > 5,
                        f"{name}: the move is refused with a sentence", "".join(seen[-3:]))
            self.tap.note(f"{name}: {text}")
            self.once(source, f"{name}: refused")
            self.again(source, target, name)
        self.once(self.route[-1], name)
        self.judge(name)

    def again(self, source: Machine, target: Machine, name: str) -> None:
        """The same move once more; what the first one left may need a moment to go."""
        for _ in range(6):
            status, text = self.tom[source].types(f"kith move work {target.name}", 1500)
            if status == 0:
                break
            time.sleep(10)
        if self.tap.ok(status == 0, f"{name}: tried again, it works", text[-800:]):
            self.route.append(target)

    def reboot(self) -> None:
        """Both machines are switched off and on."""
        self.judge("before the reboot")
        self.laptop.virsh("managedsave work", timeout=600)
        begin = time.monotonic()

        def anew(machine: Machine) -> None:
            machine.shut_down()
            machine.power_on()
            machine.wait_up()
            vms.watch(machine)
        self.everywhere(anew)
        self.tap.note(f"both were off and on again in {time.monotonic() - begin:.0f} s")
        self.units_up("reboot")
        self.all_start("reboot", "plain")
        self.route = [self.laptop]
        self.laptop.virsh("start work", timeout=600)    # goes on where it was saved
        self.once(self.laptop, "reboot")
        wait_for("the desktop in sight", lambda: "desktop" in self.laptop.out("kith devices"), 60, 2)
        self.moved(self.laptop, self.desktop, "reboot")
        self.judge("reboot")

    def purge(self) -> None:
        """apt remove and apt purge on the laptop, purge on the desktop, where the guest is."""
        self.everywhere(lambda machine: self.purge_here() if machine is self.route[-1]
                        else self.purge_elsewhere())

    def purge_elsewhere(self) -> None:
        """Where it is away, what says so is kept."""
        tap = self.tap
        apt = "export DEBIAN_FRONTEND=noninteractive; apt-get -y"
        done = self.laptop.run(f"{apt} remove kith", check=False, timeout=900)
        tap.ok(done.returncode == 0 and '"work" on "desktop"' in done.stdout,
               "remove: the laptop is told that `work` is on the desktop", done.stdout[-800:])
        tap.ok(not self.laptop.out("ls /usr/sbin/kith* /usr/bin/kith "
                                   "/etc/libvirt/hooks/qemu.d/* 2>/dev/null; pidof kithd "
                                   "kith-policyd kith-mover kith-warden", check=False),
               "remove: no program, no process, no hook is left")
        tap.equal(vms.starts(self.laptop, "plain"), "", "remove: other VMs start")
        done = self.laptop.run(f"{apt} purge kith", check=False, timeout=900)
        tap.ok(done.returncode == 0 and "/var/lib/kith is kept" in done.stdout + done.stderr,
               "purge: what says where `work` is, is kept on the laptop, and it says so",
               done.stdout + done.stderr)
        self.purged(self.laptop)

    def purge_here(self) -> None:
        """Where it runs it goes on, and starts again without Kith."""
        machine = self.route[-1]
        pid = self.qemu(machine)[0]
        # `den` went away from here, so it is asked; noninteractively that takes a prepared yes.
        machine.run("echo kith kith/purge-elsewhere boolean true | debconf-set-selections")
        self.purged(machine)
        self.tap.equal(self.qemu(machine)[0], pid, "purge: the guest that ran goes on")
        left = machine.out("ls -A /etc/kith /var/lib/kith 2>/dev/null | grep -v images", check=False)
        self.tap.ok("policyd" not in left and "conf" not in left, "purge: nothing of ours is left",
                    left)
        machine.virsh("destroy work")
        machine.virsh("start work")
        self.tap.equal(self.work.state(machine), "running", "purge: the guest starts without Kith")

    def purged(self, machine: Machine) -> None:
        """apt purge, and a libvirtd that starts as if Kith had never been there."""
        done = machine.run("DEBIAN_FRONTEND=noninteractive apt-get -y purge kith; "
                           "systemctl daemon-reload; systemctl restart libvirtd",
                           check=False, timeout=900)
        self.tap.ok(done.returncode == 0, f"purge: on {machine.name}", done.stdout + done.stderr)
        self.tap.ok("kith" not in machine.out("systemctl show -p ExecStartPre libvirtd; "
                                              "systemctl --failed --no-legend --plain"),
                    f"purge: libvirtd on {machine.name} has no fence, and nothing has failed")
        wrong = [f"{name}: {said}" for name in self.others[machine]
                 if (said := vms.starts(machine, name))]
        self.tap.ok(not wrong, f"purge: every VM of {machine.name} starts", "\n".join(wrong))

    def tell(self, steps: tuple[str, ...]) -> None:
        """Runs these steps; each ends with a look at what AppArmor said."""
        for step in steps:
            begin = time.monotonic()
            self.tap.note(f"-- {step}: {getattr(self, step).__doc__}")
            getattr(self, step)()
            self.denials(step)
            self.tap.note(f"{step}: {time.monotonic() - begin:.0f} s")
        self.gather()

    def gather(self) -> None:
        """Journals into the evidence."""
        for machine in self.machines:
            (self.bed.evidence / f"journal-{machine.name}.txt").write_text(
                machine.out("journalctl -q --no-pager -o short-precise", check=False, timeout=900))
            (self.bed.evidence / f"denied-{machine.name}.txt").write_text(
                "".join(f"{line}\n" for line in self.denied[machine]))


STEPS = ("boot", "before", "install", "starts", "pair", "move", "den", "custody", "strangers",
         "broken", "restart", "upgrade", "reboot", "purge")
NFS = ("boot", "define", "install", "pair", "nfs")
SHORT = ("boot", "before", "install", "starts", "broken", "purge")
