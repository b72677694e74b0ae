"""Training. Checkpoints every few minutes and when told to stop (SIGTERM, Ctrl-C); --resume goes on from the last one, --from-gguf from shipped weights.

    python3 train.py RUN --scenes SCENES --minutes 130 --workers 2
    python3 train.py RUN --device cuda --producers 14 --batch 256 --minutes 3 --from-gguf TEXT MMPROJ     see solo.py
"""

import argparse
import functools
import json
import math
import multiprocessing
import os
import signal
import time

import numpy as np
import torch
import torch.nn.functional as F

import bridge
from batches import Packer, Shards
from evaluate import accuracy, held_out
from model import AUX, CONFIG, Eye
from muon import Optimiser
from tokenizer import Tokenizer
from world import GRID

HERE = os.path.dirname(os.path.abspath(__file__))


def wheres():
    """For each patch its place among the nine, its row and its column, from 1."""
    row, col = torch.arange(GRID).repeat_interleave(GRID), torch.arange(GRID).repeat(GRID)
    row3, col3 = ((2 * v + 1) * 3 // (2 * GRID) for v in (row, col))
    return torch.stack((row3 * 3 + col3, row, col)) + 1


WHERES = wheres()


@functools.lru_cache(None)
def wheres_on(device):
    return WHERES.to(device)


def read_off(labels):
    """For each patch the tens (10: none) and the units of the number on it, and a gauge's value; -100 where there is none."""
    n, gauge = labels - 1, labels > 100
    none = torch.full_like(n, -100)
    number = (labels > 0) & ~gauge
    tens = torch.where(n < 10, torch.full_like(n, 10), torch.div(n, 10, rounding_mode="floor"))
    return torch.where(number, tens, none), torch.where(number, n % 10, none), torch.where(gauge, labels - 101, none)


def patch_loss(aux, labels):
    """What the patches should know: class and colour of what covers them, its size, whether its middle is in them, and the
    whole of a number or a gauge's value.

    A patch with the middle of a thing counts most: it is the one that can see all of it. Nothing here waits for a GPU.
    """
    cls, colour, size, *middles, tens, units, value = aux.flatten(0, 1).split(AUX, 1)
    labels = labels.long().transpose(1, 2).flatten(0, 1)
    weight = (0.6 + 3.0 * labels[:, 3].float()).masked_fill(labels[:, 0] == 0, 0.2)
    weight = weight / weight.mean()
    loss = (F.cross_entropy(cls, labels[:, 0], reduction="none") * weight).mean()
    loss = loss + (F.cross_entropy(colour, labels[:, 1], reduction="none") * weight).mean()
    loss = loss + 0.5 * (F.cross_entropy(size, labels[:, 2], reduction="none") * weight).mean()
    true = [labels[:, 0], labels[:, 1]] + [w.repeat(len(labels) // len(w)) for w in wheres_on(labels.device)]
    for share, said, what in zip((0.8, 0.6, 0.6, 0.3, 0.3), middles, true):
        there = said.new_full((said.shape[1],), 4.0)
        there[0] = 1.0
        loss = loss + share * F.cross_entropy(said, labels[:, 3] * what, weight=there)
    for said, true in zip((tens, units, value), read_off(labels[:, 4])):
        loss = loss + 0.4 * F.cross_entropy(said, true, reduction="sum") / (true >= 0).sum().clamp_min(1)
    return loss


@torch.no_grad()
def patches_right(model, images, labels):
    """The shares of patches of which the training heads say what is so: those with a middle, and all of numbers and gauges."""
    patches = torch.cat([model.tower(part)[1] for part in images.split(64)])
    cls, colour, _, *middles, tens, units, value = model.aux(patches).flatten(0, 1).split(AUX, 1)
    labels = labels.long().transpose(1, 2).flatten(0, 1)
    middle, what = labels[:, 3] == 1, labels[:, 0]
    shape, digit = middle & (what > 0) & (what <= 10), middle & (what > 10) & (what <= 20)
    ten, unit, reading = read_off(labels[:, 4])
    number, gauge = ten >= 0, reading >= 0
    where = wheres_on(labels.device)[0].repeat(len(labels) // WHERES.shape[1])
    pairs = {"place": (middles[2][middle], where[middle]), "thing": (middles[0][shape], what[shape]),
             "shape": (cls[shape], what[shape]), "colour": (colour[shape], labels[shape, 1]), "digit": (cls[digit], what[digit]),
             "tens": (tens[number], ten[number]), "units": (units[number], unit[number]), "gauge": (value[gauge], reading[gauge])}
    return {k: float((said.argmax(1) == true).float().mean()) for k, (said, true) in pairs.items() if len(true)}


def rate_at(progress, peak):
    """Warm-up over 1.5 % of the run, flat to 30 %, then a cosine to nothing."""
    if progress < 0.015:
        return peak * (progress + 0.0005) / 0.015
    if progress < 0.3:
        return peak
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - 0.3) / 0.7))))


class Run:
    """What the workers share: parameters, their running mean, the optimiser's state, gradients, and a clock."""

    def __init__(self, a):
        self.a = a
        torch.set_num_threads(a.threads)
        torch.manual_seed(a.seed)
        self.packer = Packer(Tokenizer.load(os.path.join(HERE, "tokenizer.json")))
        self.model = Eye()
        if not a.resume and not a.from_gguf:
            self.model.tower.whiten(self.pictures())
        if a.from_gguf:
            from export import load_gguf
            load_gguf(self.model, *a.from_gguf)
        self.path = os.path.join(a.run, "checkpoint.pt")
        old = torch.load(self.path, map_location="cpu") if a.resume and os.path.exists(self.path) else None
        if old:
            self.model.load_state_dict(old["model"])
        self.shared = torch.Tensor.share_memory_ if a.workers > 1 else lambda x: x
        for p in self.model.parameters():
            self.shared(p.data)
        self.named = dict(self.model.named_parameters())
        self.mean = {n: (old["mean"][n] if old else p.detach()).clone() for n, p in self.named.items()}
        self.mean = {n: self.shared(x) for n, x in self.mean.items()}
        self.opt = Optimiser(self.model, self.shared)
        self.step, self.seen, self.stop, self.bridged = 0, 0, False, bool(a.from_gguf)
        self.clock = self.shared(torch.zeros(2, dtype=torch.float64))  # seconds spent, and 1 to stop
        if old:
            self.opt.load(old["opt"])
            self.step, self.seen, self.clock[0], self.bridged = old["step"], old["seen"], old["spent"], old["bridged"]
        if a.tower:
            other = Eye()
            other.load_state_dict(dict(torch.load(a.tower, map_location="cpu")["mean"]))
            with torch.no_grad():
                self.model.aux.load_state_dict(other.aux.state_dict())
            self.bridge(other.tower)
        self.grads = self.shared(torch.zeros(a.workers, sum(p.numel() for p in self.named.values())))
        self.barrier = None if a.producers else multiprocessing.get_context("fork").Barrier(a.workers)

    def join(self, rank):
        """Makes this process worker number `rank`."""
        torch.set_num_threads(self.a.threads)
        self.rank = rank
        self.open(rank)

    def open(self, rank):
        """Where this worker's scenes come from."""
        self.rng = np.random.default_rng([self.a.seed, self.step, rank])
        self.stream = Shards(self.a.scenes).stream(self.rng, self.seen // 2048, rank, self.a.workers)
        self.practice = Shards(self.a.practice).stream(self.rng, 0, rank, self.a.workers) if self.a.practice else None

    def pictures(self):
        """Some pictures from which the patch embedding starts."""
        return Shards(self.a.scenes).sample(1024)

    def labelled(self):
        """Some pictures and their labels."""
        shards = Shards(self.a.scenes)
        shards.refresh()
        images, labels, _ = shards.images(shards.paths[-1])
        return torch.from_numpy(np.array(images[:1024])), torch.from_numpy(labels[:1024])

    def save(self):
        def apart(d):
            return {n: v.detach().cpu().clone() for n, v in d.items()}
        torch.save({"model": apart(self.model.state_dict()), "mean": apart(self.mean), "opt": self.opt.save(), "step": self.step,
                    "spent": float(self.clock[0]), "seen": self.seen, "bridged": self.bridged, "config": CONFIG}, self.path + ".tmp")
        os.replace(self.path + ".tmp", self.path)
        if self.a.export:
            from export import export
            os.makedirs(self.a.export, exist_ok=True)
            export({n: v.detach().cpu().numpy() for n, v in self.mean.items()}, CONFIG, self.a.export, "F16")

    def place(self, device):
        """What else a run that computes elsewhere than on the CPU takes there."""

    def batch(self, ask, practise):
        """Pictures, their labels, and questions about the first of them, or None; the others are for practice."""
        size = self.a.batch // self.a.workers
        share = (self.a.practise if ask else 0.5) if practise and self.practice else 0.0
        images, labels, rows = [], [], []
        for i in range(size):
            if i >= round(size * (1 - share)):
                image, label, _ = next(self.practice)
            else:
                image, label, scene = next(self.stream)
                while scene["kind"] == "shapes" and self.rng.random() < self.a.thin:
                    image, label, scene = next(self.stream)
                if ask:
                    count = self.a.questions * (1 if practise else 2)
                    rows.append(self.packer.row(self.rng, scene, count if scene["kind"] in ("shapes", "mixed") else 3))
            images.append(image)
            labels.append(label)
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels)), self.packer.pack(rows) if rows else None

    def progress(self):
        """The share of the run that is over."""
        return float(self.clock[0]) / (self.a.minutes * 60)

    def loss(self, images, labels, batch):
        """What is to become less, and its parts for people: losses on answers, on where attention looks, and on patches."""
        pictures, patches = self.model.tower(images)
        answer = look = dense = torch.zeros((), device=images.device)
        if batch:
            logits, look = self.model.read(pictures[:len(batch.slots)], batch)
            answer = F.cross_entropy(logits, batch.answers)
        loss = answer + self.a.look * look
        if not self.model.tower.frozen:
            alone = self.progress() < self.a.heads_alone
            dense = patch_loss(self.model.aux(patches.detach() if alone else patches), labels)
            loss = loss + self.a.dense * dense
        return loss, torch.stack((answer, look, dense)).detach()

    def settle(self, names):
        """After a step: what else becomes of the parameters `names`, which this worker has just moved."""

    def part(self):
        """Whether the tower learns alone, the first part of a run; in the second, it is frozen."""
        spent = float(self.clock[0]) / 60
        seeing = spent < self.a.tower_minutes
        self.model.tower.frozen = not seeing and spent < self.a.frozen_minutes
        return seeing

    def keep(self):
        """The share of the running mean that a step leaves."""
        return min(1 - 1 / self.a.mean, (1 + self.step) / (20 + self.step))

    def learn(self):
        """One step together with the other workers."""
        seeing = self.part()
        loss, told = self.loss(*self.batch(not seeing, not self.model.tower.frozen))
        loss.backward()
        names = [n for n, p in self.named.items() if p.grad is not None]
        size = sum(self.named[n].numel() for n in names)
        torch.cat([self.named[n].grad.flatten() for n in names], out=self.grads[self.rank, :size])
        for p in self.named.values():
            p.grad = None
        self.barrier.wait()
        mean = self.grads[:, :size].mean(0).split([self.named[n].numel() for n in names])
        grads = {n: g.view_as(self.named[n]) for n, g in zip(names, mean)}
        self.opt.step(grads, rate_at(self.progress(), self.a.rate), self.rank, self.a.workers)
        self.step += 1
        self.seen += self.a.batch // self.a.workers * self.a.workers
        keep = self.keep()
        mine = self.opt.mine(self.rank, self.a.workers)
        with torch.no_grad():
            for n in mine:
                self.mean[n].lerp_(self.named[n], 1 - keep)
            self.settle(mine)
        self.barrier.wait()
        return told

    def averaged(self):
        """The model with the averaged weights."""
        model = Eye()
        model.load_state_dict(dict(self.mean))
        return model.eval()

    def follow(self, rank):
        """What every worker but the first does."""
        self.join(rank)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # the first worker decides when to stop
        while not self.clock[1]:
            self.learn()
            self.barrier.wait()

    @torch.no_grad()
    def bridge(self, tower=None):
        """Once the tower has learned alone: lets the decoder start from what it sees, or from what another tower does."""
        device = next(self.model.parameters()).device
        images, labels = (x.to(device) for x in self.labelled())
        labels = labels.long()
        if tower:
            bridge.graft(self.model, tower, images, labels)
        bridge.speak(self.model, self.packer, images, labels)
        for n, p in self.named.items():
            self.mean[n].copy_(p)
            if tower or not n.startswith("tower.b"):
                self.opt.state[n].zero_()
        self.bridged = True

    def lead(self):
        """The first worker: also keeps the clock, prints, evaluates and saves."""
        self.join(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stop", True))
        a, check = self.a, held_out(256, "never", seed=11)
        last, mark = time.time(), float(self.clock[0]) // (a.every * 60)
        totals, shown = torch.zeros(3), self.step
        while not self.clock[1]:
            totals += self.learn()
            if self.step % 20 == 0:
                print("step %d  %.1f min  %d pictures  answers %.4f  looks %.4f  patches %.4f" % (
                    self.step, self.clock[0] / 60, self.seen, *(totals / max(1, self.step - shown)).tolist()), flush=True)
                totals, shown = torch.zeros(3), self.step
            if float(self.clock[0]) // (a.every * 60) > mark:
                mark = float(self.clock[0]) // (a.every * 60)
                self.save()
                self.clock[0] += time.time() - last
                self.report(check)
                last = time.time()  # an evaluation is no training
            if not self.bridged and float(self.clock[0]) >= a.tower_minutes * 60:
                self.bridge()
            self.clock[0] += time.time() - last
            last = time.time()
            self.clock[1] = float(self.clock[0] > a.minutes * 60 or self.stop)
            self.barrier.wait()
        self.save()
        self.report(check)

    def report(self, check):
        model = self.averaged()
        table = accuracy(model, self.packer, check)
        device = next(model.parameters()).device
        patches = patches_right(model, torch.from_numpy(check[0]).to(device), torch.from_numpy(check[3]).to(device))
        with open(os.path.join(self.a.run, "log.jsonl"), "a") as f:
            f.write(json.dumps({"step": self.step, "minutes": float(self.clock[0]) / 60, "seen": self.seen, "accuracy": table, "patches": patches}) + "\n")
        print("held out: " + "  ".join("%s %.3f" % (k, v[0]) for k, v in sorted(table.items())))
        print("patches:  " + "  ".join("%s %.3f" % v for v in patches.items()), flush=True)


def options(description):
    """The options of a run."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("run", help="folder for the checkpoint and the log")
    p.add_argument("--scenes", help="folder that scenes.py draws into; with --producers, not needed")
    p.add_argument("--practice", help="folder of crowded scenes for the tower alone")
    p.add_argument("--minutes", type=float, default=130, help="length of the whole run, resumed parts included")
    p.add_argument("--tower-minutes", type=float, default=40, help="of these, minutes in which the tower learns alone")
    p.add_argument("--frozen-minutes", type=float, default=60, help="after those, until when the decoder learns alone")
    p.add_argument("--thin", type=float, default=0.3, help="share of the scenes of plain shapes that are passed over")
    p.add_argument("--practise", type=float, default=0.3, help="share of crowded scenes while tower and decoder learn together")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--questions", type=int, default=6, help="questions a picture")
    p.add_argument("--rate", type=float, default=2.5e-3)
    p.add_argument("--mean", type=float, default=500, help="steps over which the exported weights are averaged")
    p.add_argument("--dense", type=float, default=0.3, help="weight of the loss on patches")
    p.add_argument("--look", type=float, default=0.5, help="weight of the loss on where attention looks")
    p.add_argument("--workers", type=int, default=2, help="processes that share each batch")
    p.add_argument("--threads", type=int, default=1, help="threads of each of them")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--resume", action="store_true")
    p.add_argument("--from-gguf", nargs=2, metavar=("TEXT", "MMPROJ"))
    p.add_argument("--tower", metavar="CHECKPOINT", help="start with the tower of another run, which learned beside this one")
    p.add_argument("--every", type=float, default=6, help="minutes between evaluations")
    p.add_argument("--check", type=int, default=256, help="scenes of each evaluation")
    p.add_argument("--export", metavar="FOLDER", help="write a pair of F16 files there whenever the run is saved")
    p.add_argument("--heads-alone", type=float, default=0.0,
                   help="share of the run in which the loss on patches teaches its heads alone: as long as these are new, they would mislead the tower")
    p.add_argument("--device", default="cpu", help="where one process computes; anything but the CPU needs --producers")
    p.add_argument("--producers", type=int, default=0, help="processes that draw scenes and pack batches, instead of --workers")
    p.add_argument("--uses", type=float, default=4, help="with --producers, how often a scene is asked about")
    return p


def parsed(p):
    """The options given, where they go together."""
    a = p.parse_args()
    if not a.producers and a.device != "cpu":
        p.error("--device %s needs --producers" % a.device)
    if not a.producers and not a.scenes:
        p.error("--scenes or --producers is needed")
    os.makedirs(a.run, exist_ok=True)
    return a


def train(run):
    """A run, from here to its end."""
    others = [multiprocessing.get_context("fork").Process(target=run.follow, args=(r,), daemon=True) for r in range(1, run.a.workers)]
    for p in others:
        p.start()
    run.lead()
    for p in others:
        p.join()


def main():
    import solo
    train(solo.start(Run, parsed(options("train the model in the box"))))


if __name__ == "__main__":
    main()
