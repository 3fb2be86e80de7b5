#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The lab proves itself without Kith: devices, TPM, links, capture, guests, oracle, teardown.

A plain libvirt migration is the positive twin of later claims: the oracle accepts it, and the
capture finds the canaries that must be absent where Kith encrypts.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from lab import HERE, Lab   # noqa: E402  (sets the module path)
import bench_virsh      # noqa: E402
import oracle   # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from shell import LabError, alive, wait_for     # noqa: E402
from tap import Tap     # noqa: E402


def discovery(tap: Tap, laptop: Device, desktop: Device) -> None:
    """mDNS passes between devices."""
    publisher = desktop.popen(["avahi-publish-service", "thing", "_kith._tcp", "4747", "a=b"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start = time.monotonic()
    browse = ["avahi-browse", "-ptr", "_kith._tcp"]
    try:
        wait_for("the service", lambda: desktop.ip in laptop.run(browse).stdout, 10, 0.1)
        tap.ok(True, "avahi-browse sees the other device's service")
        tap.note(f"seen after {time.monotonic() - start:.2f} s")
        tap.ok("IPv6" in laptop.run(browse).stdout, "over IPv6 too")
    finally:
        os.killpg(publisher.pid, signal.SIGKILL)
        publisher.wait()


def isolation(tap: Tap, laptop: Device, desktop: Device) -> None:
    """Own names, own users' folders, no open ports, own processes."""
    tap.equal(laptop.run(["hostname"]).stdout.strip(), "laptop", "a device has its own host name")
    tap.equal(laptop.listening(), [], "no TCP port is open")
    tap.ok(laptop.pids("libvirtd") and not set(laptop.pids("libvirtd")) & set(desktop.all_pids()),
           "processes are told apart by device")
    uuids = {d.run(["virsh", "-q", "capabilities"]).stdout.split("<uuid>")[1][:36]
             for d in (laptop, desktop)}
    tap.equal(len(uuids), 2, "libvirt has a host UUID of its own")
    laptop.run(["sh", "-c", "echo x > /etc/only-here && echo x > /run/only-here"])
    seen = desktop.run(["ls", "/etc/only-here", "/run/only-here"], check=False).returncode
    tap.ok(seen and not os.path.exists("/etc/only-here"), "files of a device stay in the device")
    try:
        laptop.run(["sh", "-c", "sleep 77 & sleep 77"], timeout=0.5)
        tap.ok(False, "a command that hangs is ended")
    except LabError:
        tap.ok(not laptop.pids("sleep"), "a command that hangs is ended with its children")


def tpm(tap: Tap, laptop: Device, desktop: Device) -> None:
    """Measured boot is equal on both, PCRs move and are reset as they should be."""
    boot = [laptop.read_pcr(n) for n in range(8)]
    tap.equal(boot, [desktop.read_pcr(n) for n in range(8)], "both devices measured the same boot")
    tap.ok(len(set(boot)) == 8 and "0" * 64 not in boot, "PCRs 0-7 are extended")
    laptop.extend_pcr(4, b"another kernel")
    tap.ok(laptop.read_pcr(4) != boot[4], "another kernel shows in PCR 4")
    endorsement = laptop.run(["tpm2_createprimary", "-Q", "-C", "e", "-c", "/tmp/p", "--format",
                              "pem", "-o", "/tmp/a.pem"], check=False).returncode
    laptop.run(["tpm2_flushcontext", "-t"])
    laptop.reboot_tpm()
    tap.equal([laptop.read_pcr(n) for n in range(8)], boot, "a reboot measures the same again")
    laptop.run(["tpm2_createprimary", "-Q", "-C", "e", "-c", "/tmp/p", "--format", "pem", "-o",
                "/tmp/b.pem"], check=False)
    laptop.run(["tpm2_flushcontext", "-t"])
    same = laptop.run(["cmp", "/tmp/a.pem", "/tmp/b.pem"], check=False).returncode
    tap.ok(not endorsement and not same, "the TPM's seeds survive a reboot")
    holder = laptop.popen(["socat", "-u", "UNIX-CONNECT:/run/swtpm/sock", "-"])
    time.sleep(0.2)
    start = time.monotonic()
    laptop.read_pcr(0)
    tap.ok(time.monotonic() - start < 2, "a program that keeps the TPM open locks nobody out")
    os.killpg(holder.pid, signal.SIGKILL)
    holder.wait()


def lossy_ping(source: Device, target: Device, count: int = 60) -> int:
    """Percentage of lost echoes."""
    out = source.run(["ping", "-q", "-i", "0.01", "-W", "0.3", "-c", count, target.ip],
                     check=False).stdout
    return round(float(out.split("% packet loss")[0].split()[-1]))


def seconds_for(source: Device, target: Device, mib: int) -> float:
    """Time to send this much over TCP."""
    sink = target.popen(["socat", "-u", "TCP-LISTEN:5001,reuseaddr", "OPEN:/dev/null"])
    wait_for("the sink", lambda: any(port == 5001 for _, port, _ in target.listening()))
    start = time.monotonic()
    source.run(["sh", "-c", f"head -c {mib}M /dev/zero | socat -u - TCP:{target.ip}:5001"])
    sink.wait(60)
    return time.monotonic() - start


def links(tap: Tap, laptop: Device, desktop: Device) -> None:
    """Rate, loss and cuts do what they say, and can be undone."""
    tap.equal(lossy_ping(laptop, desktop), 0, "a healthy link loses nothing")
    laptop.loss(30)
    loss = lossy_ping(laptop, desktop, 100)
    tap.ok(25 < loss < 80, "30 % loss each way loses about half of the echoes", str(loss))
    laptop.cut()
    tap.equal(lossy_ping(laptop, desktop, 5), 100, "a cut link loses everything")
    laptop.heal()
    tap.equal(lossy_ping(laptop, desktop), 0, "a healed link loses nothing")
    laptop.rate("80mbit")
    slow = seconds_for(laptop, desktop, 10)
    laptop.rate(None)
    fast = seconds_for(laptop, desktop, 10)
    tap.ok(0.8 < slow < 2.0 and fast < 0.5, "10 MiB take 1 s at 80 Mbit/s and hardly any unlimited",
           f"{slow} s, {fast} s")


def judge(tap: Tap, guest: Guest, route: list[Device], name: str) -> None:
    """The oracle's word on a journey, and on the disk of its last leg."""
    time.sleep(0.5)
    report = oracle.judge({d.name: guest.events(d) for d in set(route)}, [d.name for d in route])
    tap.ok(report.ok, f"{name}: the oracle has no objection", report.sentence())
    tap.note(report.sentence())
    source, target = route[-2:]
    problems = oracle.judge_disk(guest.disk_digest(source), guest.disk_digest(target),
                                 guest.disk_ring(source), guest.disk_ring(target), guest.disk_every)
    tap.equal(problems, [], f"{name}: the disk is identical and no tick record is lost")


def hand_off(tap: Tap, lab: Lab, laptop: Device, desktop: Device) -> None:
    """Plain libvirt moves the guest there and back; once in the clear, once by TLS."""
    guest = Guest("work", memory_mib=256, disk_mib=384, data_mib=192)
    start = time.monotonic()
    guest.create(laptop)
    made = time.monotonic()
    guest.start(laptop)
    wait_for("ticks", lambda: guest.host_log(laptop).count(b"TICK") > 5)
    ticking = time.monotonic()
    guest.wait_ready(laptop)
    tap.note(f"disk {made - start:.1f} s, first ticks {ticking - made:.1f} s, "
             f"RAM filled {time.monotonic() - made:.1f} s")
    lab.capture.start()
    begin = time.time()
    result = bench_virsh.migrate(guest, laptop, desktop, tls=False)
    tap.note(f"in the clear: {result}")
    tap.note(f"{lab.capture.stop()} frames captured, none lost")
    found = lab.capture.contains(guest.canaries)
    tap.equal(sorted(found), ["disk", "ram"], "in the clear the capture sees both canaries")
    tap.note(f"canaries seen: {found}")
    sent = lab.capture.bytes_by_port()
    tap.ok(sum(sent.values()) > 300e6, "the capture accounts for every byte", str(sent))
    tap.ok(sum(lab.capture.bytes_before(begin).values()) < 1e6, "and nothing ran before the start")
    judge(tap, guest, [laptop, desktop], "to the desktop")

    lab.capture.start()
    result = bench_virsh.migrate(guest, desktop, laptop)
    last = bytes(range(0xd0, 0xe0))
    laptop.run(["ping", "-c", "1", "-p", last.hex(), desktop.ip])
    lab.capture.stop()
    tap.note(f"TLS: {result}")
    tap.equal(lab.capture.contains(guest.canaries), {}, "under TLS the capture sees no canary")
    tap.ok(lab.capture.contains({"last": last}), "but it holds the very last frame")
    judge(tap, guest, [laptop, desktop, laptop], "and back")

    killed = laptop.kill("qemu")
    wait_for("QEMU's end", lambda: not laptop.pids("qemu"))
    tap.ok(len(killed) == 1 and guest.state(desktop) in ("absent", "shut off"), "kill finds QEMU")


def two_copies(tap: Tap, guest: Guest, laptop: Device, desktop: Device) -> None:
    """The real fault, with two real guests: a saved guest is resumed on both hosts."""
    desktop.virsh("save", guest.name, "/tmp/saved")
    for path in (guest.disk, "/tmp/saved"):
        shutil.copy(desktop.host_path(path), laptop.host_path(path))
    desktop.virsh("restore", "/tmp/saved")
    time.sleep(1)
    tap.ok(oracle.judge({"desktop": guest.events(desktop)}, ["desktop"]).ok,
           "save and restore alone are no fault")
    laptop.virsh("restore", "/tmp/saved")
    time.sleep(1)
    report = oracle.judge({d.name: guest.events(d) for d in (laptop, desktop)})
    tap.ok(report.overlap and "twice" in report.sentence(),
           "two real copies that run are caught", report.sentence())
    tap.note(report.sentence())
    guest.destroy(laptop)


def small_qcow2(tap: Tap, laptop: Device, desktop: Device) -> None:
    """The other image format, the other machine type, less memory."""
    guest = Guest("small", memory_mib=256, disk_mib=256, data_mib=64, image_format="qcow2",
                  machine="q35")
    guest.create(laptop)
    guest.start(laptop)
    guest.wait_ready(laptop)
    tap.note(f"qcow2: {bench_virsh.migrate(guest, laptop, desktop)}")
    judge(tap, guest, [laptop, desktop], "256 MiB, q35, qcow2")
    two_copies(tap, guest, laptop, desktop)
    desktop.virsh("reset", "small")
    time.sleep(0.5)
    wait_for("a second epoch", lambda: b"BOOT 2" in guest.host_log(desktop), 20)
    time.sleep(1)
    report = oracle.judge({d.name: guest.events(d) for d in (laptop, desktop)},
                          ["laptop", "desktop"])
    tap.ok("rebooted" in report.sentence(), "a reset guest shows a new epoch", report.sentence())


def power(tap: Tap, lab: Lab, laptop: Device) -> None:
    """Power cuts and service restarts keep what is on disk and nothing else."""
    laptop.run(["sh", "-c", "echo kept > /var/lib/kith/kept; echo lost > /run/lost"])
    laptop.power_off()
    tap.ok(not laptop.running and not laptop.all_pids(), "power off ends everything")
    laptop.start()
    kept = laptop.run(["cat", "/var/lib/kith/kept"]).stdout.strip()
    tap.ok(kept == "kept" and not laptop.host_path("/run/lost").exists(),
           "power on finds the disk as it was and an empty /run")
    laptop.restart("libvirtd")
    laptop.restart("avahi-daemon")
    tap.ok(laptop.pids("libvirtd") and laptop.pids("avahi-daemon"), "services can be restarted")
    tap.equal([row["name"] for row in Lab(lab.root).status()], ["desktop", "laptop"],
              "another program picks the lab up")


def crash(tap: Tap) -> None:
    """A controller that is killed leaves a lab that `lab down` clears completely."""
    with tempfile.TemporaryDirectory(prefix="kith-lab-crash-", dir="/var/tmp") as root:
        code = "import lab, time; l = lab.Lab(); l.up('a', 'b'); l.capture.start(); " \
               "print('up', flush=True); time.sleep(99)"
        child = subprocess.Popen([sys.executable, "-B", "-c", code], cwd=HERE,
                                 env={**os.environ, "KITH_LAB": root}, stdout=subprocess.PIPE)
        up = child.stdout.readline()
        child.kill()
        child.wait()
        tap.equal(up, b"up\n", "a third lab runs beside this one")
        command = [str(HERE / "lab"), "--root", root]
        left = subprocess.run([*command, "leftovers"], stdout=subprocess.PIPE, check=False)
        tap.ok(left.returncode == 1 and b"holder.py" in left.stdout and b"tcpdump" in left.stdout,
               "after a crash `lab leftovers` tells what is left", left.stdout.decode())
        subprocess.run([*command, "down"], check=True)
        left = subprocess.run([*command, "leftovers"], stdout=subprocess.PIPE, check=False)
        tap.equal((left.returncode, left.stdout), (0, b"nothing left\n"),
                  "`lab down` after a crash clears everything")
        pathlib.Path(root).mkdir(exist_ok=True)


def main() -> None:
    """All tests in one lab."""
    with Tap() as tap:
        root = tempfile.mkdtemp(prefix="kith-lab-test-", dir="/var/tmp")
        lab = Lab(root)
        with lab:
            start = time.monotonic()
            laptop, desktop = lab.up("laptop", "desktop")
            tap.note(f"two devices up in {time.monotonic() - start:.2f} s")
            tap.ok(laptop.running and desktop.running, "two devices are up")
            discovery(tap, laptop, desktop)
            isolation(tap, laptop, desktop)
            tpm(tap, laptop, desktop)
            links(tap, laptop, desktop)
            bench_virsh.listen(laptop, desktop)
            bench_virsh.hook(bench_virsh.NO_HOOK, laptop, desktop)
            hand_off(tap, lab, laptop, desktop)
            small_qcow2(tap, laptop, desktop)
            power(tap, lab, laptop)
            crash(tap)
            holders = [laptop.holder, desktop.holder]
        tap.ok(not any(alive(pid) for pid in holders), "teardown ends every device")
        tap.equal(lab.leftovers(), [], "teardown leaves nothing")
        tap.ok(not os.path.exists(root), "not even the folder")


if __name__ == "__main__":
    main()
