"""Export to a pair of GGUF files that engines with idefics3 support run: the text model and its mmproj.

    python3 export.py CHECKPOINT OUT --kinds F16 Q8_0 Q4_0      writes mote-eye-f16.gguf, mmproj-mote-eye-f16.gguf, ...
"""

import argparse
import os

import numpy as np
import torch

import gguf
from model import CONFIG
from tokenizer import TEMPLATE, SPECIALS, Tokenizer
from world import PATCH, SIZE

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT_BLOCK = {"attn_norm": "norm1", "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "out", "ffn_norm": "norm2",
              "ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down"}
VIT_BLOCK = {"ln1": "ln1", "ln2": "ln2", "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_out": "out", "ffn_up": "up",
             "ffn_down": "down"}


def text_names(c):
    """GGUF name to parameter name, for the text file."""
    names = {"token_embd.weight": "embed", "output_norm.weight": "norm.weight"}
    for i in range(c["layers"]):
        for theirs, ours in TEXT_BLOCK.items():
            names["blk.%d.%s.weight" % (i, theirs)] = "blocks.%d.%s.weight" % (i, ours)
    return names


def vision_names(c):
    """GGUF name to parameter name, for the mmproj."""
    names = {"v.patch_embd.weight": "tower.patch.weight", "v.patch_embd.bias": "tower.patch.bias",
             "v.position_embd.weight": "tower.position", "v.post_ln.weight": "tower.post.weight",
             "v.post_ln.bias": "tower.post.bias", "mm.model.fc.weight": "tower.project.weight"}
    for i in range(c["vit_layers"]):
        for theirs, ours in VIT_BLOCK.items():
            for part in ("weight", "bias"):
                names["v.blk.%d.%s.%s" % (i, theirs, part)] = "tower.blocks.%d.%s.%s" % (i, ours, part)
    return names


def general(kind, what, file_kind):
    return {"general.architecture": kind, "general.type": what, "general.name": "mote eye", "general.basename": "mote-eye",
            "general.license": "apache-2.0", "general.size_label": "4.6M", "general.file_type": gguf.FILE_TYPES[file_kind],
            "general.quantization_version": 2}


def text_keys(c, tokenizer, kind):
    t = tokenizer.ids
    keys = general("llama", "model", kind)
    keys.update({
        "llama.vocab_size": c["vocab"], "llama.context_length": c["context"], "llama.embedding_length": c["dim"],
        "llama.block_count": c["layers"], "llama.feed_forward_length": c["ff"], "llama.attention.head_count": c["heads"],
        "llama.attention.head_count_kv": c["kv_heads"], "llama.attention.layer_norm_rms_epsilon": c["eps"],
        "llama.rope.dimension_count": c["dim"] // c["heads"], "llama.rope.freq_base": c["theta"],
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": tokenizer.tokens,
        "tokenizer.ggml.token_type": [3 if s in SPECIALS else 1 for s in tokenizer.tokens],
        "tokenizer.ggml.merges": [" ".join(m) for m in tokenizer.merges],
        "tokenizer.ggml.bos_token_id": t["<|im_start|>"], "tokenizer.ggml.eos_token_id": t["<end_of_utterance>"],
        "tokenizer.ggml.padding_token_id": t["<|endoftext|>"], "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE})
    return keys


def vision_keys(c, kind):
    """No preproc_image_size: an engine then makes one view of a picture and does not cut it into slices."""
    keys = general("clip", "mmproj", kind)
    keys.update({
        "clip.has_vision_encoder": True, "clip.projector_type": "idefics3", "clip.use_gelu": True,
        "clip.vision.image_size": SIZE, "clip.vision.patch_size": PATCH, "clip.vision.embedding_length": c["vit"],
        "clip.vision.feed_forward_length": c["vit_ff"], "clip.vision.block_count": c["vit_layers"],
        "clip.vision.projection_dim": c["dim"], "clip.vision.attention.head_count": c["vit_heads"],
        "clip.vision.attention.layer_norm_epsilon": c["ln_eps"], "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5], "clip.vision.projector.scale_factor": c["scale"]})
    return keys


def kind_of(name, x, kind):
    """The type a tensor is stored in: vectors and positions stay F32, the patch kernel is never quantised."""
    if x.ndim == 1 or name == "v.position_embd.weight":
        return "F32"
    if name == "v.patch_embd.weight" and kind not in ("F32", "F16"):
        return "F16"
    return kind


def pair(folder, kind, name="mote-eye"):
    tag = "%s-%s.gguf" % (name, kind.lower())
    return os.path.join(folder, tag), os.path.join(folder, "mmproj-" + tag)


def export(weights, c, folder, kind, name="mote-eye"):
    """Writes one pair from {parameter: array}; each file appears whole or not at all."""
    tokenizer = Tokenizer.load(os.path.join(HERE, "tokenizer.json"))
    files = zip(pair(folder, kind, name), (text_names(c), vision_names(c)), (text_keys(c, tokenizer, kind), vision_keys(c, kind)))
    for path, names, keys in files:
        tensors = {}
        for theirs, ours in names.items():
            x = weights[ours]
            if theirs == "v.patch_embd.weight":
                x = x.reshape(c["vit"], 3, PATCH, PATCH)
            tensors[theirs] = (x, kind_of(theirs, x, kind))
        gguf.write(path + ".tmp", keys, tensors)
        os.replace(path + ".tmp", path)
        print("%s  %d bytes" % (path, os.path.getsize(path)))


def load_gguf(model, text, mmproj):
    """Puts the weights of a pair of files into a model; the training heads keep what they have."""
    params = dict(model.named_parameters())
    for path, names in ((text, text_names(model.c)), (mmproj, vision_names(model.c))):
        tensors = gguf.Reader(path).tensors
        for theirs, ours in names.items():
            with torch.no_grad():
                params[ours].copy_(torch.from_numpy(tensors[theirs].reshape(params[ours].shape).copy()))


def main():
    p = argparse.ArgumentParser(description="export to GGUF")
    p.add_argument("checkpoint")
    p.add_argument("out")
    p.add_argument("--kinds", nargs="+", default=["F16", "Q8_0"], choices=list(gguf.TYPES))
    a = p.parse_args()
    d = torch.load(a.checkpoint, map_location="cpu")
    os.makedirs(a.out, exist_ok=True)
    weights = {n: v.detach().numpy().astype(np.float32) for n, v in d["mean"].items()}
    for kind in a.kinds:
        export(weights, dict(CONFIG, **d["config"]), a.out, kind)


if __name__ == "__main__":
    main()
