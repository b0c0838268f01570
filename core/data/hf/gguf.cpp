#include "core/data/hf/gguf.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/base/check.h"
#include "core/base/wire.h"
#include "core/data/files.h"

namespace covey {
namespace {

constexpr std::uint64_t kAlignment = 32;  // bytes; the format's default

Unexpected unsupported(const std::string& what) {
  return unexpected(ErrorCode::kUnsupported, "llama.cpp has no tokenizer with " + what +
                                                 ": write the model without its tokenizer, or change that");
}

// The metadata: names, types and values one after the other.
class Metadata {
 public:
  void text(const std::string& name, std::string_view value) { put(name, kText).string(value); }
  void u32(const std::string& name, std::uint32_t value) { put(name, kU32).writer_.u32(value); }
  void f32(const std::string& name, double value) {
    put(name, kF32).writer_.u32(std::bit_cast<std::uint32_t>(static_cast<float>(value)));
  }
  void boolean(const std::string& name, bool value) { put(name, kBool).writer_.boolean(value); }
  void texts(const std::string& name, const std::vector<std::string>& values) {
    put(name, kArray).writer_.u32(kText).u64(values.size());
    for (const std::string& value : values) string(value);
  }
  void i32s(const std::string& name, const std::vector<std::uint32_t>& values) {
    put(name, kArray).writer_.u32(kI32).u64(values.size());
    for (const std::uint32_t value : values) writer_.u32(value);
  }
  std::uint64_t count() const { return count_; }
  const Bytes& bytes() const { return writer_.bytes(); }

 private:
  enum Type : std::uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kText = 8, kArray = 9 };
  Metadata& put(const std::string& name, Type type) {
    ++count_;
    string(name).writer_.u32(type);
    return *this;
  }
  Metadata& string(std::string_view text) {
    writer_.u64(text.size()).raw(bytes_of(text));
    return *this;
  }
  ByteWriter writer_;
  std::uint64_t count_ = 0;
};

std::uint32_t type_of(FileDType dtype) {
  return dtype == FileDType::kF32 ? 0 : dtype == FileDType::kF16 ? 1 : 30;  // ggml_type
}
std::uint32_t file_type_of(FileDType dtype) {
  return dtype == FileDType::kF32 ? 0 : dtype == FileDType::kF16 ? 1 : 32;  // llama_ftype
}

// The name without ".weight" or ".bias"; of layers without "blk.N.". `gpt2` joins query, key and value.
const char* gguf_name(HfFamily family, TensorRole role) {
  const bool gpt2 = family == HfFamily::kGpt2;
  switch (role) {
    case TensorRole::kTokenEmbedding:
      return "token_embd";
    case TensorRole::kPositionEmbedding:
      return "position_embd";
    case TensorRole::kAttentionNorm:
    case TensorRole::kAttentionNormBias:
      return "attn_norm";
    case TensorRole::kQuery:
    case TensorRole::kQueryBias:
      return gpt2 ? "attn_qkv" : "attn_q";
    case TensorRole::kKey:
    case TensorRole::kKeyBias:
      return gpt2 ? "attn_qkv" : "attn_k";
    case TensorRole::kValue:
    case TensorRole::kValueBias:
      return gpt2 ? "attn_qkv" : "attn_v";
    case TensorRole::kAttentionOut:
    case TensorRole::kAttentionOutBias:
      return "attn_output";
    case TensorRole::kFfnNorm:
    case TensorRole::kFfnNormBias:
      return "ffn_norm";
    case TensorRole::kFfnGate:
      return "ffn_gate";
    case TensorRole::kFfnUp:
    case TensorRole::kFfnUpBias:
      return "ffn_up";
    case TensorRole::kFfnDown:
    case TensorRole::kFfnDownBias:
      return "ffn_down";
    case TensorRole::kFinalNorm:
    case TensorRole::kFinalNormBias:
      return "output_norm";
    case TensorRole::kHead:
      return "output";
  }
  return "";
}

std::string full_name(HfFamily family, const HfPart& part) {
  const std::string_view role = name_of(part.role);
  const bool in_layer = part.role >= TensorRole::kAttentionNorm && part.role <= TensorRole::kFfnDownBias;
  std::string name = in_layer ? "blk." + std::to_string(part.layer) + "." : std::string();
  return name + gguf_name(family, part.role) + (role.ends_with("_bias") ? ".bias" : ".weight");
}

struct GgufTensor {
  std::string name;
  std::vector<std::uint64_t> shape;  // row-major: reversed in the file
  FileDType dtype = FileDType::kF32;
  std::vector<HfPart> parts;  // their rows one below the other
  std::uint64_t offset = 0;   // bytes from the start of the data
  std::uint64_t bytes() const {
    std::uint64_t count = size_of(dtype);
    for (const std::uint64_t length : shape) count *= length;
    return count;
  }
};

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::vector<GgufTensor> tensors_of(const GgufWriting& writing) {
  std::vector<GgufTensor> tensors;
  for (const HfPart& part : hf_parts(writing.config)) {
    std::string name = full_name(writing.config.family, part);
    // Bias and weight alternate: the one that this continues is at most two back.
    const auto recent = tensors.end() - std::min<std::ptrdiff_t>(2, std::ssize(tensors));
    const auto same =
        std::find_if(recent, tensors.end(), [&](const GgufTensor& t) { return t.name == name; });
    if (same != tensors.end()) {
      same->shape[0] += part.shape[0];
      same->parts.push_back(part);
      continue;
    }
    const bool narrow = part.shape.size() == 2 && part.role != TensorRole::kPositionEmbedding;
    tensors.push_back({std::move(name), part.shape, narrow ? writing.dtype : FileDType::kF32, {part}, 0});
  }
  std::uint64_t at = 0;
  for (GgufTensor& tensor : tensors) {
    tensor.offset = at;
    at += aligned(tensor.bytes());
  }
  return tensors;
}

// Rotate-half order of a head's rows, first halves then second, to pairs.
std::vector<float> paired(const std::vector<float>& values, std::size_t heads, std::size_t columns) {
  std::vector<float> out(values.size());
  const std::size_t half = values.size() / columns / heads / 2;
  for (std::size_t h = 0; h < heads; ++h)
    for (std::size_t side = 0; side < 2; ++side)
      for (std::size_t i = 0; i < half; ++i) {
        const auto from = values.begin() + static_cast<std::ptrdiff_t>(((h * 2 + side) * half + i) * columns);
        std::copy(from, from + static_cast<std::ptrdiff_t>(columns),
                  out.begin() + static_cast<std::ptrdiff_t>(((h * half + i) * 2 + side) * columns));
      }
  return out;
}

Result<std::vector<float>> gathered(const HfConfig& config, const GgufTensor& tensor,
                                    const HfSource& source) {
  std::vector<float> all;
  for (const HfPart& part : tensor.parts) {
    COVEY_TRY(std::vector<float> values, values_of(part, source));
    if (config.family == HfFamily::kLlama && part.role == TensorRole::kQuery)
      values = paired(values, config.heads, config.width);
    if (config.family == HfFamily::kLlama && part.role == TensorRole::kKey)
      values = paired(values, config.kv_heads, config.width);
    if (tensor.parts.size() == 1) return values;
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

void put_model(const GgufWriting& writing, Metadata& metadata) {
  const HfConfig& config = writing.config;
  const std::string architecture = name_of(config.family), prefix = architecture + ".";
  metadata.text("general.architecture", architecture);
  metadata.text("general.type", "model");
  if (!writing.name.empty()) metadata.text("general.name", writing.name);
  metadata.u32("general.file_type", file_type_of(writing.dtype));
  metadata.u32("general.quantization_version", 2);
  metadata.u32(prefix + "vocab_size", config.vocabulary);
  metadata.u32(prefix + "context_length", config.context);
  metadata.u32(prefix + "embedding_length", config.width);
  metadata.u32(prefix + "block_count", config.layers);
  metadata.u32(prefix + "feed_forward_length", config.ffn);
  metadata.u32(prefix + "attention.head_count", config.heads);
  if (config.family == HfFamily::kGpt2) {
    metadata.f32(prefix + "attention.layer_norm_epsilon", config.norm_epsilon);
    return;
  }
  metadata.u32(prefix + "attention.head_count_kv", config.kv_heads);
  metadata.f32(prefix + "attention.layer_norm_rms_epsilon", config.norm_epsilon);
  metadata.u32(prefix + "rope.dimension_count", config.head_width());
  metadata.f32(prefix + "rope.freq_base", config.rope_theta);
}

// What llama.cpp's own pre-tokenizers cannot say would give other ids there.
Result<void> check_tokenizer(const HfConfig& config, const TokenizerSpec& spec) {
  if (spec.vocabulary() > config.vocabulary)
    return unexpected(ErrorCode::kInvalidData, "the tokenizer has " + std::to_string(spec.vocabulary()) +
                                                   " tokens, the model's vocabulary " +
                                                   std::to_string(config.vocabulary));
  if (spec.prefix_space) return unsupported("add_prefix_space");
  const bool llama3 = spec.split == SplitRule::kLlama3;
  if (!spec.merges.empty() && spec.split == SplitRule::kWhole)
    return unsupported("merges over the whole text");
  if (!spec.merges.empty() && spec.ignore_merges != llama3)
    return unsupported(std::string("ignore_merges = ") + (spec.ignore_merges ? "true" : "false") +
                       " and the pieces of " + (llama3 ? "Llama 3" : "GPT-2"));
  const bool begin =
      spec.before.empty() || (config.begin_token && spec.before == TokenIds{*config.begin_token});
  const bool end =
      spec.after.empty() || (!config.end_tokens.empty() && spec.after == TokenIds{config.end_tokens[0]});
  if (!begin || !end) return unsupported("other tokens around a document than the model's first and last");
  return {};
}

void put_tokenizer(const HfConfig& config, const TokenizerSpec& spec, Metadata& metadata) {
  enum Kind : std::uint32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };
  std::vector<std::string> tokens(config.vocabulary);
  std::vector<std::uint32_t> kinds(config.vocabulary, kUnused);
  for (std::size_t id = 0; id < tokens.size(); ++id) tokens[id] = "[PAD" + std::to_string(id) + "]";
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    tokens[id] = byte_letters(spec.tokens[id]);
    kinds[id] = kNormal;
  }
  for (const AddedToken& token : spec.added) {
    tokens[token.id] = token.content;
    kinds[token.id] = token.special ? kControl : kUserDefined;
  }
  std::vector<std::string> merges;
  for (const auto& [left, right] : spec.merges)
    merges.push_back(byte_letters(spec.tokens[left]) + " " + byte_letters(spec.tokens[right]));
  metadata.text("tokenizer.ggml.model", "gpt2");
  metadata.text("tokenizer.ggml.pre", spec.split == SplitRule::kLlama3 ? "llama-bpe" : "gpt-2");
  metadata.texts("tokenizer.ggml.tokens", tokens);
  metadata.i32s("tokenizer.ggml.token_type", kinds);
  metadata.texts("tokenizer.ggml.merges", merges);
  if (config.begin_token) metadata.u32("tokenizer.ggml.bos_token_id", *config.begin_token);
  // llama.cpp has three places for tokens that end a text (of a document, a turn, a message), and stops at each.
  static constexpr const char* kEnds[] = {"eos", "eot", "eom"};
  for (std::size_t i = 0; i < std::min(std::size(kEnds), config.end_tokens.size()); ++i)
    metadata.u32(std::string("tokenizer.ggml.") + kEnds[i] + "_token_id", config.end_tokens[i]);
  if (config.pad_token) metadata.u32("tokenizer.ggml.padding_token_id", *config.pad_token);
  metadata.boolean("tokenizer.ggml.add_bos_token", !spec.before.empty());
  metadata.boolean("tokenizer.ggml.add_eos_token", !spec.after.empty());
}

Bytes header_of(const Metadata& metadata, const std::vector<GgufTensor>& tensors) {
  ByteWriter writer;
  writer.raw(bytes_of("GGUF")).u32(3).u64(tensors.size()).u64(metadata.count()).raw(metadata.bytes());
  for (const GgufTensor& tensor : tensors) {
    writer.u64(tensor.name.size()).raw(bytes_of(tensor.name));
    writer.u32(static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto length = tensor.shape.rbegin(); length != tensor.shape.rend(); ++length) writer.u64(*length);
    writer.u32(type_of(tensor.dtype)).u64(tensor.offset);
  }
  Bytes header = writer.take();
  header.resize(aligned(header.size()));
  return header;
}

Result<void> write_into(const std::string& path, const GgufWriting& writing, const HfSource& source) {
  Metadata metadata;
  put_model(writing, metadata);
  if (writing.tokenizer != nullptr) put_tokenizer(writing.config, *writing.tokenizer, metadata);
  const std::vector<GgufTensor> tensors = tensors_of(writing);
  const Bytes header = header_of(metadata, tensors);
  COVEY_TRY(const FileDescriptor file, create_data_file(path));
  COVEY_TRY_VOID(write_at(file, 0, header, path));
  for (const GgufTensor& tensor : tensors) {
    COVEY_TRY(const std::vector<float> values, gathered(writing.config, tensor, source));
    COVEY_TRY_VOID(check_fits(tensor.name, values, tensor.dtype));
    Bytes bytes = narrow(values, tensor.dtype);
    COVEY_CHECK(bytes.size() == tensor.bytes());
    bytes.resize(aligned(bytes.size()));
    COVEY_TRY_VOID(write_at(file, header.size() + tensor.offset, bytes, path));
  }
  return sync_file(file, path);
}

}  // namespace

Result<void> write_gguf(const std::string& path, const GgufWriting& writing, const HfSource& source) {
  COVEY_TRY_VOID(writing.config.validate());
  if (writing.dtype != FileDType::kF32 && writing.dtype != FileDType::kF16 &&
      writing.dtype != FileDType::kBF16)
    return unexpected(ErrorCode::kInvalidArgument,
                      std::string("GGUF is written as F32, F16 or BF16, not ") + name_of(writing.dtype));
  if (writing.tokenizer != nullptr) COVEY_TRY_VOID(check_tokenizer(writing.config, *writing.tokenizer));
  const std::string partial = path + ".partial";
  for (const std::string& one : {path, partial})
    if (file_exists(one))
      return unexpected(ErrorCode::kAlreadyExists,
                        one + " is there already: name another file, or remove it");
  auto written = write_into(partial, writing, source);
  if (written) written = rename_file(partial, path);
  if (!written) {
    const auto removed = remove_file(partial);
    (void)removed;  // of the first error there is more to say
    return written;
  }
  const std::size_t slash = path.find_last_of('/');
  return sync_folder(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
}

}  // namespace covey
