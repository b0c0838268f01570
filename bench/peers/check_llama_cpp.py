#!/usr/bin/env python3
"""Makes random GPT-2 and Llama models with `transformers`, has covey-engine-files write them as GGUF, and opens those
in llama.cpp: the next token's distribution over the whole vocabulary must be that of `transformers`, after token ids
and after texts, which llama.cpp splits by itself.

usage: check_llama_cpp.py COVEY-ENGINE-FILES   (pip install torch transformers tokenizers xllamacpp)
"""
import subprocess
import sys

from checking import each_case, expect, made  # first: it keeps transformers offline
import torch
import xllamacpp
from transformers import PreTrainedTokenizerFast

CONTEXT, TEXTS = 64, 40  # the models' own contexts may be shorter
# Of the largest difference of log-probabilities: the file's rounding of weights, and llama.cpp's own of keys and values.
TOLERANCE = {"F32": 2e-3, "F16": 5e-3, "BF16": 5e-2}


def opened(path):
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_gpu_layers, params.warmup, params.verbosity = CONTEXT, 0, False, 0
    return xllamacpp.Server(params)


def next_token(server, prompt, vocabulary):
    """Log-probabilities [vocabulary] of what follows (none where that is not shown), and how many tokens the prompt was."""
    answer = server.handle_completions({"prompt": prompt, "n_predict": 1, "n_probs": vocabulary, "temperature": 0.0, "cache_prompt": False})
    if "choices" not in answer:
        sys.exit(f"llama.cpp answers {str(answer)[:300]} to {prompt!r}")
    logprobs = answer["choices"][0]["logprobs"]
    if logprobs is None:
        return None, answer["usage"]["prompt_tokens"]
    all_tokens = logprobs["content"][0]["top_logprobs"]
    values = torch.full((vocabulary,), float("nan"))
    for token in all_tokens:
        values[token["id"]] = token["logprob"]
    return values, answer["usage"]["prompt_tokens"]


def difference(model, ids, got, silent):
    """The largest of the log-probabilities; infinite where llama.cpp gives not all, or is silent without need."""
    with torch.no_grad():
        wanted = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].float(), -1)
    if got is None:
        return 0.0 if wanted.argmax().item() in silent else float("inf")
    value = (got - wanted).abs().max().item()
    return value if value == value else float("inf")


def check_model(folder, kind, tokenizer, dtype, changes):
    print(f"{kind} {dtype}, {changes}")
    model = made.random_model(kind, **changes).eval()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    model.save_pretrained(folder / "source")
    fast.save_pretrained(folder / "source")
    path = folder / "model.gguf"
    subprocess.run([sys.argv[1], "gguf", folder / "source", path, dtype], check=True)
    server = opened(path)
    eos = model.config.eos_token_id
    # After these the server says nothing: ends (which llama.cpp also knows by their names) and parts of a character.
    parts = [i for i in range(len(fast)) if "\ufffd" in fast.decode([i])]
    silent = {*(eos if isinstance(eos, list) else [eos]), *fast.added_tokens_decoder, *parts}
    generator = torch.Generator().manual_seed(5)
    worst = 0.0
    context = min(CONTEXT, model.config.max_position_embeddings)
    for length in (1, 2, context // 2, context - 2):
        ids = torch.randint(0, len(fast), (length,), generator=generator).tolist()
        got, heard = next_token(server, ids, model.config.vocab_size)
        begun = ids if heard == length else [model.config.bos_token_id, *ids]
        worst = max(worst, difference(model, begun, got, silent))
    expect(f"distributions after token ids, largest difference {worst:.1e}", worst <= TOLERANCE[dtype])
    worst, other_ids, heard_of = 0.0, 0, 0
    texts = [t for t in made.nasty_strings(TEXTS * 3, 22) if t.strip() and len(fast(t)["input_ids"]) < context][:TEXTS]
    for text in texts:
        ids = fast(text)["input_ids"]
        got, heard = next_token(server, text, model.config.vocab_size)
        other_ids += heard != len(ids)
        heard_of += got is not None
        worst = max(worst, difference(model, ids, got, silent))
    expect(f"an answer to most texts: {heard_of} of {len(texts)}", heard_of * 2 > len(texts) > 20)
    expect(f"distributions after {heard_of} texts, largest difference {worst:.1e}", worst <= TOLERANCE[dtype])
    expect(f"as many tokens in each text ({other_ids} with another count)", other_ids == 0)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    cases = [
        ("gpt2", "gpt2", "F32", {}),
        ("gpt2", "gpt2", "F16", {"tie_word_embeddings": False, "n_inner": 40}),
        ("llama", "llama3", "F32", {}),
        ("llama", "llama3", "BF16", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
        ("llama", "llama3", "F16", {"num_key_value_heads": 4, "rms_norm_eps": 1e-5}),
    ]
    each_case(cases, check_model)


if __name__ == "__main__":
    main()
