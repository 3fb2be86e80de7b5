# SPDX-License-Identifier: Apache-2.0
"""The plan of distinct runs: victim x moment x n x kind.

A run is {"id", "family", "victim", "moment", "faults": [...], ...}. A fault is armed as a slot of
the stopper: when the text `at` = [side, text] appears in a log of that side, the outgoing calls of
`by` = [side, program] are counted, and before the nth (0: at the text itself) `act` happens: kill,
stop, park, note or fail. `deeds` follow while a parked process waits (world.py knows the words).
Other members: prior (deeds before the move), hold (seconds until everything is mended), after
(deeds after that), cold (the guest may lose its memory), paused (its owner may find it paused),
reset (the guest is rebooted on purpose), undefined (by its owner), off (it is switched off before
the move, and may not run), rung (what is asked for), machine (of world.py), again (it ran, and has to
run at the end), patience (seconds until it is at rest), expect (the only good outcomes).
"""
import random

from lab import default_build, default_root

S_STATES = ("preparing", "transfer", "voting", "committing", "deciding", "released", "confirming",
            "moved")
D_STATES = ("receiving", "checking", "voting", "prepared", "claiming", "deciding", "owning", "settling",
            "running", "done")
STATES = {"S": S_STATES, "D": D_STATES}
WORKER = {"S": "source", "D": "destination"}
OFF_EACH = 7    # of so many runs of a family one is made with a machine that is off
RUNG_EACH = 9   # the same, on another rung, and with another machine
STARTING = 'Phase "preparing"'  # from here to PREP a machine that is off is started
MOMENTS = [(side, state) for side in "SD" for state in STATES[side]]
# From here on the guest may not lose its memory by the death of one QEMU: D has a whole copy.
COMPLETE = {("S", s) for s in S_STATES[3:]} | {("D", s) for s in D_STATES[2:]}
# Outgoing calls of a plain move in each state, counted once; the next state begins after them.
CALLS = {
    "source": {"new": 180, "preparing": 17, "transfer": 6000, "voting": 1, "committing": 123, "deciding": 2,
               "released": 4, "confirming": 220, "moved": 11},
    "destination": {"receiving": 1800, "checking": 107, "voting": 2, "prepared": 3, "claiming": 3,
                    "deciding": 2, "owning": 85, "settling": 86, "running": 3, "done": 7},
    "policyd S": {"transfer": 6, "deciding": 32, "released": 3, "confirming": 19, "moved": 1},
    "policyd D": {"receiving": 3, "voting": 15, "prepared": 1, "claiming": 1, "deciding": 27,
                  "owning": 1, "done": 12},
    "warden S": {"committing": 11, "confirming": 7},
    "warden D": {"checking": 11, "claiming": 3, "deciding": 1, "owning": 3},
    "kithd S": {"preparing": 31, "transfer": 54, "moved": 11},
    "kithd D": {"receiving": 64, "done": 4},
    "supervisor S": {"preparing": 10, "transfer": 11, "moved": 2},
    "supervisor D": {"receiving": 21, "done": 2},
    "libvirtd S": {"transfer": 900, "committing": 86, "confirming": 108, "moved": 3},
    "libvirtd D": {"receiving": 4000, "checking": 27, "claiming": 25, "owning": 72, "settling": 60,
                   "done": 6},
}


def default_folder() -> str:
    """Where results go unless told otherwise."""
    return f"{default_root()}-soak-results"


def has_warden() -> bool:
    """True where the build has the helper that freezes copies."""
    return (default_build() / "kith-warden").exists()


def text_of(state: str) -> str:
    """How a worker's log says that it has entered a state."""
    return f": {state} after "


def at(moment: tuple[str, str]) -> list[str]:
    return [moment[0], text_of(moment[1])]


def spec(family: str, victim: str, moment: tuple[str, str], kind: str, faults: list[dict],
         **more) -> dict:
    """A run; its id is made of what makes it distinct."""
    name = f"{family}/{victim}/{moment[0]}-{moment[1]}/{kind}".replace(" ", "-")
    return {"id": name.replace("/", "_"), "family": family, "victim": victim,
            "moment": f"{moment[0]} {moment[1]}", "faults": faults, **more}


def aimed(moment: tuple[str, str], by: list[str], n: int, act: str, **more) -> dict:
    """A fault of the stopper itself."""
    return {"at": at(moment), "by": by, "n": n, "act": act, **more}


def parked(moment: tuple[str, str], deeds: list[str], n: int = 0, by: list[str] | None = None,
           **more) -> dict:
    """Deeds of the harness while a worker waits before its nth call."""
    return {"at": at(moment), "by": by or [moment[0], WORKER[moment[0]]], "n": n, "act": "park",
            "deeds": deeds, **more}


# -- families ----------------------------------------------------------------------------------


def steps(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 11, 16 ... up to the last call of a state: dense at its beginning."""
    found, value = [], 1.0
    while round(value) <= most:
        found.append(round(value))
        value = value + 1 if value < 4 else value * 2 ** 0.5
    return found


def worker() -> list[dict]:
    """A worker dies, or stands still for longer than the other one's patience."""
    found = []
    for side, state in MOMENTS:
        by = [side, WORKER[side]]
        ns = steps(CALLS[WORKER[side]].get(state, 2))
        for n in (0, *ns):
            found.append(spec("worker", f"worker {side} killed", (side, state), f"n{n}",
                              [aimed((side, state), by, n, "kill")]))
        for n, hold in ((0, 0.8), (1, 2.5), (2, 2.5), (ns[-1], 0.8)):
            found.append(spec("worker", f"worker {side} frozen", (side, state), f"n{n}-{hold}s",
                              [aimed((side, state), by, n, "stop")], hold=hold))
    return found


def supervisor() -> list[dict]:
    """The supervisor dies with or without its worker, or while that one is slow (F4)."""
    found = daemon("supervisor")
    for side, state in MOMENTS:
        for kind, deeds in (("alone", ["kill {} supervisor"]),
                            ("group", ["kill {} supervisor", "kill {} worker"])):
            for n in (0, 2):
                found.append(spec("supervisor", f"supervisor {side} killed", (side, state),
                                  f"{kind}-n{n}",
                                  [parked((side, state), [d.format(side) for d in deeds], n)]))
        # The orphan holds its lock while the new supervisor recovers.
        slow = [f"kill {side} supervisor", f"stop {side} worker", f"mend-only {side}", "sleep 2.5"]
        found.append(spec("supervisor", f"supervisor {side} killed, worker slow", (side, state),
                          "slow", [parked((side, state), slow)]))
    return found


def daemon(name: str, dense: bool = False) -> list[dict]:
    """A daemon before each, or some, of its own calls in a state, and at the state's beginning."""
    found = []
    for side, state in MOMENTS:
        count = CALLS[f"{name} {side}"].get(state, 0)
        for n in (range(1, count + 1) if dense else steps(count)):
            found.append(spec(name, f"{name} {side} killed", (side, state), f"n{n}",
                              [aimed((side, state), [side, name], n, "kill")]))
        for n in (1, 3):
            if n <= count:
                found.append(spec(name, f"{name} {side} frozen", (side, state), f"n{n}",
                                  [aimed((side, state), [side, name], n, "stop")], hold=2.5))
        for word, act, hold in () if name == "supervisor" else (("killed", "kill", 0), ("frozen", "stop", 2.5)):
            found.append(spec(name, f"{name} {side} {word}", (side, state), "n0", [
                parked((side, state), [f"{act} {side} {name}"])], hold=hold))
    return found


def policyd() -> list[dict]:
    """policyd, also between a record on disk and its answer (F3)."""
    found = daemon("policyd", dense=True)
    for side, records in (("S", ("prep", "released", "done")),
                          ("D", ("recv", "prepared", "own", "done"))):
        for record in records:
            for n in (0, 1, 2):
                found.append({**spec("policyd", f"policyd {side} killed",
                                     (side, f"{record} on disk"), f"n{n}",
                                     [{"at": [side, f'"work" epoch '], "n": n, "act": "kill",
                                       "by": [side, "policyd"], "after": 1.0}])})
                found[-1]["faults"][0]["at"][1] = f": {record}"
    return found


def kithd() -> list[dict]:
    return daemon("kithd")


def libvirtd() -> list[dict]:
    """libvirtd dies and is back at once or later, alone or with the worker frozen (R5, F7)."""
    found = []
    for side, state in MOMENTS:
        for n in (0, 2):
            for hold in (0, 3):
                found.append(spec("libvirtd", f"libvirtd {side} killed", (side, state),
                                  f"n{n}-{hold}s", [parked((side, state),
                                                           [f"kill {side} libvirtd"], n)],
                                  hold=hold))
        for n in steps(CALLS[f"libvirtd {side}"].get(state, 0)):
            found.append(spec("libvirtd", f"libvirtd {side} killed", (side, state), f"own-n{n}",
                              [aimed((side, state), [side, "libvirtd"], n, "kill")]))
        found.append(spec("libvirtd", f"libvirtd {side} frozen", (side, state), "frozen",
                          [parked((side, state), [f"stop {side} libvirtd"])], hold=2.5))
        for n in (0, 1, 2):
            found.append(spec("libvirtd", f"libvirtd {side} killed, worker frozen", (side, state),
                              f"n{n}", [parked((side, state), [
                                  f"kill {side} libvirtd", f"mend-only {side}", "sleep 1.5"], n)]))
    return found


def qemu() -> list[dict]:
    """The QEMU of one side dies or stands still."""
    found = []
    for moment in MOMENTS:
        for victim in "SD":
            for n in (0, 1, 3):
                found.append(spec("qemu", f"QEMU {victim} killed", moment, f"n{n}",
                                  [parked(moment, [f"kill {victim} qemu"], n)],
                                  cold=_may_be_cold(victim, moment)))
            found.append(spec("qemu", f"QEMU {victim} frozen", moment, "frozen",
                              [parked(moment, [f"stop {victim} qemu"])], hold=2.5))
    return found


def _may_be_cold(victim: str, moment: tuple[str, str]) -> bool:
    """Whether the death of this QEMU may cost the guest's memory."""
    if victim == "S":
        return moment not in COMPLETE
    # The destination's copy is the only one once the source released it.
    return moment in COMPLETE and moment[1] not in ("committing", "prepared", "claiming")


def fence() -> list[dict]:
    """libvirtd restarts while a guest is released; the fence dies or stands still in that."""
    found = []
    for side, state in (("S", "committing"), ("S", "deciding"), ("S", "released"),
                        ("S", "confirming"), ("D", "voting"), ("D", "prepared"), ("D", "deciding"),
                        ("D", "owning")):
        for n in (1, 2, 3, 4, 6):
            for act in ("kill", "stop"):
                first = parked((side, state), [f"kill {side} libvirtd", f"mend-only {side}",
                                               "sleep 0.3"])
                second = {"at": at((side, state)), "by": [side, "fence"], "n": n, "act": act,
                          "after": 2.0}
                found.append(spec("fence", f"fence {side} {act}", (side, state), f"n{n}",
                                  [first, second], hold=1.0))
        found.append(spec("fence", f"fence {side}, worker killed, link cut", (side, state), "cut", [
            parked((side, state), [f"cut {side}", f"kill {side} worker", f"kill {side} libvirtd",
                                   f"mend-only {side}", "sleep 2"])]))
    return found


def warden() -> list[dict]:
    """The helper that holds a copy dies or stands still, alone and with others."""
    found = daemon("warden", dense=True)
    for side, state in MOMENTS:
        found.append(spec("warden", f"warden and policyd {side} killed", (side, state), "pair",
                          [parked((side, state), [f"kill {side} warden", f"kill {side} policyd"])]))
        found.append(spec("warden", f"warden and worker {side} killed", (side, state), "pair",
                          [parked((side, state), [f"kill {side} warden", f"kill {side} worker"])]))
    return found


def power() -> list[dict]:
    """One whole device, or both, lose power and boot again."""
    found = []
    for side, state in MOMENTS:
        for victim in "SD":
            for n in (0, 2):
                found.append(spec("power", f"device {victim} off", (side, state), f"n{n}",
                                  [parked((side, state), [f"power {victim}"], n)], cold=True,
                                  hold=0.2))
        found.append(spec("power", "both devices off", (side, state), "both",
                          [parked((side, state), ["power S", "power D"])], cold=True))
    return found


def cut() -> list[dict]:
    """The link is cut for a moment or for longer than the patience of TCP's users."""
    found = []
    for side, state in MOMENTS:
        for n in (0, 1, 2, 4):
            for hold in (0.5, 5):
                if hold == 5 and n not in (0, 2):
                    continue
                found.append(spec("cut", "link cut", (side, state), f"n{n}-{hold}s",
                                  [parked((side, state), ["cut S"], n)], hold=hold))
        for victim in "SD":
            found.append(spec("cut", f"link cut, worker {victim} killed", (side, state), "worker",
                              [parked((side, state), ["cut S", f"kill {victim} worker"])], hold=1))
    return found


def both() -> list[dict]:
    """The same program dies on both sides at once."""
    found = []
    for moment in MOMENTS:
        for who in ("worker", "supervisor", "policyd", "kithd", "libvirtd"):
            found.append(spec("both", f"{who} on both sides killed", moment, who,
                              [parked(moment, [f"kill S {who}", f"kill D {who}"])]))
        found.append(spec("both", "all services on both sides killed", moment, "all", [
            parked(moment, [f"kill {side} {who}" for side in "SD" for who in
                            ("policyd", "kithd", "supervisor", "worker", "libvirtd")])]))
    return found


def pairs() -> list[dict]:
    """Two different blows; every pair at some moments."""
    blows = {"worker": "kill {} worker", "policyd": "kill {} policyd", "kithd": "kill {} kithd",
             "libvirtd": "kill {} libvirtd", "supervisor": "kill {} supervisor",
             "QEMU": "kill {} qemu", "link": "cut {}", "worker frozen": "stop {} worker",
             "policyd frozen": "stop {} policyd"}
    found = []
    names = list(blows)
    for i, one in enumerate(names):
        for other in names[i + 1:]:
            for a, b in ("SS", "SD", "DS", "DD"):
                moment = MOMENTS[(7 * len(found)) % len(MOMENTS)]
                cold = "QEMU" in (one, other) or "libvirtd" in (one, other)
                found.append(spec("pairs", f"{one} {a} and {other} {b}", moment, "pair",
                                  [parked(moment, [blows[one].format(a), blows[other].format(b)])],
                                  hold=(0, 0.5, 2.5)[len(found) % 3],
                                  cold="QEMU" in (one, other) and cold))
    return found


# What an owner may do in virt-manager or with virsh: (words, what it may cost).
OWNER = {
    "destroy": ("destroy work", {"cold": True}),
    "suspend": ("suspend work", {"paused": True}),
    "resume": ("resume work", {}),
    "reset": ("reset work", {"cold": True, "reset": True}),
    "save": ("save work /tmp/work.save", {"cold": True}),
    "managedsave": ("managedsave work", {"cold": True}),
    "undefine": ("undefine work", {"undefined": True}),
    "domrename": ("domrename work other", {}),
    "snapshot": ("snapshot-create-as work s1", {}),
    "detach-disk": ("detach-disk work vdz --live", {}),
    "domjobabort": ("domjobabort work", {}),
    "start": ("start work", {}),
    "setmem": ("setmem work 80M --live", {}),
    "shutdown": ("shutdown work", {}),
    "reboot": ("reboot work", {}),
    "autostart": ("autostart work", {}),
    "blockcommit": ("blockcommit work vda --active --pivot", {}),
    "blockjob-abort": ("blockjob work vda --abort", {}),
    "setmaxdowntime": ("migrate-setmaxdowntime work 500", {}),
    "domblkthreshold": ("domblkthreshold work vda 1M", {}),
}


def owner() -> list[dict]:
    """The owner's virsh: while the worker goes on, and where it is held or dead."""
    found = []
    for name, (words, costs) in OWNER.items():
        for moment in (("S", "preparing"), ("S", "transfer"), ("S", "voting"), ("S", "committing"),
                       ("S", "released"), ("D", "receiving"), ("D", "prepared"), ("D", "owning"),
                       ("D", "settling"), ("D", "running")):
            side = moment[0]
            found.append(spec("owner", f"virsh {name} at {side}", moment, "live",
                              [parked(moment, [f"virsh {side} {words}", "sleep 0.05"])], **costs))
    for name in ("destroy", "suspend", "resume", "start", "reset", "save", "undefine"):
        words, costs = OWNER[name]
        for moment in (("S", "committing"), ("S", "deciding"), ("S", "released"),
                       ("S", "confirming"), ("D", "prepared"), ("D", "claiming"),
                       ("D", "deciding"), ("D", "owning"), ("D", "settling")):
            side = moment[0]
            for kind, deeds in (
                    ("dead", [f"kill {side} worker", "sleep 0.3", f"virsh {side} {words}",
                              "sleep 0.7"]),
                    ("dead-cut", ["cut S", f"kill {side} worker", "sleep 3",
                                  f"virsh {side} {words}", "sleep 2"]),
                    ("frozen", [f"stop {side} worker", f"virsh {side} {words}", "sleep 1.5"])):
                found.append(spec("owner", f"virsh {name} at {side}, worker {kind}", moment, kind,
                                  [parked(moment, deeds)], **costs))
    return found


def cancel() -> list[dict]:
    """`kith cancel`, and moves against it, at every state."""
    found = []
    for side, state in MOMENTS:
        for where in "SD":
            found.append(spec("cancel", f"kith cancel at {where}", (side, state), where,
                              [parked((side, state), [f"kith {where} cancel work"])]))
        found.append(spec("cancel", "kith move back at once", (side, state), "back", [
            parked((side, state), ["kith D move work @S"])]))
        found.append(spec("cancel", "kith move again", (side, state), "again", [
            parked((side, state), ["kith S move work @D", "kith D move work @S"])]))
    for n in range(12):
        found.append(spec("cancel", "kith cancel at S", ("S", "preparing"), f"t{n}", [
            {"at": at(("S", "preparing")), "n": 0, "act": "note",
             "deeds": [f"sleep {n * 0.06:.2f}", "kith S cancel work"]}]))
    return found


def stale() -> list[dict]:
    """State left by an earlier hand-off, plain and with a blow beside it (F1, F7)."""
    priors = {"note at D": ["oldnote D"], "note at S": ["oldnote S"],
              "image at D": ["oldimage D"],
              "definition at D": ["olddef D"], "note and definition at D": ["oldnote D", "olddef D"]}
    after = ["restart S supervisor", "restart D supervisor"]
    found = []
    for name, prior in priors.items():
        found.append(spec("stale", f"old {name}", ("S", "preparing"), "plain", [], prior=prior,
                          after=after))
        for moment in (("D", "receiving"), ("D", "checking"), ("D", "prepared"), ("D", "claiming"),
                       ("D", "deciding"), ("D", "owning"), ("D", "settling"), ("D", "running"),
                       ("S", "transfer"), ("S", "released"), ("S", "confirming")):
            side = moment[0]
            for kind, deed in (("worker", f"kill {side} worker"),
                               ("supervisor", f"kill {side} supervisor"),
                               ("libvirtd", f"kill {side} libvirtd")):
                found.append(spec("stale", f"old {name}, {kind} {side} killed", moment, kind,
                                  [parked(moment, [deed])], prior=prior, after=after))
    return found


def failing() -> list[dict]:
    """System calls that fail: EIO in a flush (F9), no room for the journal."""
    found = []
    for n in (1, 2):
        found.append(spec("failing", "fdatasync of the image: EIO", ("D", "receiving"), f"n{n}",
                          [aimed(("D", "receiving"), ["D", "destination"], n, "fail",
                                 calls=["sync"])], hold=0.5, expect=["kept"]))
    for side, state in MOMENTS:
        for error, calls in (("EIO", ["sync"]), ("ENOSPC", ["file"]), ("EIO", ["rename"])):
            found.append(spec("failing", f"policyd {side}: {calls[0]} {error}", (side, state),
                              error + calls[0], [aimed((side, state), [side, "policyd"], 1, "fail",
                                                       calls=calls, error=error)], hold=1.5))
    return found


def off() -> list[dict]:
    """F13: a share of what happens to machines that run, to one that is switched off; and the
    moments in which it is started, before there is a record."""
    found = []
    for family in (worker, supervisor, policyd, libvirtd, qemu, power, cut, both):
        found += family()[::OFF_EACH]
    for n in steps(CALLS["source"]["new"]):
        found.append(spec("worker", "worker S killed", ("S", "new"), f"n{n}",
                          [{"at": ["S", STARTING], "by": ["S", "source"], "n": n, "act": "kill"}]))
    for deeds in (["power S"], ["kill S libvirtd"], ["kill S supervisor", "kill S worker"]):
        found.append(spec("parked", deeds[0], ("S", "new"), "start",
                          [{"at": ["S", STARTING], "by": ["S", "libvirtd"], "n": 40, "act": "park",
                            "deeds": deeds}]))
    for run in found:
        run.pop("expect", None)
    return [{**run, "id": f"off_{run['id']}", "family": "off", "victim": f"{run['victim']}, off",
             "off": True, "cold": True, "prior": [*run.get("prior", ()), "off S"]}
            for run in found]


def _share(first: int, each: int = RUNG_EACH) -> list[dict]:
    """Some of what happens to a plain machine that moves live."""
    return [run for family in (worker, supervisor, policyd, kithd, libvirtd, qemu, warden, power, cut,
                               both, cancel) for run in family()[first::each]]


def _struck(text: str, where: str, ns: tuple[int, ...]) -> list[dict]:
    """All kinds of blows while the source's worker waits after this line of its log."""
    found = []
    for deeds in (["kill S worker"], ["kill S supervisor", "kill S worker"], ["kill S supervisor"],
                  ["kill S policyd"], ["kill S kithd"], ["kill S libvirtd"],
                  ["kill S libvirtd", "kill S worker"], ["power S"], ["kill S qemu"],
                  ["kill D worker"], ["kill D policyd"], ["kill D libvirtd"], ["power D"], ["cut S"],
                  ["kith S cancel work"], ["power S", "power D"]):
        for n in ns:
            found.append(spec("struck", " and ".join(deeds), ("S", where), f"n{n}",
                              [{"at": ["S", text], "by": ["S", "source"], "n": n, "act": "park",
                                "deeds": deeds}], hold=0.5 if "cut S" in deeds else 0))
    return found


def _died(run: dict) -> bool:
    """Whether a machine's process is ended by the run itself."""
    return "power" in str(run["faults"]) or "qemu" in str(run["faults"])


def _on(rung: str, family: str, runs: list[dict], **more) -> list[dict]:
    """Runs as those of a rung."""
    found = []
    for run in runs:
        costs = {} if rung != "cold" else {"cold": True, "reset": True, "again": not _died(run)}
        cold = run.get("cold") or _died(run)
        found.append({**run, "id": f"{family}_{run['id']}", "family": family, "rung": rung,
                      "victim": f"{run['victim']}, {rung}", "cold": cold, **costs, **more})
    for run in found:
        run.pop("expect", None)
    return found


def warm() -> list[dict]:
    """F14: the machine stands still while its memory is sent."""
    return _on("warm", "warm", _share(2) + _struck('Phase "copying memory"', "memory", (0, 1, 3)))


def cold() -> list[dict]:
    """F14: its guest is shut down, and boots where custody is."""
    text, where = 'Phase "shutting down"', "shutting down"
    # A guest that was not asked yet, or does not hear, is looked at until its time is up.
    asked = [{**run, "patience": 240} for run in _struck(text, where, (0, 4, 12, 30, 60))]
    return _on("cold", "cold", _share(4) + asked, machine="button")


def sealed() -> list[dict]:
    """A machine with UEFI and a virtual TPM, on each rung, and switched off."""
    found = []
    for i, run in enumerate(_share(6, 4 * RUNG_EACH)):
        for rung in ("live", "warm", "cold", "off"):
            if i % 4 != ("live", "warm", "cold", "off").index(rung):
                continue
            [made] = _on("cold" if rung == "off" else rung, "sealed", [run], machine="sealed",
                         patience=240)
            if rung == "off":
                made.update(off=True, again=False, rung=None,
                            prior=[*run.get("prior", ()), "off S"])
            found.append(made)
    return found


def named() -> list[dict]:
    """The ways in which hand-offs broke once, each aimed at on purpose; every one failed before its
    cure. tests/integration/test_crash.py runs half of them, `test_crash.py named` all."""
    d, s = "D", "S"
    away = [f"kill {d} worker", f"kill {s} qemu", f"kill {s} worker"]
    return [
        # An old note of the same VM, and a recovery that has just made it run: destroyed on both.
        spec("named", "F1 old note, mover D killed", (d, "claiming"), "recovered VM destroyed",
             [parked((d, "claiming"), ["kill D supervisor", "kill D worker", "sleep 8"])],
             prior=["oldnote D"], after=["restart S supervisor", "restart D supervisor"],
             expect=["moved"]),
        # The owner resumes the released copy while nobody works on it.
        spec("named", "F2 virsh resume at S, worker dead", (s, "released"), "released copy woken",
             [parked((s, "released"), ["cut S", "kill S worker", "sleep 4",
                                       "virsh S resume work", "sleep 1.5", "heal", "sleep 2"])]),
        spec("named", "F2 virsh resume at S, worker frozen", (s, "released"), "worker frozen",
             [parked((s, "released"), ["stop S worker", "kill S libvirtd", "mend-only S", "sleep 1",
                                       "virsh S resume work", "sleep 2"], n=2)]),
        spec("named", "F2 virsh resume at D", (d, "prepared"), "prepared copy woken",
             [parked((s, "committing"), ["sleep 0.2", "virsh D resume work", "sleep 1"])]),
        # policyd dies when RELEASED (or OWN, or PREPARED) is on disk, before its answer.
        *[spec("named", f"F3 policyd {side} killed", (side, f"{record} on disk"), "no answer",
               [{"at": [side, f": {record}"], "n": 1, "act": "kill", "by": [side, "policyd"],
                 "calls": ["send"]}])
          for side, record in ((s, "released"), (d, "prepared"), (d, "own"))],
        # A supervisor that is back while its old worker still holds the lock.
        *[spec("named", f"F4 supervisor {side} restarts, worker slow", (side, state), "slow worker",
               [parked((side, state), [f"stop {side} worker", f"kill {side} supervisor",
                                       f"mend-only {side}", "sleep 2.5"])])
          for side, state in ((s, "released"), (s, "confirming"), (d, "prepared"))],
        # libvirtd restarts while the VM is made persistent.
        spec("named", "F5 libvirtd D killed", (d, "settling"), "transient",
             [parked((d, "settling"), ["kill D libvirtd", "sleep 0.2", "mend-only D"])]),
        # The owner starts the VM in the moment in which recovery releases it.
        spec("named", "F6 virsh start at S in recovery", (d, "prepared"), "start and release",
             [parked((d, "prepared"), ["cut S", *away, "mend-only D", "mend-only S",
                                       "wait S kith-mover copy died"]),
              {"at": [s, ""], "by": [s, "recovery"], "n": 5, "act": "park", "calls": ["send"],
               "each": True, "late": True, "before": ["heal"], "after": 12,
               "deeds": ["virsh S start work", "ticks S"]}], cold=True),
        # libvirtd is away when the source's copy has to go.
        *[spec("named", "F7 worker S frozen, libvirtd restarts", (s, state), "old definition",
               [parked((s, state), ["stop S worker", "kill S libvirtd", "mend-only S", "sleep 2",
                                    "cont S worker"], n=n)])
          for state, n in (("deciding", 1), ("confirming", 0))],
        # S's QEMU dies when D is complete, and the vote is lost.
        spec("named", "F8 QEMU S killed, vote lost", (d, "prepared"), "complete copy thrown away",
             [parked((d, "prepared"), ["cut S", "kill S qemu", "sleep 2"])], expect=["moved"]),
        spec("named", "F8 QEMU S and worker D killed", (d, "prepared"), "vote never sent",
             [parked((d, "prepared"), ["kill S qemu", "kill D worker"])], expect=["moved"]),
        # The flush of the incoming disk fails.
        spec("named", "F9 fdatasync of the image: EIO", (d, "checking"), "flush ignored",
             [aimed((d, "checking"), [d, "destination"], 1, "fail", calls=["sync"])], hold=0.5,
             expect=["kept"]),
        # All services restart together with a released hand-off; libvirtd begins, kithd is last.
        spec("named", "F10 all services of S restarted", (s, "released"), "order of services",
             [parked((s, "released"), ["cut S", *[f"kill S {who}" for who in (
                 "worker", "supervisor", "kithd", "policyd", "libvirtd")], "mend-only S",
                                       "sleep 2"])]),
        # A stranger holds connections; the mover's count when kithd has to connect anew.
        *[spec("named", "F11 stranger holds policyd", (side, "preparing"), side, [],
               prior=[f"hold {side} policyd/policyd.sock 64"], expect=["moved"]) for side in "SD"],
        *[spec("named", "F11 stranger holds mover", (side, "preparing"), side, [],
               prior=[f"hold {side} mover/mover.sock 8", f"restart {side} kithd", "sleep 3"],
               expect=["moved"]) for side in "SD"],
        # libvirtd forgets an arrival halfway, and keeps a job that nobody can end.
        spec("named", "F12 libvirtd D forgets an arrival", (d, "checking"), "ghost",
             [parked((d, "checking"), ["ghost D", "mend-only D"])], expect=["kept"]),
    ]


FAMILIES = {"worker": worker, "supervisor": supervisor, "kithd": kithd, "policyd": policyd,
            "libvirtd": libvirtd, "qemu": qemu, "fence": fence, "warden": warden, "power": power,
            "cut": cut, "both": both, "pairs": pairs, "owner": owner, "cancel": cancel,
            "stale": stale, "failing": failing, "off": off, "warm": warm, "cold": cold,
            "sealed": sealed, "named": named}


def everything(warden: bool = True) -> list[dict]:
    """The whole plan, family by family."""
    return [run for name, make in FAMILIES.items() if warden or name != "warden" for run in make()]


def choose(runs: int, seed: int, only: list[str] | None = None, warden: bool = True) -> list[dict]:
    """`runs` of them, spread over the families; another seed gives another choice."""
    order = random.Random(seed)
    families: dict[str, list[dict]] = {}
    for run in everything(warden):
        if not only or any(word == run["family"] or
                           (word not in FAMILIES and word in run["id"]) for word in only):
            families.setdefault(run["family"], []).append(run)
    for rows in families.values():
        order.shuffle(rows)
    total = sum(map(len, families.values()))
    share = min(1.0, runs / max(1, total))
    found = [(i / len(rows), run) for rows in families.values() for i, run in enumerate(rows)
             if i == 0 or (i + 1) <= len(rows) * share + 1]
    found.sort(key=lambda pair: pair[0])
    return [run for _, run in found[:runs]]
