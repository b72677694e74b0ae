"""Checks of the recipe itself, a minute's worth: python3 check.py"""

import argparse
import contextlib
import io
import os
import tempfile
import unittest
from unittest import mock

import numpy as np
import torch

import bridge
import feed
import gguf
import scenes
import solo
import sparse
import train
from batches import Packed, Packer
from export import export, load_gguf, pair
from model import CONFIG, Eye, shuffle
from muon import Flat, Optimiser
from questions import ASKERS, ask
from tokenizer import Tokenizer
from world import HELD_NUMBERS, HELD_PAIRS, HELD_WORDS

HERE = os.path.dirname(os.path.abspath(__file__))


def asked(**more):
    """Options of a run with producers."""
    given = dict(seed=1, batch=12, uses=2, questions=6, practise=0.25, producers=1, workers=1, threads=1, look=0.5, dense=0.3, heads_alone=0.0,
                 minutes=3, tower_minutes=0, frozen_minutes=0, mean=200, rate=1e-3, feature=0.5, layers=1.0, distil=0.7, temperature=2.0,
                 prune_every=1, density=0.5, begin=0.02, end=0.6)
    return argparse.Namespace(**dict(given, **more))


class Check(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.tokenizer = Tokenizer.load(os.path.join(HERE, "tokenizer.json"))

    def test_a_scene_is_its_seed(self):
        a, b, c = scenes.draw((3, 1)), scenes.draw((3, 1)), scenes.draw((3, 2))
        self.assertTrue((a[0] == b[0]).all() and a[1] == b[1] and (a[2] == b[2]).all())
        self.assertFalse((a[0] == c[0]).all())

    def test_blocks_go_bit_by_bit(self):
        self.assertEqual([sparse.density_at(p, 0.1, 0.6, 0.5) for p in (0.0, 0.1, 0.6, 1.0)], [1.0, 1.0, 0.5, 0.5])
        falls = [sparse.density_at(p / 20, 0.0, 1.0, 0.5) for p in range(21)]
        self.assertTrue(all(a - b > c - d for a, b, c, d in zip(falls, falls[1:], falls[1:], falls[2:])))
        w, squares = torch.randn(48, 40), torch.rand(40) + 0.1
        kept = torch.ones(3, 10, dtype=torch.bool)
        for density in (0.9, 0.5, 0.5, 0.2):
            fewer = sparse.thin(w, squares, kept, density)
            self.assertEqual(int(fewer.sum()), round(density * 30))
            self.assertFalse((fewer & ~kept).any())  # none comes back
            worth = sparse.scores(w, squares)
            self.assertGreaterEqual(float(worth[fewer].min()), float(worth[kept & ~fewer].max()) if (kept & ~fewer).any() else 0)
            kept = fewer
        self.assertAlmostEqual(float(sparse.scores(w, squares)[1, 2]), float((w[16:32, 8:12].pow(2) * squares[8:12]).sum()), 4)
        self.assertTrue(torch.equal(sparse.blocks_of(w * sparse.spread(kept)), kept))
        names = sparse.prunable(Eye())
        self.assertEqual(len(names), 4 * 7 + 6 * 6 + 1)

    def test_layers_are_held_against_the_teachers(self):
        run = sparse.SparseRun.__new__(sparse.SparseRun)
        a, b = torch.randn(4, 6), torch.randn(3, 2)
        run.layers, run.true_layers = [a, b], [a, b]
        self.assertEqual(float(run.apart()), 0)
        self.assertEqual((run.layers, run.true_layers), ([], []))
        run.layers, run.true_layers = [a + 2 * a.std(), b], [a, b]
        self.assertAlmostEqual(float(run.apart()), 4 / 2, 3)  # of two layers one, off by two deviations
        run.layers = [a]
        self.assertRaises(ValueError, run.apart)

    def test_held_out_things_are_never_trained(self):
        seen = [scenes.draw((4, i), held="never")[1] for i in range(150)]
        pairs = {(s["colour"], s["shape"]) for scene in seen for s in scene["shapes"]}
        numbers = {scene["number"]["text"] for scene in seen if scene.get("number")}
        self.assertTrue(pairs and numbers)
        self.assertFalse(pairs & HELD_PAIRS or numbers & HELD_NUMBERS)
        only = [scenes.draw((4, i), held="only")[1] for i in range(60)]
        self.assertTrue({(s["colour"], s["shape"]) for scene in only for s in scene["shapes"]} & HELD_PAIRS)

    def test_answers_agree_with_the_scene(self):
        star = {"shape": "star", "colour": "red", "size": "small", "x": 20.0, "y": 20.0, "dir": None}
        ring = {"shape": "ring", "colour": "blue", "size": "large", "x": 100.0, "y": 64.0, "dir": None}
        scene, rng = {"kind": "shapes", "shapes": [star, ring]}, np.random.default_rng(0)
        for _ in range(3000):
            kind, q, a, about = ask(rng, scene)
            ask_star, ask_ring = "the star" in q, "the ring" in q
            if kind == "colour" and (ask_star or ask_ring):
                self.assertEqual(a, "red" if ask_star else "blue", q)
            if kind == "position" and q.startswith("Where") and ask_star:
                self.assertEqual(a, "top left", q)
            if kind == "count" and "shapes" in q and "red" not in q and "blue" not in q and a != "none":
                self.assertEqual(a, "2", q)
            if kind == "relation" and q == "Is the star left of the ring?":
                self.assertEqual(a, "yes")
        self.assertEqual(set(ASKERS), set(scenes.KINDS))

    def test_text_survives_the_tokenizer(self):
        for text in ("How many red stars?", "42", "h\u00e9llo \u20ac\n\n", "<|im_start|>User:<image>a<end_of_utterance>\n"):
            self.assertEqual(self.tokenizer.decode(self.tokenizer.encode(text)), text)
        self.assertEqual(len(self.tokenizer.encode("42")), 2)
        self.assertEqual(len(self.tokenizer.tokens), CONFIG["vocab"])

    def test_pixel_shuffle_is_idefics3s(self):
        x = torch.arange(2 * 64 * 3).float().view(2, 64, 3)
        y = x.view(2, 8, 4, 6).permute(0, 2, 1, 3).reshape(2, 4, 4, 12).permute(0, 2, 1, 3).reshape(2, 16, 12)
        self.assertTrue(torch.equal(shuffle(x, 2), y))

    def test_a_packed_question_is_as_if_asked_alone(self):
        image, scene, _ = scenes.draw((5, 0), kind="shapes")
        model, packer, pictures = Eye().eval(), Packer(self.tokenizer), torch.from_numpy(image)[None]
        qs = [("a", "How many shapes?", "3"), ("b", "Where is the star?", "top left")]

        def logits(asked):
            with torch.no_grad():
                return model(pictures, packer.pack([packer.row(None, scene, len(asked), 4, asked)]))

        both, second = logits(qs), logits(qs[1:])
        self.assertTrue(torch.allclose(both[-len(second):], second, atol=1e-4))

    def test_attention_is_taught_to_look_at_what_the_words_mean(self):
        star = {"shape": "star", "colour": "red", "size": "small", "x": 20.0, "y": 40.0, "dir": None}
        ring = {"shape": "ring", "colour": "blue", "size": "large", "x": 100.0, "y": 64.0, "dir": None}
        scene, packer, rng = {"kind": "shapes", "shapes": [star, ring]}, Packer(self.tokenizer), np.random.default_rng(0)
        where = {"star": 4, "ring": 11}  # of 4 by 4 image tokens
        checked = 0
        for _ in range(200):
            row = packer.row(rng, scene, 4)
            tokens, segments, picture = row[0], row[2], row[4]
            for which, query, shares in row[6]:
                self.assertAlmostEqual(sum(shares.values()), 1.0)
                self.assertTrue(all(at < query and segments[at] in (0, segments[query]) for at in shares))
                word = self.tokenizer.decode(tokens[query:query + 1]).strip().lower()
                before = self.tokenizer.decode(tokens[query - 1:query]).strip().lower()
                if which == "thing" and word in where and before == "the":
                    self.assertEqual(shares, {picture + where[word]: 1.0})
                    checked += 1
                if which == "many" and word == "stars" and before in ("many", "the", "of"):
                    self.assertEqual(shares, {0: 0.75, picture + where["star"]: 0.25})
        self.assertGreater(checked, 50)

    def test_a_graft_gives_the_tokens_that_the_decoder_knows(self):
        drawn = [scenes.draw((6, i)) for i in range(96)]
        images, labels = torch.from_numpy(np.stack([d[0] for d in drawn])), torch.from_numpy(np.stack([d[2] for d in drawn])).long()
        model, other = Eye().eval(), Eye().eval()
        with torch.no_grad():
            other.tower.load_state_dict(model.tower.state_dict())
            other.tower.post.weight.mul_(2.0)  # the same tower, which speaks louder
            before = model.tower(images)[0]
            self.assertGreater(float(bridge.graft(model, other.tower, images, labels)), 0.99)
            self.assertLess(float((model.tower(images)[0] - before).pow(2).mean() / before.pow(2).mean()), 0.01)

    def test_words_of_numbers_can_be_told_apart(self):
        model, packer = Eye().eval(), Packer(self.tokenizer)
        labels = torch.zeros(3, scenes.PLANES, 64, dtype=torch.long)
        for i, n in enumerate((47, 74, 7)):
            labels[i, 4, 9] = 1 + n
        said = bridge.sayings(model, packer, labels)
        self.assertEqual(said.abs().sum(2).gt(0).nonzero()[:, 1].tolist(), [0, 0, 0])
        token = said[:, 0]
        self.assertGreater(float((token[0] - token[1]).norm()), 1.0)
        self.assertGreater(float((token[0] - token[2]).norm()), 0.9)

    def test_labels_say_what_is_read(self):
        for kind, key in (("number", "number"), ("gauge", "gauge")):
            _, scene, labels = scenes.draw((7, 1), kind=kind)
            want = 1 + int(scene["number"]["text"]) if kind == "number" else 101 + scene["gauge"]["value"]
            self.assertEqual(set(labels[4].tolist()) - {0}, {want}, key)

    def test_a_pair_of_files_gives_the_weights_back(self):
        model = Eye()
        weights = {n: p.detach().numpy() for n, p in model.named_parameters()}
        with tempfile.TemporaryDirectory() as folder:
            for kind, bound in (("F32", 0), ("Q8_0", 0.005), ("Q4_0", 0.13)):
                with contextlib.redirect_stdout(io.StringIO()):
                    export(weights, model.c, folder, kind)
                back = Eye()
                load_gguf(back, *pair(folder, kind))
                for n, p in back.named_parameters():
                    if not n.startswith("aux"):
                        self.assertLessEqual(np.abs(p.detach().numpy() - weights[n]).max(), bound * np.abs(weights[n]).max(), n)
            keys = gguf.Reader(pair(folder, "F32")[0]).keys
            self.assertEqual(keys["tokenizer.ggml.tokens"], self.tokenizer.tokens)

    def test_a_producers_batches_are_its_seeds(self):
        def batches(rank, count):
            made = feed.Producer(asked(), rank)
            return [made.batch()[0] for _ in range(count)], made
        with mock.patch.object(feed, "FEWEST", 6):
            (one, maker), (same, _), (other, _) = batches(0, 4), batches(0, 4), batches(1, 1)
        for a, b in zip(one, same):
            self.assertEqual(a.keys(), b.keys())
            self.assertTrue(all(np.array_equal(a[n], b[n]) for n in a))
        self.assertFalse(np.array_equal(one[0]["images"], other[0]["images"]))
        self.assertLess(maker.drawn, 48)  # some scenes were asked about twice
        self.assertEqual(len(one[0]["slots"]), 9)  # nothing is asked about the others
        shown = [made[1] for made in maker.pool + maker.crowds]
        self.assertFalse({(s["colour"], s["shape"]) for scene in shown for s in scene["shapes"]} & HELD_PAIRS)
        self.assertFalse({scene["number"]["text"] for scene in shown if scene.get("number")} & HELD_NUMBERS)
        self.assertFalse({scene["word"]["text"].lower() for scene in shown if scene.get("word")} & HELD_WORDS)

    def test_a_batch_travels_whole(self):
        arrays, sizes = feed.Producer(asked(), 0).batch()
        room = bytearray(1 << 21)
        layout, length = feed.lay(arrays, memoryview(room))
        back = feed.unfold(torch.frombuffer(room, dtype=torch.uint8)[:length], layout)
        self.assertEqual(back.keys(), arrays.keys())
        self.assertTrue(all(np.array_equal(back[n].numpy(), arrays[n]) for n in arrays))
        self.assertRaises(ValueError, feed.lay, arrays, memoryview(bytearray(1 << 10)))
        batch = Packed(back, sizes)
        self.assertTrue(torch.equal(batch.targets[batch.wanted], batch.answers))
        self.assertEqual(sum(len(p.queries) for p in batch.parts[:1]), 9)

    def test_all_in_one_tensor_is_the_same_optimiser(self):
        one, two, alike = Eye(), Eye(), lambda x: x
        two.load_state_dict(one.state_dict())
        mean = {n: p.detach().clone() for n, p in two.named_parameters()}
        plain = Optimiser(one, alike)
        flat = Flat(two, mean, Optimiser(two, alike), "cpu")
        for step in range(3):
            grads = {n: torch.randn_like(p) for n, p in one.named_parameters() if step < 2 or not n.startswith("tower.b")}
            plain.step(grads, 1e-3)
            flat.step(grads, 1e-3)
            flat.average(0.25)
        for (n, p), q in zip(one.named_parameters(), two.parameters()):
            self.assertLess(float((p - q).abs().max()), 1e-5, n)
            self.assertTrue(q.data_ptr() == flat.named[n].data_ptr() and torch.isfinite(mean[n]).all())
        saved = flat.save()
        self.assertEqual((saved["state"].keys(), saved["second"].keys()), (plain.state.keys(), plain.second.keys()))

    @unittest.skipUnless(hasattr(torch, "compile"), "older releases cannot compute so much of it without data")
    def test_no_step_waits_for_a_number(self):
        arrays, sizes = feed.Producer(asked(), 0).batch()
        for kind in (train.Run, sparse.SparseRun):
            run = object.__new__(type("Solo", (solo.Solo, kind), {}))
            run.a, run.model, run.teacher, run.step, run.seen, run.clock = asked(), Eye().to("meta"), Eye().to("meta"), 0, 0, [60.0, 0]
            run.named = dict(run.model.named_parameters())
            run.mean = {n: p.detach().clone() for n, p in run.named.items()}
            run.opt = Optimiser(run.model, lambda x: x)
            run.teacher.requires_grad_(False)
            run.kept = {n: sparse.blocks_of(run.named[n].detach()) for n in sparse.prunable(run.model)}
            run.squares, run.masks, run.layers, run.true_layers = {}, {}, [], []
            run.place(torch.device("meta"))
            run.join(0)
            # Tensors without data: reading one is an error, and so is to mix them with others.
            data = {n: torch.from_numpy(np.ascontiguousarray(v)).to("meta") for n, v in arrays.items()}
            run.feed = argparse.Namespace(next=lambda: (data["images"], data["labels"], Packed(data, sizes)))
            self.assertEqual([run.learn().shape for _ in range(3)], [(3,)] * 3)

    def test_rates_end_at_nothing(self):
        self.assertGreater(train.rate_at(0.2, 1.0), 0.99)
        self.assertLess(train.rate_at(1.0, 1.0), 0.02)


if __name__ == "__main__":
    unittest.main()
