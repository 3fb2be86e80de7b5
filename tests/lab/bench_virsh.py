#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The yardstick: `virsh migrate --live --tls --copy-storage-all` between two lab devices.

This is libvirt as its manual sets it up: libvirtd listens on TLS, both hosts trust one CA, memory
and disk run over QEMU's own TLS, the target's disk is created beforehand. Nothing of Kith runs.
"""
import pathlib
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from lab import Lab     # noqa: E402  (sets the module path)
import oracle   # noqa: E402
from device import Device   # noqa: E402
from guest import Guest     # noqa: E402
from shell import run, wait_for   # noqa: E402

FILES = {   # where libvirt and QEMU look for their certificates
    "/etc/pki/CA/cacert.pem": "ca.pem",
    "/etc/pki/libvirt/servercert.pem": "host.pem",
    "/etc/pki/libvirt/clientcert.pem": "host.pem",
    "/etc/pki/libvirt/private/serverkey.pem": "host.key",
    "/etc/pki/libvirt/private/clientkey.pem": "host.key",
    "/etc/pki/qemu/ca-cert.pem": "ca.pem",
    "/etc/pki/qemu/server-cert.pem": "host.pem",
    "/etc/pki/qemu/client-cert.pem": "host.pem",
    "/etc/pki/qemu/server-key.pem": "host.key",
    "/etc/pki/qemu/client-key.pem": "host.key",
}
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]

NO_HOOK = "#!/bin/sh\nexit 0\n"


def _certificates(devices: list[Device], folder: pathlib.Path) -> None:
    """One CA for the lab, one certificate (server and client) for each device."""
    run("openssl", "req", "-x509", *CURVE, "-subj", "/CN=lab CA", "-keyout", folder / "ca.key",
        "-out", folder / "ca.pem", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for device in devices:
        own = folder / device.name
        own.mkdir()
        (own / "ext").write_text(
            f"subjectAltName=DNS:{device.name},IP:{device.ip}\nbasicConstraints=CA:FALSE\n"
            "extendedKeyUsage=serverAuth,clientAuth\n"
            "keyUsage=critical,digitalSignature,keyEncipherment\n")
        run("openssl", "req", "-new", *CURVE[:-2], "-subj", f"/CN={device.name}", "-keyout",
            own / "host.key", "-out", own / "host.csr")
        run("openssl", "x509", "-req", "-in", own / "host.csr", "-CA", folder / "ca.pem", "-CAkey",
            folder / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", own / "ext", "-out",
            own / "host.pem")
        (own / "ca.pem").write_bytes((folder / "ca.pem").read_bytes())


def listen(*devices: Device) -> None:
    """Certificates everywhere; libvirtd restarted so that it listens on its TLS port 16514."""
    with tempfile.TemporaryDirectory() as folder:
        _certificates(list(devices), pathlib.Path(folder))
        for device in devices:
            for target, name in FILES.items():
                device.run(["install", "-D", "-m", "0600", "/dev/stdin", target],
                           input=pathlib.Path(folder, device.name, name).read_text())
    for device in devices:
        conf = device.host_path("/etc/libvirt/libvirtd.conf")
        wanted = f'listen_tls = 1\nlisten_addr = "{device.ip}"\nauth_tls = "none"\n'
        if "listen_tls" not in conf.read_text():
            conf.write_text(conf.read_text() + wanted)
        device.kill("libvirtd")
        wait_for("libvirtd's end", lambda d=device: not d.pids("libvirtd"))
        device.spawn("libvirtd", ["libvirtd", "--listen"])
        wait_for("libvirtd", lambda d=device: d.virsh("uri", check=False).returncode == 0, 30, 0.1)


def hook(script: str, *devices: Device) -> None:
    """Replaces libvirt's hook: Kith's lets nothing in past Kith, so for plain libvirt it steps
    aside (NO_HOOK)."""
    for device in devices:
        device.host_path("/etc/libvirt/hooks/qemu.d/kith").write_text(script)


def migrate(guest: Guest, source: Device, target: Device, tls: bool = True,
            storage: bool = True) -> dict[str, int]:
    """One live migration of a running guest; the target's disk is made beforehand.

    Returns wall_ms of the command and downtime_ms as libvirt computed it.
    """
    if storage:
        guest.empty_disk(target)
    command = ["virsh", "-q", "-c", "qemu:///system", "migrate", "--live", guest.name,
               f"qemu+tls://{target.ip}/system", "--migrateuri", f"tcp://{target.ip}"]
    command += ["--copy-storage-all"] if storage else ["--unsafe"]
    command += ["--tls"] if tls else []
    start = time.monotonic()
    source.run(command, timeout=300)
    wall = time.monotonic() - start
    info = target.virsh("domjobinfo", guest.name, "--completed").stdout
    downtime = [line.split()[2] for line in info.splitlines() if line.startswith("Total downtime")]
    return {"wall_ms": round(wall * 1000), "downtime_ms": int(downtime[0]) if downtime else -1}


def main() -> None:
    """Measures once and prints the result."""
    guest = Guest("bench")
    with Lab(fresh=True) as lab:
        source, target = lab.up("laptop", "desktop")
        listen(source, target)
        hook(NO_HOOK, source, target)
        guest.create(source)
        guest.start(source)
        guest.wait_ready(source)
        result = migrate(guest, source, target)
        time.sleep(1)
        report = oracle.judge({d.name: guest.events(d) for d in (source, target)},
                              [source.name, target.name])
        print(f"virsh migrate --live --tls --copy-storage-all: {result['wall_ms']} ms, "
              f"downtime {result['downtime_ms']} ms by libvirt")
        print(report.sentence())
        sys.exit(0 if report.ok else 1)


if __name__ == "__main__":
    main()
