# SPDX-License-Identifier: Apache-2.0
"""The configuration files and folders of a lab device."""
import hashlib
import os
import pathlib
import pwd
import shutil

from shell import LabError

DAEMONS = {     # program: (user, folder below /run/kith that holds its sockets)
    "kith-policyd": ("kith-policy", "policyd"),
    "kith-warden": ("root", "warden"),
    "kithd": ("kith", "kithd"),
    "kith-mover": ("kith-mover", "mover"),
}
# What a unit's LimitMEMLOCK gives: in a container even root may not raise that limit.
CAPABILITIES = {"kith-policyd": "ipc_lock"}
# Being root is not enough to read what others keep to themselves: its unit's CapabilityBoundingSet.
WALLS = {"kith-warden": ["setpriv", "--bounding-set=-all,+kill,+sys_ptrace", "--"]}
TCTI = "swtpm:path=/run/swtpm/sock"

QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
remember_owner = 0
swtpm_user = "root"
swtpm_group = "root"
"""

LIBVIRTD_CONF = """\
unix_sock_group = "libvirt"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
"""

KITH_CONF = """\
[device]
name = {name}
role = {role}

[tpm]
tcti = {tcti}

[peer]
port = 4747

[paths]
state = /var/lib/kith
run = /run/kith

[people]
owner = root
"""

HOOK = """\
#!/bin/sh
exec /run/lab/build/kith-hook "$@"
"""


def _owner(user: str) -> tuple[int, int]:
    """uid and gid; root where ./bootstrap has not made the user yet (start_kith says so)."""
    try:
        entry = pwd.getpwnam(user)
        return entry.pw_uid, entry.pw_gid
    except KeyError:
        return 0, 0


def folder(path: pathlib.Path, user: str = "root", mode: int = 0o755) -> None:
    """Makes a folder with this owner and mode, or corrects them."""
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, *_owner(user))
    os.chmod(path, mode)


def write_libvirt(base: pathlib.Path, uuid: str, build: pathlib.Path) -> None:
    """libvirt's configuration, and the hook where the build has one (before libvirtd starts)."""
    etc = base / "etc-libvirt"
    folder(etc / "hooks" / "qemu.d")
    (etc / "qemu.conf").write_text(QEMU_CONF)
    conf = etc / "libvirtd.conf"
    if not conf.exists():       # tests may have added to it
        conf.write_text(LIBVIRTD_CONF.format(uuid=uuid))
    hook = etc / "hooks" / "qemu.d" / "kith"
    if (build / "kith-hook").exists():
        hook.write_text(HOOK)
        hook.chmod(0o755)
    folder(base / "libvirt" / "images", mode=0o711)
    folder(base / "log" / "libvirt" / "qemu")
    for name in ("cache", "libvirt/qemu"):
        folder(base / name, mode=0o751)


def write_kith(base: pathlib.Path, name: str, role: str) -> None:
    """kith.conf and the folders that the packages and systemd would make for the daemons."""
    folder(base / "etc-kith")
    conf = base / "etc-kith" / "kith.conf"
    if not conf.exists():
        conf.write_text(KITH_CONF.format(name=name, role=role, tcti=TCTI))
    state = base / "kith"
    folder(state)
    folder(state / "policyd", "kith-policy", 0o700)
    folder(state / "kithd", "kith", 0o700)
    folder(state / "mover", "kith-mover", 0o700)
    folder(state / "images", "kith-mover", 0o711)
    folder(state / "custody", "kith-policy", 0o755)
    run = base / "run" / "kith"
    folder(run)
    for user, name_ in DAEMONS.values():
        folder(run / name_, user)


def fresh_runtime(base: pathlib.Path) -> None:
    """What a boot finds: empty /run and /tmp."""
    for name, mode in (("run", 0o755), ("tmp", 0o1777)):
        shutil.rmtree(base / name, ignore_errors=True)
        folder(base / name, mode=mode)
    for name in ("dbus", "lock", "libvirt", "swtpm", "avahi-daemon", "user"):
        folder(base / "run" / name)
    folder(base / "swtpm", mode=0o700)


def check_users() -> None:
    """Every daemon has its user, or an error that says who makes them."""
    missing = [user for user, _ in DAEMONS.values() if user != "root" and _owner(user) == (0, 0)]
    if missing:
        raise LabError(f"no system user {', '.join(missing)}: run ./bootstrap first")


def boot_measurements(build: pathlib.Path) -> list[tuple[int, str, str]]:
    """(PCR, SHA-256, what) of the simulated measured boot: real files where there are any.

    Nothing depends on the device, as with two machines of one model and one installation.
    """
    def of_file(path: str | pathlib.Path) -> str | None:
        try:
            return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        except OSError:
            return None

    def of_text(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    kernel = build / "guest" / "vmlinuz"
    return [
        (0, of_file("/usr/share/seabios/bios-256k.bin") or of_text("firmware"), "firmware"),
        (1, of_text("lab platform configuration"), "platform configuration"),
        (2, of_file("/usr/share/seabios/vgabios-stdvga.bin") or of_text("rom"), "option ROM"),
        (3, of_text("lab option ROM configuration"), "option ROM configuration"),
        (4, of_file(kernel) or of_text(os.uname().version), "boot loader and kernel"),
        (5, of_text("lab boot order"), "boot configuration"),
        (6, of_text("lab machine"), "vendor"),
        (7, of_text("SecureBoot=0"), "secure boot policy"),
    ]
