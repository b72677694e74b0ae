"""The optimiser: Muon (momentum made orthogonal) for the matrices of the blocks, AdamW for everything else."""

import torch


def orthogonal(g, steps=4):
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
    """Keeps its state in shared memory: each of `workers` processes updates its part of the parameters in place."""

    def __init__(self, model, shared=torch.Tensor.share_memory_, decay=0.02, momentum=0.95, betas=(0.9, 0.98)):
        self.decay, self.momentum, self.betas, self.count = decay, momentum, betas, 0
        self.named = dict(model.named_parameters())
        matrix = [n for n, p in self.named.items() if p.dim() == 2 and (".blocks." in "." + n or n == "tower.project.weight")]
        self.groups = {}
        for n in matrix:
            self.groups.setdefault(tuple(self.named[n].shape), []).append(n)
        self.rest = [n for n in self.named if n not in matrix]
        self.state = {n: shared(torch.zeros_like(p.data)) for n, p in self.named.items()}
        self.second = {n: shared(torch.zeros_like(self.named[n].data)) for n in self.rest}

    def mine(self, rank, workers):
        """The names that this worker updates."""
        return [n for names in list(self.groups.values()) + [self.rest] for n in names[rank::workers]]

    @torch.no_grad()
    def step(self, grads, rate, rank=0, workers=1, clip=1.0):
        """One step with the gradients `grads` (name: tensor); parameters that are not among them stay."""
        self.count += 1
        norm = float(torch.sqrt(sum(g.pow(2).sum() for g in grads.values())))
        scale = min(1.0, clip / (norm + 1e-6))
        for shape, names in self.groups.items():
            names, moved = [n for n in names[rank::workers] if n in grads], []
            for n in names:
                m = self.state[n].mul_(self.momentum).add_(grads[n], alpha=scale)
                moved.append((grads[n] * scale).add_(m, alpha=self.momentum))
            if not names:
                continue
            update = orthogonal(torch.stack(moved))
            size = 0.3 * max(shape) ** 0.5  # a root mean square of 0.3, somewhat more than AdamW's usual step
            for n, u in zip(names, update):
                self.named[n].mul_(1 - rate * self.decay).add_(u, alpha=-rate * size)
        b1, b2 = self.betas
        for n in [n for n in self.rest[rank::workers] if n in grads]:
            p, g, m, v = self.named[n], grads[n] * scale, self.state[n], self.second[n]
            m.mul_(b1).add_(g, alpha=1 - b1)
            v.mul_(b2).addcmul_(g, g, value=1 - b2)
            step = (m / (1 - b1 ** self.count)) / ((v / (1 - b2 ** self.count)).sqrt_() + 1e-8)
            if p.dim() == 2:
                p.mul_(1 - rate * self.decay)
            p.add_(step, alpha=-rate)
        return norm

    def save(self):
        return {"state": self.state, "second": self.second, "count": self.count}

    def load(self, d):
        for mine, theirs in ((self.state, d["state"]), (self.second, d["second"])):
            for n in mine:
                mine[n].copy_(theirs[n])
        self.count = d["count"]


class Flat:
    """The same optimiser for one process on one device, where it is the number of operations that counts.

    All weights stand in one tensor, one after the other, those of one shape together; so do their running mean, momentum and
    squares. A step is a few hundred operations, and none waits for a number.
    """

    def __init__(self, model, mean, before, device):
        """Moves the model and its running mean to the device; before: an Optimiser, whose state goes on."""
        self.decay, self.momentum, self.betas, self.count = before.decay, before.momentum, before.betas, before.count
        self.named, self.rest = dict(model.named_parameters()), before.rest
        self.order = [n for names in before.groups.values() for n in names] + before.rest
        self.at, end = {}, 0
        for n in self.order:
            self.at[n] = slice(end, end + self.named[n].numel())
            end += self.named[n].numel()
        self.weights, self.mean, self.m, self.v = (torch.zeros(end, device=device) for _ in range(4))
        self.shapes = [(shape, slice(self.at[names[0]].start, self.at[names[-1]].stop)) for shape, names in before.groups.items()]
        self.others = slice(self.at[self.rest[0]].start, end)
        self.decays = torch.zeros(end, device=device)
        with torch.no_grad():
            for n in self.order:
                for flat, x in ((self.weights, self.named[n]), (self.mean, mean[n]), (self.m, before.state[n]),
                                (self.v, before.second.get(n))):
                    if x is not None:
                        self.view(flat, n).copy_(x)
                self.decays[self.at[n]] = float(self.named[n].dim() == 2)
                self.named[n].data = self.view(self.weights, n)
                mean[n] = self.view(self.mean, n)
        self.state = {n: self.view(self.m, n) for n in self.order}

    def view(self, flat, name):
        return flat[self.at[name]].view(self.named[name].shape)

    @torch.no_grad()
    def step(self, grads, rate, clip=1.0):
        """One step with the gradients `grads` (name: tensor); parameters that are not among them stay."""
        self.count += 1
        stay = {n: [self.view(x, n).clone() for x in (self.weights, self.m, self.v)] for n in self.order if n not in grads}
        g = torch.cat([grads[n].flatten() if n in grads else torch.zeros_like(self.weights[self.at[n]]) for n in self.order])
        norm = g.norm()
        g.mul_((clip / (norm + 1e-6)).clamp_max(1.0))
        for shape, at in self.shapes:
            m = self.m[at].mul_(self.momentum).add_(g[at])
            update = orthogonal(g[at].add(m, alpha=self.momentum).view(-1, *shape))
            self.weights[at].mul_(1 - rate * self.decay).add_(update.flatten(), alpha=-rate * 0.3 * max(shape) ** 0.5)
        at, (b1, b2) = self.others, self.betas
        m = self.m[at].mul_(b1).add_(g[at], alpha=1 - b1)
        v = self.v[at].mul_(b2).addcmul_(g[at], g[at], value=1 - b2)
        step = (m / (1 - b1 ** self.count)) / ((v / (1 - b2 ** self.count)).sqrt_() + 1e-8)
        self.weights[at].mul_(1 - rate * self.decay * self.decays[at]).add_(step, alpha=-rate)
        for n, three in stay.items():
            for x, was in zip((self.weights, self.m, self.v), three):
                self.view(x, n).copy_(was)
        return norm

    @torch.no_grad()
    def average(self, share):
        """Brings the running mean a `share` of the way to the weights."""
        self.mean.lerp_(self.weights, share)

    def save(self):
        def apart(flat, names):
            return {n: self.view(flat, n).cpu().clone() for n in names}
        return {"state": apart(self.m, self.order), "second": apart(self.v, self.rest), "count": self.count}
