"""The optimiser: Muon (momentum made orthogonal) for the matrices of the blocks, AdamW for everything else."""

import torch


def orthogonal(g, steps=5):
    """The nearest matrices with singular values about 1, by the quintic Newton-Schulz iteration; g: [n, rows, cols]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = g.shape[1] > g.shape[2]
    x = g.transpose(1, 2) if tall else g
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        s = x @ x.transpose(1, 2)
        x = a * x + torch.baddbmm(b * s, s, s, alpha=c) @ x
    return x.transpose(1, 2) if tall else x


class Optimiser:
    def __init__(self, model, decay=0.02, momentum=0.95, betas=(0.9, 0.98)):
        self.decay, self.momentum, self.betas, self.count = decay, momentum, betas, 0
        named = dict(model.named_parameters())
        matrix = [n for n, p in named.items() if p.dim() == 2 and (".blocks." in "." + n or n == "tower.project.weight")]
        self.groups = {}
        for n in matrix:
            self.groups.setdefault(tuple(named[n].shape), []).append(n)
        self.named, self.rest = named, [n for n in named if n not in matrix]
        self.state = {n: torch.zeros_like(p) for n, p in named.items()}
        self.second = {n: torch.zeros_like(named[n]) for n in self.rest}

    @torch.no_grad()
    def step(self, rate, clip=1.0):
        """One step; the gradients' norm before it is clipped."""
        self.count += 1
        norm = torch.sqrt(sum(p.grad.pow(2).sum() for p in self.named.values()))
        scale = min(1.0, clip / (float(norm) + 1e-6))
        for shape, names in self.groups.items():
            moved = []
            for n in names:
                g, m = self.named[n].grad.mul_(scale), self.state[n]
                m.mul_(self.momentum).add_(g)
                moved.append(g.add(m, alpha=self.momentum))
            update = orthogonal(torch.stack(moved))
            size = 0.2 * max(shape) ** 0.5  # as large as AdamW's steps
            for n, u in zip(names, update):
                self.named[n].mul_(1 - rate * self.decay).add_(u, alpha=-rate * size)
        b1, b2 = self.betas
        for n in self.rest:
            p = self.named[n]
            g, m, v = p.grad.mul_(scale), self.state[n], self.second[n]
            m.mul_(b1).add_(g, alpha=1 - b1)
            v.mul_(b2).addcmul_(g, g, value=1 - b2)
            step = (m / (1 - b1 ** self.count)) / ((v / (1 - b2 ** self.count)).sqrt_() + 1e-8)
            if p.dim() == 2:
                p.mul_(1 - rate * self.decay)
            p.add_(step, alpha=-rate)
        for p in self.named.values():
            p.grad = None
        return float(norm)

    def save(self):
        return {"state": self.state, "second": self.second, "count": self.count}

    def load(self, d):
        self.state, self.second, self.count = d["state"], d["second"], d["count"]
