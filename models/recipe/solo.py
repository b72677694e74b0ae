"""A run of one process on one device, a GPU as a rule, fed by producers (feed.py): train.py and sparse.py with --producers.

Nothing in a step waits for a number from the device: how far a run is, it knows by the clock, and what it prints it asks for
every few seconds.
"""

import math
import signal
import time

import numpy as np
import torch

import scenes
from evaluate import held_out
from feed import Feed
from muon import Flat
from train import rate_at

SHOW = 5.0  # seconds between two lines of the log


class Solo:
    """Stands before a train.Run among the bases of a class: the same run, but for where batches come from and who computes."""

    def __init__(self, a):
        a.workers = 1
        self.feed = Feed(a)  # first, as it forks
        super().__init__(a)
        self.place(torch.device(a.device))
        self.feed.start(a.device)

    def place(self, device):
        """Moves the run to its device. There matrices are multiplied in TF32: its range is that of float32, and weights,
        sums and the optimiser's state stay in float32."""
        torch.set_float32_matmul_precision("high")
        self.device = device
        self.opt = Flat(self.model, self.mean, self.opt, device)
        super().place(device)

    def open(self, rank):
        pass  # the feed brings the scenes

    def pictures(self):
        return self.labelled()[0]

    def labelled(self):
        drawn = [scenes.draw((self.a.seed, 556, 0, 1 + i)) for i in range(1024)]
        return tuple(torch.from_numpy(np.stack([d[i] for d in drawn])) for i in (0, 2))

    def averaged(self):
        return super().averaged().to(self.device)

    def learn(self):
        images, labels, batch = self.feed.next()
        seeing = self.part()
        loss, told = self.loss(images, labels, None if seeing else batch)
        loss.backward()
        self.opt.step({n: p.grad for n, p in self.named.items() if p.grad is not None}, rate_at(self.progress(), self.a.rate))
        for p in self.named.values():
            p.grad = None
        self.step += 1
        self.seen += len(images)
        self.opt.average(1 - self.keep())
        with torch.no_grad():
            self.settle(list(self.named))
        return told

    def lead(self):
        self.join(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stop", True))
        a, check = self.a, held_out(self.a.check, "never", seed=11)
        totals = self.learn()  # what a first step sets up is no training
        totals.tolist()
        last, mark = time.time(), float(self.clock[0]) // (a.every * 60)
        self.clear(last)
        while not self.stop and float(self.clock[0]) < a.minutes * 60:
            totals = self.learn() if self.step == self.shown[0] else totals + self.learn()
            now = time.time()
            self.clock[0] += now - last
            last = now
            if now - self.shown[2] >= SHOW:
                self.show(totals, now)
            if not self.bridged and float(self.clock[0]) >= a.tower_minutes * 60:
                self.bridge()
            if float(self.clock[0]) // (a.every * 60) > mark:
                mark = float(self.clock[0]) // (a.every * 60)
                self.save()
                self.report(check)
                last = time.time()  # an evaluation is no training
                self.clear(last)
        self.save()
        self.report(check)
        self.feed.stop()

    def clear(self, now):
        """The log's next line begins: step, pictures, time, and how long it has waited for the producers."""
        self.shown = (self.step, self.seen, now, self.feed.waited)

    def show(self, totals, now):
        step, seen, then, waited = self.shown
        said = (totals / (self.step - step)).tolist()
        if not all(math.isfinite(v) for v in said):
            raise RuntimeError("step %d: the losses are %s; what was saved before stays" % (self.step, said))
        took = time.time() - then  # the list is there when the device has done all this
        print("step %d  %.2f min  %d pictures  answers %.4f  looks %.4f  patches %.4f  %.0f pictures/s  %.1f steps/s  "
              "waited for producers %.0f %%" % (self.step, self.clock[0] / 60, self.seen, *said, (self.seen - seen) / took,
                                                (self.step - step) / took, 100 * (self.feed.waited - waited) / took), flush=True)
        self.clear(time.time())


def start(kind, a):
    """A run of class `kind` as the options say: alone on a device, or several workers on the CPU."""
    return type("Solo" + kind.__name__, (Solo, kind), {})(a) if a.producers else kind(a)
