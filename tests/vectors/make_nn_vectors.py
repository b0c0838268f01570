#!/usr/bin/env python3
"""Whole models in PyTorch: parameters, logits, losses, gradients and ten optimizer steps.

Writes nn/<model>.bin and nn/versions.txt beside this file. Each .bin is a list of named arrays:
  u32 count; then per array: u32 name bytes, name, u32 elements, f32 little-endian elements.
Integers (tokens, classes) are stored as f32; all are small enough to be exact.
Needs PyTorch. Running the tests does not need this script.
"""
import math
import pathlib
import struct
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

OUT = pathlib.Path(__file__).parent / "nn"
STEPS = 10


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def rope(x):  # [B, T, H, Dh]; pairs (i, i + Dh/2)
    length, half = x.shape[1], x.shape[3] // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    cos, sin = (f(angle).float()[None, :, None, :] for f in (torch.cos, torch.sin))
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Block(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.input_layernorm = RmsNorm(width)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(width, width, bias=False) for _ in range(4))
        self.post_attention_layernorm = RmsNorm(width)
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        batch, length, width = x.shape
        h = self.input_layernorm(x)
        q, k, v = (p(h).view(batch, length, self.heads, -1)
                   for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (t.transpose(1, 2) for t in (rope(q), rope(k), v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(width // self.heads)
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.o_proj(y)
        h = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))


class Transformer(nn.Module):  # parameters in the order of the parameter table
    def __init__(self, vocabulary, width, heads, inner, layers):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Block(width, heads, inner) for _ in range(layers))
        self.norm = RmsNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.norm(x)).flatten(0, 1)


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.fc1 = nn.Linear(6 * 2 * 3, 16)
        self.fc2 = nn.Linear(16, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def mlp():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 5))


def flat(tensors):
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def trace(name, model, batches, optimizer, clip=0.0, rates=None):
    """Two batches in turn, the second shorter than the first."""
    arrays = {"parameters": flat(model.parameters())}
    for i, (inputs, targets) in enumerate(batches):
        arrays[f"inputs{i}"], arrays[f"targets{i}"] = inputs, targets
        model.zero_grad()
        logits = model(inputs)
        F.cross_entropy(logits, targets.reshape(-1).long(), ignore_index=-1).backward()
        arrays[f"logits{i}"] = logits
        arrays[f"gradients{i}"] = flat(p.grad for p in model.parameters())
    losses, norms = [], []
    for step in range(STEPS):
        inputs, targets = batches[step % len(batches)]
        if rates:
            optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets.reshape(-1).long(), ignore_index=-1)
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), clip or 1e30).item())
        optimizer.step()
        losses.append(loss.item())
    arrays["losses"], arrays["norms"] = torch.tensor(losses), torch.tensor(norms)
    arrays["parameters_after"] = flat(model.parameters())
    with open(OUT / f"{name}.bin", "wb") as file:
        file.write(struct.pack("<I", len(arrays)))
        for key, values in arrays.items():
            values = values.detach().reshape(-1).tolist()
            file.write(struct.pack("<I", len(key)) + key.encode())
            file.write(struct.pack("<I", len(values)) + struct.pack(f"<{len(values)}f", *values))


def classification(shape, classes):
    batches = []
    for count in (6, 3):
        batches.append((torch.randn(count, *shape), torch.randint(classes, (count,))))
    return batches


def cosine(rate, warmup, final):
    """The schedule of TrainSpec at progress = step / STEPS."""
    rates = []
    for step in range(STEPS):
        p = step / STEPS
        factor = p / warmup if p < warmup else final + (1 - final) * 0.5 * (
            1 + math.cos(math.pi * (p - warmup) / (1 - warmup)))
        rates.append(rate * factor)
    return rates


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(1)
    torch.set_num_threads(1)

    model = Transformer(vocabulary=32, width=16, heads=2, inner=32, layers=2)
    for p in model.parameters():
        nn.init.normal_(p, 1.0 if p.dim() == 1 else 0.0, 0.1 if p.dim() == 1 else 0.25)
    batches = []
    for count, length in ((3, 8), (2, 5)):
        tokens = torch.randint(32, (count, length + 1))
        targets = tokens[:, 1:].clone()
        targets[0, :2] = -1
        batches.append((tokens[:, :-1], targets))
    trace("transformer", model, batches,
          torch.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1),
          clip=1.0, rates=cosine(0.01, 0.2, 0.1))

    model = Cnn()
    trace("cnn", model, classification((2, 8, 12), 5),
          torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01))

    model = mlp()
    trace("mlp", model, classification((12,), 5),
          torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01))

    (OUT / "versions.txt").write_text(
        f"Made by make_nn_vectors.py with torch {torch.__version__} and Python "
        f"{sys.version.split()[0]}, seed 1.\n")


if __name__ == "__main__":
    main()
