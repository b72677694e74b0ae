"""Are the shipped files, as mote runs them, as good as the recipe says? Held-out scenes, asked of mote and of torch.

    python3 shipped.py --mote build/release/edge/mote [--scenes 40]

For F16, Q8_0 and Q4_0 (made here from F16): the share of right answers per kind of question, by both. Exit status 1 where
the two differ over all questions by more than what rounding moves: 1 % in F16 and Q8_0, 3 % in Q4_0. The block-sparse twin,
which torch does not read, is asked by mote alone, and may be 4 % behind Q8_0 (CARD.md: 0.9 and 3.5 % of 1500 questions).
"""

import argparse
import os
import sys
import tempfile

import evaluate
from batches import Packer
from export import export, load_gguf, pair
from model import CONFIG, Eye
from tokenizer import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
BEHIND = 0.04
ALLOWED = {"F16": 0.01, "Q8_0": 0.01, "Q4_0": 0.03}


def total(table):
    """Share of right answers over all kinds."""
    asked = sum(n for _, n in table.values())
    return sum(share * n for share, n in table.values()) / asked, asked


def twin_behind(mote, shipped, folder, questions, dense):
    """Whether the block-sparse twin is right less often than it may be where the dense model is in `dense`."""
    got, asked = total(evaluate.ask_mote(mote, *pair(shipped, "sparse"), folder, questions))
    print("twin: %.1f %% of %d questions right\n" % (100 * got, asked), flush=True)
    if got < dense - BEHIND - 1.5 / asked:
        print("the twin is more than %g %% behind" % (100 * BEHIND))
        return 1
    return 0


def main():
    p = argparse.ArgumentParser(description="the shipped files by mote and by torch")
    p.add_argument("--mote", required=True, help="the program")
    p.add_argument("--scenes", type=int, default=40, help="scenes in each of the two sets")
    p.add_argument("--seed", type=int, default=20)
    a = p.parse_args()
    packer = Packer(Tokenizer.load(os.path.join(HERE, "tokenizer.json")))
    shipped = os.path.dirname(HERE)
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        model = Eye()
        load_gguf(model, *pair(shipped, "F16"))
        export({n: v.detach().numpy() for n, v in model.named_parameters()}, CONFIG, work, "Q4_0")
        for kind, allowed in ALLOWED.items():
            files = pair(work if kind == "Q4_0" else shipped, kind)
            load_gguf(model, *files)
            model.eval()
            for name, held in evaluate.SETS.items():
                check = evaluate.held_out(a.scenes, held, a.seed)
                folder = os.path.join(work, name)
                by_torch = evaluate.accuracy(model, packer, check)
                by_mote = evaluate.ask_mote(a.mote, *files, folder, evaluate.write(folder, check))
                print("%s, held-out %s\n%-22s %8s %8s" % (kind, name, "kind", "torch", "mote"))
                for k in sorted(by_torch):
                    print("%-22s %6.1f %% %6.1f %%" % (k, 100 * by_torch[k][0], 100 * by_mote[k][0]))
                (want, asked), (got, _) = total(by_torch), total(by_mote)
                print("%-22s %6.1f %% %6.1f %%  of %d questions\n" % ("all", 100 * want, 100 * got, asked), flush=True)
                if abs(got - want) > max(allowed, 1.5 / asked):
                    print("%s, held-out %s: mote and torch differ by more than %g %%" % (kind, name, 100 * allowed))
                    failed = 1
                if kind == "Q8_0":
                    failed |= twin_behind(a.mote, shipped, folder, evaluate.write(folder, check), got)
    return failed


if __name__ == "__main__":
    sys.exit(main())
