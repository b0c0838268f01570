#!/usr/bin/env python3
"""Writes unicode_ranges.cpp: the characters that a tokenizer's \\p{L}, \\p{N} and \\s match.

Needs: pip install tokenizers. The classes are asked of its own regular expressions, character by
character, because a table of another version of Unicode would cut some texts elsewhere.
"""
import pathlib

import tokenizers
from tokenizers import Regex, pre_tokenizers

ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
TEXT = "".join(ALL)


def ranges(pattern):
    kept = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(TEXT)
    outside = set("".join(piece for piece, _ in kept))
    found = []
    for c in ALL:
        if c in outside:
            continue
        if found and found[-1][1] == ord(c) - 1:
            found[-1][1] = ord(c)
        else:
            found.append([ord(c), ord(c)])
    return found


def rows(name, pattern):
    found = ranges(pattern)
    count = sum(last - first + 1 for first, last in found)
    lines = [f"// {pattern}: {count} characters.", f"constexpr CharRange {name}[] = {{"]
    line = "   "
    for first, last in found:
        cell = f" {{{first:#x}, {last:#x}}},"
        if len(line) + len(cell) > 108:
            lines.append(line)
            line = "   "
        line += cell
    return "\n".join([*lines, line, "};", ""])


TABLE = f"""// Made by make_unicode_classes.py from tokenizers {tokenizers.__version__}; change that, not this.
#include "core/data/bpe/unicode_classes.h"

namespace covey {{
namespace {{

{rows("kLetters", chr(92) + "p{L}")}
{rows("kNumbers", chr(92) + "p{N}")}
{rows("kSpaces", chr(92) + "s")}
}}  // namespace

std::span<const CharRange> letter_ranges() {{ return kLetters; }}
std::span<const CharRange> number_ranges() {{ return kNumbers; }}
std::span<const CharRange> space_ranges() {{ return kSpaces; }}

}}  // namespace covey
"""
(pathlib.Path(__file__).parent / "unicode_ranges.cpp").write_text(TABLE)
