"""Where the decoder starts from once the tower sees.

`speak` makes an image token the sum of the words for what is in it, `graft` gives a decoder another tower. Both are least
squares from what the tower gives; training goes on from there.
"""

import torch
import torch.nn.functional as F

from model import shuffle


def fit(x, y, weight, ridge=1e-3):
    """The matrix [out, in] with which x gives nearly y."""
    gram = x.t() @ (x * weight[:, None])
    gram += ridge * gram.diag().mean() * torch.eye(len(gram), device=gram.device)
    return torch.linalg.solve(gram, x.t() @ (y * weight[:, None])).t()


def turned(code):
    """The same words by other directions: a digit in the place of the units, which must not be taken for the tens."""
    turn = torch.linalg.qr(torch.randn(code.shape[-1], code.shape[-1], generator=torch.Generator().manual_seed(5)))[0]
    return code @ turn.to(code.device)


def sayings(model, packer, labels):
    """What each image token should say, [b, image tokens, dim]: the words for the things whose middles it has, and for their
    places; and a number's two digits wherever the number stands."""
    scale, (classes, colours, sizes, places) = model.c["scale"], packer.words()
    word = F.normalize(model.embed.detach(), dim=1)
    said = torch.zeros(len(labels), labels.shape[2], model.c["dim"], device=labels.device)
    for patch, tokens in enumerate(places):
        said[labels[:, 3, patch] == 1, patch] += 0.7 * word[tokens].sum(0)
    for plane, table in enumerate((classes, colours, sizes)):
        for label, token in table.items():
            there = (labels[:, plane] == label) & (labels[:, 3] == 1)
            said[there] += word[token] * (0.5 if plane == 2 else 1.0)
    want = shuffle(said, scale).view(len(labels), -1, scale ** 2, model.c["dim"]).sum(2)
    read = shuffle((labels[:, 4] * (labels[:, 4] <= 100))[:, :, None], scale).amax(2)
    digits = word[packer.t.encode("0123456789")]
    for n in range(100):
        want[read == n + 1] += turned(digits[n % 10]) + (digits[n // 10] if n > 9 else 0.0)
    return want


def seen_by(tower, images):
    """What goes into the tower's projection, [b, image tokens, vit * scale ** 2]."""
    return shuffle(torch.cat([tower(part)[1] for part in images.split(64)]), tower.c["scale"])


@torch.no_grad()
def speak(model, packer, images, labels, ridge=3e-3, gain=0.7):
    """Adds the words to the projection; labels: [b, planes, patches] as scenes.draw gives them."""
    want = sayings(model, packer, labels).flatten(0, 1)
    seen = seen_by(model.tower, images).flatten(0, 1)
    words_in = fit(seen - seen.mean(0), want - want.mean(0), torch.ones(len(seen), device=seen.device), ridge)
    strength = (seen @ model.tower.project.weight.t()).pow(2).mean().sqrt() / (seen @ words_in.t()).pow(2).mean().sqrt()
    model.tower.project.weight += gain * strength * words_in


@torch.no_grad()
def graft(model, tower, images, labels, ridge=1e-3):
    """Gives the model another tower, with a projection whose image tokens are nearly those that the decoder knows."""
    want = model.tower.project(seen_by(model.tower, images)).flatten(0, 1)
    seen = seen_by(tower, images).flatten(0, 1)
    things = shuffle((labels[:, 0] > 0).float()[:, :, None], model.c["scale"]).amax(2).flatten()
    tower.project.weight.copy_(fit(seen, want, 0.3 + things, ridge))
    model.tower.load_state_dict(tower.state_dict())
    return 1 - (tower.project(seen) - want).pow(2).mean() / want.pow(2).mean()
