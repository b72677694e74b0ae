"""What there is in a scene: colours, shapes, sizes, places, words, and what is never trained."""

import glob
import os

SIZE = 128    # pixels along a side of a picture
PATCH = 16    # pixels along a side of a patch of the tower
GRID = SIZE // PATCH

# Base colours; a drawn colour is moved from its base by a little (scenes.py).
COLOURS = {
    "red": (214, 32, 36), "orange": (250, 138, 18), "yellow": (246, 222, 40), "green": (36, 156, 60),
    "blue": (34, 82, 214), "purple": (122, 44, 168), "pink": (250, 138, 190), "brown": (116, 66, 26),
    "black": (18, 18, 20), "white": (248, 248, 248), "grey": (132, 134, 136),
}
COLOUR_NAMES = list(COLOURS)
SHAPES = ["circle", "square", "triangle", "star", "ring", "cross", "heart", "diamond", "moon", "arrow"]
SIZES = {"small": (8.5, 10.5), "medium": (14.0, 17.0), "large": (22.0, 27.0)}  # radius in pixels
SIZE_NAMES = list(SIZES)
DIRECTIONS = ["up", "right", "down", "left"]
PLACES = [["top left", "top", "top right"], ["left", "middle", "right"], ["bottom left", "bottom", "bottom right"]]

# Pairs of colour and shape, and numbers, that training never shows: evaluation asks about them apart.
HELD_PAIRS = {("red", "heart"), ("blue", "star"), ("green", "circle"), ("yellow", "moon"), ("purple", "square"),
              ("orange", "diamond"), ("white", "ring"), ("black", "triangle"), ("pink", "arrow")}
HELD_NUMBERS = {"17", "28", "39", "43", "56", "64", "72", "85", "91"}

WORDS = ("cat dog sun sky sea car bus tree fish bird moon star milk tea bread cake apple book door open shut stop go "
         "exit in out yes no hot cold up down left right red blue green big small hello home help shop park road "
         "river rain snow wind fire ice gold iron king queen north south east west one two ten zero mote eye").split()
HELD_WORDS = {"bird", "cake", "road", "snow"}

# Classes of the dense auxiliary loss: what covers a patch. 0 is nothing.
CLASSES = ["none"] + SHAPES + list("0123456789") + list("abcdefghijklmnopqrstuvwxyz") + ["dial", "needle", "bar"]
CLASS_ID = {name: i for i, name in enumerate(CLASSES)}
COLOUR_ID = {name: i + 1 for i, name in enumerate(COLOUR_NAMES)}
SIZE_ID = {name: i + 1 for i, name in enumerate(SIZE_NAMES)}

FONT_DIRS = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/truetype/liberation",
             "/usr/share/fonts/truetype/freefont")
FONT_SKIP = ("MathTeX", "ExtraLight")


def fonts():
    """The paths of the fonts, sorted: Debian's fonts-dejavu, fonts-liberation and fonts-freefont-ttf."""
    found = [p for d in FONT_DIRS for p in glob.glob(os.path.join(d, "*.ttf"))]
    found = sorted(p for p in found if not any(s in p for s in FONT_SKIP))
    if not found:
        raise SystemExit("no fonts: install fonts-dejavu, fonts-liberation and fonts-freefont-ttf")
    return found
