"""Questions about a scene, with the answers that are right: ask(rng, scene) gives (kind, question, answer, about).

`about` says of which things the question speaks: pairs of words of the question and the things that these mean, all of
them. No words: the question as a whole means the things.
"""

import bisect

import numpy as np

import wording as W
from world import COLOUR_NAMES, HELD_PAIRS, PLACES, SHAPES, SIZE

CELL = SIZE / 3.0
MARGIN = 6.0  # nearer than this to a border between places, a place is not asked about


def one(rng, items):
    return items[int(rng.integers(len(items)))]


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def plural(words):
    return words + ("es" if words.endswith("ss") else "s")


def place(x, y):
    """The place of a point, or None where it is near a border."""
    if min(abs(v - b) for v in (x, y) for b in (CELL, 2 * CELL)) < MARGIN:
        return None
    return PLACES[int(y / CELL)][int(x / CELL)]


def at(shapes, name):
    """The only shape at a place, where every reading of the place's name agrees, else None."""
    row = next(i for i, names in enumerate(PLACES) if name in names)
    col = PLACES[row].index(name)
    inside = [s for s in shapes if (col * CELL - MARGIN) < s["x"] < ((col + 1) * CELL + MARGIN)
              and (row * CELL - MARGIN) < s["y"] < ((row + 1) * CELL + MARGIN)]
    if len(inside) != 1 or place(inside[0]["x"], inside[0]["y"]) != name:
        return None
    s = inside[0]
    rest = [t for t in shapes if t is not s]
    far = {"left": all(t["x"] > s["x"] + 10 for t in rest), "right": all(t["x"] < s["x"] - 10 for t in rest),
           "top": all(t["y"] > s["y"] + 10 for t in rest), "bottom": all(t["y"] < s["y"] - 10 for t in rest)}
    return s if far.get(name, True) else None


def refer(rng, shapes, s, hide=None):
    """Words that mean only this shape ("the small red star"), without the quality `hide`; None if there are none."""
    options = []
    for words in (("shape",), ("colour", "shape"), ("size", "shape"), ("colour",)):
        if hide in words or (words == ("shape",) and hide == "shape"):
            continue
        if sum(all(t[w] == s[w] for w in words) for t in shapes) == 1:
            options.append(words)
    if not options:
        return None
    words = options[0] if rng.random() < 0.5 else one(rng, options)
    out = []
    if "size" in words:
        out.append(one(rng, W.SIZE_WORDS[s["size"]]))
    if "colour" in words:
        out.append(s["colour"])
    out.append(s["shape"] if "shape" in words else one(rng, ["shape", "thing", "one"]))
    return "the " + " ".join(out)


def unique(rng, shapes, hide=None):
    """A shape that can be named, and its name."""
    order = rng.permutation(len(shapes))
    for i in order:
        r = refer(rng, shapes, shapes[int(i)], hide)
        if r:
            return shapes[int(i)], r
    return None, None


def absent_shape(rng, shapes):
    left = [s for s in SHAPES if all(t["shape"] != s for t in shapes)]
    return one(rng, left)


def absent_colour(rng, shapes):
    left = [c for c in COLOUR_NAMES if all(t["colour"] != c for t in shapes)]
    return one(rng, left)


def colour(rng, scene):
    shapes = scene["shapes"]
    if rng.random() < 0.07 or not shapes:
        s = absent_shape(rng, shapes)
        return "absent", one(rng, W.COLOUR).format(r="the " + s), "there is no " + s, [("the " + s, [])]
    if len(shapes) == 1 and rng.random() < 0.5:
        return "colour", one(rng, W.IT_COLOUR), shapes[0]["colour"], [("", shapes)]
    if rng.random() < 0.3:
        name = one(rng, one(rng, PLACES))
        s = at(shapes, name)
        if s:
            q, r = one(rng, W.COLOUR[:5]), "the shape " + one(rng, W.PLACE[name])
            return "colour", q.format(r=r), s["colour"], [(r, [s])]
    s, r = unique(rng, shapes, "colour")
    return ("colour", one(rng, W.COLOUR).format(r=r), s["colour"], [(r, [s])]) if s else None


def shape(rng, scene):
    shapes = scene["shapes"]
    if rng.random() < 0.05 or not shapes:
        c = absent_colour(rng, shapes)
        return "absent", one(rng, W.SHAPE_COLOUR).format(c=c), "there is nothing " + c, [(c, [])]
    if len(shapes) == 1 and rng.random() < 0.5:
        return "shape", one(rng, W.IT_SHAPE), shapes[0]["shape"], [("", shapes)]
    if rng.random() < 0.3:
        name = one(rng, one(rng, PLACES))
        s = at(shapes, name)
        if s:
            q, r = one(rng, W.SHAPE_OF[:3]), "the thing " + one(rng, W.PLACE[name])
            return "shape", q.format(r=r), s["shape"], [(r, [s])]
    alone = [s for s in shapes if sum(t["colour"] == s["colour"] for t in shapes) == 1]
    if not alone:
        return None
    s = one(rng, alone)
    if rng.random() < 0.5:
        return "shape", one(rng, W.SHAPE_COLOUR).format(c=s["colour"]), s["shape"], [(s["colour"], [s])]
    q, r = one(rng, W.SHAPE_OF), "the " + s["colour"] + " " + one(rng, ["thing", "one", "shape"])
    return "shape", q.format(r=r), s["shape"], [(r, [s])]


def count(rng, scene):
    shapes = scene["shapes"]
    pick = rng.random()
    if pick < 0.35 or not shapes:
        what, hits = one(rng, ["shapes", "shapes", "things", "objects"]), shapes
    elif pick < 0.65:
        s = one(rng, shapes)["shape"] if rng.random() < 0.85 else one(rng, SHAPES)
        what, hits = plural(s), [t for t in shapes if t["shape"] == s]
    elif pick < 0.9:
        c = one(rng, shapes)["colour"] if rng.random() < 0.85 else one(rng, COLOUR_NAMES)
        what, hits = c + " " + one(rng, ["shapes", "things"]), [t for t in shapes if t["colour"] == c]
    else:
        t = one(rng, shapes)
        what, hits = t["colour"] + " " + plural(t["shape"]), [u for u in shapes if u["colour"] == t["colour"] and u["shape"] == t["shape"]]
    kind, n = "count" if len(hits) <= 5 else "count6", str(len(hits)) if hits else "none"
    return kind, one(rng, W.COUNT).format(s=what), n, [(what, hits)]


def position(rng, scene):
    shapes = scene["shapes"]
    if rng.random() < 0.05 or not shapes:
        s = absent_shape(rng, shapes)
        return "absent", one(rng, W.WHERE).format(r="the " + s), "there is no " + s, [("the " + s, [])]
    for _ in range(3):
        s, r = unique(rng, shapes)
        if not s:
            return None
        name = place(s["x"], s["y"])
        if not name:
            continue
        if rng.random() < 0.15:
            other = name if rng.random() < 0.5 else one(rng, one(rng, PLACES))
            if other != name and (other in name or name in other):
                continue
            q = one(rng, W.IS_AT).format(r=r, p=one(rng, W.PLACE[other]))
            return "position", q, "yes" if other == name else "no", [(r, [s])]
        return "position", one(rng, W.WHERE).format(r=r), name, [(r, [s])]
    return None


def exists(rng, scene):
    shapes = scene["shapes"]
    pick = rng.random()
    if pick < 0.2:
        s = one(rng, shapes)["shape"] if shapes and rng.random() < 0.5 else one(rng, SHAPES)
        x, hits = article(s), [t for t in shapes if t["shape"] == s]
    elif pick < 0.4:
        c = one(rng, shapes)["colour"] if shapes and rng.random() < 0.5 else one(rng, COLOUR_NAMES)
        x, hits = "anything " + c, [t for t in shapes if t["colour"] == c]
    elif pick < 0.47:
        x, yes = one(rng, [("a number", scene.get("number")), ("a word", scene.get("word")), ("a gauge", scene.get("gauge")),
                           ("a bar chart", scene.get("bars"))])
        return "exists", one(rng, W.EXISTS).format(x=x), "yes" if yes else "no", []
    else:
        if shapes and rng.random() < 0.5:
            t = one(rng, shapes)
            s, c = t["shape"], t["colour"]
        else:  # the colour of one and the shape of another, if it can be
            s = one(rng, shapes)["shape"] if shapes and rng.random() < 0.7 else one(rng, SHAPES)
            c = one(rng, shapes)["colour"] if shapes and rng.random() < 0.7 else one(rng, COLOUR_NAMES)
        x, hits = article(c + " " + s), [t for t in shapes if t["shape"] == s and t["colour"] == c]
        if (c, s) in HELD_PAIRS and not hits:
            return None  # training would only ever see "no"
    return "exists", one(rng, W.EXISTS).format(x=x), "yes" if hits else "no", [(x, hits)]


def relation(rng, scene):
    shapes = scene["shapes"]
    if len(shapes) < 2:
        return None
    side = one(rng, ["left", "right", "above", "below"])
    axis, sign = ("x" if side in ("left", "right") else "y"), (-1 if side in ("left", "above") else 1)
    b, rb = unique(rng, shapes)
    if not b:
        return None
    gaps = [(t, sign * (t[axis] - b[axis])) for t in shapes if t is not b]
    if rng.random() < 0.35:
        if any(abs(g) < 12 for _, g in gaps):
            return None
        hits = [t for t, g in gaps if g > 0]
        if len(hits) > 1:
            return None
        answer = article(hits[0]["colour"] + " " + hits[0]["shape"]) if hits else "nothing"
        return "relation", one(rng, W.WHAT_IS[side]).format(b=rb), answer, [(rb, [b])]
    a, gap = one(rng, gaps)
    ra = refer(rng, shapes, a)
    if not ra or abs(gap) < 12:
        return None
    return "relation", one(rng, W.RELATION[side]).format(a=ra, b=rb), "yes" if gap > 0 else "no", [(ra, [a]), (rb, [b])]


def size(rng, scene):
    shapes = scene["shapes"]
    if not shapes:
        return None
    s, r = unique(rng, shapes, "size")
    if not s:
        return None
    if rng.random() < 0.5 or len(shapes) < 2:
        return "size", one(rng, W.SIZE).format(r=r), s["size"], [(r, [s])]
    t = one(rng, [u for u in shapes if u is not s])
    rt = refer(rng, shapes, t, "size")
    if not rt or t["size"] == s["size"]:
        return None
    bigger = ["small", "medium", "large"].index(s["size"]) > ["small", "medium", "large"].index(t["size"])
    pick, about = rng.random(), [(r, [s]), (rt, [t])]
    if pick < 0.4:
        return "size", one(rng, W.BIGGER).format(a=r, b=rt), "yes" if bigger else "no", about
    if pick < 0.6:
        return "size", one(rng, W.SMALLER).format(a=r, b=rt), "no" if bigger else "yes", about
    return "size", one(rng, W.WHICH_BIGGER).format(a=r, b=rt), r if bigger else rt, about


def direction(rng, scene):
    arrows = [s for s in scene["shapes"] if s["dir"]]
    if len(arrows) != 1:
        return None
    return "direction", one(rng, W.DIRECTION).format(r="the arrow"), arrows[0]["dir"], [("the arrow", arrows)]


def number(rng, scene):
    n = scene.get("number")
    if not n:
        return "absent", one(rng, W.NUMBER), "there is no number", []
    pick, about = rng.random(), [("", [n])]
    if pick < 0.1:
        return "colour of text", one(rng, W.COLOUR).format(r="the number"), n["colour"], about
    if pick < 0.15:
        other = n["text"] if rng.random() < 0.5 else str(int(rng.integers(0, 100)))
        return "number yes or no", one(rng, W.NUMBER_IS).format(n=other), "yes" if other == n["text"] else "no", about
    if pick < 0.2 and place(n["x"], n["y"]):
        return "position of text", one(rng, W.WHERE).format(r="the number"), place(n["x"], n["y"]), about
    return ("number" if len(n["text"]) == 2 else "digit"), one(rng, W.NUMBER), n["text"], about


def word(rng, scene):
    w = scene.get("word")
    if not w:
        return "absent", one(rng, W.WORD[1:]).replace("text", "word"), "there is no word", []
    about = [("", [w])]
    if rng.random() < 0.12:
        return "colour of text", one(rng, W.COLOUR).format(r=one(rng, ["the word", "the text"])), w["colour"], about
    return "word", one(rng, W.WORD), w["text"].lower(), about


def gauge(rng, scene):
    g = scene.get("gauge")
    if not g:
        return "absent", one(rng, W.GAUGE[:1] + W.GAUGE[3:4]), "there is no gauge", []
    if rng.random() < 0.15:
        return "gauge", one(rng, W.COLOUR).format(r="the needle"), g["colour"], []
    return "gauge", one(rng, W.GAUGE), str(g["value"]), []


def bars(rng, scene):
    b = scene.get("bars")
    if not b:
        return "absent", one(rng, W.TALLEST[:3] + W.SHORTEST[:3]), "there is no bar", []
    pick = rng.random()
    if pick < 0.3:
        return "bars", one(rng, W.COUNT).format(s="bars"), str(len(b)) if b else "none", []
    order = sorted(b, key=lambda t: t["height"])
    if pick < 0.55:
        return "bars", one(rng, W.TALLEST), order[-1]["colour"], []
    if pick < 0.8:
        return "bars", one(rng, W.SHORTEST), order[0]["colour"], []
    i, j = (int(v) for v in rng.permutation(len(b))[:2]) if len(b) > 1 else (0, 0)
    if abs(b[i]["height"] - b[j]["height"]) < 8:
        return None
    return "bars", one(rng, W.TALLER).format(a=b[i]["colour"], b=b[j]["colour"]), "yes" if b[i]["height"] > b[j]["height"] else "no", []


def caption(rng, scene):
    shapes = sorted(scene["shapes"], key=lambda t: t["x"])
    parts = []
    if scene.get("number"):
        parts.append("the number " + scene["number"]["text"])
    if len(shapes) == 1 and not parts:
        s = shapes[0]
        name = place(s["x"], s["y"])
        parts.append(article(s["size"] + " " + s["colour"] + " " + s["shape"]) + (" " + W.PLACE[name][0] if name else ""))
    elif len(shapes) > 4:
        parts.append("%d shapes" % len(shapes))
    else:
        parts += [article(s["colour"] + " " + s["shape"]) for s in shapes]
    if scene.get("word"):
        parts.append("the word " + scene["word"]["text"].lower())
    if scene.get("gauge"):
        parts.append("a gauge that shows %d" % scene["gauge"]["value"])
    if scene.get("bars"):
        parts.append("a bar chart with %d bars" % len(scene["bars"]))
    text = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else (parts[0] if parts else "nothing")
    return "caption", one(rng, W.CAPTION), text, []


def chat(rng, scene):
    return ("chat",) + one(rng, W.CHAT) + ([],)


ASKERS = {"shapes": [(colour, 0.19), (shape, 0.17), (count, 0.22), (position, 0.15), (relation, 0.08), (exists, 0.07), (size, 0.05),
                     (direction, 0.02), (caption, 0.03), (number, 0.005), (word, 0.005), (gauge, 0.005), (bars, 0.005),
                     (chat, 0.003)],
          "number": [(number, 0.88), (caption, 0.04), (count, 0.03), (exists, 0.03), (word, 0.01), (colour, 0.01)],
          "word": [(word, 0.88), (caption, 0.05), (count, 0.02), (exists, 0.04), (number, 0.01)],
          "gauge": [(gauge, 0.9), (caption, 0.04), (exists, 0.03), (bars, 0.02), (count, 0.01)],
          "bars": [(bars, 0.9), (caption, 0.04), (exists, 0.03), (gauge, 0.02), (number, 0.01)]}
ASKERS["mixed"] = [(number, 0.4)] + [(f, w * 0.6) for f, w in ASKERS["shapes"] if f not in (number,)]
# Training asks more often than evaluation what takes long to learn.
EMPHASIS = {position: 2.0, relation: 1.5, size: 1.5, exists: 1.5, direction: 2.0, caption: 0.7}
# And this once the easy ones are known: the kinds that were still often wrong after some hundred thousand pictures.
EMPHASIS_LATE = {colour: 0.7, shape: 0.8, count: 1.5, position: 2.0, relation: 3.0, size: 2.0, exists: 1.5, direction: 3.0, caption: 2.5}


def table(emphasis):
    """For each kind of scene its askers, and how likely it is one of those up to each."""
    out = {}
    for kind, askers in ASKERS.items():
        weights = [w * emphasis.get(f, 1.0) for f, w in askers]
        cdf = np.cumsum([w / sum(weights) for w in weights])
        out[kind] = [f for f, _ in askers], (cdf / cdf[-1]).tolist()
    return out


TABLE, LESSON, LATE = table({}), table(EMPHASIS), table(EMPHASIS_LATE)


def ask(rng, scene, likely=TABLE):
    """One question about the scene: (kind, question, answer, about)."""
    askers, upto = likely[scene["kind"]]
    for _ in range(20):
        made = askers[bisect.bisect_right(upto, rng.random())](rng, scene)  # rng.choice does the same, ten times slower
        if made:
            return made
    return caption(rng, scene)


def vary(rng, question):
    """The same question as people type it."""
    pick = rng.random()
    if pick < 0.15:
        question = question[0].lower() + question[1:]
    if pick < 0.08 or pick > 0.93:
        question = question.rstrip("?.")
    return question[0].upper() + question[1:] if pick > 0.3 else question
