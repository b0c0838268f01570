#include "coordinator/cli/bench_presets.h"

#include <algorithm>
#include <array>

#include "core/spec/setting.h"

namespace covey::cli {
namespace {

constexpr const char* kNames = "gpt-6x256 llama-6x256 gpt2-124m fedavg-cnn cifar-cnn mlp";
constexpr std::uint32_t kDistinct = 64;

JobSpec transformer_job(TransformerStyle style, std::uint32_t layers, std::uint32_t width, std::uint32_t heads) {
  JobSpec job;
  job.model.family = ModelFamily::kTransformer;
  job.model.style = style;
  job.model.tied_head = style == TransformerStyle::kGpt2;
  job.model.layers = layers;
  job.model.width = width;
  job.model.heads = heads;
  job.model.context = 256;
  job.data.format = DataFormat::kText;
  job.train.batch_size = 16;
  job.train.optimizer = LocalOptimizer::kAdamW;
  job.train.learning_rate = 3e-4;
  job.train.weight_decay = 0.01;
  job.train.precision = Precision::kAuto;
  return job;
}

JobSpec gpt2_124m() {
  JobSpec job = transformer_job(TransformerStyle::kGpt2, 12, 768, 12);
  job.model.vocabulary = 50'257;
  job.train.batch_size = 4;
  return job;
}

JobSpec image_job(ModelFamily family) {
  JobSpec job;
  job.model.family = family;
  job.model.classes = 10;
  job.data.format = DataFormat::kIdx;
  job.train.batch_size = 32;
  job.train.learning_rate = 0.01;
  return job;
}

JobSpec cifar_cnn() {
  JobSpec job = image_job(ModelFamily::kCnn);
  job.model.blocks = CnnBlocks::kCifar;
  job.model.image_height = job.model.image_width = 32;
  job.model.image_channels = 3;
  job.model.conv_channels = {64, 64};
  job.model.dense = 384;
  return job;
}

JobSpec mlp() {
  JobSpec job = image_job(ModelFamily::kMlp);
  job.model.inputs = 784;
  job.model.hidden = {200, 200};
  return job;
}

// Filled once, so that making it up costs no step anything.
class NoiseData final : public Dataset {
 public:
  NoiseData(const ModelSpec& model, std::uint32_t size, Random random) : size_(size), tokens_(model.family == ModelFamily::kTransformer) {
    if (tokens_) {
      input_ = target_ = {model.context};
    } else if (model.family == ModelFamily::kCnn) {
      input_ = {model.image_channels, model.image_height, model.image_width};
    } else {
      input_ = {model.inputs};
    }
    const std::uint32_t outputs = tokens_ ? model.vocabulary : model.classes;
    targets_.resize(static_cast<std::size_t>(kDistinct * target_.elements()));
    for (std::int32_t& target : targets_) target = static_cast<std::int32_t>(random.below(outputs));
    if (tokens_) {  // each token is the next one's predecessor
      read_ = targets_;
      std::rotate(read_.begin(), read_.end() - 1, read_.end());
    } else {
      values_.resize(static_cast<std::size_t>(kDistinct * input_.elements()));
      for (float& value : values_) value = static_cast<float>(random.normal());
    }
  }

  std::uint32_t size() const override { return size_; }
  Shape input_shape() const override { return input_; }
  DType input_dtype() const override { return tokens_ ? DType::kI32 : DType::kF32; }
  Shape target_shape() const override { return target_; }
  std::uint32_t label(std::uint32_t) const override { return 0; }
  std::uint32_t group(std::uint32_t) const override { return 0; }
  const std::vector<std::string>& groups() const override { return groups_; }

  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override {
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const std::size_t from = indices[i] % kDistinct;
      if (tokens_)
        copy(read_, from, batch.inputs.ints(), i);
      else
        copy(values_, from, batch.inputs.floats(), i);
      copy(targets_, from, batch.targets.ints(), i);
    }
  }

 private:
  template <class T>
  static void copy(const std::vector<T>& all, std::size_t from, std::span<T> to, std::size_t at) {
    const std::size_t each = all.size() / kDistinct;
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(from * each), each, to.begin() + static_cast<std::ptrdiff_t>(at * each));
  }

  std::uint32_t size_;
  bool tokens_;
  Shape input_, target_;
  std::vector<float> values_;
  std::vector<std::int32_t> read_, targets_;
  std::vector<std::string> groups_{"noise"};
};

}  // namespace

const char* preset_names() { return kNames; }

Result<JobSpec> preset_job(std::string_view name) {
  JobSpec job;
  if (name == "gpt-6x256") {
    job = transformer_job(TransformerStyle::kGpt2, 6, 256, 8);
  } else if (name == "llama-6x256") {
    job = transformer_job(TransformerStyle::kLlama, 6, 256, 8);
  } else if (name == "gpt2-124m") {
    job = gpt2_124m();
  } else if (name == "fedavg-cnn") {
    job = image_job(ModelFamily::kCnn);
  } else if (name == "cifar-cnn") {
    job = cifar_cnn();
  } else if (name == "mlp") {
    job = mlp();
  } else {
    return unexpected(ErrorCode::kInvalidArgument, "--preset " + setting_text(name) + ": must be one of " + kNames + ", or give --job FILE");
  }
  job.name = std::string(name);
  return job;
}

std::unique_ptr<Dataset> noise_data(const ModelSpec& model, std::uint32_t size, std::uint64_t seed) {
  return std::make_unique<NoiseData>(model, size, Random(seed).split("noise"));
}

}  // namespace covey::cli
