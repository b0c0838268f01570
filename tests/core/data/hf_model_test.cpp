#include "core/data/hf/hf_model.h"

#include <algorithm>
#include <cmath>

#include "core/data/safetensors.h"
#include "core/nn/model.h"
#include "core/nn/token_decoder.h"
#include "tests/core/data/data_files.h"
#include "tests/core/data/engine_vectors.h"

namespace covey {
namespace {

HfFolder opened(const std::string& name) {
  auto folder = HfFolder::open(engine_vector(name));
  if (!folder) FAIL(folder.error().message);
  return std::move(*folder);
}

FlatModel model_of(const HfFolder& folder, std::uint32_t context = 0) {
  const auto spec = model_spec_of(folder.config(), context);
  if (!spec) FAIL(spec.error().message);
  auto parameters = read_base_parameters(folder, *spec);
  if (!parameters) FAIL(parameters.error().message);
  return {*spec, std::move(*parameters)};
}

// What transformers computed: tokens [1, T], logits [1, T, V].
struct Expected {
  std::vector<float> tokens, logits;
};
Expected expected_of(const std::string& name) {
  const std::string bytes = text_of_file(engine_vector(name + "/roles.safetensors"));
  const auto file = from_safetensors(bytes_of(bytes));
  REQUIRE(file);
  Expected expected;
  for (const NamedTensor& tensor : file->tensors) {
    if (tensor.name == "tokens") expected.tokens = tensor.values;
    if (tensor.name == "logits") expected.logits = tensor.values;
  }
  REQUIRE(!expected.tokens.empty());
  return expected;
}

double furthest(const FlatModel& model, const Expected& expected) {
  const auto ops = make_cpu_ops();
  const auto replica = Model::create(model.spec, 1, *ops);
  REQUIRE(replica);
  std::copy(model.parameters.begin(), model.parameters.end(), (*replica)->parameters().begin());
  std::vector<std::int32_t> tokens(expected.tokens.begin(), expected.tokens.end());
  std::vector<std::int32_t> targets(tokens.size(), -1);
  const Shape shape{1, std::ssize(tokens)};
  const Tensor logits = (*replica)->logits({{tokens.data(), shape, DType::kI32, Device::kCpu},
                                            {targets.data(), shape, DType::kI32, Device::kCpu}});
  REQUIRE(logits.elements() == std::ssize(expected.logits));
  double most = 0;
  for (std::size_t i = 0; i < expected.logits.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(logits.f32()[i]) - static_cast<double>(expected.logits[i])));
  return most;
}

}  // namespace

TEST_CASE("hf model: transformers' GPT-2 and Llama give its logits here") {
  for (const std::string name : {"hf_gpt2", "hf_llama", "hf_llama_tied"}) {
    CAPTURE(name);
    const HfFolder folder = opened(name);
    FlatModel model = model_of(folder);
    const Expected expected = expected_of(name);
    CHECK(furthest(model, expected) < 1e-4);
    // A context that is shorter than the folder's changes nothing within it.
    const auto length = static_cast<std::uint32_t>(expected.tokens.size());
    CHECK(furthest(model_of(folder, length), expected) < 1e-4);
    CHECK(model_of(folder, length).spec.context == length);
    // An epsilon of its own is honoured.
    const auto ops = make_cpu_ops();
    model.spec.norm_epsilon = 0.05;
    CHECK(furthest(model, expected) > 1e-3);
    model.spec.norm_epsilon = folder.config().norm_epsilon;
    TokenDecoder decoder(model.spec, model.parameters, *ops);
    std::span<const float> last;
    for (const float token : expected.tokens) last = decoder.next(static_cast<std::int32_t>(token));
    for (std::size_t i = 0; i < last.size(); ++i)
      CHECK(last[i] == doctest::Approx(expected.logits[expected.logits.size() - last.size() + i]).epsilon(1e-3));
  }
}

TEST_CASE("hf model: what is written is the folder that was read") {
  for (const std::string name : {"hf_gpt2", "hf_llama", "hf_llama_tied"}) {
    CAPTURE(name);
    const HfFolder folder = opened(name);
    const FlatModel model = model_of(folder);
    auto config = hf_config_of(model.spec);
    REQUIRE(config);
    config->begin_token = folder.config().begin_token;
    config->pad_token = folder.config().pad_token;
    config->end_tokens = folder.config().end_tokens;
    config->dtype = folder.config().dtype;
    CHECK(*config == folder.config());
    const TemporaryFolder out;
    REQUIRE(write_hf(out / "hf", {.config = *config}, source_of(model.spec, model.parameters)));
    const auto again = HfFolder::open(out / "hf");
    REQUIRE(again);
    CHECK(model_of(*again).parameters == model.parameters);
  }
}

TEST_CASE("hf model: a job's model that differs from the folder's is refused by its setting") {
  const HfFolder folder = opened("hf_llama");
  const auto spec = model_spec_of(folder.config(), 0);
  REQUIRE(spec);
  const auto fault = [&](auto change) {
    ModelSpec other = *spec;
    change(other);
    const auto same = check_same_model(other, folder.config());
    return same ? std::string("none") : same.error().message;
  };
  CHECK(fault([](ModelSpec& s) { s.dropout = 0.1; }) == "none");
  CHECK(fault([](ModelSpec& s) { s.lora.rank = 4; }) == "none");
  CHECK(fault([](ModelSpec& s) { s.context -= 1; }) == "none");
  CHECK(fault([](ModelSpec& s) { s.context += 1; }).starts_with("model.context = "));
  CHECK(fault([](ModelSpec& s) { s.width *= 2; }).starts_with("model.width = "));
  CHECK(fault([](ModelSpec& s) { s.vocabulary += 1; }).starts_with("model.vocabulary = "));
  CHECK(fault([](ModelSpec& s) { s.norm_epsilon *= 2; }).starts_with("model.norm_epsilon = "));
  CHECK(fault([](ModelSpec& s) { s.tied_head = !s.tied_head; }).starts_with("model.tied_head = "));
  CHECK(fault([](ModelSpec& s) { s.style = TransformerStyle::kGpt2; }).starts_with("model.style = "));
  CHECK(fault([](ModelSpec& s) { s.family = ModelFamily::kMlp; }).find("has no form in transformers") != std::string::npos);
}

TEST_CASE("hf model: adapters merge into what the model computes with them, and go to PEFT and back") {
  for (const std::string name : {"hf_gpt2", "hf_llama"}) {
    CAPTURE(name);
    FlatModel model = model_of(opened(name));
    const std::size_t base = model.parameters.size();
    model.spec.lora = {.rank = 3, .alpha = 5, .dropout = 0, .targets = {"*"}};
    Random random(4);
    model.parameters.resize(parameter_table(model.spec).size);
    for (std::size_t i = base; i < model.parameters.size(); ++i)
      model.parameters[i] = static_cast<float>(0.1 * random.normal());

    Expected own = expected_of(name);  // the logits of this model itself
    const auto ops = make_cpu_ops();
    TokenDecoder decoder(model.spec, model.parameters, *ops);
    own.logits.clear();
    for (const float token : own.tokens) {
      const auto logits = decoder.next(static_cast<std::int32_t>(token));
      own.logits.insert(own.logits.end(), logits.begin(), logits.end());
    }
    CHECK(furthest(model, own) < 1e-4);
    const FlatModel whole = merged(model);
    CHECK(whole.spec.lora == LoraSpec{});
    CHECK(whole.parameters.size() == base);
    CHECK(furthest(whole, own) < 1e-4);

    const auto adapter = adapter_of(model);
    REQUIRE(adapter);
    const auto config = hf_config_of(model.spec);
    REQUIRE(config);
    const TemporaryFolder out;
    REQUIRE(write_peft(out / "adapter", *config, *adapter));
    const auto read = read_peft(out / "adapter", *config);
    REQUIRE(read);
    CHECK(read->parts == adapter->parts);
    const auto from_peft = merged(model_of(opened(name)), *read);
    REQUIRE(from_peft);
    CHECK(from_peft->parameters == whole.parameters);
    CHECK(!adapter_of(whole));
  }
}

}  // namespace covey
