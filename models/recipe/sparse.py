"""A block-sparse twin of a trained model: its blocks go bit by bit while it learns from the dense one.

    python3 sparse.py RUN --teacher ../dense/checkpoint.pt --scenes SCENES --practice PRACTICE --minutes 120
    python3 export.py RUN/checkpoint.pt RUN --kinds F16
    mote sparsify RUN/mote-eye-f16.gguf TWIN.gguf --method zeros --type int8

Gradual pruning (Zhu and Gupta 2017, arXiv 1710.01878): the density falls along a cubic, fast at first and ever slower, while
the blocks that are left go on learning. Blocks of 16 rows by 4 columns, as int8 kernels want them, the same share in every
matrix; what goes are the blocks with the least sum of (weight x norm of its input)^2. A block that is gone stays gone. The dense
model teaches: its answers' distributions, what comes out of each of its layers, and what its tower makes of the pictures.
"""

import os

import torch
import torch.nn.functional as F

import solo
import train
from evaluate import load
from model import Eye

ROWS, COLS = 16, 4


def prunable(model):
    """The matrices that lose blocks: those of the blocks, and the projection. The embedding, which is also the output, stays."""
    return [n for n, p in model.named_parameters() if p.dim() == 2 and (".blocks." in "." + n or n == "tower.project.weight")
            and p.shape[0] % ROWS == 0 and p.shape[1] % COLS == 0]


def density_at(progress, begin, end, final):
    """1 until `begin`, `final` from `end` on, between them a cubic whose slope becomes 0."""
    t = min(1.0, max(0.0, (progress - begin) / (end - begin)))
    return final + (1 - final) * (1 - t) ** 3


def scores(weight, squares):
    """What each block is worth, [rows / ROWS, cols / COLS]."""
    r, c = weight.shape
    return (weight.pow(2) * squares).view(r // ROWS, ROWS, c // COLS, COLS).sum((1, 3))


def thin(weight, squares, kept, density):
    """The blocks that stay of those that are `kept`: exactly the share `density` of all, where there are as many."""
    worth = scores(weight, squares).masked_fill(~kept, -1.0).flatten()
    left = torch.zeros(kept.numel(), dtype=torch.bool, device=kept.device)
    left.scatter_(0, worth.topk(round(density * kept.numel())).indices, True)
    return left.view_as(kept) & kept


def spread(kept):
    """A mask of blocks as one of weights."""
    return kept.repeat_interleave(ROWS, 0).repeat_interleave(COLS, 1)


def blocks_of(weight):
    """The blocks that hold anything but zeros."""
    r, c = weight.shape
    return (weight != 0).view(r // ROWS, ROWS, c // COLS, COLS).any(3).any(1)


class SparseRun(train.Run):
    def __init__(self, a):
        super().__init__(a)
        self.teacher = load(gguf=a.teacher) if len(a.teacher) == 2 else load(checkpoint=a.teacher[0])
        self.teacher.requires_grad_(False)
        if self.step == 0:
            with torch.no_grad():
                for n, p in self.teacher.named_parameters():
                    self.named[n].copy_(p)
                    self.mean[n].copy_(p)
        self.bridged = True
        self.kept = {n: self.shared(blocks_of(self.named[n].detach())) for n in prunable(self.model)}
        self.squares, self.masks = {}, {}
        self.layers, self.true_layers = [], []

    def place(self, device):
        super().place(device)
        self.teacher.to(device)
        self.kept = {n: k.to(device) for n, k in self.kept.items()}

    def join(self, rank):
        super().join(rank)
        for model, out in ((self.model, self.layers), (self.teacher, self.true_layers)):
            for block in [*model.tower.blocks, *model.blocks]:
                block.register_forward_hook(lambda _, inputs, x, out=out: out.append(x[0] if isinstance(x, tuple) else x))
        modules = dict(self.model.named_modules())
        for n in self.kept:
            modules[n[:-len(".weight")]].register_forward_pre_hook(lambda _, inputs, n=n: self.watch(n, inputs[0]))

    @torch.no_grad()
    def watch(self, name, x):
        """Keeps a running mean of the squares of what a matrix is multiplied with; of a producer's large batches, only before
        blocks go."""
        if not self.model.training or (self.a.producers and (self.step + 1) % self.a.prune_every):
            return
        now = x.flatten(0, -2).pow(2).mean(0)
        self.squares[name] = now if name not in self.squares else self.squares[name].lerp_(now, 0.5 if self.a.producers else 0.05)

    def apart(self):
        """How far the layers' outputs are from the teacher's, of their variance, since the last call."""
        if len(self.layers) != len(self.true_layers):
            raise ValueError("the twin went through %d layers, the teacher through %d" % (len(self.layers), len(self.true_layers)))
        far = sum(F.mse_loss(x, true) / true.var() for x, true in zip(self.layers, self.true_layers)) / len(self.layers)
        self.layers.clear()
        self.true_layers.clear()
        return far

    def loss(self, images, labels, batch):
        self.layers.clear()
        self.true_layers.clear()
        pictures, patches = self.model.tower(images)
        with torch.no_grad():
            true_pictures, true_patches = self.teacher.tower(images)
        seen = F.mse_loss(pictures, true_pictures) / true_pictures.var() + F.mse_loss(patches, true_patches) / true_patches.var()
        dense = train.patch_loss(self.model.aux(patches), labels)
        loss = self.a.feature * seen + self.a.dense * dense
        answer = taught = torch.zeros((), device=images.device)
        if batch:
            logits, look = self.model.read(pictures[:len(batch.slots)], batch)
            with torch.no_grad():
                said = self.teacher.read(true_pictures[:len(batch.slots)], batch)[0]
            t = self.a.temperature
            taught = F.kl_div(F.log_softmax(logits / t, 1), F.log_softmax(said / t, 1), reduction="batchmean", log_target=True) * t * t
            answer = F.cross_entropy(logits, batch.answers)
            loss = loss + self.a.distil * taught + (1 - self.a.distil) * answer + self.a.look * look
        loss = loss + self.a.layers * self.apart()
        return loss, torch.stack((answer, taught, seen)).detach()

    def density(self):
        return density_at(self.progress(), self.a.begin, self.a.end, self.a.density)

    def settle(self, names):
        """Takes blocks away from this worker's matrices, and keeps at zero what is gone."""
        prune = self.step % self.a.prune_every == 0
        names = [n for n in names if n in self.kept]
        for n in names:
            if prune and n in self.squares:
                self.kept[n].copy_(thin(self.named[n], self.squares[n], self.kept[n], self.density()))
                self.masks.pop(n, None)
            if n not in self.masks:
                self.masks[n] = spread(self.kept[n]).float()
        for weights in (self.named, self.mean):  # few operations on a GPU
            torch._foreach_mul_([weights[n] for n in names], [self.masks[n] for n in names])

    def report(self, check):
        left = sum(int(k.sum()) for k in self.kept.values()) / sum(k.numel() for k in self.kept.values())
        print("blocks left: %.4f" % left)
        super().report(check)


def main():
    p = train.options("train a block-sparse twin of a trained model")
    p.add_argument("--teacher", required=True, nargs="+", metavar="FILE",
                   help="the dense model, which is also where the twin starts: a checkpoint, or the two files TEXT MMPROJ")
    p.add_argument("--density", type=float, default=0.5, help="share of the blocks that is left in the end")
    p.add_argument("--begin", type=float, default=0.02, help="share of the run after which blocks begin to go")
    p.add_argument("--end", type=float, default=0.6, help="share of the run after which none goes any more")
    p.add_argument("--prune-every", type=int, default=10, help="steps between two times that blocks go")
    p.add_argument("--distil", type=float, default=0.7, help="share of the loss on answers that is the teacher's, and not the truth's")
    p.add_argument("--temperature", type=float, default=2.0, help="at which the teacher's answers are softened")
    p.add_argument("--layers", type=float, default=1.0, help="weight of the loss on what comes out of each layer")
    p.add_argument("--feature", type=float, default=0.5, help="weight of the loss on what the tower makes of pictures")
    p.set_defaults(tower_minutes=0.0, frozen_minutes=0.0, rate=8e-4, dense=0.1)
    a = train.parsed(p)
    if len(a.teacher) > 2:
        p.error("--teacher: one checkpoint or the two files TEXT MMPROJ, not %d files" % len(a.teacher))
    train.train(solo.start(SparseRun, a))


if __name__ == "__main__":
    main()
