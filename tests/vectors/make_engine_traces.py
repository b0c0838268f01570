#!/usr/bin/env python3
"""Models of transformers, PEFT and PyTorch: parameters, logits, gradients and ten optimizer steps.

Writes engine/trace_<model>.bin and engine/trace_versions.txt beside this file, in the format of
make_nn_vectors.py: u32 count; then per array u32 name bytes, name, u32 elements, f32 elements.
Parameters are in the order of Covey's table, matrices [out, in]; gradients are of what is trained.
Needs torch, transformers and peft. Running the tests does not need this script.
"""
import pathlib
import struct

import torch
import torch.nn.functional as F
from torch import nn

OUT = pathlib.Path(__file__).parent / "engine"
STEPS = 10


LLAMA = ("input_layernorm", "q_proj", "k_proj", "v_proj", "o_proj", "post_attention_layernorm", "gate_proj",
         "up_proj", "down_proj")  # a block, in the order of the table


def place(numbered):
    """Of a parameter among its model's: as transformers has them, but for the order within Llama's blocks."""
    number, (name, _) = numbered
    parts = name.replace(".base_layer", "").split(".")
    if "layers" not in parts:
        return (-1 if "embed_tokens" in parts else 1 << 20, number, 0)
    at = parts.index("layers") + 1
    return (int(parts[at]), next(i for i, p in enumerate(LLAMA) if p in parts), number)


def in_our_order(model):
    """(parameter, transposed) in the order of the table: the base, then adapters."""
    conv1d = {id(m.weight) for m in model.modules() if type(m).__name__ == "Conv1D"}
    named = list(model.named_parameters())
    if any("q_proj" in n for n, _ in named):
        named = [n for _, n in sorted(enumerate(named), key=place)]
    base = [(p, id(p) in conv1d) for n, p in named if "lora_" not in n]
    return base + [(p, False) for n, p in named if "lora_" in n]


def flat(parameters, pick=lambda p: p):
    return torch.cat([(pick(p).detach().T if t else pick(p).detach()).reshape(-1) for p, t in parameters])


def write(name, arrays):
    with open(OUT / f"trace_{name}.bin", "wb") as file:
        file.write(struct.pack("<I", len(arrays)))
        for key, values in arrays.items():
            values = values.detach().reshape(-1).float().tolist()
            file.write(struct.pack("<I", len(key)) + key.encode())
            file.write(struct.pack("<I", len(values)) + struct.pack(f"<{len(values)}f", *values))


def trace(name, model, logits_of, batches, smoothing=0.0):
    parameters = in_our_order(model)
    trained = [(p, t) for p, t in parameters if p.requires_grad]

    def loss_of(inputs, targets):
        return F.cross_entropy(logits_of(inputs), targets.reshape(-1).long(), ignore_index=-1,
                               label_smoothing=smoothing)

    arrays = {"parameters": flat(parameters)}
    for i, (inputs, targets) in enumerate(batches):
        arrays[f"inputs{i}"], arrays[f"targets{i}"] = inputs, targets
        arrays[f"logits{i}"] = logits_of(inputs)
    model.zero_grad()
    loss_of(*batches[0]).backward()
    arrays["gradients0"] = flat(trained, lambda p: p.grad)
    # A large epsilon: the bias of GPT-2's keys has no gradient but rounding, which a small one blows up.
    optimizer = torch.optim.AdamW([p for p, _ in trained], lr=0.01, betas=(0.9, 0.95), eps=1e-4, weight_decay=0.1)
    losses, norms = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(*batches[step % len(batches)])
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_([p for p, _ in trained], 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    arrays["losses"], arrays["norms"] = torch.tensor(losses), torch.tensor(norms)
    arrays["trained_after"] = flat(trained)
    write(name, arrays)


def token_batches(vocabulary):
    batches = []
    for count, length in ((3, 8), (2, 5)):
        tokens = torch.randint(vocabulary, (count, length + 1))
        targets = tokens[:, 1:].clone()
        targets[0, :2] = -1
        batches.append((tokens[:, :-1], targets))
    return batches


def shake(model):
    """Larger than transformers' initial values, so that every part of the gradient can be seen."""
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0, 0.1 if p.dim() == 1 else 0.25)
    return model.eval()


def llama(tied):
    from transformers import LlamaConfig, LlamaForCausalLM

    return shake(LlamaForCausalLM(LlamaConfig(
        vocab_size=24, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8, rms_norm_eps=1e-5, rope_theta=5000.0,
        tie_word_embeddings=tied, attn_implementation="eager")))


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    return shake(GPT2LMHeadModel(GPT2Config(
        vocab_size=24, n_embd=16, n_layer=2, n_head=2, n_positions=8, n_inner=32, attn_implementation="eager")))


def cifar():  # refs: two convolutions, then two hidden layers, the second of half the width
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 5),
    )  # fmt: skip


def separable():
    """A convolution, then a depth-wise separable one; group norms over 8 channels."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.GroupNorm(1, 8), nn.ReLU(),
        nn.Conv2d(8, 16, 1), nn.GroupNorm(2, 16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 5),
    )  # fmt: skip


def image_batches(channels):
    return [(torch.randn(n, channels, 8, 8), torch.randint(5, (n,))) for n in (6, 3)]


def language(model):
    return lambda tokens: model(input_ids=tokens.long()).logits.flatten(0, 1)


def adapted(base, targets):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(base, LoraConfig(r=2, lora_alpha=6, target_modules=targets, lora_dropout=0.0)).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_" in n:
                p.normal_(0, 0.3)
    return model


def main():
    import peft
    import transformers

    torch.manual_seed(3)
    torch.set_num_threads(1)
    model = gpt2()
    trace("gpt2", model, language(model), token_batches(24))
    model = llama(tied=False)
    trace("llama", model, language(model), token_batches(24), smoothing=0.1)
    model = llama(tied=True)
    trace("llama_tied", model, language(model), token_batches(24))
    model = adapted(llama(tied=False), ["q_proj", "down_proj"])
    trace("llama_lora", model, language(model), token_batches(24))
    model = adapted(gpt2(), ["c_attn"])
    trace("gpt2_lora", model, language(model), token_batches(24))
    for name, model, channels in (("cifar", cifar(), 3), ("separable", separable(), 2)):
        trace(name, model, model, image_batches(channels))
    (OUT / "trace_versions.txt").write_text(
        f"make_engine_traces.py, seed 3: torch {torch.__version__}, transformers {transformers.__version__}, "
        f"peft {peft.__version__}\n")


if __name__ == "__main__":
    main()
