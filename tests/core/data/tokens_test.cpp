#include <sys/stat.h>
#include <zlib.h>

#include <set>

#include "core/base/wire.h"
#include "core/data/augment.h"
#include "core/data/jsonl.h"
#include "core/data/tokens/token_stream.h"
#include "tests/core/data/data_files.h"
#include "tests/core/data/engine_vectors.h"

namespace covey {
namespace {

using Documents = std::vector<TokenIds>;

void write_shard(const std::string& path, const Documents& documents, std::uint32_t vocabulary = 1000) {
  auto writer = TokenShardWriter::create(path, vocabulary);
  REQUIRE(writer);
  for (const TokenIds& document : documents) REQUIRE(writer->add(document));
  REQUIRE(writer->finish());
}

Documents read_all(const TokenShard& shard) {
  Documents documents;
  for (std::uint32_t i = 0; i < shard.records(); ++i) {
    const auto ids = shard.read(i);
    REQUIRE(ids);
    if (*ids) documents.push_back(**ids);
  }
  return documents;
}

// Documents whose tokens tell them apart: document d is d, d, d ... with d + 1 tokens.
Documents numbered(std::uint32_t first, std::uint32_t count) {
  Documents documents;
  for (std::uint32_t d = first; d < first + count; ++d) documents.emplace_back(d + 1, d);
  return documents;
}

PackingSpec packing(std::uint32_t context, std::uint64_t damaged_max = 0) {
  return {context, 1000, TextToken{999}, damaged_max};
}

struct Window {
  std::vector<std::int32_t> inputs, targets;
  bool operator==(const Window&) const = default;
};
Window next(TokenStream& stream, std::size_t context) {
  Window window{std::vector<std::int32_t>(context), std::vector<std::int32_t>(context)};
  const auto filled = stream.next(window.inputs, window.targets);
  if (!filled) FAIL(filled.error().message);
  return window;
}

TokenStream opened(const std::string& path, const PackingSpec& spec, std::uint64_t seed) {
  auto stream = TokenStream::open(path, spec, seed);
  if (!stream) FAIL(stream.error().message);
  return std::move(*stream);
}

void damage(const std::string& path, std::size_t at) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(at));
  const int before = file.get();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(before ^ 0x40));
  REQUIRE(file.good());
}

}  // namespace

TEST_CASE("token shard: what is written is read, in two bytes or four") {
  const TemporaryFolder folder;
  for (const std::uint32_t vocabulary : {1u, 65536u, 65537u, 200'000u}) {
    const std::string path = folder / (std::to_string(vocabulary) + ".tokens");
    const Documents documents{
        {0}, {vocabulary - 1, 0, vocabulary - 1}, TokenIds(70'000, vocabulary / 2), {0, 0}};
    write_shard(path, documents, vocabulary);
    const auto shard = TokenShard::open(path);
    REQUIRE(shard);
    CHECK(shard->vocabulary() == vocabulary);
    CHECK(shard->damaged() == 0);
    CHECK(read_all(*shard) == documents);
    CHECK(!TokenShardWriter::create(path, vocabulary));
  }
  auto writer = TokenShardWriter::create(folder / "x.tokens", 10);
  REQUIRE(writer);
  CHECK(!writer->add(TokenIds{}));
  CHECK(mentions(writer->add(TokenIds{10}).error().message, "token 10"));
  CHECK(!file_exists(folder / "x.tokens"));  // not before finish()
  REQUIRE(writer->finish());
  CHECK(TokenShard::open(folder / "x.tokens")->records() == 0);
}

TEST_CASE("token shard: any changed byte damages one record or the file's header, never more") {
  const TemporaryFolder folder;
  const std::string good = folder / "good.tokens", bad = folder / "bad.tokens";
  const Documents documents{{1, 2, 3}, {4, 5, 6, 7, 8}, {9}, {10, 11}};
  write_shard(good, documents);
  const std::size_t bytes = text_of_file(good).size();
  for (std::size_t at = 0; at < bytes; ++at) {
    std::filesystem::copy_file(good, bad, std::filesystem::copy_options::overwrite_existing);
    damage(bad, at);
    const auto shard = TokenShard::open(bad);
    if (at < 48) {
      CHECK_MESSAGE(!shard, at);
      continue;
    }
    REQUIRE_MESSAGE(shard, at);
    const Documents read = read_all(*shard);
    const std::size_t lost = documents.size() - read.size();
    CHECK_MESSAGE(lost <= 1, at);
    // What is left is in order and unchanged; padding alone may change unseen.
    std::size_t from = 0;
    for (const TokenIds& document : read) {
      while (from < documents.size() && documents[from] != document) ++from;
      CHECK(from < documents.size());
    }
    CHECK(shard->damaged() + (shard->records() - read.size()) == lost);
  }
  for (std::size_t keep = 0; keep < bytes; ++keep) {
    std::filesystem::copy_file(good, bad, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(bad, keep);
    const auto shard = TokenShard::open(bad);
    REQUIRE_MESSAGE(!shard, keep);
    CHECK(mentions(shard.error().message, bad));
    CHECK(!TokenShard::vocabulary_of(bad));  // a stream refuses it when it is opened
    if (keep >= 48) CHECK(mentions(shard.error().message, "is cut off: it has " + std::to_string(keep) + " bytes"));
    CHECK(shard.error().code == ErrorCode::kInvalidData);
  }
  std::filesystem::copy_file(good, bad, std::filesystem::copy_options::overwrite_existing);
  std::ofstream(bad, std::ios::binary | std::ios::app) << "12345678";
  CHECK(mentions(TokenShard::open(bad).error().message, "something was added"));
}

TEST_CASE("token shard: every record of a damaged stretch counts, and another file's are refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.tokens", other = folder / "b.tokens";
  write_shard(path, Documents(9, TokenIds{1, 2, 3, 4}));  // 24 bytes each
  write_shard(other, Documents(9, TokenIds{1, 2, 3, 5}));
  std::string bytes = text_of_file(path);
  for (std::size_t record = 2; record < 7; ++record) bytes[48 + record * 24] = 'x';
  folder.write("c.tokens", bytes);
  const auto shard = TokenShard::open(folder / "c.tokens");
  REQUIRE(shard);
  CHECK(shard->records() == 4);
  CHECK(shard->damaged() == 5);  // in one stretch

  const std::string mixed = text_of_file(path).substr(0, 48 + 24 * 4) + text_of_file(other).substr(48 + 24 * 4);
  folder.write("d.tokens", mixed);
  const auto refused = TokenShard::open(folder / "d.tokens");
  REQUIRE(!refused);
  CHECK(mentions(refused.error().message, "other documents than when it was made"));
}

TEST_CASE("token shard: files of version 1, without a length, are read") {
  const TemporaryFolder folder;
  const Documents documents{{1, 2, 3}, {4, 5, 6, 7, 8}, {9}};
  write_shard(folder / "new.tokens", documents);
  ByteWriter old;
  old.raw(bytes_of("COVEYTOK")).u32(1).u32(1000).u32(2);
  old.u32(static_cast<std::uint32_t>(::crc32(0, old.bytes().data(), 20))).u64(0);
  const std::string text = std::string(text_of(old.bytes())) + text_of_file(folder / "new.tokens").substr(48);
  folder.write("old.tokens", text);
  const auto shard = TokenShard::open(folder / "old.tokens");
  REQUIRE_MESSAGE(shard, shard.error().message);
  CHECK(read_all(*shard) == documents);
  CHECK(shard->damaged() == 0);
  folder.write("cut.tokens", text.substr(0, text.size() - 12));
  CHECK(TokenShard::open(folder / "cut.tokens")->damaged() == 1);
}

TEST_CASE("token shard: a new file is anyone's to read whom the umask lets") {
  const TemporaryFolder folder;
  const mode_t before = ::umask(022);
  write_shard(folder / "open.tokens", {{1}});
  ::umask(077);
  write_shard(folder / "own.tokens", {{1}});
  ::umask(before);
  using std::filesystem::perms;
  CHECK(std::filesystem::status(folder / "open.tokens").permissions() == static_cast<perms>(0644));
  CHECK(std::filesystem::status(folder / "own.tokens").permissions() == static_cast<perms>(0600));
}

TEST_CASE("token stream: windows follow one another over documents, files and epochs") {
  const TemporaryFolder folder;
  write_shard(folder / "a.tokens", numbered(0, 10));
  write_shard(folder / "b.tokens", numbered(10, 10));
  folder.write("notes.txt", "not tokens");
  const std::size_t per_epoch = 20 * 21 / 2 + 20;  // with a separator each
  TokenStream stream = opened(folder.path(), packing(7), 3);
  std::vector<std::int32_t> line;  // all tokens in order
  while (line.size() < 3 * per_epoch + 1) {
    const Window window = next(stream, 7);
    if (line.empty()) line.push_back(window.inputs[0]);
    CHECK(window.inputs[0] == line.back());
    for (std::size_t i = 1; i < 7; ++i) CHECK(window.inputs[i] == window.targets[i - 1]);
    line.insert(line.end(), window.targets.begin(), window.targets.end());
  }
  std::vector<std::vector<std::int32_t>> orders;
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::int32_t> order;
    for (std::size_t at = epoch * per_epoch; at < (epoch + 1) * per_epoch;) {
      const std::int32_t document = line[at];
      order.push_back(document);
      for (std::int32_t i = 0; i <= document; ++i) CHECK(line[at++] == document);
      CHECK(line[at++] == 999);
    }
    CHECK(std::set<std::int32_t>(order.begin(), order.end()).size() == 20);
    orders.push_back(order);
  }
  CHECK(orders[0] != orders[1]);
  CHECK(orders[1] != orders[2]);
  CHECK(stream.cursor().epoch == 3);
}

TEST_CASE("token stream: the same seed gives the same windows, from any cursor on") {
  const TemporaryFolder folder;
  for (std::uint32_t s = 0; s < 4; ++s)
    write_shard(folder / ("s" + std::to_string(s) + ".tokens"), numbered(s * 6, 6));
  TokenStream first = opened(folder.path(), packing(5), 42);
  std::vector<TokenCursor> cursors;
  std::vector<Window> windows;
  for (int i = 0; i < 250; ++i) {
    cursors.push_back(first.cursor());
    windows.push_back(next(first, 5));
  }
  CHECK(cursors.back().epoch >= 3);
  for (std::size_t from = 0; from < windows.size(); from += 7) {
    const auto cursor = token_cursor_from(encode(cursors[from]));
    REQUIRE(cursor);
    CHECK(*cursor == cursors[from]);
    TokenStream again = opened(folder.path(), packing(5), 42);
    REQUIRE(again.seek(*cursor));
    for (std::size_t i = from; i < std::min(from + 20, windows.size()); ++i)
      CHECK(next(again, 5) == windows[i]);
  }
  TokenStream other = opened(folder.path(), packing(5), 43);
  bool differs = false;
  for (int i = 0; i < 5; ++i) differs = differs || next(other, 5) != windows[static_cast<std::size_t>(i)];
  CHECK(differs);

  for (const TokenCursor& wrong :
       {TokenCursor{0, 5, 0, 0, 0, {}}, TokenCursor{0, 0, 7, 0, 0, {}}, TokenCursor{0, 0, 0, 500, 0, {}},
        TokenCursor{0, 0, 0, 0, 0, TextToken{1000}}}) {
    const TokenCursor before = other.cursor();
    const auto sought = other.seek(wrong);
    REQUIRE(!sought);
    CHECK(sought.error().code == ErrorCode::kInvalidArgument);
    CHECK(other.cursor() == before);
  }
  Bytes cut = encode(cursors[3]);
  cut.pop_back();
  CHECK(!token_cursor_from(cut));
}

TEST_CASE("token stream: damaged records are passed over and counted, up to a bound") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.tokens";
  write_shard(path, numbered(0, 12));
  // Into the tokens of document 3, and the header of document 7. A record of n tokens: 16 + 2n, padded.
  std::size_t at = 48, third = 0, seventh = 0;
  for (std::size_t d = 0; d < 12; ++d) {
    if (d == 3) third = at + 16;
    if (d == 7) seventh = at + 4;
    at += (16 + 2 * (d + 1) + 7) / 8 * 8;
  }
  damage(path, third);
  damage(path, seventh);
  TokenStream stream = opened(path, packing(6, 2), 1);
  std::set<std::int32_t> seen;
  while (stream.cursor().epoch == 0) {
    const Window window = next(stream, 6);
    CHECK(stream.cursor().damaged <= 2);
    if (stream.cursor().epoch == 0) seen.insert(window.targets.begin(), window.targets.end());
    if (stream.cursor().epoch == 0) seen.insert(window.inputs[0]);
  }
  CHECK(!seen.contains(3));
  CHECK(!seen.contains(7));
  CHECK(stream.passed_over() >= 2);  // the end of the epoch forgets none
  CHECK(seen.size() >= 9);  // the last document of the epoch may lie in a window that ends in the next one

  TokenStream strict = opened(path, packing(6, 1), 1);
  std::vector<std::int32_t> inputs(6), targets(6);
  Result<void> filled;
  TokenCursor before;
  for (int i = 0; i < 30 && filled; ++i) {
    before = strict.cursor();
    filled = strict.next(inputs, targets);
  }
  REQUIRE(!filled);
  CHECK(mentions(filled.error().message, path));
  CHECK(mentions(filled.error().message, "at most 1"));
  CHECK(strict.cursor() == before);
  CHECK(!strict.next(inputs, targets));

  // Nothing but damage is an error too, not a search without end.
  write_shard(folder / "b.tokens", {{1}});
  damage(folder / "b.tokens", 64);
  TokenStream empty = opened(folder / "b.tokens", packing(6, 1000), 1);
  const auto none = empty.next(inputs, targets);
  REQUIRE(!none);
  CHECK(mentions(none.error().message, "no readable token"));
  TokenCursor late{5, 1, 0, 0, 0, TextToken{1}};
  REQUIRE(empty.seek(late));
  CHECK(!empty.next(inputs, targets));
}

TEST_CASE("token files: refused where they do not fit the model") {
  const TemporaryFolder folder;
  const auto message = [&](const PackingSpec& spec) {
    const auto stream = TokenStream::open(folder.path(), spec, 1);
    REQUIRE(!stream);
    CHECK(!load_tokens(folder.path(), spec));
    return stream.error().message;
  };
  CHECK(mentions(message(packing(4)), ".tokens"));
  write_shard(folder / "a.tokens", {{1, 2, 3}}, 2000);
  CHECK(mentions(message(packing(4)), "vocabulary of 2000"));
  PackingSpec spec = packing(4);
  spec.vocabulary = 2000;
  CHECK(TokenStream::open(folder.path(), spec, 1));
  spec.separator = 2000;
  CHECK(mentions(message(spec), "separator 2000"));
  spec.separator.reset();
  spec.context = 0;
  CHECK(mentions(message(spec), "context"));
}

TEST_CASE("token dataset: windows within a file, the last one padded") {
  const TemporaryFolder folder;
  write_shard(folder / "a.tokens", {{1, 2, 3}, {4, 5}});
  write_shard(folder / "b.tokens", {});
  write_shard(folder / "c.tokens", {{6, 7}});
  const auto data = load_tokens(folder.path(), packing(4));
  REQUIRE(data);
  REQUIRE((*data)->size() == 3);
  CHECK((*data)->groups() == std::vector<std::string>{"a.tokens", "b.tokens", "c.tokens"});
  CHECK((*data)->group(1) == 0);
  CHECK((*data)->group(2) == 2);
  BatchBuffer buffer(**data, 3);
  const std::uint32_t indices[] = {0, 1, 2};
  const Minibatch batch = buffer.fill(indices);
  const std::vector<std::int32_t> inputs(batch.inputs.i32(), batch.inputs.i32() + 12);
  const std::vector<std::int32_t> targets(batch.targets.i32(), batch.targets.i32() + 12);
  CHECK(inputs == std::vector<std::int32_t>{1, 2, 3, 999, 4, 5, 0, 0, 6, 7, 0, 0});
  CHECK(targets == std::vector<std::int32_t>{2, 3, 999, 4, 5, 999, -1, -1, 7, 999, -1, -1});
  damage(folder / "a.tokens", 64);
  CHECK(mentions(load_tokens(folder.path(), packing(4)).error().message, "1 records are damaged"));
  auto damaged = load_tokens(folder.path(), packing(4, 1));
  REQUIRE(damaged);
  CHECK(!check_augment({0.5, 0}, **damaged));  // no images
}

TEST_CASE("token dataset: of text that is encoded while it is loaded") {
  const TemporaryFolder folder;
  folder.write("a.txt", "abcd");
  folder.write("b.txt", "xy");
  folder.write("c.txt", "");
  folder.write("tokenizer.json", "not data");
  const auto tokenizer = Tokenizer::make(byte_tokenizer());
  REQUIRE(tokenizer);
  const auto data = load_encoded_text(folder.path(), packing(3, 1), {}, *tokenizer);
  REQUIRE(data);
  REQUIRE((*data)->size() == 3);
  CHECK((*data)->groups() == std::vector<std::string>{"a.txt", "b.txt", "c.txt"});
  BatchBuffer buffer(**data, 3);
  const std::uint32_t indices[] = {0, 1, 2};
  const Minibatch batch = buffer.fill(indices);
  const std::vector<std::int32_t> inputs(batch.inputs.i32(), batch.inputs.i32() + 9);
  const std::vector<std::int32_t> targets(batch.targets.i32(), batch.targets.i32() + 9);
  CHECK(inputs == std::vector<std::int32_t>{'a', 'b', 'c', 'd', 0, 0, 'x', 'y', 0});
  CHECK(targets == std::vector<std::int32_t>{'b', 'c', 'd', 999, -1, -1, 'y', 999, -1});
  CHECK((*data)->group(1) == 0);
  CHECK((*data)->group(2) == 1);
  PackingSpec small = packing(3, 1);
  small.vocabulary = 255;
  small.separator.reset();
  CHECK(mentions(load_encoded_text(folder.path(), small, {}, *tokenizer).error().message, "256 tokens"));
  CHECK(mentions(load_encoded_text(folder / "c.txt", packing(3), {}, *tokenizer).error().message, "0 tokens"));
}

TEST_CASE("token dataset: lines of a folder's *.jsonl are packed, damaged ones counted up to a bound") {
  const TemporaryFolder folder;
  folder.write("a.jsonl", "{\"body\":\"xy\"}\nbroken\n{\"body\":\"z\"}\n");
  folder.write("b.txt", "never read");
  const auto tokenizer = Tokenizer::make(byte_tokenizer());
  REQUIRE(tokenizer);
  const TextFiles lines{TextForm::kLines, "body"};
  const auto data = load_encoded_text(folder.path(), packing(3, 1), lines, *tokenizer);
  REQUIRE(data);
  CHECK((*data)->damaged() == 1);
  REQUIRE((*data)->size() == 2);
  BatchBuffer buffer(**data, 2);
  const std::uint32_t indices[] = {0, 1};
  const Minibatch batch = buffer.fill(indices);
  const std::vector<std::int32_t> inputs(batch.inputs.i32(), batch.inputs.i32() + 6);
  CHECK(inputs == std::vector<std::int32_t>{'x', 'y', 999, 'z', 0, 0});
  CHECK(mentions(load_encoded_text(folder.path(), packing(3), lines, *tokenizer).error().message, "line 2"));
  CHECK(mentions(load_encoded_text(folder / "b.txt", packing(3), lines, *tokenizer).error().message, "damaged"));
  folder.write("none/b.txt", "text");
  CHECK(mentions(load_encoded_text(folder / "none", packing(3), lines, *tokenizer).error().message, "*.jsonl"));
}

TEST_CASE("load_dataset: jsonl as bytes or with a tokenizer, tokens, and what does not fit is refused") {
  const TemporaryFolder folder;
  folder.write("a.jsonl", "{\"text\":\"abcd\"}\n");
  ModelSpec model;
  model.family = ModelFamily::kTransformer;
  model.context = 4;
  LoadRequest request{.path = folder.path(), .data = {}, .model = model};
  request.data.format = DataFormat::kJsonl;
  const auto bytes = load_dataset(request);
  REQUIRE_MESSAGE(bytes, bytes.error().message);
  CHECK((*bytes)->size() == 1);
  request.model.vocabulary = 300;
  CHECK(mentions(load_dataset(request).error().message, "name a tokenizer"));
  request.data.tokenizer_sha256 = std::string(64, 'a');
  CHECK(load_dataset(request).error().code == ErrorCode::kNotFound);
  const auto tokenizer = Tokenizer::make(byte_tokenizer());
  REQUIRE(tokenizer);
  request.tokenizer = &*tokenizer;
  CHECK(load_dataset(request));
  request.data.format = DataFormat::kTokens;
  CHECK(mentions(load_dataset(request).error().message, "*.tokens"));
  request.model.family = ModelFamily::kMlp;
  CHECK(mentions(load_dataset(request).error().message, "transformer"));
}

TEST_CASE("token files: held-out documents are a seeded share, and never trained on") {
  const TemporaryFolder folder;
  auto writer = TokenShardWriter::create(folder / "a.tokens", 1000);
  REQUIRE(writer);
  for (TextToken document = 0; document < 200; ++document) {
    const TextToken ids[] = {document, document};
    REQUIRE(writer->add(ids));
  }
  REQUIRE(writer->finish());
  PackingSpec part = packing(1);
  part.separator.reset();
  part.holdout = 0.25;
  part.holdout_seed = 7;
  std::set<std::int32_t> seen[2];
  for (const DocumentPart which : {DocumentPart::kTrain, DocumentPart::kHoldout}) {
    part.part = which;
    auto stream = TokenStream::open(folder.path(), part, 3);
    REQUIRE(stream);
    const auto tokens = stream->tokens_in_epoch();
    REQUIRE(tokens);
    std::int32_t input = 0, target = 0;
    auto& here = seen[which == DocumentPart::kTrain ? 0 : 1];
    while (stream->cursor().epoch == 0) {
      REQUIRE(stream->next({&input, 1}, {&target, 1}));
      here.insert(input);
    }
    CHECK(here.size() == *tokens / 2);
    const auto loaded = load_tokens(folder.path(), part);
    REQUIRE(loaded);
    CHECK((*loaded)->size() == *tokens - 1);
  }
  CHECK(seen[0].size() + seen[1].size() == 200);
  CHECK(seen[0].count(0) == 1);  // the first document is trained on
  CHECK(seen[1].size() > 25);
  CHECK(seen[1].size() < 80);
  for (const std::int32_t document : seen[1]) CHECK(seen[0].count(document) == 0);
}

TEST_CASE("jsonl: documents go to token files, damaged lines are passed over up to a bound") {
  const TemporaryFolder folder;
  folder.write(
      "in/a.jsonl",
      "{\"text\":\"one\\ntwo\",\"id\":1}\r\n\n  \nnot json\n{\"text\":7}\n{\"text\":\"\"}\n{\"a\":\"b\"}\n");
  folder.write("in/b.jsonl", "{\"text\":\"\xc3\xa4nd\"}");
  folder.write("in/c.txt", "{\"text\":\"no\"}");
  const auto tokenizer = Tokenizer::make(byte_tokenizer());
  REQUIRE(tokenizer);
  TokenShardSet set(folder / "out", *tokenizer, 8);
  std::vector<std::string> texts;
  const auto take = [&](std::string_view text) {
    texts.emplace_back(text);
    return set.add(text);
  };
  JsonlSpec spec;
  spec.damaged_max = 3;
  const auto count = for_each_document(folder / "in", spec, take);
  REQUIRE(count);
  CHECK(count->documents == 3);
  CHECK(count->damaged == 3);
  CHECK(texts == std::vector<std::string>{"one\ntwo", "", "\xc3\xa4nd"});
  const auto written = set.finish();
  REQUIRE(written);
  CHECK(written->documents == 2);
  CHECK(written->tokens == 11);
  CHECK(read_all(*TokenShard::open(folder / "out/part-00001.tokens")) == Documents{{0xc3, 0xa4, 'n', 'd'}});

  spec.damaged_max = 2;
  const auto ignore = [](std::string_view) { return Result<void>(); };
  const auto bound = for_each_document(folder / "in", spec, ignore);
  REQUIRE(!bound);
  CHECK(mentions(bound.error().message, "line 7"));
  CHECK(mentions(bound.error().message, "at most 2"));
  spec.damaged_max = 100;
  spec.line_bytes_max = 20;
  CHECK(for_each_document(folder / "in", spec, ignore)->damaged == 4);
  CHECK(mentions(for_each_document(folder / "out", spec, ignore).error().message, "*.jsonl"));
  CHECK(for_each_document(folder / "in/c.txt", spec, ignore)->documents == 1);
  const auto stopped = for_each_document(folder / "in", JsonlSpec{}, [](std::string_view) -> Result<void> {
    return unexpected(ErrorCode::kDiskFull, "full");
  });
  REQUIRE(!stopped);
  CHECK(stopped.error().code == ErrorCode::kDiskFull);
}

}  // namespace covey
