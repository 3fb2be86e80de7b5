#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`kith config`, SIGHUP and `kith doctor`: what daemons take from kith.conf, and what is wrong."""
import json
import pathlib
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab, REPOSITORY     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from kithlab import kith, refusal   # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

DAEMONS = ("kith-policyd", "kithd", "kith-mover")
CONF = "/etc/kith/kith.conf"


def may(device: Device, user: str) -> bool:
    """Whether this user is the owner for kith-policyd and for kithd."""
    at_policyd = refusal(device, "log", user=user)
    at_kithd = refusal(device, "vms", user=user)
    for no in (at_policyd, at_kithd):
        if no and no.code != "not-allowed":
            raise no
    if (at_policyd is None) != (at_kithd is None):
        raise AssertionError(f"the two daemons do not agree about {user}")
    return at_policyd is None


def pids(device: Device) -> list[list[int]]:
    """Of the three that reload."""
    return [device.pids(name) for name in DAEMONS]


def hang_up(device: Device) -> None:
    """SIGHUP to the three."""
    for name in DAEMONS:
        device.kill(name, signal.SIGHUP)


def log_of(device: Device, name: str) -> str:
    """A daemon's log."""
    return (device.log_dir / f"{name}.log").read_text(errors="replace")


def owner_later(tap: Tap, laptop: Device) -> None:
    """O3: the owner is written into the file after the daemons started."""
    for user in ("tom", "eve"):
        laptop.run(["useradd", user])
    tap.ok(not may(laptop, "tom"), "tom may nothing yet")
    before = pids(laptop)
    said = kith(laptop, "config", "set", "people.owner", "tom")
    tap.equal({name: said["services"][name] for name in DAEMONS},
              dict.fromkeys(DAEMONS, "taken"), "all three took it")
    tap.ok(may(laptop, "tom"), "tom is the owner")
    tap.ok(not may(laptop, "eve"), "eve is not")
    tap.equal(pids(laptop), before, "by the same processes")
    tap.equal(kith(laptop, "config", "get", "people.owner", user="eve")["value"], "tom",
              "everybody may read it")
    no = refusal(laptop, "config", "set", "people.owner", "eve", user="eve")
    tap.ok(no and no.code == "not-allowed" and "sudo" in no.text, "only root may write it",
           str(no))
    tap.ok(not may(laptop, "eve"), "and eve still is nobody")


def bad_file(tap: Tap, laptop: Device) -> None:
    """A file that cannot be used changes nothing, also for children of kith-mover."""
    # It tries four times a second.
    wait_for("kithd to find kith-mover", lambda: kithlab.status(laptop)["agent"]["mover"], 5)
    path = laptop.host_path(CONF)
    good = path.read_text()
    before = pids(laptop)
    path.write_text(good.replace("owner = tom", "owner = eve") + "nonsense\n")
    hang_up(laptop)
    for name in DAEMONS:
        wait_for(f"{name} saying so", lambda: "in force before stays in force" in
                 log_of(laptop, name), 5)
    tap.equal(pids(laptop), before, "a bad file ends no daemon")
    path.write_text(good + "nonsense\n")    # `kith vms` itself needs a good one
    laptop.run(["sh", "-c", f"grep -v nonsense {CONF} >/tmp/good.conf"])
    tap.equal(kith(laptop, "-c", "/tmp/good.conf", "vms")["mover_error"], None,
              "a child of kith-mover still reads a good one")
    laptop.run(["sh", "-c", "echo nonsense >/tmp/bad.conf"])
    tap.equal({name: laptop.run([f"/run/lab/build/{name}", "-c", "/tmp/bad.conf"],
                                check=False).returncode for name in DAEMONS},
              dict.fromkeys(DAEMONS, 78), "started with a bad file, each ends so that systemd knows")
    shown = laptop.run(["kith", "config"], check=False)
    tap.ok(shown.returncode == 0 and "nonsense" not in shown.stdout and "neither a" in shown.stdout,
           "`kith config` shows what is there and what is wrong", shown.stdout)
    no = refusal(laptop, "config", "set", "trust.max_age", "60")
    tap.ok(no and no.code == "usage" and "neither a [section]" in no.text,
           "nothing is added to a bad file", str(no))
    path.write_text(good.replace("owner = tom", "owner = eve") + "\0")
    hang_up(laptop)
    for name in DAEMONS:
        wait_for(f"{name} saying so", lambda: "is not text" in log_of(laptop, name), 5)
    tap.ok("eve" not in laptop.host_path("/run/kith/mover/kith.conf").read_text(),
           "of a file that is no text kith-mover takes no part either")
    path.write_text(good)
    hang_up(laptop)
    tap.ok(may(laptop, "tom") and not may(laptop, "eve"), "tom is the owner all the while")
    no = refusal(laptop, "config", "set", "peer.port", "70000")
    tap.ok(no and "a TCP port, 1 to 65535" in no.text and path.read_text() == good,
           "a bad value is refused in the daemons' words, and nothing is written", str(no))


def warden_goes_on(tap: Tap, laptop: Device) -> None:
    """F2: kith-warden holds copies whatever is written into kith.conf."""
    conf = laptop.host_path("/etc/kith/kith.conf")
    good = conf.read_text()
    conf.write_text("[peer]\nprot = 1\n" + good)
    laptop.stop_kith("kith-warden")
    laptop.start_kith("kith-warden")
    tap.ok(laptop.pids("kith-warden"), "F2 kith-warden starts with a mistake in kith.conf")
    tap.ok("there is no key" in log_of(laptop, "kith-warden"), "F2 and says which")
    conf.write_text(good)


def user_later(tap: Tap, laptop: Device) -> None:
    """The owner's account is made after everything else, and nobody is told."""
    said = kith(laptop, "config", "set", "people.owner", "bob")
    tap.ok(said["user_missing"], "kith says that there is no bob")
    tap.ok(not may(laptop, "tom"), "tom is not the owner any more")
    laptop.run(["useradd", "bob"])
    tap.ok(may(laptop, "bob"), "bob is the owner from the moment he exists")
    uid = laptop.run(["id", "-u", "eve"]).stdout.strip()
    kith(laptop, "config", "set", "people.owner", uid)
    tap.ok(may(laptop, "eve") and not may(laptop, "bob"), "a number does as well")


def needs_restart(tap: Tap, laptop: Device) -> None:
    """What cannot change in a running daemon is said, and stays."""
    good = kith(laptop, "config", "get", "tpm.tcti")["value"]
    said = kith(laptop, "config", "set", "tpm.tcti", "swtpm:path=/nowhere")
    tap.equal((said["services"]["kith-policyd"], said["services"]["kithd"], said["restart"]),
              ("restart", "taken", "kith-policyd"), "kith-policyd has to be restarted for tcti")
    tap.equal(kithlab.status(laptop)["state"], "ready", "and still has its TPM")
    said = kith(laptop, "config", "set", "people.owner", "tom")
    tap.ok(may(laptop, "tom") and said["restart"] == "kith-policyd",
           "what can change does, beside what waits")
    said = kith(laptop, "config", "set", "tpm.tcti", good)
    tap.equal(said["restart"], "", "set back, nothing waits")
    said = kith(laptop, "config", "set", "paths.state", "/var/lib/kith2")
    tap.equal(said["restart"], "kith-policyd kith-mover kith-warden",
              "three use the folder of the state")
    copy = laptop.host_path("/run/kith/mover/kith.conf")
    tap.ok("kith2" not in copy.read_text(), "kith-mover's children go by the old one")
    kith(laptop, "config", "set", "paths.state", "/var/lib/kith")
    kith(laptop, "config", "set", "paths.images", "/var/tmp")
    tap.ok("images = /var/tmp" in copy.read_text(), "and by a new place of images at once")
    kith(laptop, "config", "unset", "paths.images")


def findings(device: Device, user: str | None = None) -> tuple[dict[str, dict], int]:
    """What `kith doctor` finds, by name, and its exit status."""
    command = kithlab.Kith(device, "doctor", user=user)
    status = command.wait()
    return {row["name"]: row for row in command.documents[-1]["checks"]}, status


def unread(tap: Tap, laptop: Device) -> None:
    """A file that was edited by hand and that nobody was told of."""
    path = laptop.host_path(CONF)
    # kithd was started a moment ago, and has yet to find Avahi.
    wait_for("nothing else to say", lambda: kithlab.status(laptop)["finding"] is None, 15)
    path.write_text(path.read_text() + "\n[trust]\nmax_age = 60\n")
    text = laptop.run(["kith", "status"]).stdout
    tap.ok("was changed, and kith-policyd has not read it" in text, "`kith status` says so", text)
    found, _ = findings(laptop)
    tap.ok(found["configuration"]["verdict"] == "warn" and
           "reload kith-policyd" in found["configuration"]["remedy"], "`kith doctor` says how",
           str(found["configuration"]))
    hang_up(laptop)
    wait_for("all having read it", lambda: findings(laptop)[0]["configuration"]["verdict"] == "ok",
             5)
    tap.equal(kithlab.status(laptop)["finding"], None, "then there is nothing to say")
    kith(laptop, "config", "set", "tpm.pcrs", "0,7")
    text = laptop.run(["kith", "status"]).stdout
    tap.ok("has changed; restart kith-policyd for [tpm] pcrs" in text,
           "`kith status` says what has to be restarted for what", text)
    kith(laptop, "config", "unset", "tpm.pcrs")


def doctor(tap: Tap, laptop: Device) -> None:
    """Real faults, found and gone again."""
    found, status = findings(laptop)
    tap.equal((status, [row for row in found.values() if row["verdict"] == "bad"]), (0, []),
              "nothing is bad on a good device")
    tap.equal({name: found[name]["verdict"] for name in ("kithd", "tpm", "libvirt", "hook", "avahi",
                                                         "images", "firewall", "owner")},
              {"kithd": "ok", "tpm": "warn", "libvirt": "ok", "hook": "ok", "avahi": "ok",
               "images": "ok", "firewall": "ok", "owner": "ok"}, "what it sees")
    seen, _ = findings(laptop, "eve")
    tap.equal((seen["firewall"]["verdict"], seen["firewall"]["remedy"],
               [seen[name]["verdict"] for name in ("kithd", "kith-mover", "kith-warden")]),
              ("unknown", "sudo kith doctor", ["ok"] * 3),
              "another user sees less, and is told so")
    eve = laptop.run(["id", "-u", "eve"]).stdout.strip()
    tap.ok(not any(eve in line for name in ("kith-mover", "kith-warden")
                   for line in log_of(laptop, name).splitlines()),
           "and leaves no line in the logs of those who do not serve him")
    laptop.host_path("/etc/libvirt/hooks/qemu.d/kith").chmod(0o644)
    laptop.kill("avahi-daemon")
    wait_for("Avahi's end", lambda: not laptop.pids("avahi-daemon"))
    laptop.stop_kith("kith-mover")
    laptop.run(["nft", "add table inet filter; add chain inet filter input { type filter hook "
                "input priority 0; policy drop; }"])
    found, status = findings(laptop)
    tap.equal((status, sorted(name for name, row in found.items() if row["verdict"] == "bad")),
              (1, ["avahi", "firewall", "hook", "kith-mover"]), "four faults are found, no others")
    tap.ok("kith-mover does not run" in laptop.run(["kith", "status"]).stdout,
           "`kith status` names the first")
    for name in ("hook", "firewall"):
        laptop.run(["sh", "-c", found[name]["remedy"].replace("sudo ", "")])
    laptop.restart("avahi-daemon")
    laptop.start_kith("kith-mover")
    wait_for("all being well again", lambda: findings(laptop)[1] == 0, 10)
    tap.ok(findings(laptop)[0]["firewall"]["sentence"].startswith("a firewall of nftables is on, "
                                                                  "and lets"),
           "the remedies mend it")


def as_sudo(device: Device, *words: str) -> tuple[dict, int]:
    """A command as tom calls it with sudo: what it answers, and its exit status."""
    done = device.run(["env", "SUDO_USER=tom", "kith", "--json", *words], check=False)
    return json.loads(done.stdout.splitlines()[-1]), done.returncode


def first_minutes(tap: Tap, lab: Lab) -> None:
    """From the file as it is installed to an owner, without an editor, on a device without a TPM."""
    desktop, = lab.up("desktop")
    path = desktop.host_path(CONF)
    installed = (REPOSITORY / "packaging/kith.conf").read_text()
    path.write_text(installed)
    desktop.start_kith()
    for user in ("tom", "eve"):
        desktop.run(["useradd", user])
    said, status = as_sudo(desktop, "init")
    tap.ok(status == 1 and said["error"]["code"] == "tpm" and
           "sudo kith init --software-tpm" in said["error"]["text"] and
           "protects against mistakes, not" in said["error"]["text"],
           "without a TPM an emulated one is offered, with what it means", str(said))
    tap.ok("\ntcti" not in path.read_text(), "and not taken", path.read_text())
    tap.equal(kith(desktop, "config", "get", "people.owner")["value"], "tom",
              "who called sudo is the owner from now on")
    said, status = as_sudo(desktop, "init", "--software-tpm")
    tap.ok(status == 75 and "kith-swtpm.service" in said["error"]["text"],
           "asked for, it is configured; without systemd it is said what to start", str(said))
    desktop.run(["mkdir", "/run/kith/swtpm"])
    for name in ("sock", "sock.ctrl"):
        desktop.run(["ln", "-s", f"/run/swtpm/{name}", f"/run/kith/swtpm/{name}"])
    desktop.restart("kith-policyd")
    no = refusal(desktop, "init", "Eve", user="eve")
    tap.ok(no and no.code == "not-allowed", "another user still may not", str(no))
    said = kith(desktop, "init", "Tom", user="tom")
    tap.ok(said["owner"] == "Tom" and len(said["recovery_key"]) > 20 and may(desktop, "tom"),
           "tom makes his cloud, without sudo")
    kept = [line for line in path.read_text().splitlines() if line in installed.splitlines()]
    tap.equal(kept, installed.splitlines(), "every line of the installed file is still there")
    said, status = as_sudo(desktop, "init", "--software-tpm")
    tap.ok(said["error"]["code"] == "exists" and "keys already" in said["error"]["text"],
           "a device that has keys keeps its TPM", str(said))
    path.write_text(installed + "\n[tpm]\ntcti = swtpm:path=/run/kith/swtpm/sock\n")
    hang_up(desktop)
    wait_for("tom being nobody again", lambda: not may(desktop, "tom"), 5)
    no = refusal(desktop, "pair", user="tom")
    tap.ok(no and no.code == "not-allowed" and "`sudo kith pair` once" in no.text,
           "where nobody was named he is told to use sudo once", str(no))


def body(tap: Tap, lab: Lab) -> None:
    """One device for each part."""
    laptop, = kithlab.start(lab, "laptop")
    kith(laptop, "init", "Tom")
    owner_later(tap, laptop)
    bad_file(tap, laptop)
    warden_goes_on(tap, laptop)
    user_later(tap, laptop)
    needs_restart(tap, laptop)
    unread(tap, laptop)
    doctor(tap, laptop)
    first_minutes(tap, lab)


if __name__ == "__main__":
    kithlab.run_tests("config", body)
