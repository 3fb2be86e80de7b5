#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two people pair, as people do: slowly, with typing errors, with second thoughts, with devices
that know each other from before; and a stranger who waits for his moment."""
import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
from device import Device   # noqa: E402
from kithlab import Kith, Refused, kith, refusal    # noqa: E402
from shell import wait_for  # noqa: E402
from tap import Tap     # noqa: E402

SLOW = 40       # seconds that a person takes; a step between two kithds may take 30
SOON = 6        # seconds in which a screen says what happened on the other one


def code_of(side: Kith) -> dict:
    """The question with its code."""
    return side.wait_document(lambda d: d.get("event") == "code", "a code")


def end_of(side: Kith, timeout: float = SOON) -> Refused | None:
    """The refusal that a side ends with; None if it succeeds."""
    try:
        side.result(timeout)
    except Refused as refused:
        return refused
    return None


def window(device: Device) -> bool:
    """Whether kithd sees an open window."""
    return kith(device, "status")["agent"]["pairing"]


class Pairing:
    """Tom's laptop and desktop, and Eve's."""

    def __init__(self, tap: Tap, lab: Lab):
        self.tap = tap
        self.laptop, self.desktop, self.eve = kithlab.start(lab, "laptop", "desktop", "eve:laptop")
        kith(self.laptop, "init", "Tom")
        kith(self.eve, "init", "Eve")

    def meet(self) -> tuple[Kith, Kith]:
        """Both run `kith pair`, the desktop by name; both show one code."""
        waiting = kithlab.open_window(self.laptop)
        calling = Kith(self.desktop, "pair", "laptop")
        codes = {code_of(side)["code"] for side in (waiting, calling)}
        if len(codes) != 1:
            self.tap.ok(False, "one code on both screens", str(codes))
        return waiting, calling

    def says(self, side: Kith, words: str, name: str) -> None:
        """The side ends soon, with these words."""
        no = end_of(side)
        self.tap.ok(no and no.code == "pairing" and words in no.text, name, str(no))

    def closed(self, device: Device, name: str) -> None:
        """No window is open there, soon."""
        try:
            wait_for("a closed window", lambda: not window(device), SOON)
            self.tap.ok(True, name)
        except Exception as error:      # pylint: disable=broad-except
            self.tap.ok(False, name, str(error))

    # -- what ends it -----------------------------------------------------------------------------

    def killed(self) -> None:
        """A4: `kith` dies without a word: before anybody came, and while it asks."""
        alone = kithlab.open_window(self.desktop)
        wait_for("an open window", lambda: window(self.desktop), 10)
        alone.kill()
        self.closed(self.desktop, "A4 `kith` killed with -9: its window is closed")
        waiting, calling = self.meet()
        waiting.answer("yes")
        calling.kill()
        self.says(waiting, "The other one gave up", "A4 the other one hears that it gave up")
        self.closed(self.laptop, "and has no window open")

    def said_no(self) -> None:
        """A4: a no, on both screens; a typing error is none."""
        waiting, calling = self.meet()
        waiting.answer("yes")
        calling.answer("n")
        calling.wait_document(lambda d: d.get("event") == "again", "to be asked again")
        self.tap.equal(calling.status, None, "A4 `n` is asked again")
        calling.answer("no")
        self.says(calling, "You said that the codes differ", "A4 `no`: who said it reads so")
        self.says(waiting, "The other one said no", "A4 `no`: the other one reads so")
        reason = kithlab.audit(self.laptop, action="pair", allowed=False)[-1]["reason"]["text"]
        self.tap.ok("The other one said no" in reason, "and it is in the audit", reason)

    def end_of_input(self) -> None:
        """A4: nobody is there to answer: that is not a no."""
        waiting, calling = self.meet()
        calling.hang_up()
        self.says(calling, "was not compared", "A4 end of input: the code was not compared")
        self.says(waiting, "The other one gave up", "and the other one gave up")
        records = kithlab.audit(self.desktop, action="pair", allowed=False)
        texts = [record["reason"]["text"] for record in records]
        self.tap.equal(sum("You said" in text for text in texts), 1,
                       "only the `no` is recorded as one")

    def reset(self) -> None:
        """C1: the connection ends while people compare, and Eve is there at once."""
        waiting, calling = self.meet()
        eve = Kith(self.eve, "pair", self.laptop.ip)
        time.sleep(1)
        self.tap.equal(eve.status, None, "C1 Eve waits while the two compare")
        self.desktop.kill("kithd")
        for side, name in ((waiting, "laptop"), (calling, "desktop")):
            side_end = end_of(side)
            self.tap.ok(side_end and side_end.code == "pairing" and
                        "start again on both" in side_end.text,
                        f"C1 the {name} says that the connection was lost", str(side_end))
        self.closed(self.laptop, "C1 the window is closed")
        no = end_of(eve, 20)
        self.tap.ok(no and no.code in ("peer-unknown", "pairing"), "C1 Eve is refused", str(no))
        self.desktop.restart("kithd")
        self.tap.equal(kith(self.laptop, "trust")["devices"], [], "and nobody is paired")

    # -- what succeeds ----------------------------------------------------------------------------

    def slow(self) -> None:
        """A4, A7: a slow person who mistypes; the key comes at the end, and is the valid one."""
        waiting, calling = self.meet()
        begin = time.monotonic()
        waiting.answer("yes")
        calling.answer("yess")
        time.sleep(SLOW)
        calling.answer("YES")
        ends = [side.result() for side in (waiting, calling)]
        self.tap.ok(time.monotonic() - begin > SLOW, f"A4 a person who takes {SLOW} s still pairs")
        self.tap.equal([(end["peer"], end["peer_owner"]) for end in ends],
                       [("desktop", "Tom"), ("laptop", "Tom")], "A4 both say with whom")
        keys = [document.get("recovery_key") for document in calling.documents]
        self.tap.ok(keys[-1] and not any(keys[:-1]), "A7 the recovery key comes when it counts")
        self.tap.equal(ends[0]["recovery_key"], "", "and none on the device that has one")

    def already(self) -> None:
        """A8: paired already."""
        no = refusal(self.desktop, "pair", "laptop")
        self.tap.ok(no and no.code == "exists" and "paired with this device already" in no.text and
                    "`kith trust forget laptop`" in no.text,
                    "A8 `kith pair` says that it is paired already", str(no))

    def forgotten(self) -> None:
        """A8, M8: forgotten there, known here; both run `kith pair` and nothing else."""
        kith(self.desktop, "--yes", "trust", "forget", "laptop")
        no = refusal(self.desktop, "pair", kithlab.word_for(self.desktop, self.laptop))
        self.tap.ok(no and no.code == "pairing" and "The other one still knows you" in no.text,
                    "A8 the other one still knows us, and it is said", str(no))
        sides = [Kith(device, "pair") for device in (self.laptop, self.desktop)]
        asked = [code_of(side) for side in sides]
        self.tap.equal([question["past"] for question in asked], ["paired", "forgotten"],
                       "A8 M8 the questions say what went before")
        for side in sides:
            side.answer("yes")
        ends = [side.result() for side in sides]
        self.tap.equal([end["known_there"] for end in ends], [False, True],
                       "A8 it simply works, and the other one still knew us")
        self.tap.equal(ends[1]["recovery_key"], "", "no new recovery key")
        for one, other in ((self.laptop, "desktop"), (self.desktop, "laptop")):
            known = [row["name"] for row in kith(one, "trust")["devices"]]
            self.tap.equal(known, [other], f"A8 the {one.name} knows the {other}")
        self.tap.equal(len(kithlab.audit(self.desktop, action="pair-again", allowed=True)), 1,
                       "M8 the audit has it as `pair-again`")

    def early(self) -> None:
        """A4: named before it is in sight; and then it is the person who says no."""
        wait_for("the laptop without a name in Eve's sight",
                 lambda: not kithlab.sighting(self.eve, self.laptop)["pairing"], 20)
        calling = Kith(self.eve, "pair", "laptop")
        time.sleep(3)
        self.tap.equal(calling.status, None, "A4 a name that is not in sight yet is tried again")
        waiting = kithlab.open_window(self.laptop)
        for side in (waiting, calling):
            code_of(side)
        self.tap.ok(True, "A4 and found when it comes")
        waiting.answer("no")
        self.says(waiting, "You said that the codes differ", "its owner says no")
        self.says(calling, "The other one said no", "and the stranger hears it")


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    tests = Pairing(tap, lab)
    tests.killed()
    tests.said_no()
    tests.end_of_input()
    tests.reset()
    tests.slow()
    tests.already()
    tests.forgotten()
    tests.early()


if __name__ == "__main__":
    kithlab.run_tests("pairing", body)
