#include "core/data/hf/hf_folder.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/data/hf/peft_adapter.h"
#include "core/data/safetensors.h"
#include "tests/core/data/data_files.h"
#include "tests/core/data/engine_vectors.h"

namespace covey {
namespace {

using nlohmann::json;

std::string role_key(const HfPart& part) {
  const bool in_layer = part.role >= TensorRole::kAttentionNorm && part.role <= TensorRole::kFfnDownBias;
  return name_of(part.role) + (in_layer ? "." + std::to_string(part.layer) : std::string());
}

std::map<std::string, NamedTensor> roles_of_vector(const std::string& name) {
  const std::string bytes = text_of_file(engine_vector(name + "/roles.safetensors"));
  auto file = from_safetensors(bytes_of(bytes));
  REQUIRE(file);
  std::map<std::string, NamedTensor> roles;
  for (NamedTensor& tensor : file->tensors) roles.emplace(tensor.name, std::move(tensor));
  roles.erase("tokens");  // with "logits", what a forward pass is held against
  roles.erase("logits");
  return roles;
}

HfFolder opened(const std::string& path) {
  auto folder = HfFolder::open(path);
  if (!folder) FAIL(folder.error().message);
  return std::move(*folder);
}

void copy_vector(const std::string& name, const std::string& to) {
  std::filesystem::copy(engine_vector(name), to);
}

std::string refused(const std::string& folder, ErrorCode code) {
  const auto result = HfFolder::open(folder);
  REQUIRE(!result);
  CHECK_MESSAGE(result.error().code == code, result.error().message);
  return result.error().message;
}

}  // namespace

TEST_CASE("hf folder: each tensor of transformers' GPT-2 and Llama is the one of its role") {
  for (const std::string name : {"hf_gpt2", "hf_llama", "hf_llama_tied"}) {
    CAPTURE(name);
    const HfFolder folder = opened(engine_vector(name));
    auto roles = roles_of_vector(name);
    CHECK(folder.parts().size() == roles.size());
    for (const HfPart& part : folder.parts()) {
      const auto expected = roles.find(role_key(part));
      REQUIRE_MESSAGE(expected != roles.end(), role_key(part));
      CHECK(part.shape == expected->second.shape);
      const auto values = folder.read(part);
      REQUIRE(values);
      CHECK_MESSAGE(*values == expected->second.values, role_key(part));
    }
    const auto none = folder.tokenizer();
    REQUIRE(none);
    CHECK(!none->has_value());
  }
}

TEST_CASE("hf folder: the configurations are understood") {
  const HfConfig gpt2 = opened(engine_vector("hf_gpt2")).config();
  HfConfig expected;
  expected.family = HfFamily::kGpt2;
  expected.vocabulary = 40;
  expected.width = 8;
  expected.layers = 2;
  expected.heads = expected.kv_heads = 2;
  expected.ffn = 32;
  expected.context = 16;
  expected.norm_epsilon = 1e-5;
  expected.tied_head = true;
  expected.begin_token = 1;
  expected.end_tokens = {1};
  CHECK(gpt2 == expected);

  const HfConfig llama = opened(engine_vector("hf_llama")).config();
  expected = {};
  expected.vocabulary = 40;
  expected.width = 16;
  expected.layers = 2;
  expected.heads = 4;
  expected.kv_heads = 2;
  expected.ffn = 24;
  expected.context = 32;
  expected.norm_epsilon = 1e-6;
  expected.rope_theta = 500000;
  expected.begin_token = 1;
  expected.end_tokens = {2, 3};
  CHECK(llama == expected);
  CHECK(llama.kv_width() == 8);

  const HfConfig tied = opened(engine_vector("hf_llama_tied")).config();
  CHECK(tied.dtype == FileDType::kBF16);
  CHECK(tied.tied_head);
  for (const HfConfig& config : {gpt2, llama, tied}) {
    const auto again = parse_hf_config(to_hf_config(config));
    REQUIRE(again);
    CHECK(*again == config);
  }
}

TEST_CASE("hf folder: what is written is read back, in one file or several, with its tokenizer") {
  for (const std::string name : {"hf_gpt2", "hf_llama", "hf_llama_tied"}) {
    const HfFolder folder = opened(engine_vector(name));
    const TemporaryFolder out;
    TokenizerSpec tokenizer = byte_tokenizer();
    HfWriting writing{folder.config(), nullptr, 3000};
    const HfSource source = [&](const HfPart& part) { return folder.read(part); };
    REQUIRE(write_hf(out / "model", writing, source));
    const HfFolder again = opened(out / "model");
    CHECK(again.config() == folder.config());
    for (const HfPart& part : folder.parts()) CHECK(*again.read(part) == *folder.read(part));
    CHECK(!file_exists(out / "model.partial"));
    const auto twice = write_hf(out / "model", writing, source);
    REQUIRE(!twice);
    CHECK(twice.error().code == ErrorCode::kAlreadyExists);

    writing.tokenizer = &tokenizer;  // 256 tokens for a vocabulary of 40
    const auto small = write_hf(out / "other", writing, source);
    REQUIRE(!small);
    CHECK(mentions(small.error().message, "256 tokens"));
    CHECK(!file_exists(out / "other"));
  }
}

TEST_CASE("hf folder: padding of the vocabulary is cut, other sizes are refused, an error leaves nothing") {
  const HfFolder folder = opened(engine_vector("hf_llama"));
  const TemporaryFolder out;
  const HfWriting writing{folder.config(), nullptr, 5'000'000'000};
  std::size_t extra = 24 * 16;  // rows of the vocabulary
  const HfSource padded = [&](const HfPart& part) {
    auto values = folder.read(part);
    if (part.role == TensorRole::kHead || part.role == TensorRole::kTokenEmbedding)
      values->resize(values->size() + extra);
    return values;
  };
  REQUIRE(write_hf(out / "padded", writing, padded));
  const HfFolder again = opened(out / "padded");
  for (const HfPart& part : folder.parts()) CHECK(*again.read(part) == *folder.read(part));
  extra = 5;
  const auto uneven = write_hf(out / "uneven", writing, padded);
  REQUIRE(!uneven);
  CHECK(uneven.error().code == ErrorCode::kInvalidArgument);
  CHECK(mentions(uneven.error().message, "token_embedding"));
  CHECK(!file_exists(out / "uneven"));
  CHECK(!file_exists(out / "uneven.partial"));
}

TEST_CASE("hf folder: a tokenizer goes with the model") {
  HfConfig config = opened(engine_vector("hf_llama")).config();
  config.vocabulary = 300;
  TokenizerSpec tokenizer = byte_tokenizer();
  tokenizer.added = {{256, "<|end|>", true, false}};
  config.begin_token = 256;
  const TemporaryFolder out;
  const HfSource zeros = [](const HfPart& part) { return Result(std::vector<float>(part.elements())); };
  REQUIRE(write_hf(out / "model", {config, &tokenizer, 5'000'000'000}, zeros));
  REQUIRE(write_hf(out / "as_it_was", {config, &tokenizer, 5'000'000'000, "{ \"as\": 1 }"}, zeros));
  CHECK(text_of_file(out / "as_it_was/tokenizer.json") == "{ \"as\": 1 }");
  const auto read = opened(out / "model").tokenizer();
  REQUIRE(read);
  REQUIRE(read->has_value());
  CHECK(**read == tokenizer);
  CHECK(json::parse(text_of_file(out / "model/tokenizer_config.json"))["bos_token"] == "<|end|>");
}

TEST_CASE("hf config: what the engine has not is refused by its name") {
  const auto refuse = [](const json& base, const char* name, const json& value, ErrorCode code) {
    json changed = base;
    changed[name] = value;
    const auto config = parse_hf_config(changed.dump());
    REQUIRE_MESSAGE(!config, name << " = " << value.dump());
    CHECK_MESSAGE(config.error().code == code, config.error().message);
    return config.error().message;
  };
  const json llama = json::parse(text_of_file(engine_vector("hf_llama/config.json")));
  const json gpt2 = json::parse(text_of_file(engine_vector("hf_gpt2/config.json")));
  const ErrorCode other = ErrorCode::kUnsupported, bad = ErrorCode::kInvalidData;
  CHECK(mentions(refuse(llama, "model_type", "mistral", other), "mistral"));
  CHECK(mentions(refuse(llama, "architectures", {"LlamaForSequenceClassification"}, other),
                 "LlamaForSequence"));
  CHECK(mentions(refuse(llama, "rope_scaling", {{"type", "linear"}, {"factor", 2}}, other), "linear"));
  CHECK(mentions(refuse(llama, "rope_parameters", {{"rope_type", "llama3"}}, other), "llama3"));
  CHECK(mentions(refuse(llama, "attention_bias", true, other), "attention_bias"));
  CHECK(mentions(refuse(llama, "mlp_bias", true, other), "mlp_bias"));
  CHECK(mentions(refuse(llama, "sliding_window", 4096, other), "sliding_window"));
  CHECK(mentions(refuse(llama, "quantization_config", {{"bits", 4}}, other), "quantization_config"));
  CHECK(mentions(refuse(llama, "hidden_act", "relu", other), "relu"));
  CHECK(mentions(refuse(llama, "head_dim", 8, other), "head_dim"));
  CHECK(mentions(refuse(llama, "dtype", "float8_e4m3fn", other), "float8"));
  CHECK(mentions(refuse(gpt2, "activation_function", "relu", other), "relu"));
  for (const char* name :
       {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"})
    CHECK(mentions(refuse(gpt2, name, true, other), name));
  CHECK(mentions(refuse(gpt2, "scale_attn_weights", false, other), "scale_attn_weights"));
  CHECK(mentions(refuse(llama, "hidden_size", 0, bad), "hidden_size"));
  CHECK(mentions(refuse(llama, "hidden_size", nullptr, bad), "hidden_size"));
  CHECK(mentions(refuse(llama, "hidden_size", "16", bad), "hidden_size"));
  CHECK(mentions(refuse(llama, "vocab_size", -1, bad), "vocab_size"));
  CHECK(mentions(refuse(llama, "vocab_size", 1e9, bad), "vocab_size"));
  CHECK(mentions(refuse(llama, "num_attention_heads", 3, other), "head_dim"));
  CHECK(mentions(refuse(llama, "num_key_value_heads", 3, bad), "multiple"));
  CHECK(mentions(refuse(llama, "rms_norm_eps", 0, bad), "epsilon"));
  CHECK(mentions(refuse(llama, "rope_parameters", {{"rope_theta", 0}}, bad), "rope_theta"));
  CHECK(mentions(refuse(llama, "rms_norm_eps", 1e300, bad), "epsilon is 1e+300,"));  // not in 300 digits
  CHECK(mentions(refuse(llama, "rope_parameters", {{"rope_theta", 1e300}}, bad), "rope_theta = 1e+300:"));
  CHECK(mentions(refuse(llama, "rope_parameters", 7, bad), "object"));
  CHECK(mentions(refuse(llama, "eos_token_id", {1, "x"}, bad), "eos_token_id"));
  for (const char* text : {"", "{}", "[]", "{\"model_type\":1}", "{\"model_type\":\"llama\"}"})
    CHECK(!parse_hf_config(text));
  json old = llama;  // as 4.x writes it
  old.erase("rope_parameters");
  old["rope_theta"] = 20000.0;
  old["rope_scaling"] = nullptr;
  CHECK(parse_hf_config(old.dump())->rope_theta == 20000);
}

TEST_CASE("hf folder: weights that do not fit the configuration are refused, old buffers are left out") {
  const TemporaryFolder at;
  copy_vector("hf_gpt2", at / "m");
  const auto rewrite = [&](const std::string& prefix, auto change) {
    const auto file = TensorFile::open(engine_vector("hf_gpt2/model.safetensors"));
    REQUIRE(file);
    TensorWriting writing;
    std::vector<std::vector<float>> values;
    for (const TensorPlace& place : file->layout().tensors) {
      std::vector<float> one(place.elements);
      REQUIRE(file->read(place, 0, one));
      writing.tensors.push_back(
          {prefix + place.name.substr(std::string("transformer.").size()), FileDType::kF32, place.shape});
      values.push_back(std::move(one));
    }
    change(writing, values);
    std::filesystem::remove(at / "m/model.safetensors");
    REQUIRE(write_tensor_file(at / "m/model.safetensors", writing,
                              [&](std::size_t i) { return Result<std::vector<float>>(values[i]); }));
  };
  const auto add = [](const std::string& name) {
    return [name](TensorWriting& writing, std::vector<std::vector<float>>& values) {
      writing.tensors.push_back({name, FileDType::kF32, {2}});
      values.push_back({1, 2});
    };
  };
  rewrite("", [](auto&, auto&) {});  // as the base model is saved
  CHECK(*opened(at / "m").read(opened(at / "m").parts()[4]) ==
        *opened(engine_vector("hf_gpt2")).read(opened(at / "m").parts()[4]));
  rewrite("", add("h.0.attn.bias"));
  CHECK(HfFolder::open(at / "m"));
  rewrite("transformer.", add("lm_head.weight"));
  CHECK(HfFolder::open(at / "m"));
  rewrite("", add("score.weight"));
  CHECK(mentions(refused(at / "m", ErrorCode::kInvalidData), "score.weight"));
  rewrite("transformer.", [](TensorWriting& writing, auto& values) {
    writing.tensors.erase(writing.tensors.begin() + 3);
    values.erase(values.begin() + 3);
  });
  CHECK(mentions(refused(at / "m", ErrorCode::kInvalidData), "missing"));
  rewrite("transformer.", [](TensorWriting& writing, auto&) {
    for (TensorToWrite& tensor : writing.tensors)
      if (tensor.name.ends_with("c_fc.weight")) std::swap(tensor.shape[0], tensor.shape[1]);
  });
  CHECK(mentions(refused(at / "m", ErrorCode::kInvalidData), "[8, 32]"));
  rewrite("transformer.",
          [](TensorWriting&, auto& values) { values[0][0] = std::numeric_limits<float>::infinity(); });
  int bad = 0;
  const HfFolder folder = opened(at / "m");
  for (const HfPart& part : folder.parts()) bad += !folder.read(part) ? 1 : 0;
  CHECK(bad == 1);
  std::filesystem::remove(at / "m/config.json");
  CHECK(mentions(refused(at / "m", ErrorCode::kNotFound), "config.json"));
}

TEST_CASE("peft: reads the adapters that peft wrote, and writes them so that they read back") {
  for (const std::string name : {"gpt2", "llama"}) {
    const HfConfig config = opened(engine_vector("hf_" + name)).config();
    const auto adapter = read_peft(engine_vector("adapter_" + name), config);
    if (!adapter) FAIL(adapter.error().message);
    CHECK(adapter->rank == 3);
    CHECK(adapter->parts.size() == (name == "gpt2" ? 8 : 6));
    CHECK(adapter->scale() == doctest::Approx(name == "gpt2" ? 5 / std::sqrt(3.0) : 5 / 3.0));
    const std::string bytes = text_of_file(engine_vector("adapter_" + name + "/adapter_model.safetensors"));
    const auto file = from_safetensors(bytes_of(bytes));
    REQUIRE(file);
    std::set<std::vector<float>> expected, got;
    for (const NamedTensor& tensor : file->tensors) expected.insert(tensor.values);
    for (const LoraPart& part : adapter->parts) {
      got.insert(part.a);
      got.insert(part.b);
    }
    CHECK(got == expected);
    const TemporaryFolder out;
    REQUIRE(write_peft(out / "a", config, *adapter));
    const auto again = read_peft(out / "a", config);
    REQUIRE(again);
    CHECK(*again == *adapter);
    CHECK(!write_peft(out / "a", config, *adapter));
  }
}

TEST_CASE("peft: more than LoRA is refused by its name, and an adapter of another model") {
  const json good = json::parse(text_of_file(engine_vector("adapter_llama/adapter_config.json")));
  REQUIRE(parse_adapter_config(good.dump()));
  const auto refuse = [&](const char* name, const json& value) {
    json changed = good;
    changed[name] = value;
    const auto adapter = parse_adapter_config(changed.dump());
    REQUIRE_MESSAGE(!adapter, name);
    CHECK(mentions(adapter.error().message, name));
  };
  refuse("peft_type", "IA3");
  refuse("use_dora", true);
  refuse("bias", "all");
  refuse("modules_to_save", {"lm_head"});
  refuse("rank_pattern", {{"q_proj", 4}});
  refuse("r", 0);
  refuse("r", 1e9);
  refuse("lora_alpha", "x");
  refuse("lora_dropout", 1.0);

  const HfConfig gpt2 = opened(engine_vector("hf_gpt2")).config(),
                 llama = opened(engine_vector("hf_llama")).config();
  CHECK(!read_peft(engine_vector("adapter_llama"), gpt2));
  HfConfig wider = llama;
  wider.width = 32;
  CHECK(mentions(read_peft(engine_vector("adapter_llama"), wider).error().message, "[3, 32]"));
  HfConfig shorter = llama;
  shorter.layers = 1;
  CHECK(mentions(read_peft(engine_vector("adapter_llama"), shorter).error().message, "layers.1."));
  const TemporaryFolder out;
  LoraAdapter adapter = *read_peft(engine_vector("adapter_llama"), llama);
  adapter.parts[0].a.pop_back();
  CHECK(!write_peft(out / "a", llama, adapter));
  adapter = *read_peft(engine_vector("adapter_llama"), llama);
  adapter.parts.push_back(adapter.parts[0]);
  CHECK(mentions(write_peft(out / "a", llama, adapter).error().message, "twice"));
  adapter.parts = {{0, LoraModule::kQueryKeyValue, {}, {}}};
  CHECK(mentions(write_peft(out / "a", llama, adapter).error().message, "no module"));
}

}  // namespace covey
