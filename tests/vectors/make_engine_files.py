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


def tokenizers_trained():
    """Two small tokenizers, trained on this repository's documents: GPT-2's kind and Llama 3's kind."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    llama3 = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    root = pathlib.Path(__file__).parents[2]
    texts = [f.read_text()[:20000] for f in sorted((root / "docs").glob("*.md"))[:8]]
    texts += ["der Müller grüßt, l'été, où ça; привет мир, 你好世界, ١٢٣ ٤٥٦, नमस्ते\r\n\r\n" * 40]
    made = {}
    for name in ("gpt2", "llama3"):
        tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=name == "gpt2")
        split = pre_tokenizers.Split(Regex(llama3), "isolated")
        whole = byte_level if name == "gpt2" else pre_tokenizers.Sequence([split, byte_level])
        tokenizer.pre_tokenizer = whole
        tokenizer.decoder = decoders.ByteLevel()
        special = ["<|endoftext|>"] if name == "gpt2" else []
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.train_from_iterator(
            texts, trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
        )
        if name == "llama3":
            tokenizer.add_special_tokens(["<|begin_of_text|>", "<|eot|>", "<|eot|>x"])
            tokenizer.add_tokens([AddedToken("wörd", normalized=True), AddedToken("wö", normalized=True)])
            begin = tokenizer.token_to_id("<|begin_of_text|>")
            around = processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                special_tokens=[("<|begin_of_text|>", begin)],
            )
            tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), around])
        else:
            tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        made[name] = tokenizer
    return made


def nasty_strings(count, seed):
    """Texts that cut in awkward places: cases of contractions, every kind of space, marks, joiners, astral
    characters, added tokens and their beginnings, all at random."""
    import random

    rng = random.Random(seed)
    pools = [
        ["the", "Federated", "training", "an", "é", "über", "naïve", "ŉ", "ǅ", "ſ", "ß", "ﬆ", "İ", "ı", "K", "ª", "ʰ"],
        ["'s", "'S", "'ſ", "'t", "'RE", "'re", "'Ve", "'m", "'lL", "'LL", "'d", "'", "’s", "''s", "'l", "'r"],
        [" ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "\x0b", "\x1c"],
        ["1", "12", "1234", "3.14", "²", "½", "Ⅷ", "٤", "१", "𝟗", "፳", "〇"],
        [".", ",", "!!", "...", "#", "::", "{", "}", "\\", '"', "—", "€", "😀", "👩‍👩‍👧", "🏳️‍🌈", "\u200b", "\u0301", "̈", "؟", "\x00", "\x7f"],
        ["привет", "мир", "你好", "世界", "こんにちは", "안녕", "नमस्ते", "ไทย", "עברית", "العربية", "𐍈", "𒀀", "ꙮ"],
        ["<|endoftext|>", "<|end", "<|eot|>", "<|eot|>x", "<|begin_of_text|>", "wörd", "wö", "wör", "<", "|>"],
    ]
    texts = []
    for i in range(count):
        parts = []
        for _ in range(rng.randint(0, 14)):
            if rng.random() < 0.12:
                c = rng.choice([rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x110000)])
                parts.append(chr(c) if not 0xD800 <= c <= 0xDFFF else "x")
            else:
                parts.append(rng.choice(rng.choice(pools)))
            if rng.random() < 0.3:
                parts.append(" ")
        texts.append("".join(parts))
    return texts


def tokenizers():
    folder = fresh("tokenizers")
    texts = nasty_strings(160, 3) + ["", " ", "'s", "\n \n", "a" * 300, "ab" * 200, " " * 70 + "x", "x" + "\n" * 60]
    cases = {"texts": texts}
    for name, tokenizer in tokenizers_trained().items():
        (folder / f"{name}.json").write_text(tokenizer.to_str(pretty=False))
        cases[name] = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        cases[name + "_document"] = tokenizer.encode(texts[5]).ids
    (folder / "cases.json").write_text(json.dumps(cases, ensure_ascii=True, separators=(",", ":")))


def random_model(kind, **changes):
    """A GPT-2 or Llama of transformers with every parameter random, norms and biases too."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    if kind == "gpt2":
        sizes = dict(vocab_size=40, n_embd=8, n_layer=2, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=1)
        model = GPT2LMHeadModel(GPT2Config(**{**sizes, **changes}))
    else:
        sizes = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4)
        sizes |= dict(num_key_value_heads=2, max_position_embeddings=32, bos_token_id=1, eos_token_id=[2, 3])
        model = LlamaForCausalLM(LlamaConfig(**{**sizes, "rope_theta": 500000.0, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def roles(model):
    """Every tensor by what it does, matrices [out, in]: "query.0", "head" ... (core/data/hf/hf_config.h)."""
    found = {}

    def put(name, tensor, layer=None):
        found[name if layer is None else f"{name}.{layer}"] = tensor.detach().float().contiguous().clone()

    if model.config.model_type == "gpt2":
        body = model.transformer
        put("token_embedding", body.wte.weight)
        put("position_embedding", body.wpe.weight)
        for i, block in enumerate(body.h):
            width = block.ln_1.weight.shape[0]
            for name, norm in (("attention_norm", block.ln_1), ("ffn_norm", block.ln_2)):
                put(name, norm.weight, i)
                put(name + "_bias", norm.bias, i)
            for n, name in enumerate(("query", "key", "value")):
                put(name, block.attn.c_attn.weight.T[n * width : (n + 1) * width], i)
                put(name + "_bias", block.attn.c_attn.bias[n * width : (n + 1) * width], i)
            for name, layer in (("attention_out", block.attn.c_proj), ("ffn_up", block.mlp.c_fc), ("ffn_down", block.mlp.c_proj)):
                put(name, layer.weight.T, i)
                put(name + "_bias", layer.bias, i)
        put("final_norm", body.ln_f.weight)
        put("final_norm_bias", body.ln_f.bias)
    else:
        body = model.model
        put("token_embedding", body.embed_tokens.weight)
        for i, block in enumerate(body.layers):
            put("attention_norm", block.input_layernorm.weight, i)
            put("ffn_norm", block.post_attention_layernorm.weight, i)
            for name, letter in (("query", "q"), ("key", "k"), ("value", "v"), ("attention_out", "o")):
                put(name, getattr(block.self_attn, letter + "_proj").weight, i)
            for name in ("gate", "up", "down"):
                put("ffn_" + name, getattr(block.mlp, name + "_proj").weight, i)
        put("final_norm", body.norm.weight)
    if not model.config.tie_word_embeddings:
        put("head", model.lm_head.weight)
    return found


MODELS = {
    "gpt2": ("gpt2", {}, None, "5GB"),
    "llama": ("llama", {}, None, "4KB"),
    "llama_tied": ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 1}, "bfloat16", "5GB"),
}


def hf():
    """Folders as save_pretrained writes them; beside each, roles.safetensors with every tensor by its role,
    and tokens with the logits that transformers gives them."""
    import torch
    from safetensors.torch import save_file

    for name, (kind, changes, dtype, shard) in MODELS.items():
        model = random_model(kind, **changes)
        if dtype:
            model = model.to(getattr(torch, dtype))
        folder = fresh("hf_" + name)
        model.save_pretrained(folder, max_shard_size=shard)
        # As it is read: .to() above rounded the rotary frequencies too.
        model = type(model).from_pretrained(folder, dtype=torch.float32).eval()
        tokens = torch.tensor([[1, 5, 39, 0, 17, 22, 5, 5, 8, 30]])
        with torch.no_grad():
            logits = model(tokens).logits
        save_file({**roles(model), "tokens": tokens, "logits": logits.contiguous()}, folder / "roles.safetensors")


def adapters():
    import torch
    from peft import LoraConfig, get_peft_model

    cases = {"gpt2": dict(target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True, use_rslora=True),
             "llama": dict(target_modules=["q_proj", "v_proj", "down_proj"])}
    for name, settings in cases.items():
        torch.manual_seed(9)
        model = get_peft_model(random_model(name), LoraConfig(r=3, lora_alpha=5, task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_" in key:
                    parameter.copy_(torch.randn_like(parameter))
        folder = fresh("adapter_" + name)
        model.save_pretrained(folder)
        (folder / "README.md").unlink()


PARTS = [versions, halves, shards, tokenizers, hf, adapters]

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for part in PARTS:
        if len(sys.argv) == 1 or part.__name__ in sys.argv[1:]:
            part()
