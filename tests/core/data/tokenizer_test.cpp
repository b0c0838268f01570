#include "core/data/bpe/tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/random.h"
#include "core/data/bpe/merge_table.h"
#include "core/data/bpe/unicode_classes.h"
#include "tests/core/data/data_files.h"
#include "tests/core/data/engine_vectors.h"

namespace covey {
namespace {

Tokenizer trained(const std::string& name) {
  auto spec = parse_tokenizer_json(text_of_file(engine_vector("tokenizers/" + name + ".json")));
  if (!spec) FAIL(spec.error().message);
  auto tokenizer = Tokenizer::make(std::move(*spec));
  if (!tokenizer) FAIL(tokenizer.error().message);
  return std::move(*tokenizer);
}

std::string all_decoded(const Tokenizer& tokenizer, const TokenIds& ids) {
  auto text = tokenizer.decode(ids, Tokenizer::Specials::kKeep);
  REQUIRE(text);
  return *text;
}

// What merging means, without cleverness: the pair of lowest rank, the first of equal ones, again and again.
TokenIds merged_slowly(const TokenizerSpec& spec, std::string_view piece) {
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.push_back({c});
  for (;;) {
    std::size_t best = spec.merges.size(), at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
      for (std::size_t rank = 0; rank < best; ++rank)
        if (spec.tokens[spec.merges[rank].first] == symbols[i] &&
            spec.tokens[spec.merges[rank].second] == symbols[i + 1]) {
          best = rank;
          at = i;
        }
    if (best == spec.merges.size()) break;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  TokenIds ids;
  for (const std::string& symbol : symbols)
    ids.push_back(static_cast<TextToken>(std::find(spec.tokens.begin(), spec.tokens.end(), symbol) -
                                       spec.tokens.begin()));
  return ids;
}

}  // namespace

TEST_CASE("tokenizer: encodes nasty strings as the library that made it") {
  const auto cases = nlohmann::json::parse(text_of_file(engine_vector("tokenizers/cases.json")));
  const auto texts = cases["texts"].get<std::vector<std::string>>();
  REQUIRE(texts.size() > 150);
  for (const std::string name : {"gpt2", "llama3"}) {
    const Tokenizer tokenizer = trained(name);
    TokenEncoder encoder(tokenizer);
    for (const int round : {0, 1}) {  // the second one from the cache
      CAPTURE(round);
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const TokenIds ids = encoder.encode(texts[i]);
        CHECK_MESSAGE(ids == cases[name][i].get<TokenIds>(), name << ": " << cases["texts"][i].dump());
        CHECK(all_decoded(tokenizer, ids) == texts[i]);
      }
    }
    CHECK(encoder.encode_document(texts[5]) == cases[name + "_document"].get<TokenIds>());
  }
}

TEST_CASE("tokenizer: written out, it reads back as the same") {
  for (const std::string name : {"gpt2", "llama3"}) {
    const TokenizerSpec spec = trained(name).spec();
    const auto again = parse_tokenizer_json(to_tokenizer_json(spec));
    REQUIRE(again);
    CHECK(*again == spec);
  }
  TokenizerSpec spec = byte_tokenizer();
  spec.added = {{256, "<|end|>", true, false}};
  spec.before = {256};
  spec.after = {0, 256};
  spec.prefix_space = true;
  for (const SplitRule rule : {SplitRule::kWhole, SplitRule::kGpt2}) {
    spec.split = rule;
    const auto again = parse_tokenizer_json(to_tokenizer_json(spec));
    REQUIRE(again);
    CHECK(*again == spec);
  }
}

TEST_CASE("tokenizer: of many added tokens the longest that begins first is found") {
  constexpr TextToken kMany = 100'000;  // quadratic work over as many would take minutes
  TokenizerSpec spec = byte_tokenizer();
  for (TextToken i = 0; i < kMany; ++i) spec.added.push_back({256 + i, "<" + std::to_string(i), false, i % 2 == 1});
  const auto tokenizer = Tokenizer::make(spec);
  REQUIRE(tokenizer);
  TokenEncoder encoder(*tokenizer);
  CHECK(encoder.encode("<1") == TokenIds{256 + 1});
  CHECK(encoder.encode("<99998x<99999") == TokenIds{256 + 99998, 'x', 256 + 99999});
  CHECK(encoder.encode("<100000") == TokenIds{256 + 10000, '0'});  // no token is as long as the text
  CHECK(encoder.encode("<<12<") == TokenIds{'<', 256 + 12, '<'});
}

TEST_CASE("tokenizer: a vocabulary of bytes gives the bytes, of any text or none") {
  const auto tokenizer = Tokenizer::make(byte_tokenizer());
  REQUIRE(tokenizer);
  CHECK(tokenizer->vocabulary() == 256);
  TokenEncoder encoder(*tokenizer);
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const TokenIds ids = encoder.encode(all);
  REQUIRE(ids.size() == 256);
  for (TextToken id = 0; id < 256; ++id) CHECK(ids[id] == id);
  CHECK(all_decoded(*tokenizer, ids) == all);
  CHECK(encoder.encode("").empty());
  CHECK(!tokenizer->decode(TokenIds{256}, Tokenizer::Specials::kKeep));
}

TEST_CASE("tokenizer: bytes that are no text come back, and special tokens can be left out") {
  const Tokenizer tokenizer = trained("llama3");
  TokenEncoder encoder(tokenizer);
  Random random(4);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (std::uint64_t n = random.below(40); n > 0; --n)
      bytes += static_cast<char>(random.below(2) == 0 ? random.below(256) : 'a' + random.below(4));
    CHECK(all_decoded(tokenizer, encoder.encode(bytes)) == bytes);
  }
  const TokenIds ids = encoder.encode_document("a<|eot|>b");
  CHECK(all_decoded(tokenizer, ids) == "<|begin_of_text|>a<|eot|>b");
  CHECK(*tokenizer.decode(ids, Tokenizer::Specials::kSkip) == "ab");
}

TEST_CASE("tokenizer: merges in the order of their ranks, in short pieces and in long ones") {
  TokenizerSpec spec = byte_tokenizer();
  spec.split = SplitRule::kWhole;
  Random random(8);
  const auto add = [&](TextToken left, TextToken right) {
    const std::string merged = spec.tokens[left] + spec.tokens[right];
    if (std::find(spec.tokens.begin(), spec.tokens.end(), merged) == spec.tokens.end())
      spec.tokens.push_back(merged);
    spec.merges.emplace_back(left, right);
  };
  std::vector<TextToken> pool{'a', 'b', 'c'};
  for (int i = 0; i < 30; ++i) {
    add(pool[random.below(pool.size())], pool[random.below(pool.size())]);
    pool.push_back(static_cast<TextToken>(spec.tokens.size() - 1));
  }
  // The last rank of a pair counts in the tables; without repetition both ways agree.
  std::sort(spec.merges.begin(), spec.merges.end());
  spec.merges.erase(std::unique(spec.merges.begin(), spec.merges.end()), spec.merges.end());
  random.shuffle(std::span(spec.merges));
  const auto tokenizer = Tokenizer::make(spec);
  REQUIRE(tokenizer);
  for (const std::size_t length : {1, 2, 3, 10, 23, 24, 47, 48, 49, 50, 200}) {
    for (int round = 0; round < 20; ++round) {
      TokenEncoder encoder(*tokenizer);
      std::string piece;
      for (std::size_t i = 0; i < length; ++i) piece += static_cast<char>('a' + random.below(3));
      CHECK_MESSAGE(encoder.encode(piece) == merged_slowly(spec, piece), piece);
    }
  }
}

TEST_CASE("tokenizer: pieces of the two expressions") {
  const auto pieces = [](std::string_view text, SplitRule rule) {
    std::string shown;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = piece_end(text, at, rule);
      REQUIRE(end > at);
      shown += (at == 0 ? "" : "|") + std::string(text.substr(at, end - at));
      at = end;
    }
    return shown;
  };
  CHECK(pieces("It's 's 'S a  b \n", SplitRule::kGpt2) == "It|'s| '|s| '|S| a| | b| \n");
  CHECK(pieces("x1234 ²½ !?a", SplitRule::kGpt2) == "x|1234| ²½| !?|a");
  CHECK(pieces("x'Sy 12345 !!\n\n\n  b", SplitRule::kLlama3) == "x|'S|y| |123|45| !!\n\n\n| | b");
  CHECK(pieces("a \r\n \n  c\t\td", SplitRule::kLlama3) == "a| \r\n \n| | c|\t|\td");
  CHECK(pieces("x'\u017fy", SplitRule::kLlama3) == "x|'\u017f|y");
  CHECK(pieces("a b", SplitRule::kWhole) == "a b");
  CHECK(utf8_at("\xed\xa0\x80", 0).bytes == 1);  // a surrogate
  CHECK(utf8_at("\xc0\x80", 0).bytes == 1);      // overlong
  CHECK(utf8_at("\xf4\x90\x80\x80", 0).bytes == 1);
  CHECK(utf8_at("\xf0\x9f\x98", 0).bytes == 1);  // cut
  CHECK(utf8_at("\xf0\x9f\x98\x80", 0).character == 0x1f600);
}

TEST_CASE("tokenizer: what is not byte-level BPE is refused by its name") {
  const auto good = nlohmann::json::parse(text_of_file(engine_vector("tokenizers/llama3.json")));
  const auto refused = [&](const char* pointer, const nlohmann::json& value, ErrorCode code) {
    nlohmann::json changed = good;
    changed[nlohmann::json::json_pointer(pointer)] = value;
    auto spec = parse_tokenizer_json(changed.dump());
    if (spec) {
      const auto made = Tokenizer::make(*spec);
      REQUIRE_MESSAGE(!made, pointer << " = " << value.dump());
      CHECK(made.error().code == code);
      return made.error().message;
    }
    CHECK_MESSAGE(spec.error().code == code, spec.error().message);
    return spec.error().message;
  };
  REQUIRE(parse_tokenizer_json(good.dump()));
  const ErrorCode other = ErrorCode::kUnsupported, bad = ErrorCode::kInvalidData;
  CHECK(mentions(refused("/model/type", "Unigram", other), "Unigram"));
  CHECK(mentions(refused("/model/dropout", 0.1, other), "dropout"));
  CHECK(mentions(refused("/model/byte_fallback", true, other), "byte_fallback"));
  CHECK(mentions(refused("/model/end_of_word_suffix", "</w>", other), "</w>"));
  CHECK(mentions(refused("/normalizer", {{"type", "NFC"}}, other), "NFC"));
  CHECK(mentions(refused("/truncation", {{"max_length", 3}}, other), "truncation"));
  CHECK(mentions(refused("/padding", {{"pad_id", 3}}, other), "padding"));
  CHECK(mentions(refused("/decoder/type", "WordPiece", other), "WordPiece"));
  CHECK(mentions(refused("/pre_tokenizer/type", "Whitespace", other), "Whitespace"));
  CHECK(mentions(refused("/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\d+", other), "\\d+"));
  CHECK(mentions(refused("/pre_tokenizer/pretokenizers/0/behavior", "Removed", other), "Removed"));
  CHECK(mentions(refused("/pre_tokenizer/pretokenizers/0/invert", true, other), "invert"));
  CHECK(mentions(refused("/pre_tokenizer/pretokenizers/1/use_regex", true, other), "use_regex"));
  CHECK(mentions(refused("/post_processor/processors/0/type", "BertProcessing", other), "BertProcessing"));
  CHECK(mentions(refused("/added_tokens/0/lstrip", true, other), "lstrip"));
  CHECK(mentions(refused("/added_tokens/0/id", 17, bad), "17"));
  CHECK(mentions(refused("/added_tokens/1/content", "<|begin_of_text|>", bad), "twice"));
  CHECK(mentions(refused("/added_tokens/1/content", "", bad), "empty"));
  CHECK(mentions(refused("/model/vocab/a", 100'000, bad), "100000"));
  CHECK(mentions(refused("/model/vocab/a", good["model"]["vocab"]["b"], bad), "two tokens"));
  CHECK(mentions(refused("/model/vocab/a", -1, bad), "-1"));
  CHECK(mentions(refused("/model/merges/0", "a", bad), "\"a\""));
  CHECK(mentions(refused("/model/merges/0", "a b c", bad), "a b c"));
  CHECK(mentions(refused("/model/merges/0", {"a", "nothing"}, bad), "lacks"));
  CHECK(mentions(refused("/model/merges/0", {"~", "~"}, bad), "lacks"));
  nlohmann::json lacking = good;
  lacking["model"]["vocab"].erase("a");
  lacking["model"]["vocab"]["~~~"] = good["model"]["vocab"]["a"];
  lacking["model"]["merges"] = nlohmann::json::array();
  const auto spec = parse_tokenizer_json(lacking.dump());
  REQUIRE(spec);
  const auto made = Tokenizer::make(*spec);
  REQUIRE(!made);
  CHECK(mentions(made.error().message, "byte 97"));
  for (const char* text : {"", "[]", "{}", "null", R"({"model":1})", R"({"decoder":{"type":"ByteLevel"}})"})
    CHECK(!parse_tokenizer_json(text));
}

}  // namespace covey
