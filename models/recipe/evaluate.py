"""Accuracy per kind of question on held-out scenes."""

import numpy as np
import torch

import scenes

BATCH = 64


def held_out(count, held, seed, hard=1.0):
    """Held-out scenes, redrawn from a seed: pictures and descriptions."""
    drawn = [scenes.draw((seed, 777, i), hard, held) for i in range(count)]
    return np.stack([d[0] for d in drawn]), [d[1] for d in drawn]


def accuracy(model, packer, check, questions=6, seed=5):
    """{kind: (share right, how many)} of greedy answers: right is every token right."""
    images, described = check
    rng, right = np.random.default_rng(seed), {}
    for at in range(0, len(images), BATCH):
        rows = [packer.row(rng, s, questions, prefix=(at + i) % 3) for i, s in enumerate(described[at:at + BATCH])]
        tokens, positions, segments, slots, targets = packer.pack(rows)
        want = targets >= 0
        with torch.no_grad():
            logits, _ = model(torch.from_numpy(images[at:at + BATCH]), tokens, positions, segments, slots, want)
        good = torch.ones_like(want)
        good[want] = logits.argmax(1) == targets[want]
        for i, r in enumerate(rows):
            for kind, first, last, _, _ in r[5]:
                right.setdefault(kind, []).append(bool(good[i, first:last].all()))
    return {k: (sum(v) / len(v), len(v)) for k, v in right.items()}
