"""Producers: processes that draw scenes, ask about them and pack batches, for one process that learns (--producers).

Each keeps the scenes that it drew last and asks about them anew, some times each, as drawing takes ten times as long as asking.
What a producer makes is its seed's and its number's alone; which producer's batch comes next is not.
"""

import atexit
import math
import mmap
import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import threading
import time

import numpy as np
import torch

import scenes
from batches import Packed, Packer, numbers
from questions import LATE
from tokenizer import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
# What training draws, per kind of scene: more than evaluation of what takes long to learn.
MIX = {"shapes": 0.62, "number": 0.11, "word": 0.13, "gauge": 0.02, "bars": 0.05, "mixed": 0.07}
POOL = 2048  # scenes that a producer keeps
FEWEST = 256  # as long as it has fewer, it draws
SLOTS = 2  # batches that each producer may be ahead
AHEAD = 3  # batches that wait on the device
ALIGN = 64  # bytes


class Producer:
    """Makes batches without end, number `rank` of several."""

    def __init__(self, a, rank):
        self.a, self.rank, self.drawn, self.pool, self.crowds = a, rank, 0, [], []
        self.rng = np.random.default_rng([a.seed, 31, rank])
        self.packer = Packer(Tokenizer.load(os.path.join(HERE, "tokenizer.json")), LATE)

    def take(self, pool, kinds, shares):
        """A scene that is new, or one of the pool's."""
        if len(pool) >= FEWEST and self.rng.random() > 1.0 / self.a.uses:
            return pool[int(self.rng.integers(len(pool)))]
        self.drawn += 1
        # Evaluation's seeds are three numbers long, those of shards too.
        made = scenes.draw((self.a.seed, 555, self.rank, self.drawn), kind=kinds[int(self.rng.choice(len(kinds), p=shares))])
        if len(pool) < POOL:
            pool.append(made)
        else:
            pool[int(self.rng.integers(POOL))] = made
        return made

    def batch(self):
        """Arrays of a batch and the sizes of its parts; nothing is asked about the crowded scenes, which are the last."""
        size, rows = self.a.batch, []
        crowded = round(size * self.a.practise)
        shares = np.array(list(MIX.values())) / sum(MIX.values())
        made = [self.take(self.pool, list(MIX), shares) for _ in range(size - crowded)]
        for _, scene, _ in made:
            many = scene["kind"] in ("shapes", "mixed")
            rows.append(self.packer.row(self.rng, scene, self.a.questions if many else 3))
        made += [self.take(self.crowds, ["practice"], [1.0]) for _ in range(crowded)]
        arrays, sizes = numbers(rows)
        arrays["images"], arrays["labels"] = np.stack([m[0] for m in made]), np.stack([m[2] for m in made])
        return arrays, sizes


def lay(arrays, room):
    """Puts arrays into a buffer; where each is: (name, type, shape, offset), and the length of all."""
    layout, end = [], 0
    for name, x in arrays.items():
        if end + x.nbytes > len(room):
            raise ValueError("a batch needs more than the %d bytes of its slot" % len(room))
        np.frombuffer(room, np.uint8, x.nbytes, end)[:] = np.ascontiguousarray(x).view(np.uint8).reshape(-1)
        layout.append((name, x.dtype.name, x.shape, end))
        end = -(-(end + x.nbytes) // ALIGN) * ALIGN
    return layout, min(end, len(room))


def unfold(flat, layout):
    """The tensors of a buffer, {name: tensor}, without a copy; flat: uint8."""
    return {name: flat[at:at + math.prod(shape) * np.dtype(kind).itemsize].view(getattr(torch, kind)).view(shape)
            for name, kind, shape, at in layout}


def produce(a, rank, room, free, ready):
    """The life of a producer: batches into the free slots of its memory, until the process that learns has gone."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the process that learns decides when to stop
    os.nice(5)  # and goes first
    parent, producer, size = os.getppid(), Producer(a, rank), len(room) // SLOTS
    while True:
        arrays, sizes = producer.batch()
        while not free.poll(1.0):
            if os.getppid() != parent:
                return
        slot = free.recv()
        layout, length = lay(arrays, memoryview(room)[slot * size:(slot + 1) * size])
        ready.send((slot, layout, sizes, length))


class Feed:
    """The batches of `a.producers` processes, on a device, made ready by a thread while the last one is computed.

    Processes are forked: it must be made before torch computes anything or finds a GPU. They share plain memory with this
    process, one slot for each batch under way, which needs no file.
    """

    def __init__(self, a):
        fork = multiprocessing.get_context("fork")
        self.size = a.batch * (65536 + 6144 * a.questions)
        self.free, self.ready, self.rooms, self.all = [], [], [], []
        for rank in range(a.producers):
            room = mmap.mmap(-1, SLOTS * self.size)
            free, give = fork.Pipe(duplex=False)
            take, ready = fork.Pipe(duplex=False)
            p = fork.Process(target=produce, args=(a, rank, room, free, ready), daemon=True)
            p.start()
            free.close()
            ready.close()  # so that the end of the process is the end of the pipe
            for slot in range(SLOTS):
                give.send(slot)
            self.rooms.append(room)
            self.free.append(give)
            self.ready.append(take)
            self.all.append(p)
        atexit.register(self.stop)  # before multiprocessing waits for them
        self.waited, self.queue, self.device, self.stopped = 0.0, queue.Queue(AHEAD), None, False

    def start(self, device):
        self.device = torch.device(device)
        threading.Thread(target=self.carry, daemon=True).start()

    def arrivals(self):
        """(slot's memory, layout, sizes, what to call when it has been read) of one batch after the other."""
        open_pipes = list(self.ready)
        while open_pipes:
            for pipe in multiprocessing.connection.wait(open_pipes):
                try:
                    slot, layout, sizes, length = pipe.recv()
                except (EOFError, OSError):
                    open_pipes.remove(pipe)
                    if not self.stopped:
                        print("a producer has ended", flush=True)
                    continue
                rank = self.ready.index(pipe)
                data = torch.from_numpy(np.frombuffer(self.rooms[rank], np.uint8, length, slot * self.size))
                yield data, layout, sizes, lambda rank=rank, slot=slot: self.give_back(rank, slot)
        raise RuntimeError("no producer is left")

    def give_back(self, rank, slot):
        try:
            self.free[rank].send(slot)
        except OSError:
            pass  # its process has ended, which arrivals() will notice

    def carry(self):
        try:
            if self.device.type == "cuda":
                self.carry_to_gpu()
            for data, layout, sizes, done in self.arrivals():
                flat = data.clone()
                done()
                self.queue.put((flat, layout, sizes, None))
        except BaseException as e:  # a thread's error would go unseen
            self.queue.put(e)

    def carry_to_gpu(self):
        """By way of pinned memory and a stream of its own, so that neither the copy nor this thread holds up the GPU."""
        stream = torch.cuda.Stream(self.device)
        pinned = [torch.empty(self.size, dtype=torch.uint8).pin_memory() for _ in range(2)]
        copied = [None, None]
        for number, (data, layout, sizes, done) in enumerate(self.arrivals()):
            k = number % 2
            if copied[k] is not None:
                copied[k].synchronize()
            pinned[k][:len(data)].copy_(data)
            done()
            with torch.cuda.stream(stream):
                flat = pinned[k][:len(data)].to(self.device, non_blocking=True)
                copied[k] = stream.record_event()
            self.queue.put((flat, layout, sizes, copied[k]))

    def next(self):
        """Pictures, their labels, and the questions about the first of them."""
        start = time.time()
        got = self.queue.get()
        self.waited += time.time() - start
        if isinstance(got, BaseException):
            raise got
        flat, layout, sizes, copied = got
        if copied is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_event(copied)
            flat.record_stream(here)  # its memory was taken on the other stream
        tensors = unfold(flat, layout)
        return tensors["images"], tensors["labels"], Packed(tensors, sizes)

    def stop(self):
        self.stopped = True
        for p in self.all:
            p.kill()
