#include "core/data/hf/gguf.h"

#include <bit>
#include <map>

#include "core/base/wire.h"
#include "tests/core/data/data_files.h"
#include "tests/core/data/engine_vectors.h"

namespace covey {
namespace {

struct GgufTensorRead {
  std::vector<std::uint64_t> dimensions;  // as in the file: the fastest first
  std::uint32_t type = 0;
  std::uint64_t offset = 0;
};
struct GgufRead {
  std::map<std::string, std::uint64_t> numbers;  // u32, i32, bool; f32 as its bits
  std::map<std::string, std::string> texts;
  std::map<std::string, std::vector<std::string>> text_lists;
  std::map<std::string, std::vector<std::uint32_t>> number_lists;
  std::map<std::string, GgufTensorRead> tensors;
  std::uint64_t data = 0;
  std::string bytes;

  std::vector<float> values(const std::string& name) const {
    const GgufTensorRead& tensor = tensors.at(name);
    std::uint64_t count = 1;
    for (const std::uint64_t length : tensor.dimensions) count *= length;
    const FileDType dtype = tensor.type == 0   ? FileDType::kF32
                            : tensor.type == 1 ? FileDType::kF16
                                               : FileDType::kBF16;
    std::vector<float> out(count);
    widen(bytes_of(bytes).subspan(data + tensor.offset, count * size_of(dtype)), dtype, out);
    return out;
  }
};

// Written from the format's description alone (docs/gguf.md of ggml).
GgufRead parsed(const std::string& path) {
  GgufRead file;
  file.bytes = text_of_file(path);
  ByteReader reader(bytes_of(file.bytes));
  const auto text = [&] { return std::string(text_of(reader.raw(reader.u64()))); };
  CHECK(text_of(reader.raw(4)) == "GGUF");
  CHECK(reader.u32() == 3);
  const std::uint64_t tensors = reader.u64(), pairs = reader.u64();
  for (std::uint64_t i = 0; i < pairs; ++i) {
    const std::string name = text();
    switch (const std::uint32_t type = reader.u32(); type) {
      case 4:
      case 6:
        file.numbers[name] = reader.u32();
        break;
      case 7:
        file.numbers[name] = reader.u8();
        break;
      case 8:
        file.texts[name] = text();
        break;
      case 9: {
        const std::uint32_t of = reader.u32();
        for (std::uint64_t n = reader.u64(); n > 0; --n)
          if (of == 8)
            file.text_lists[name].push_back(text());
          else
            file.number_lists[name].push_back(reader.u32());
        break;
      }
      default:
        FAIL("type " << type << " of " << name);
    }
  }
  for (std::uint64_t i = 0; i < tensors; ++i) {
    const std::string name = text();
    GgufTensorRead tensor;
    for (std::uint32_t n = reader.u32(); n > 0; --n) tensor.dimensions.push_back(reader.u64());
    tensor.type = reader.u32();
    tensor.offset = reader.u64();
    CHECK(tensor.offset % 32 == 0);
    file.tensors[name] = tensor;
  }
  REQUIRE(!reader.failed());
  std::size_t at = 0;
  while (reader.raw(1).size() == 1) ++at;  // what is left
  file.data = (file.bytes.size() - at + 31) / 32 * 32;
  return file;
}

HfFolder opened(const std::string& name) {
  auto folder = HfFolder::open(engine_vector(name));
  REQUIRE(folder);
  return std::move(*folder);
}

std::vector<float> values_of_role(const HfFolder& folder, TensorRole role, std::uint32_t layer) {
  for (const HfPart& part : folder.parts())
    if (part.role == role && part.layer == layer) return *folder.read(part);
  FAIL("no such part");
  return {};
}

}  // namespace

TEST_CASE("gguf: a Llama with its tokenizer, rows of query and key in pairs") {
  const HfFolder folder = opened("hf_llama");
  HfConfig config = folder.config();
  config.vocabulary = 300;  // rows of zeros where the model has none
  config.begin_token = 256;
  config.end_tokens = {257, 3};
  TokenizerSpec tokenizer = byte_tokenizer();
  tokenizer.added = {{256, "<|end|>", true, false}, {257, "word", false, true}};
  tokenizer.before = {256};
  const HfSource source = [&](const HfPart& part) {
    auto values = folder.read({part.role, part.layer,
                               part.role == TensorRole::kHead || part.role == TensorRole::kTokenEmbedding
                                   ? std::vector<std::uint64_t>{40, 16}
                                   : part.shape});
    values->resize(part.elements());
    return values;
  };
  const TemporaryFolder out;
  REQUIRE(write_gguf(out / "m.gguf", {config, &tokenizer, FileDType::kF32, "name"}, source));
  const GgufRead file = parsed(out / "m.gguf");
  CHECK(file.texts.at("general.architecture") == "llama");
  CHECK(file.numbers.at("llama.attention.head_count") == 4);
  CHECK(file.numbers.at("llama.attention.head_count_kv") == 2);
  CHECK(file.numbers.at("llama.rope.dimension_count") == 4);
  CHECK(std::bit_cast<float>(static_cast<std::uint32_t>(file.numbers.at("llama.rope.freq_base"))) == 500000);
  CHECK(file.numbers.at("tokenizer.ggml.bos_token_id") == 256);
  CHECK(file.numbers.at("tokenizer.ggml.eos_token_id") == 257);
  CHECK(file.numbers.at("tokenizer.ggml.eot_token_id") == 3);
  CHECK(!file.numbers.contains("tokenizer.ggml.eom_token_id"));
  CHECK(file.numbers.at("tokenizer.ggml.add_bos_token") == 1);
  CHECK(file.numbers.at("tokenizer.ggml.add_eos_token") == 0);
  const auto& tokens = file.text_lists.at("tokenizer.ggml.tokens");
  REQUIRE(tokens.size() == 300);
  CHECK(tokens['a'] == "a");
  CHECK(tokens[' '] == "\u0120");
  CHECK(tokens[256] == "<|end|>");
  CHECK(tokens[258] == "[PAD258]");
  const auto& kinds = file.number_lists.at("tokenizer.ggml.token_type");
  CHECK(std::vector<std::uint32_t>{kinds[0], kinds[256], kinds[257], kinds[258]} ==
        std::vector<std::uint32_t>{1, 3, 4, 5});

  CHECK(file.tensors.at("blk.1.ffn_down.weight").dimensions == std::vector<std::uint64_t>{24, 16});
  CHECK(file.values("blk.1.ffn_down.weight") == values_of_role(folder, TensorRole::kFfnDown, 1));
  CHECK(file.values("blk.0.attn_v.weight") == values_of_role(folder, TensorRole::kValue, 0));
  const auto query = values_of_role(folder, TensorRole::kQuery, 1), got = file.values("blk.1.attn_q.weight");
  const std::size_t order[] = {0, 2, 1, 3};  // of a head of width 4
  for (std::size_t row = 0; row < 16; ++row)
    for (std::size_t c = 0; c < 16; ++c)
      CHECK(got[row * 16 + c] == query[(row / 4 * 4 + order[row % 4]) * 16 + c]);
  CHECK(file.tensors.size() == 2 * 9 + 3);
  CHECK(file.data + file.tensors.at("output.weight").offset + 300 * 16 * 4 == file.bytes.size());
}

TEST_CASE("gguf: a GPT-2 in halves, query, key and value joined, vectors and positions in full") {
  const HfFolder folder = opened("hf_gpt2");
  const HfSource source = [&](const HfPart& part) { return folder.read(part); };
  for (const FileDType dtype : {FileDType::kF16, FileDType::kBF16}) {
    const TemporaryFolder out;
    REQUIRE(write_gguf(out / "m.gguf", {folder.config(), nullptr, dtype, ""}, source));
    const GgufRead file = parsed(out / "m.gguf");
    CHECK(file.numbers.at("general.file_type") == (dtype == FileDType::kF16 ? 1 : 32));
    CHECK(!file.texts.contains("tokenizer.ggml.model"));
    CHECK(!file.tensors.contains("output.weight"));  // tied
    CHECK(file.tensors.at("blk.0.attn_qkv.weight").dimensions == std::vector<std::uint64_t>{8, 24});
    CHECK(file.tensors.at("blk.0.attn_qkv.bias").type == 0);
    CHECK(file.tensors.at("position_embd.weight").type == 0);
    CHECK(file.tensors.at("token_embd.weight").type == (dtype == FileDType::kF16 ? 1 : 30));
    const auto joined = file.values("blk.1.attn_qkv.weight");
    std::vector<float> expected;
    for (const TensorRole role : {TensorRole::kQuery, TensorRole::kKey, TensorRole::kValue})
      for (const float value : values_of_role(folder, role, 1))
        expected.push_back(dtype == FileDType::kF16 ? widened_f16(narrowed_f16(value))
                                                    : widened_bf16(narrowed_bf16(value)));
    CHECK(joined == expected);
    CHECK(file.values("blk.1.ffn_up.bias") == values_of_role(folder, TensorRole::kFfnUpBias, 1));
  }
}

TEST_CASE(
    "gguf: refuses tokenizers that llama.cpp would read otherwise, and leaves nothing behind an error") {
  const HfFolder folder = opened("hf_llama");
  HfConfig config = folder.config();
  config.vocabulary = 300;
  const HfSource zeros = [](const HfPart& part) { return Result(std::vector<float>(part.elements())); };
  const TemporaryFolder out;
  const auto refuse = [&](const TokenizerSpec& tokenizer) {
    const auto written = write_gguf(out / "m", {config, &tokenizer, FileDType::kF16, ""}, zeros);
    REQUIRE(!written);
    CHECK(!file_exists(out / "m"));
    CHECK(!file_exists(out / "m.partial"));
    return written.error().message;
  };
  TokenizerSpec spec = byte_tokenizer();
  spec.prefix_space = true;
  CHECK(mentions(refuse(spec), "add_prefix_space"));
  spec = byte_tokenizer();
  spec.before = {7};
  CHECK(mentions(refuse(spec), "around a document"));
  spec = byte_tokenizer();
  spec.tokens.push_back("ab");
  spec.merges = {{'a', 'b'}};
  spec.split = SplitRule::kLlama3;
  CHECK(mentions(refuse(spec), "ignore_merges"));
  spec.split = SplitRule::kWhole;
  CHECK(mentions(refuse(spec), "whole text"));
  for (int i = 0; i < 50; ++i) spec.tokens.push_back("ab" + std::to_string(i));
  CHECK(mentions(refuse(spec), "307 tokens"));
  const HfSource failing = [](const HfPart&) -> Result<std::vector<float>> {
    return unexpected(ErrorCode::kUnavailable, "no values");
  };
  const auto failed = write_gguf(out / "m", {config, nullptr, FileDType::kF16, ""}, failing);
  REQUIRE(!failed);
  CHECK(failed.error().message == "no values");
  CHECK(!file_exists(out / "m.partial"));
  REQUIRE(write_gguf(out / "m", {config, nullptr, FileDType::kF16, ""}, zeros));
  CHECK(!write_gguf(out / "m", {config, nullptr, FileDType::kF16, ""}, zeros));
  CHECK(!write_gguf(out / "n", {config, nullptr, FileDType::kI8, ""}, zeros));
}

}  // namespace covey
