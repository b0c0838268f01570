#!/usr/bin/env python3
"""Writes tests/vectors/engine/: files of the Python libraries that core/data must read, and what they mean.

Needs: pip install torch transformers tokenizers safetensors peft (versions.txt names those that were used).
Each part is one function; `make_engine_files.py NAME ...` runs those named, without names all.
"""
import json
import pathlib
import shutil
import sys

FOLDER = pathlib.Path(__file__).parent / "engine"


def fresh(name):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def versions():
    import importlib.metadata as metadata

    names = ["torch", "transformers", "tokenizers", "safetensors", "peft", "gguf"]
    (FOLDER / "versions.txt").write_text("".join(f"{n} {metadata.version(n)}\n" for n in names))


def halves():
    """Floats and what torch narrows them to: f32 bits, f16 bits, bf16 bits, little-endian."""
    import numpy as np
    import torch

    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**32, 400, dtype=np.uint32)
    near = np.float32(2.0) ** rng.integers(-26, 17, 400).astype(np.float32)
    near *= rng.uniform(-2, 2, 400).astype(np.float32)
    ties = (rng.integers(0, 2**15, 200, dtype=np.uint32) * 2 + 1) << 15
    edge = np.array([65504, 65519.99, 65520, 65536, 2**-24, 2**-25, 3 * 2**-26, 2**-14, 0, -0.0], dtype=np.float32)
    values = np.concatenate([bits.view(np.float32), near, ties.astype(np.uint32).view(np.float32), edge])
    values = values[~np.isnan(values)].astype(np.float32)
    tensor = torch.from_numpy(values)
    rows = [
        values.view(np.uint32),
        tensor.half().view(torch.int16).numpy().astype(np.uint16).astype(np.uint32),
        tensor.bfloat16().view(torch.int16).numpy().astype(np.uint16).astype(np.uint32),
    ]
    np.stack(rows, 1).astype("<u4").tofile(FOLDER / "halves.bin")


def shards():
    """A state dict in several files with an index, as huggingface_hub writes it, of every dtype we read."""
    import torch
    from huggingface_hub import save_torch_state_dict

    torch.manual_seed(1)
    tensors = {
        "f32": torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8,
        "f16": torch.tensor([[1.5, -2], [65504, 2**-24]], dtype=torch.float16),
        "bf16": torch.tensor([1, -3.140625, 2.0**127], dtype=torch.bfloat16),
        "i8": torch.tensor([-128, 0, 127], dtype=torch.int8),
        "i32": torch.tensor([-(2**31), 7, 2**24 + 1], dtype=torch.int32),
        "i64": torch.tensor([-5, 2**53], dtype=torch.int64),
        "bool": torch.tensor([True, False]),
    }
    save_torch_state_dict(tensors, fresh("shards"), max_shard_size=40)


PARTS = [versions, halves, shards]

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for part in PARTS:
        if len(sys.argv) == 1 or part.__name__ in sys.argv[1:]:
            part()
