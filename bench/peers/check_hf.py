#!/usr/bin/env python3
"""Makes random GPT-2 and Llama models with `transformers`, has covey-engine-files read and write them, and opens
what it wrote in `transformers`, `peft` and `gguf`: weights, logits, token ids and adapters must be equal.

usage: check_hf.py COVEY-ENGINE-FILES   (pip install torch transformers tokenizers safetensors peft gguf)
"""
import subprocess
import sys

from checking import each_case, expect, made

import gguf
import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast


def logits(model, tokens):
    with torch.no_grad():
        return model.float()(tokens).logits


def same_weights(a, b):
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def unpaired(tensor, heads):
    """Rows of pairs (llama.cpp) back to rotate-half order."""
    rows, columns = tensor.shape
    return tensor.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


GGUF_ROLES = {
    "token_embd": "token_embedding", "position_embd": "position_embedding", "output_norm": "final_norm",
    "output": "head", "attn_norm": "attention_norm", "attn_output": "attention_out", "attn_q": "query",
    "attn_k": "key", "attn_v": "value", "ffn_norm": "ffn_norm", "ffn_gate": "ffn_gate", "ffn_up": "ffn_up",
    "ffn_down": "ffn_down",
}  # fmt: skip


def check_gguf(path, model, dtype, tokenizer):
    reader = gguf.GGUFReader(path)
    expected = made.roles(model)
    config = model.config
    got = {}
    for tensor in reader.tensors:
        data = tensor.data
        if tensor.tensor_type == gguf.GGMLQuantizationType.BF16:
            data = (np.frombuffer(data.tobytes(), "<u2").astype(np.uint32) << 16).view(np.float32)
            data = data.reshape(list(reversed(tensor.shape.tolist())))
        data = np.array(data, dtype=np.float32)
        layer, name = ("", tensor.name)
        if name.startswith("blk."):
            _, layer, name = name.split(".", 2)
            layer = "." + layer
        stem, kind = name.rsplit(".", 1)
        bias = "_bias" if kind == "bias" else ""
        if stem == "attn_qkv":
            for n, role in enumerate(("query", "key", "value")):
                width = data.shape[0] // 3
                got[role + bias + layer] = data[n * width : (n + 1) * width]
            continue
        if stem in ("attn_q", "attn_k"):
            heads = config.num_attention_heads if stem == "attn_q" else config.num_key_value_heads
            data = unpaired(data, heads)
        got[GGUF_ROLES[stem] + bias + layer] = data
    expect(f"gguf {dtype}: the same {len(expected)} tensors", got.keys() == expected.keys())
    exact = True
    for name, value in expected.items():
        vector = value.dim() == 1 or name == "position_embedding"
        kind = {"F16": torch.float16, "BF16": torch.bfloat16}.get(dtype, torch.float32)
        wanted = value if vector else value.to(kind).float()
        exact &= got[name].shape == tuple(wanted.shape) and np.array_equal(got[name], wanted.numpy())
    expect(f"gguf {dtype}: equal values after rounding", exact)
    field = reader.get_field("tokenizer.ggml.tokens")
    tokens = [bytes(field.parts[i]).decode() for i in field.data]
    expect("gguf: the tokenizer's tokens", tokens[: len(tokenizer)] == tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    expect("gguf: a token for each row", len(tokens) == config.vocab_size)
    architecture = config.model_type
    expect("gguf: layers", int(reader.get_field(f"{architecture}.block_count").contents()) == config.num_hidden_layers)


def check_model(program, folder, kind, tokenizer, shard, dtype, changes):
    print(f"{kind} {dtype}, files of {shard} bytes, {changes}")
    model = made.random_model(kind, **changes).to(getattr(torch, dtype))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    source, target = folder / "source", folder / "target"
    model.save_pretrained(source, max_shard_size=shard)
    fast.save_pretrained(source)
    subprocess.run([program, "rewrite", source, target, str(shard)], check=True)
    again = AutoModelForCausalLM.from_pretrained(target, dtype=getattr(torch, dtype))
    expect("weights equal in transformers", same_weights(model, again))
    fields = ["vocab_size", "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "num_hidden_layers"]
    fields += ["layer_norm_epsilon", "activation_function", "n_inner", "n_positions"] if kind == "gpt2" else []
    fields += ["rms_norm_eps", "rope_parameters", "hidden_act", "head_dim", "num_key_value_heads"] if kind == "llama" else []
    def field(config, name):
        value = getattr(config, name)
        return config.n_embd * 4 if name == "n_inner" and value is None else value

    different = [f for f in fields if field(model.config, f) != field(again.config, f)]
    expect(f"configuration equal {different}", not different)
    expect("dtype kept", again.dtype == model.dtype)
    tokens = torch.randint(0, model.config.vocab_size, (2, 12), generator=torch.Generator().manual_seed(3))
    read = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)  # .to() above rounded rotary buffers too
    expect("logits equal", torch.equal(logits(read, tokens), logits(again, tokens)))
    texts = made.nasty_strings(300, 21)
    opened = AutoTokenizer.from_pretrained(target)
    same = all(opened(t)["input_ids"] == fast(t)["input_ids"] for t in texts)
    expect("AutoTokenizer gives equal ids", same)
    for gguf_dtype in ("F32", "F16", "BF16"):
        subprocess.run([program, "gguf", source, folder / f"{gguf_dtype}.gguf", gguf_dtype], check=True)
        check_gguf(folder / f"{gguf_dtype}.gguf", model.float(), gguf_dtype, fast)
    return source


def check_adapter(program, folder, kind, source):
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    targets = ["c_attn", "c_proj", "c_fc"] if kind == "gpt2" else ["q_proj", "k_proj", "o_proj", "gate_proj", "down_proj"]
    settings = LoraConfig(r=4, lora_alpha=6, target_modules=targets, fan_in_fan_out=kind == "gpt2", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    adapted.save_pretrained(folder / "adapter")
    tokens = torch.randint(0, model.config.vocab_size, (1, 9), generator=torch.Generator().manual_seed(4))
    wanted = logits(adapted.eval(), tokens)
    subprocess.run([program, "adapter", folder / "adapter", source, folder / "adapter2"], check=True)
    base = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    again = PeftModel.from_pretrained(base, folder / "adapter2").eval()
    expect("peft opens the adapter with equal logits", torch.equal(wanted, logits(again, tokens)))


def main():
    program = sys.argv[1]
    cases = [
        ("gpt2", "gpt2", 5_000_000_000, "float32", {}),
        ("gpt2", "gpt2", 20_000, "float16", {"tie_word_embeddings": False, "n_inner": 40}),
        ("llama", "llama3", 5_000_000_000, "float32", {}),
        ("llama", "llama3", 9_000, "bfloat16", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
        ("llama", "llama3", 30_000, "float32", {"num_key_value_heads": 4, "rms_norm_eps": 1e-5}),
    ]

    def check(folder, kind, tokenizer, shard, dtype, changes):
        source = check_model(program, folder, kind, tokenizer, shard, dtype, changes)
        check_adapter(program, folder, kind, source)

    each_case(cases, check)


if __name__ == "__main__":
    main()
