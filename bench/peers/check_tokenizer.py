#!/usr/bin/env python3
"""Holds our byte-level BPE against Hugging Face's `tokenizers` on random nasty strings, both kinds.

usage: check_tokenizer.py COVEY-ENGINE-FILES [STRINGS [SEED]]   (pip install tokenizers)
Prints how many strings gave other ids (the exit code is 1 if any), and the speed of both on one text.
"""
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread each
sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/vectors"))
import make_engine_files as made  # noqa: E402


def pack(texts):
    return b"".join(struct.pack("<I", len(t)) + t for t in (text.encode() for text in texts))


def unpack(data):
    lists, at = [], 0
    while at < len(data):
        (count,) = struct.unpack_from("<I", data, at)
        lists.append(list(struct.unpack_from(f"<{count}I", data, at + 4)))
        at += 4 + 4 * count
    return lists


def main():
    program, count, seed = (sys.argv + ["20000", "11"][len(sys.argv) - 2 :])[1:4]
    count, seed = int(count), int(seed)
    texts = made.nasty_strings(count, seed)
    root = pathlib.Path(__file__).parents[2]
    prose = "\n".join(f.read_text() for f in sorted(root.rglob("*.md"))) * 8
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "texts").write_bytes(pack(texts))
        (folder / "prose").write_bytes(prose.encode())
        for name, tokenizer in made.tokenizers_trained().items():
            path = folder / f"{name}.json"
            path.write_text(tokenizer.to_str())
            subprocess.run([program, "encode", path, folder / "texts", folder / "ids"], check=True)
            ours = unpack((folder / "ids").read_bytes())
            theirs = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
            differing = [i for i in range(count) if ours[i] != theirs[i]]
            wrong += len(differing) + abs(len(ours) - count)
            print(f"{name}: {count} strings, {len(differing)} differ")
            for i in differing[:5]:
                print("  ", ascii(texts[i]), ours[i], theirs[i])
            best = 0
            for _ in range(3):
                start = time.perf_counter()
                tokenizer.encode_batch_fast(prose.splitlines(), add_special_tokens=False)
                best = max(best, len(prose.encode()) / 1e6 / (time.perf_counter() - start))
            print(f"  tokenizers, without offsets, one thread: {best:.1f} MB/s")
            line = subprocess.run([program, "speed", path, folder / "prose"], check=True, capture_output=True, text=True)
            print("  ours, one thread:", line.stdout.strip())
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
