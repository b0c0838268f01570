"""What the scripts that hold Covey's files against other tools share: libraries that stay offline, the models and
tokenizers of tests/vectors, and a count of what was wrong. Import it before transformers."""
import os
import pathlib
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/vectors"))
import make_engine_files as made  # noqa: E402

_wrong = 0


def expect(what, holds):
    global _wrong
    _wrong += not holds
    print(f"  {'ok' if holds else 'WRONG'}: {what}")


def each_case(cases, check):
    """cases: (kind, tokenizer's name, ..., changes); check(folder, kind, tokenizer, ..., changes) in a folder of its own."""
    tokenizers = made.tokenizers_trained()
    for kind, name, *more, changes in cases:
        with tempfile.TemporaryDirectory() as folder:
            if kind == "llama":
                changes = {**changes, "bos_token_id": tokenizers[name].token_to_id("<|begin_of_text|>")}
            check(pathlib.Path(folder), kind, tokenizers[name], *more, {"vocab_size": 500, **changes})
    print("all equal" if _wrong == 0 else f"{_wrong} WRONG")
    sys.exit(1 if _wrong else 0)
