#!/usr/bin/env python3
"""Makes random GPT-2 and Llama models with `transformers`, and has the program `covey` evaluate, continue, adapt and
export them: logits, text and weights must be those of `transformers` and `peft`.

usage: check_files.py COVEY   (pip install torch transformers tokenizers safetensors peft gguf)
"""
import json
import subprocess
import sys

from checking import each_case, expect, made

import gguf
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

TEXT = "The coordinator sums what the clients send, and learns no more than the sum. " * 40
TOLERANCE = 1e-4


def covey(program, *arguments):
    done = subprocess.run([program, *map(str, arguments), "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr)
        sys.exit(f"covey {' '.join(map(str, arguments))} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[0])


def logits_of(model, tokens):
    with torch.no_grad():
        return model.float().eval()(tokens).logits


def furthest(program, folder, source, model, name, *more):
    """What covey computes for the first windows, against `model`; returns covey's mean loss."""
    out = folder / f"{name}.logits"
    found = covey(program, "evaluate", "--model", source, "--data", folder / "tokens", "--format", "tokens", "--logits", out, *more)
    tensors = load_file(out)
    wanted = logits_of(model, tensors["tokens"].long())
    distance = (wanted - tensors["logits"]).abs().max().item()
    expect(f"{name}: logits within {distance:.1e} of transformers' (at most {TOLERANCE})", distance < TOLERANCE)
    return found["loss"]


def check(program, folder, kind, tokenizer, changes):
    print(kind, changes)
    source = folder / "source"
    made.random_model(kind, **changes).save_pretrained(source)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.save_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    (folder / "text.txt").write_text(TEXT)
    covey(program, "tokenize", folder / "text.txt", "--tokenizer", source, "-o", folder / "tokens")

    loss = furthest(program, folder, source, model, "evaluate")
    ids = torch.tensor([tokenizer.encode(TEXT, add_special_tokens=False).ids])
    context = min(model.config.max_position_embeddings, 1024)
    if ids.shape[1] > context:
        first = covey(program, "evaluate", "--model", source, "--data", folder / "text.txt", "--format", "text")
        expect("text and tokens have the same loss", abs(first["loss"] - loss) < 1e-9)

    prompt = "The coordinator"
    beginning = torch.tensor([fast(prompt)["input_ids"]])
    count = min(8, context - beginning.shape[1])
    with torch.no_grad():
        wanted = model.generate(beginning, max_new_tokens=count, do_sample=False, pad_token_id=0)[0, beginning.shape[1] :]
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    kept = [t for t in wanted.tolist() if t not in ends]
    text = covey(program, "generate", "--model", source, "--prompt", prompt, "--tokens", count, "--temperature", 0)["text"]
    expect("generate --temperature 0 is transformers' greedy text", text == fast.decode(kept, skip_special_tokens=True))

    covey(program, "export", "--model", source, "--to", "hf", "--file-size-max", "16 KiB", "-o", folder / "hf")
    again = AutoModelForCausalLM.from_pretrained(folder / "hf", dtype=torch.float32).eval()
    expect("export: equal logits in transformers", torch.equal(logits_of(model, ids[:, :context]), logits_of(again, ids[:, :context])))
    expect("export: several files", (folder / "hf/model.safetensors.index.json").exists())
    covey(program, "export", "--model", source, "--to", "gguf", "--dtype", "f32", "-o", folder / "model.gguf")
    expect("export: gguf has the embedding", any(t.name == "token_embd.weight" for t in gguf.GGUFReader(folder / "model.gguf").tensors))

    targets = ["c_attn", "c_proj", "c_fc"] if kind == "gpt2" else ["q_proj", "v_proj", "gate_proj", "down_proj"]
    settings = LoraConfig(r=4, lora_alpha=6, target_modules=targets, fan_in_fan_out=kind == "gpt2", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    adapted.save_pretrained(folder / "adapter")
    with_adapter = furthest(program, folder, source, adapted, "adapter", "--adapter", folder / "adapter")
    expect("the adapter changes the loss", with_adapter != loss)
    covey(program, "export", "--model", source, "--adapter", folder / "adapter", "-o", folder / "merged")
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32).eval()
    distance = (logits_of(merged, ids[:, :context]) - logits_of(adapted, ids[:, :context])).abs().max().item()
    expect(f"export: merged adapter within {distance:.1e} of peft's logits", distance < TOLERANCE)


def main():
    cases = [
        ("gpt2", "gpt2", {"n_positions": 64}),
        ("gpt2", "gpt2", {"n_positions": 64, "tie_word_embeddings": False, "n_inner": 40, "layer_norm_epsilon": 1e-3}),
        ("llama", "llama3", {"max_position_embeddings": 64}),
        ("llama", "llama3", {"max_position_embeddings": 64, "num_key_value_heads": 1, "rms_norm_eps": 1e-2}),
    ]
    each_case(cases, lambda *case: check(sys.argv[1], *case))


if __name__ == "__main__":
    main()
