#include <fstream>
#include <iterator>
#include <sstream>

#include "core/base/random.h"
#include "core/data/corpus_filter.h"
#include "core/data/text_corpus.h"
#include "tests/core/data/data_files.h"

namespace covey {
namespace {

const std::string kLicence =
    "This program is free software; you can redistribute it and/or modify it under the terms of the\n"
    "General Licence as published by the Foundation, either version 2 or any later version.\n";
// The same words in another wrapping, as a comment in a C file.
const std::string kCommented =
    "/*\n * This program is FREE software; you can\n * redistribute it and/or modify it under\n"
    " * the terms of the General Licence as published\n * by the Foundation, either version 2 or any\n"
    " * later version.\n */\n";
const std::string kOther =
    "The quick brown fox jumps over the lazy dog while a slow yellow cat sleeps under the tall tree.\n";

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A paragraph of words that no other number gives.
std::string paragraph(std::uint64_t number) {
  Random random(number);
  std::string text;
  for (int i = 0; i < 20; ++i)
    text += "w" + std::to_string(random.below(1u << 30)) + (i % 10 == 9 ? "\n" : " ");
  return text;
}

}  // namespace

TEST_CASE("corpus filter: the same words in other lines, case and comment marks are a duplicate") {
  SeenText seen;
  CHECK(seen.keep_new(kLicence).text == kLicence);
  const SeenText::Kept again = seen.keep_new(kCommented + "\nint main();\n\n" + kOther);
  CHECK(again.text == kOther);
  CHECK(again.paragraphs_kept == 1);
  CHECK(again.paragraphs_dropped == 2);  // the comment, and the short one that followed it
}

TEST_CASE("corpus filter: drops beyond 70 % of seen shingles, not below") {
  SeenText seen;
  const std::string known = paragraph(1);
  REQUIRE(!seen.keep_new(known).text.empty());
  // 20 words have 13 shingles; another w words add w shingles, 13 / (13 + w) of them seen.
  std::string more = known;
  for (int i = 0; i < 5; ++i) more += "x" + std::to_string(i) + " ";
  CHECK(seen.keep_new(more).text.empty());  // 13 / 18 = 0.72
  more += "x5 x6\n";
  CHECK(!seen.keep_new(more).text.empty());  // 13 / 20 = 0.65
}

TEST_CASE("corpus filter: short paragraphs share the fate of the one before, or of the first") {
  SeenText seen;
  CHECK(seen.keep_new("title\n\n" + kOther + "\n}\n\nshort end\n").text ==
        "title\n\n" + kOther + "\n}\n\nshort end\n");
  const SeenText::Kept again = seen.keep_new("another title\n\n" + kOther + "\nshort\n");
  CHECK(again.text.empty());
  CHECK(again.paragraphs_dropped == 3);
  CHECK(seen.keep_new("only short\n\nthings\n").text.empty());
  CHECK(seen.keep_new("").text.empty());
  CHECK(seen.keep_new("\n\n#\n").text.empty());
}

TEST_CASE("corpus filter: new text passes unchanged, comment marks and blank lines included") {
  SeenText seen;
  const std::string text =
      kCommented + "int x;\n}\n\n\n/*\n * " + kOther + " *\n * " + paragraph(4) + " */\n\n#endif";
  CHECK(seen.keep_new(text).text == text + "\n");
}

TEST_CASE("corpus filter: a set of hashes") {
  HashSet64 set;
  CHECK(!set.contains(0));
  CHECK(set.insert(0));
  CHECK(set.contains(0));
  CHECK(!set.insert(0));
  Random random(1);
  for (int i = 0; i < 10'000; ++i) CHECK(set.insert(random.next()));
  CHECK(set.size() == 10'001);
  Random again(1), other(2);
  for (int i = 0; i < 10'000; ++i) {
    CHECK(set.contains(again.next()));
    CHECK(!set.contains(other.next()));
  }
}

TEST_CASE("corpus filter: binary is a NUL or much that is no UTF-8") {
  CHECK(!looks_binary(bytes_of("")));
  CHECK(!looks_binary(bytes_of("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x91")));
  CHECK(looks_binary(ByteSpan(bytes_of(std::string_view("a\0b", 3)))));
  CHECK(looks_binary(bytes_of("\xff\xfe\xc0\x80")));
  CHECK(looks_binary(bytes_of("\xe2\x82")));
  CHECK(!looks_binary(bytes_of(std::string(200, 'a') + "\xe4")));  // one Latin-1 letter
}

TEST_CASE("corpus: two clients never hold the same paragraph, and reports add up") {
  const TemporaryFolder folder;
  folder.write("in/licences/A", kLicence + "\n" + paragraph(1));
  folder.write("in/licences/B", kLicence);
  folder.write("in/code/x.h", kCommented + "\n" + paragraph(2));
  folder.write("in/code/sub/y.h", paragraph(2));
  folder.write("in/code/z.c", paragraph(3));
  folder.write("in/code/bin.h", std::string_view("\x7f"
                                                 "ELF\0\1",
                                                 6));
  folder.write("in/code/long.h", std::string(5000, 'x'));
  std::filesystem::create_symlink(folder / "in/code/z.c", folder / "in/code/link.h");

  SeenText seen;
  CorpusRequest request;
  request.roots = {folder / "in/licences"};
  request.output = folder / "out/licences";
  request.bytes_max = 1 << 20;
  auto licences = prepare_corpus(request, seen);
  REQUIRE(licences);
  CHECK(licences->candidates == 2);
  // B is a duplicate if A came first; if B came first, A's licence paragraph is one.
  CHECK(licences->files + licences->files_duplicate == 2);
  CHECK(licences->paragraphs_kept == 2);
  CHECK(licences->paragraphs_dropped == 1);
  CHECK(licences->bytes == kLicence.size() + paragraph(1).size() + (licences->files == 1 ? 1 : 0));

  request.roots = {folder / "in/code"};
  request.names = {".h"};
  request.output = folder / "out/code";
  request.file_bytes_max = 4096;
  auto code = prepare_corpus(request, seen);
  REQUIRE(code);
  CHECK(code->candidates == 4);  // x.h, sub/y.h, bin.h, long.h; not the link
  CHECK(code->files == 1);
  CHECK(code->files_binary == 1);
  CHECK(code->files_too_long == 1);
  CHECK(code->files_duplicate == 1);
  const bool x = std::filesystem::exists(folder / "out/code/x.h");
  CHECK(file_text(folder / (x ? "out/code/x.h" : "out/code/sub/y.h")) == paragraph(2));
  CHECK(code->bytes == paragraph(2).size());

  auto occupied = prepare_corpus(request, seen);
  REQUIRE(!occupied);
  CHECK(occupied.error().code == ErrorCode::kAlreadyExists);
  request.output = folder / "out/again";
  auto nothing_new = prepare_corpus(request, seen);
  REQUIRE(!nothing_new);
  CHECK(nothing_new.error().code == ErrorCode::kInvalidData);
}

TEST_CASE("corpus: capped at the end of a line, in an order that the seed gives") {
  const TemporaryFolder folder;
  for (std::uint64_t i = 0; i < 50; ++i) folder.write("in/f" + std::to_string(i), paragraph(i));
  CorpusRequest request;
  request.roots = {folder / "in"};
  request.bytes_max = 2000;
  const auto prepared = [&](const std::string& output, std::uint64_t seed) {
    SeenText seen;
    request.output = folder / output;
    request.seed = seed;
    auto report = prepare_corpus(request, seen);
    REQUIRE(report);
    CHECK(report->bytes <= 2000);
    CHECK(report->bytes > 1800);
    CHECK(report->files_unused > 30);
    std::string names;
    std::uint64_t bytes = 0;
    for (int i = 0; i < 50; ++i) {
      const std::string path = folder / (output + "/f" + std::to_string(i));
      if (!std::filesystem::exists(path)) continue;
      names += std::to_string(i) + " ";
      bytes += std::filesystem::file_size(path);
      CHECK(file_text(path).ends_with('\n'));
    }
    CHECK(bytes == report->bytes);
    return names;
  };
  const std::string first = prepared("a", 1);
  CHECK(prepared("b", 1) == first);
  CHECK(prepared("c", 2) != first);
}

TEST_CASE("corpus: refuses an empty request and missing roots") {
  SeenText seen;
  const TemporaryFolder folder;
  CorpusRequest request;
  request.output = folder / "out";
  request.bytes_max = 10;
  CHECK(prepare_corpus(request, seen).error().code == ErrorCode::kInvalidArgument);
  request.roots = {folder / "nowhere"};
  CHECK(prepare_corpus(request, seen).error().code == ErrorCode::kNotFound);
  request.roots = {folder.path()};
  CHECK(prepare_corpus(request, seen).error().code == ErrorCode::kInvalidData);
  request.bytes_max = 0;
  CHECK(prepare_corpus(request, seen).error().code == ErrorCode::kInvalidArgument);
}

}  // namespace covey
