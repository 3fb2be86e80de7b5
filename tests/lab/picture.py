# SPDX-License-Identifier: Apache-2.0
"""A screen of tmux as a picture: SVG, which every browser shows and git can compare."""
import re
import unicodedata
from html import escape

WIDE, HIGH = 8.4, 17        # of a character
SGR = re.compile(r"\x1b\[([0-9;]*)m")
OTHER = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b[()][0-9A-B]|[\x0e\x0f]")
GROUND, TEXT = "#1c1c22", "#d4d4d4"
COLOURS = ("#33333c", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d4d4d4",
           "#7f7f8c", "#ff7b86", "#b5e890", "#ffd68a", "#82c4ff", "#dd9bf0", "#7fd8e4", "#ffffff")


def colour_of(number: int) -> str:
    """One of 256: 16 names, a cube, a row of greys."""
    if number < 16:
        return COLOURS[number]
    if number > 231:
        return f"#{8 + 10 * (number - 232):02x}" + 2 * f"{8 + 10 * (number - 232):02x}"
    steps = (0, 95, 135, 175, 215, 255)
    number -= 16
    return "#" + "".join(f"{steps[number // by % 6]:02x}" for by in (36, 6, 1))


class Pen:
    """Attributes, as the escapes so far set them."""

    def __init__(self) -> None:
        self.bold = self.dim = self.turned = False
        self.ink, self.paper = TEXT, GROUND

    def set(self, codes: list[int]) -> None:
        """Takes one sequence."""
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()
            elif code in (1, 2, 7):
                setattr(self, {1: "bold", 2: "dim", 7: "turned"}[code], True)
            elif code == 22:
                self.bold = self.dim = False
            elif code == 27:
                self.turned = False
            elif code in (38, 48) and codes[:1] == [5] and len(codes) > 1:
                self._colour(code == 38, colour_of(codes[1]))
                del codes[:2]
            elif code in (39, 49):
                self._colour(code == 39, TEXT if code == 39 else GROUND)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self._colour(True, COLOURS[code - 30 if code < 90 else code - 82])
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self._colour(False, COLOURS[code - 40 if code < 100 else code - 92])

    def _colour(self, ink: bool, colour: str) -> None:
        if ink:
            self.ink = colour
        else:
            self.paper = colour

    def look(self) -> tuple[str, str, str]:
        """Ink, paper, and the style of the letters."""
        ink, paper = (self.paper, self.ink) if self.turned else (self.ink, self.paper)
        return ink, paper, ("font-weight='bold' " if self.bold else "") + \
            ("opacity='0.6' " if self.dim else "")


def columns(text: str) -> int:
    """Places that a text takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF"
               else 1 for c in text)


def pieces(screen: str) -> list[tuple[int, int, str, tuple[str, str, str]]]:
    """Line, column, text and look of what stands there."""
    found, pen = [], Pen()
    for number, line in enumerate(OTHER.sub("", screen).rstrip("\n").split("\n")):
        column = 0
        for i, part in enumerate(SGR.split(line)):
            if i % 2:
                pen.set([int(code or 0) for code in part.split(";")])
            elif part:
                found.append((number, column, part, pen.look()))
                column += columns(part)
    return found


def svg(screen: str, wide: int, high: int, title: str) -> str:
    """What `tmux capture-pane -e` printed of a terminal of that size."""
    x, y = round(wide * WIDE + 24), high * HIGH + 24
    lines = [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {x} {y}' width='{x}' "
             f"height='{y}' role='img' font-family='monospace' font-size='14'>",
             f"<title>{escape(title)}</title>",
             f"<rect width='{x}' height='{y}' rx='8' fill='{GROUND}'/>"]
    for line, column, text, (ink, paper, style) in pieces(screen):
        left, top, length = 12 + column * WIDE, 12 + line * HIGH, columns(text) * WIDE
        if paper != GROUND:
            lines.append(f"<rect x='{left:.1f}' y='{top}' width='{length:.1f}' height='{HIGH}' "
                         f"shape-rendering='crispEdges' fill='{paper}'/>")
        if text.strip():
            lines.append(f"<text x='{left:.1f}' y='{top + 13}' textLength='{length:.1f}' "
                         f"xml:space='preserve' fill='{ink}' {style}>{escape(text)}</text>")
    return "\n".join(lines + ["</svg>", ""])
