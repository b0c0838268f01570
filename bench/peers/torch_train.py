"""Training steps of PyTorch on a processor, for the engine's table.

Prints one JSON line for each case, precision and mode: the median step in ms, its first quartile, the
peak resident memory of a process that ran nothing else, versions and BLAS. With --serve it sets one
case up, says so with that line, then does a step for each line it reads and answers its milliseconds, of
the clock and of the process's processor time, so that a caller can alternate with steps of its own.

  torch_train.py --case gpt_6x256 --precision bf16 --threads 1 --steps 10 [--compile]

With --clip each example's gradient is clipped to norm 1, by Opacus: "hooks" keeps each example's gradients, "ghost"
makes their norms and a second backward pass. The cases whose weights each belong to one module can do that.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from importlib.metadata import version

os.environ.setdefault("KMP_BLOCKTIME", "1")  # other processes may want the cores

import torch
import torch.nn.functional as F
from torch import nn

GPTS = {  # layers, width, heads, vocabulary, batch, length
    "gpt_6x256": (6, 256, 8, 256, 16, 256),
    "gpt2_124m": (12, 768, 12, 50257, 4, 256),
}


class GptBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (
            part.view(b, t, self.heads, d // self.heads).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(d, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    """GPT-2: LayerNorm, learned positions, GELU, head tied to the embedding."""

    def __init__(self, layers, width, heads, vocabulary, length):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(max(length, 256), width)
        self.blocks = nn.ModuleList(GptBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def rotate(x, cosines, sines):  # halves, as in Llama
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cosines - b * sines, b * cosines + a * sines), dim=-1).type_as(x)


class LlamaBlock(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x, cosines, sines):
        b, t, d = x.shape
        n = self.norm1(x)
        q, k, v = (f(n).view(b, t, self.heads, d // self.heads).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(
            rotate(q, cosines, sines), rotate(k, cosines, sines), v, is_causal=True
        )
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        n = self.norm2(x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


class Llama(nn.Module):
    """RMSNorm, rotary positions, SwiGLU, untied head: what Covey's `transformer` is."""

    def __init__(self, layers, width, heads, vocabulary, length):
        super().__init__()
        inner = -(-8 * width // 3 // 32) * 32
        self.tokens = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(LlamaBlock(width, heads, inner) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width, 1e-5), nn.Linear(width, vocabulary, bias=False)
        half = width // heads // 2
        angles = torch.outer(torch.arange(length).float(), 10000.0 ** (-torch.arange(half).float() / half))
        self.register_buffer("cosines", angles.cos())
        self.register_buffer("sines", angles.sin())

    def forward(self, tokens):
        x = self.tokens(tokens)
        for block in self.blocks:
            x = block(x, self.cosines, self.sines)
        return self.head(self.norm(x))


def mlp():
    return nn.Sequential(nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10))


def fedavg_cnn():  # McMahan et al. 2017
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip


def cifar_cnn():  # two convolutions of 64 channels, then 384 and 192
    return nn.Sequential(
        nn.Conv2d(3, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4096, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU(), nn.Linear(192, 10),
    )  # fmt: skip


def set_up(case):
    """The model, one minibatch, and the loss of the model's output against its targets."""
    torch.manual_seed(1)
    if case in GPTS or case == "llama_6x256":
        layers, width, heads, vocabulary, batch, length = GPTS[case.replace("llama", "gpt")]
        kind = Llama if case.startswith("llama") else Gpt
        model = kind(layers, width, heads, vocabulary, length)
        # GPT-2's start. With torch's own a tied head's logits are so far apart that gradients become
        # subnormal numbers, which processors compute many times slower.
        for part in model.modules():
            if isinstance(part, (nn.Linear, nn.Embedding)):
                nn.init.normal_(part.weight, std=0.02)
        tokens = torch.randint(0, vocabulary, (batch, length + 1))
        loss = lambda y, t: F.cross_entropy(y.flatten(0, 1), t.flatten())  # noqa: E731
        return model, tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), loss
    model, shape = {
        "mlp": (mlp, (32, 784)),
        "fedavg_cnn": (fedavg_cnn, (32, 1, 28, 28)),
        "cifar_cnn": (cifar_cnn, (32, 3, 32, 32)),
    }[case]
    return model(), torch.randn(shape), torch.randint(0, 10, (32,)), F.cross_entropy


def loss_of_each(y, t):
    """Mean over the targets of each example."""
    if t.dim() == 1:
        return F.cross_entropy(y, t, reduction="none")
    return F.cross_entropy(y.transpose(1, 2), t, reduction="none").mean(dim=1)


def make_clipped_step(args):
    """As Opacus does it, without its noise and its sampling."""
    from opacus import grad_sample, optimizers

    model, inputs, targets, loss_of = set_up(args.case)
    optimizer = make_optimizer(args, model)
    settings = dict(noise_multiplier=0.0, max_grad_norm=1.0, expected_batch_size=inputs.shape[0])
    ghost = args.clip == "ghost"
    if ghost:
        wrapped = grad_sample.GradSampleModuleFastGradientClipping(model, strict=False, max_grad_norm=1.0)
        optimizer = optimizers.DPOptimizerFastGradientClipping(optimizer, **settings)
    else:
        wrapped = grad_sample.GradSampleModule(model, strict=False)
        optimizer = optimizers.DPOptimizer(optimizer, **settings)
    bf16 = args.precision == "bf16"

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            y = wrapped(inputs)
            value = loss_of_each(y, targets) if ghost else loss_of(y, targets)
        if ghost:
            value.mean().backward(retain_graph=True)
            optimizer.zero_grad()
            second = (wrapped.get_clipping_coef().to(value.device) * value).sum()
            wrapped.disable_hooks()
            second.backward()
            wrapped.enable_hooks()
        else:
            value.backward()
        optimizer.step()
        return value.mean().item()

    return step


def make_optimizer(args, model):
    if "gpt" in args.case or "llama" in args.case:
        return torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    return torch.optim.SGD(model.parameters(), lr=0.01, fused=True)


def make_step(args):
    model, inputs, targets, loss_of = set_up(args.case)
    if args.channels_last:
        model, inputs = model.to(memory_format=torch.channels_last), inputs.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(args, model)
    bf16 = args.precision == "bf16"

    def loss(x, t):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            return loss_of(model(x), t)

    if args.compile:
        loss = torch.compile(loss)

    def step():
        optimizer.zero_grad(set_to_none=True)
        value = loss(inputs, targets)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def timed(step):
    """Milliseconds of the clock, and of processor time."""
    begin, cpu = time.perf_counter(), time.process_time()
    step()
    return 1e3 * (time.perf_counter() - begin), 1e3 * (time.process_time() - cpu)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = [*GPTS, "llama_6x256", "mlp", "fedavg_cnn", "cifar_cnn"]
    parser.add_argument("--case", choices=cases, required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--clip", choices=["hooks", "ghost"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    step = make_clipped_step(args) if args.clip else make_step(args)
    for _ in range(2):
        step()
    times = [timed(step)[0] for _ in range(0 if args.serve else args.steps)]
    config = torch.__config__.show()
    print(
        json.dumps(
            {
                "name": args.case,
                "precision": args.precision,
                "threads": args.threads,
                "mode": "compile" if args.compile else "eager",
                "clip": args.clip and f"Opacus {version('opacus')} {args.clip}",
                "channels_last": args.channels_last,
                "ms_median": round(statistics.median(times), 3) if times else None,
                "ms_least": round(min(times), 3) if times else None,
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
                "torch": torch.__version__,
                "blas": "MKL" if "USE_MKL=ON" in config else "other",
                "onednn": config.split("MKL-DNN ")[1].split()[0] if "MKL-DNN " in config else "none",
                "capability": torch.backends.cpu.get_cpu_capability(),
            }
        ),
        flush=True,
    )
    if args.serve:
        for _ in sys.stdin:
            print(*(round(ms, 4) for ms in timed(step)), flush=True)


if __name__ == "__main__":
    main()
