# SPDX-License-Identifier: Apache-2.0
"""The lab's network: one namespace that is the switch, one per device, veth pairs between.

The bridge lives in a namespace of its own, so the machine's own network never sees the lab.
"""
import json
import pathlib
import re
import zlib

from shell import LabError, run

BRIDGE = "br0"


def lab_prefix(root: pathlib.Path) -> str:
    """Namespace names of one lab start with this; several labs (roots) can live side by side."""
    return f"kith{zlib.crc32(str(root).encode()) & 0xffff:04x}-"


def existing(prefix: str) -> list[str]:
    """Network namespaces whose names start so."""
    try:
        return sorted(p.name for p in pathlib.Path("/run/netns").iterdir()
                      if p.name.startswith(prefix))
    except FileNotFoundError:
        return []


class Switch:
    """The bridge namespace and what can be done to a device's link."""

    def __init__(self, root: pathlib.Path):
        self.prefix = lab_prefix(root)
        self.name = self.prefix + "switch"

    def netns_of(self, device: str) -> str:
        """Name of the device's network namespace."""
        return self.prefix + device

    def run(self, *args: object, **kwargs):
        """Runs a command in the switch's network namespace."""
        return run("ip", "netns", "exec", self.name, *args, **kwargs)

    def up(self) -> None:
        """Makes the switch unless it is there."""
        if self.name in existing(self.prefix):
            return
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        # No spanning tree and no multicast snooping: mDNS must pass from the first moment.
        run("ip", "-n", self.name, "link", "add", BRIDGE, "type", "bridge", "stp_state", "0",
            "forward_delay", "0", "mcast_snooping", "0")
        run("ip", "-n", self.name, "link", "set", BRIDGE, "up")
        self._nft("add table bridge lab; "
                  "add chain bridge lab loss { type filter hook forward priority 0; }; "
                  "flush chain bridge lab loss")

    def plug(self, device: str, number: int) -> None:
        """Makes the device's namespace and joins it to the bridge as eth0 with 10.77.0.number."""
        netns, port = self.netns_of(device), self.port(device)
        run("ip", "netns", "add", netns)
        run("ip", "-n", self.name, "link", "add", port, "type", "veth", "peer", "name", "eth0",
            "netns", netns)
        # Without duplicate address detection the link-local address works at once.
        run("ip", "netns", "exec", netns, "sysctl", "-qw",
            "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.eth0.accept_dad=0",
            "net.ipv6.conf.eth0.dad_transmits=0", check=False)
        run("ip", "-n", self.name, "link", "set", port, "master", BRIDGE, "up")
        run("ip", "-n", netns, "link", "set", "eth0", "address",
            f"02:4b:49:54:48:{number:02x}")
        run("ip", "-n", netns, "link", "set", "lo", "up")
        run("ip", "-n", netns, "addr", "add", f"10.77.0.{number}/24", "brd", "+", "dev", "eth0")
        run("ip", "-n", netns, "link", "set", "eth0", "up")
        run("ip", "-n", netns, "route", "add", "224.0.0.0/4", "dev", "eth0", check=False)

    @staticmethod
    def port(device: str) -> str:
        """The bridge port of a device (interface names end at 15 characters)."""
        return f"p-{device}"[:15]

    def rate(self, device: str, rate: str | None) -> None:
        """Limits the link in both directions (tc syntax, e.g. "100mbit"); None lifts the limit."""
        ends = [(self.name, self.port(device)), (self.netns_of(device), "eth0")]
        for netns, interface in ends:
            run("tc", "-n", netns, "qdisc", "del", "dev", interface, "root", check=False)
            if rate:
                run("tc", "-n", netns, "qdisc", "add", "dev", interface, "root", "tbf", "rate",
                    rate, "burst", self._burst(rate), "latency", "50ms")

    @staticmethod
    def _burst(rate: str) -> int:
        """Bytes of 10 ms at this rate: enough for the kernel's timer, too few to hide the limit."""
        match = re.fullmatch(r"(\d+)([kmg])bit", rate)
        if not match:
            raise LabError(f"{rate!r} is no rate: 64kbit, 100mbit, 1gbit")
        bits = int(match[1]) * {"k": 10**3, "m": 10**6, "g": 10**9}[match[2]]
        return max(16384, bits // 8 // 100)

    def _nft(self, script: str) -> None:
        self.run("nft", script)

    def _drop_rules(self, device: str) -> list[int]:
        listing = json.loads(self.run("nft", "-j", "-a", "list", "chain", "bridge", "lab",
                                      "loss").stdout)["nftables"]
        return [entry["rule"]["handle"] for entry in listing
                if entry.get("rule", {}).get("comment") == device]

    def loss(self, device: str, percent: int) -> None:
        """Drops this share of the device's frames in each direction at random; 0 lifts it."""
        for handle in self._drop_rules(device):
            self._nft(f"delete rule bridge lab loss handle {handle}")
        if percent:
            for way in ("iifname", "oifname"):
                self._nft(f'add rule bridge lab loss {way} "{self.port(device)}" '
                          f'numgen random mod 100 < {percent} drop comment "{device}"')

    def cut(self, device: str) -> None:
        """Pulls the cable silently: everything is dropped, the interface stays up at both ends."""
        self.loss(device, 0)
        for way in ("iifname", "oifname"):
            self._nft(f'add rule bridge lab loss {way} "{self.port(device)}" drop '
                      f'comment "{device}"')

    def heal(self, device: str) -> None:
        """Undoes cut and loss."""
        self.loss(device, 0)

    def unplug(self, device: str) -> None:
        """Removes the device's namespace; the veth pair goes with it."""
        run("ip", "netns", "del", self.netns_of(device), check=False)

    def down(self) -> None:
        """Removes every namespace of this lab, also those nobody remembers."""
        for name in existing(self.prefix):
            run("ip", "netns", "del", name, check=False)
