"""Training. Checkpoints every few minutes; --resume goes on from the last one, --from-gguf from shipped weights.

    python3 train.py RUN --scenes SCENES --minutes 130 --threads 2
"""

import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from batches import Packer, Shards
from evaluate import accuracy, held_out
from model import CONFIG, Eye
from muon import Optimiser
from tokenizer import Tokenizer
from world import CLASSES, COLOURS

HERE = os.path.dirname(os.path.abspath(__file__))


def patch_loss(aux, labels):
    """What the patches should know: class and colour of what covers them, its size, whether its middle is in them."""
    cls, colour, size, centre = aux.split((len(CLASSES), len(COLOURS) + 1, 4, 1), 2)
    labels = labels.long()
    weight = torch.ones(len(CLASSES))
    weight[0] = 0.3
    loss = F.cross_entropy(cls.flatten(0, 1), labels[:, 0].flatten(), weight=weight)
    weight = torch.ones(len(COLOURS) + 1)
    weight[0] = 0.3
    loss = loss + F.cross_entropy(colour.flatten(0, 1), labels[:, 1].flatten(), weight=weight)
    loss = loss + 0.5 * F.cross_entropy(size.flatten(0, 1), labels[:, 2].flatten())
    return loss + 0.5 * F.binary_cross_entropy_with_logits(centre[:, :, 0], labels[:, 3].float(),
                                                           pos_weight=torch.tensor(4.0))


def rate_at(progress, peak):
    """Warm-up over 1.5 % of the run, flat to 30 %, then a cosine to nothing."""
    if progress < 0.015:
        return peak * (progress + 0.0005) / 0.015
    if progress < 0.3:
        return peak
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - 0.3) / 0.7))))


class Run:
    def __init__(self, a):
        self.a = a
        torch.set_num_threads(a.threads)
        torch.manual_seed(a.seed)
        self.packer = Packer(Tokenizer.load(os.path.join(HERE, "tokenizer.json")))
        self.model = Eye()
        if a.from_gguf:
            from export import load_gguf
            load_gguf(self.model, *a.from_gguf)
        self.mean = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self.opt = Optimiser(self.model)
        self.step, self.spent, self.seen = 0, 0.0, 0
        self.path = os.path.join(a.run, "checkpoint.pt")
        if a.resume and os.path.exists(self.path):
            d = torch.load(self.path, map_location="cpu")
            self.model.load_state_dict(d["model"])
            self.mean, self.step, self.spent, self.seen = d["mean"], d["step"], d["spent"], d["seen"]
            self.opt.load(d["opt"])
        self.rng = np.random.default_rng([a.seed, self.step])
        self.shards = Shards(a.scenes)
        self.stream = self.shards.stream(self.rng, self.seen // 2048)

    def save(self):
        torch.save({"model": self.model.state_dict(), "mean": self.mean, "opt": self.opt.save(), "step": self.step,
                    "spent": self.spent, "seen": self.seen, "config": CONFIG}, self.path + ".tmp")
        os.replace(self.path + ".tmp", self.path)

    def batch(self):
        images, labels, rows = [], [], []
        for _ in range(self.a.batch):
            image, label, scene = next(self.stream)
            images.append(image)
            labels.append(label)
            rows.append(self.packer.row(self.rng, scene, self.a.questions if scene["kind"] in ("shapes", "mixed") else 2))
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels)), self.packer.pack(rows)

    def learn(self):
        """One step: losses on answers and patches."""
        images, labels, (tokens, positions, segments, slots, targets) = self.batch()
        want = targets >= 0
        logits, patches = self.model(images, tokens, positions, segments, slots, want)
        answer = F.cross_entropy(logits, targets[want])
        dense = patch_loss(self.model.aux(patches), labels)
        (answer + self.a.dense * dense).backward()
        progress = self.spent / (self.a.minutes * 60)
        self.opt.step(rate_at(progress, self.a.rate))
        self.step += 1
        self.seen += len(images)
        keep = min(0.998, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            for n, p in self.model.named_parameters():
                self.mean[n].lerp_(p, 1 - keep)
        return float(answer), float(dense)

    def averaged(self):
        """The model with the averaged weights."""
        model = Eye()
        model.load_state_dict(dict(self.mean))
        return model.eval()


def main():
    p = argparse.ArgumentParser(description="train the model in the box")
    p.add_argument("run", help="folder for the checkpoint and the log")
    p.add_argument("--scenes", required=True, help="folder that scenes.py draws into")
    p.add_argument("--minutes", type=float, default=130, help="length of the whole run, resumed parts included")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--questions", type=int, default=6, help="questions a picture")
    p.add_argument("--rate", type=float, default=2.5e-3)
    p.add_argument("--dense", type=float, default=0.3, help="weight of the loss on patches")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--resume", action="store_true")
    p.add_argument("--from-gguf", nargs=2, metavar=("TEXT", "MMPROJ"))
    p.add_argument("--every", type=float, default=6, help="minutes between evaluations")
    a = p.parse_args()
    os.makedirs(a.run, exist_ok=True)
    run = Run(a)
    check = held_out(256, "never", seed=11)
    last, marks = time.time(), [run.spent // (a.every * 60)]
    totals, shown = np.zeros(2), run.step
    while run.spent < a.minutes * 60:
        totals += run.learn()
        now = time.time()
        run.spent += now - last
        last = now
        if run.step % 20 == 0:
            print("step %d  %.1f min  %d pictures  answers %.4f  patches %.4f" % (
                run.step, run.spent / 60, run.seen, *(totals / max(1, run.step - shown))), flush=True)
            totals, shown = np.zeros(2), run.step
        if run.spent // (a.every * 60) > marks[-1]:
            marks.append(run.spent // (a.every * 60))
            run.save()
            table = accuracy(run.averaged(), run.packer, check)
            with open(os.path.join(a.run, "log.jsonl"), "a") as f:
                f.write(json.dumps({"step": run.step, "minutes": run.spent / 60, "seen": run.seen, "accuracy": table}) + "\n")
            print("held out: " + "  ".join("%s %.3f" % (k, v[0]) for k, v in sorted(table.items())), flush=True)
            run.spent += time.time() - last
            last = time.time()
    run.save()


if __name__ == "__main__":
    main()
