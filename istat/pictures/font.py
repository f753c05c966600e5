"""A small font of ASCII for pictures that are PNG, drawn for this project: 5 dots wide, 7 above the line that letters
stand on and 2 below, each dot two pixels wide and high, corners rounded. Knows letters only.
"""

from __future__ import annotations

from functools import cache

WIDTH, HEIGHT = 12, 22      # [pixels] from one letter to the next, from one line to the next
ABOVE = 14                  # [pixels] above the line that letters stand on
DOTS = 5                    # columns of a letter
# A letter's nine rows from the top down, each a digit to base 32: the bits of its five dots.
GLYPHS = {
    " ": "000000000", "!": "444440400", '"': "aa0000000", "#": "aavavaa00", "$": "4fke5u400", "%": "op248j300",
    "&": "cik8lid00", "'": "440000000", "(": "248884200", ")": "842224800", "*": "04lel4000", "+": "044v44000",
    ",": "000000c48", "-": "000e00000", ".": "00000cc00", "/": "122488g00", "0": "ehjlphe00", "1": "4c4444e00",
    "2": "eh1248v00", "3": "v2421he00", "4": "26aiv2200", "5": "vgu11he00", "6": "68guhhe00", "7": "v12488800",
    "8": "ehhehhe00", "9": "ehhf12c00", ":": "0cc0cc000", ";": "0cc00c480", "<": "248g84200", "=": "00v0v0000",
    ">": "842124800", "?": "eh1240400", "@": "ehnlnge00", "A": "ehhvhhh00", "B": "uhhuhhu00", "C": "ehggghe00",
    "D": "sihhhis00", "E": "vgguggv00", "F": "vgguggg00", "G": "ehgnhhf00", "H": "hhhvhhh00", "I": "e44444e00",
    "J": "72222ic00", "K": "hikokih00", "L": "ggggggv00", "M": "hrllhhh00", "N": "hhpljhh00", "O": "ehhhhhe00",
    "P": "uhhuggg00", "Q": "ehhhlid00", "R": "uhhukih00", "S": "fgge11u00", "T": "v44444400", "U": "hhhhhhe00",
    "V": "hhhhha400", "W": "hhhllla00", "X": "hha4ahh00", "Y": "hhha44400", "Z": "v1248gv00", "[": "e88888e00",
    "\\": "g88422100", "]": "e22222e00", "^": "4ah000000", "_": "0000000v0", "`": "840000000", "a": "00e1fhf00",
    "b": "ggmphhu00", "c": "00egghe00", "d": "11djhhf00", "e": "00ehvge00", "f": "698s88800", "g": "00fhhhf1e",
    "h": "ggmphhh00", "i": "40c444e00", "j": "2062222ic", "k": "ggikoki00", "l": "c44444e00", "m": "00qllll00",
    "n": "00mphhh00", "o": "00ehhhe00", "p": "00uhhhugg", "q": "00fhhhf11", "r": "00mpggg00", "s": "00fge1u00",
    "t": "88s889600", "u": "00hhhjd00", "v": "00hhha400", "w": "00hhlla00", "x": "00ha4ah00", "y": "00hhhhf1e",
    "z": "00v248v00", "{": "244844200", "|": "444444400", "}": "844244800", "~": "008l20000",
}


@cache
def dots(sign: str) -> tuple[tuple[int, int], ...]:
    """(column, row) of the pixels that are black; a letter that there is none of is a question mark."""
    rows = [int(digit, 32) for digit in GLYPHS.get(sign, GLYPHS["?"])]
    return tuple(sorted(pixel for row in range(len(rows)) for column in range(DOTS)
                        for pixel in _rounded(rows, column, row)))


def _black(rows: list[int], column: int, row: int) -> bool:
    inside = 0 <= column < DOTS and 0 <= row < len(rows)
    return inside and bool(rows[row] >> (DOTS - 1 - column) & 1)


def _rounded(rows: list[int], column: int, row: int) -> list[tuple[int, int]]:
    """The black ones of a dot's four pixels: a pixel at a corner is as the two dots beside it, when these are alike and
    the two opposite are not (the rule that is known as EPX, or Scale2x)."""
    here = _black(rows, column, row)
    found = []
    for down in (0, 1):
        for right in (0, 1):
            side = _black(rows, column + (1 if right else -1), row)
            above = _black(rows, column, row + (1 if down else -1))
            other_side = _black(rows, column + (-1 if right else 1), row)
            other_above = _black(rows, column, row + (-1 if down else 1))
            corner = side == above and side != other_above and above != other_side
            if above if corner else here:
                found.append((2 * column + right, 2 * row + down))
    return found
