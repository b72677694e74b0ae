"""Where the decoder starts from once the tower sees: what it would otherwise need most of the training to find.

`speak` makes an image token the sum of the words for what is in it. `match` lets a head of an early block find the image
token that a word of the question speaks of ("star", "red") and bring the words for what is there: its colour, shape, size
and place. Both are least squares from what the tower gives; training goes on from there.
"""

import torch
import torch.nn.functional as F

from model import shuffle


def fit(x, y, weight, ridge=1e-3):
    """The matrix [out, in] with which x gives nearly y."""
    gram = x.t() @ (x * weight[:, None])
    gram += ridge * gram.diag().mean() * torch.eye(len(gram))
    return torch.linalg.solve(gram, x.t() @ (y * weight[:, None])).t()


def balanced(a, b):
    """The same product of two matrices, both of one size: training moves every matrix by steps of one size."""
    ratio = (a.pow(2).mean() / b.pow(2).mean()) ** 0.25
    return a / ratio, b * ratio


def held_by(labels, plane, label, scale):
    """Whether an image token has the middle of a thing with this label: [b, image tokens]."""
    there = ((labels[:, plane] == label) & (labels[:, 3] == 1)).float()
    return shuffle(there[:, :, None], scale).amax(2)


@torch.no_grad()
def speak(model, packer, images, labels, ridge=3e-3, gain=0.7):
    """Adds the words to the projection; labels: [b, 4, patches] class, colour, size, whether a middle is there."""
    scale = model.c["scale"]
    pictures, patches = (torch.cat(v) for v in zip(*(model.tower(part) for part in images.split(64))))
    said = torch.zeros(*patches.shape[:2], model.c["dim"])
    words = packer.words()
    for patch, tokens in enumerate(words[3]):
        said[labels[:, 3, patch] == 1, patch] += 0.7 * F.normalize(model.embed[tokens], dim=1).sum(0)
    for plane, table in enumerate(words[:3]):
        for label, token in table.items():
            there = (labels[:, plane] == label) & (labels[:, 3] == 1)
            said[there] += F.normalize(model.embed[token], dim=0) * (0.5 if plane == 2 else 1.0)
    want = shuffle(said, scale).view(*pictures.shape[:2], -1, model.c["dim"]).sum(2).flatten(0, 1)
    seen = shuffle(patches - patches.mean((0, 1)), scale).flatten(0, 1)
    words_in = fit(seen, want - want.mean(0), torch.ones(len(seen)), ridge)
    strength = pictures.pow(2).mean().sqrt() / (seen @ words_in.t()).pow(2).mean().sqrt()
    model.tower.project.weight += gain * strength * words_in


def inside(model, packed, images, layer):
    """What goes into the attention of a block, for rows of questions about the images: [b, t, dim], normalised."""
    kept = []
    hook = model.blocks[layer].norm1.register_forward_hook(lambda m, i, o: kept.append(o))
    model(images, *packed[:4], packed[4] >= 0)
    hook.remove()
    return kept[0]


@torch.no_grad()
def match(model, packer, images, labels, rows, layer=1, group=1, sharp=160.0):
    """Makes the first query head of a group of a block match words and image tokens; rows: questions about the images."""
    classes, colours, sizes, places = packer.words()
    shapes = {k: v for k, v in classes.items() if k <= 10}
    block, t, scale = model.blocks[layer], packer.t, model.c["scale"]
    packed = packer.pack(rows)
    x = inside(model, packed, images, layer)
    tokens, segments, slots = packed[0], packed[2], packed[3]
    seen = x.gather(1, slots[:, :, None].expand(-1, -1, x.shape[2])).flatten(0, 1)
    said = (segments > 0)
    text, ids = x[said], tokens[said]
    named = [(0, k, v) for k, v in shapes.items()] + [(1, k, v) for k, v in colours.items()]
    codes = torch.stack([held_by(labels, plane, k, scale) for plane, k, _ in named], 2).flatten(0, 1)
    keys = fit(torch.cat((seen, text)), torch.cat((codes, torch.zeros(len(text), len(named)))), torch.ones(len(seen) + len(text)))
    want = torch.zeros(len(t.tokens), len(named))
    for i, (_, _, token) in enumerate(named):
        word = t.tokens[token]
        for form in (word, word + "s", word + "es", word[1:], word[1:].capitalize()):
            if form in t.ids:
                want[t.ids[form], i] = 1.0
    want = want[ids]
    asks = fit(text, want, 1.0 + 9.0 * want.sum(1)) * sharp
    words = [(p, k, v) for p, table in ((0, shapes), (1, colours), (2, sizes)) for k, v in table.items()]
    values, brought = [held_by(labels, p, k, scale) for p, k, _ in words], [v for _, _, v in words]
    for place in sorted({w for ws in places for w in ws}):
        here = torch.tensor([place in ws for ws in places])
        values.append(shuffle(((labels[:, 3] == 1) & here).float()[:, :, None], scale).amax(2))
        brought.append(place)
    brings = fit(seen, torch.stack(values, 2).flatten(0, 1), torch.ones(len(seen)))
    each, hd, first = block.heads // block.kv, block.hd, 10  # the pairs of a head that turn slowly start at 10
    head = group * each
    asks, keys = balanced(asks, keys)
    words_out = model.embed.norm(dim=1).mean() * F.normalize(model.embed[brought], dim=1)
    words_out, brings = balanced(words_out, brings)
    for part, part_rows, at in ((block.q, asks, head * hd + first), (block.k, keys, group * hd + first), (block.v, brings, group * hd)):
        part.weight[at // hd * hd:(at // hd + 1) * hd] = 0
        part.weight[at:at + len(part_rows)] = part_rows
    block.out.weight[:, head * hd:(head + each) * hd] = 0  # the others of the group start from nothing
    block.out.weight[:, head * hd:head * hd + len(brought)] = words_out.t()
    return seen @ keys.t(), codes, text @ asks.t(), want
