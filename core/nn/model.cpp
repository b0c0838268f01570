#include "core/nn/model.h"

#include <unistd.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "core/nn/conv_block.h"
#include "core/nn/dense_layer.h"
#include "core/nn/transformer_layers.h"

namespace covey {
namespace {

constexpr std::int64_t kBatchMax = 65'536;

// Linux grants more than there is and kills whoever touches it, so the plan is held against this.
std::size_t physical_memory_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  COVEY_CHECK(pages > 0 && page_bytes > 0);
  return static_cast<std::size_t>(pages) * static_cast<std::size_t>(page_bytes);
}

// Hands out a table's parameters in order, as views into the flat buffers.
class ParameterCursor {
 public:
  ParameterCursor(const ParameterTable& table, float* parameters, float* gradients)
      : table_(table), parameters_(parameters), gradients_(gradients) {}

  Parameter next() {
    const ParameterInfo& info = table_.parameters.at(next_++);
    const Shape shape = shape_of(info.shape);
    const auto view = [&](float* base) {
      return Tensor{base + info.offset, shape, DType::kF32, Device::kCpu};
    };
    return {view(parameters_), view(gradients_)};
  }
  bool done() const { return next_ == table_.parameters.size(); }

 private:
  static Shape shape_of(const std::vector<std::uint32_t>& dims) {
    if (dims.size() == 1) return {dims[0]};
    if (dims.size() == 2) return {dims[0], dims[1]};
    COVEY_CHECK(dims.size() == 4);
    return {dims[0], dims[1], dims[2], dims[3]};
  }

  const ParameterTable& table_;
  float* parameters_;
  float* gradients_;
  std::size_t next_ = 0;
};

using Layers = std::vector<std::unique_ptr<Layer>>;

void add_dense(Layers& layers, ParameterCursor& next, Activation activation, bool first) {
  const Parameter weight = next.next();
  const Parameter bias = next.next();
  layers.push_back(std::make_unique<DenseLayer>(
      weight, bias, activation, first ? InputGradient::kSkip : InputGradient::kCompute));
}

Layers mlp_layers(const ModelSpec& spec, ParameterCursor& next) {
  Layers layers;
  const std::size_t hidden = spec.family == ModelFamily::kMlp ? spec.hidden.size() : 0;
  for (std::size_t i = 0; i < hidden; ++i) add_dense(layers, next, Activation::kRelu, i == 0);
  add_dense(layers, next, Activation::kNone, hidden == 0);
  return layers;
}

Layers cnn_layers(const ModelSpec& spec, ParameterCursor& next) {
  Layers layers;
  std::int64_t height = spec.image_height;
  std::int64_t width = spec.image_width;
  for (std::size_t i = 0; i < spec.conv_channels.size(); ++i) {
    const Parameter weight = next.next();
    const Parameter bias = next.next();
    layers.push_back(std::make_unique<ConvBlock>(
        weight, bias, height, width, i == 0 ? InputGradient::kSkip : InputGradient::kCompute));
    height /= 2;
    width /= 2;
  }
  add_dense(layers, next, Activation::kRelu, false);
  add_dense(layers, next, Activation::kNone, false);
  return layers;
}

Layers transformer_layers(const ModelSpec& spec, ParameterCursor& next) {
  Layers layers;
  layers.push_back(std::make_unique<EmbeddingLayer>(next.next()));
  for (std::uint32_t i = 0; i < spec.layers; ++i) {
    BlockParameters p;
    for (Parameter* parameter : {&p.attention_norm, &p.query, &p.key, &p.value, &p.out,
                                 &p.ffn_norm, &p.gate, &p.up, &p.down})
      *parameter = next.next();
    layers.push_back(std::make_unique<TransformerBlock>(p, spec.heads));
  }
  const Parameter norm = next.next();
  layers.push_back(std::make_unique<HeadLayer>(norm, next.next()));
  return layers;
}

class LayeredModel final : public Model {
 public:
  LayeredModel(const ModelSpec& spec, std::int64_t batch, Ops& ops)
      : spec_(spec), ops_(ops), table_(parameter_table(spec)) {
    largest_ = {batch, is_transformer() ? std::int64_t{spec.context} : 1};
    const auto size = static_cast<std::int64_t>(table_.size);
    flat_ = Arena(measure_flat());
    parameters_ = flat_.take({size});
    gradients_ = flat_.take({size});
    ParameterCursor next(table_, parameters_.f32(), gradients_.f32());
    layers_ = is_transformer()                      ? transformer_layers(spec_, next)
              : spec_.family == ModelFamily::kCnn ? cnn_layers(spec_, next)
                                                  : mlp_layers(spec_, next);
    COVEY_CHECK(next.done());
  }

  // Error: kResourceExhausted if the activations do not fit into memory.
  Result<void> plan() {
    Arena measuring;
    plan_layers(measuring);
    if (measuring.used() > physical_memory_bytes()) return too_large(measuring.used());
    try {
      arena_ = Arena(measuring.used());
    } catch (const std::bad_alloc&) {
      return too_large(measuring.used());
    }
    plan_layers(arena_);
    return {};
  }

  const ParameterTable& table() const override { return table_; }
  std::span<float> parameters() override { return parameters_.floats(); }
  std::span<float> gradients() override { return gradients_.floats(); }

  Tensor logits(const Minibatch& batch) override { return forward(pass_of(batch), batch); }

  BatchStats evaluate(const Minibatch& batch) override {
    const Pass pass = pass_of(batch);
    const Tensor targets = targets_of(batch, pass.extent);
    BatchStats stats{0, count(targets), 0};
    const Tensor logits = forward(pass, batch);
    finish(stats, logits, targets, {}, 0);
    return stats;
  }

  BatchStats forward_backward(const Minibatch& batch) override {
    const Pass pass = pass_of(batch);
    const Tensor targets = targets_of(batch, pass.extent);
    BatchStats stats{0, count(targets), 0};
    ops_.fill(gradients_, 0);
    Tensor gradient = forward(pass, batch);  // softmax_cross_entropy turns logits into dlogits
    const double targets_or_one = static_cast<double>(std::max<std::int64_t>(stats.targets, 1));
    finish(stats, gradient, targets, gradient, static_cast<float>(1 / targets_or_one));
    for (std::size_t i = layers_.size(); i-- > 0;) gradient = layers_[i]->backward(pass, gradient);
    return stats;
  }

 private:
  bool is_transformer() const { return spec_.family == ModelFamily::kTransformer; }
  std::int64_t outputs() const { return is_transformer() ? spec_.vocabulary : spec_.classes; }

  std::size_t measure_flat() const {
    Arena measuring;
    measuring.take({static_cast<std::int64_t>(table_.size)});
    measuring.take({static_cast<std::int64_t>(table_.size)});
    return measuring.used();
  }

  void plan_layers(Arena& arena) {
    workspace_ = Workspace();
    for (const auto& layer : layers_) layer->plan(largest_, arena, workspace_);
    losses_ = arena.take({largest_.rows()});
    workspace_.take_from(arena);
  }

  Unexpected too_large(std::size_t bytes) const {
    return unexpected(ErrorCode::kResourceExhausted,
                      "the model's activations take " + std::to_string(bytes >> 20) +
                          " MiB at train.batch_size = " + std::to_string(largest_.batch) +
                          ": more than there is; try a smaller batch or model");
  }

  Pass pass_of(const Minibatch& batch) const {
    const Tensor& inputs = batch.inputs;
    COVEY_CHECK(inputs.shape.rank() >= 2);
    Extent extent{inputs.dim(0), 1};
    if (is_transformer()) {
      COVEY_CHECK(inputs.shape.rank() == 2 && inputs.dtype == DType::kI32);
      extent.length = inputs.dim(1);
      for (const std::int32_t token : inputs.ints())
        COVEY_CHECK(token >= 0 && token < outputs());
    }
    COVEY_CHECK(extent.batch > 0 && extent.batch <= largest_.batch);
    COVEY_CHECK(extent.length > 0 && extent.length <= largest_.length);
    return {ops_, workspace_, extent};
  }

  static Tensor targets_of(const Minibatch& batch, const Extent& extent) {
    return batch.targets.reshaped({extent.rows()});
  }

  std::int64_t count(Tensor targets) const {
    std::int64_t counted = 0;
    for (const std::int32_t target : targets.ints()) {
      COVEY_CHECK(target >= -1 && target < outputs());
      counted += target >= 0 ? 1 : 0;
    }
    return counted;
  }

  Tensor forward(const Pass& pass, const Minibatch& batch) {
    Tensor x = batch.inputs;
    for (const auto& layer : layers_) x = layer->forward(pass, x);
    return x;
  }

  void finish(BatchStats& stats, Tensor logits, Tensor targets, Tensor dlogits, float scale) {
    const Tensor losses = cut(losses_, targets.shape);
    stats.correct = ops_.softmax_cross_entropy(logits, targets, losses, dlogits, scale);
    for (const float loss : losses.floats()) stats.loss_sum += static_cast<double>(loss);
  }

  ModelSpec spec_;
  Ops& ops_;
  ParameterTable table_;
  Extent largest_;
  Arena flat_;   // parameters and gradients
  Arena arena_;  // activations and workspace
  Tensor parameters_, gradients_, losses_;
  Workspace workspace_;
  Layers layers_;
};

}  // namespace

Result<std::unique_ptr<Model>> Model::create(const ModelSpec& spec, std::int64_t batch, Ops& ops) {
  COVEY_TRY_VOID(spec.validate());
  if (batch < 1 || batch > kBatchMax)
    return unexpected(ErrorCode::kInvalidArgument,
                      "batch = " + std::to_string(batch) + ": must lie in [1, " +
                          std::to_string(kBatchMax) + "]");
  try {
    auto model = std::make_unique<LayeredModel>(spec, batch, ops);
    COVEY_TRY_VOID(model->plan());
    return std::unique_ptr<Model>(std::move(model));
  } catch (const std::bad_alloc&) {
    return unexpected(ErrorCode::kResourceExhausted,
                      "no memory for a model of " + std::to_string(parameter_table(spec).size) +
                          " parameters: try a smaller one");
  }
}

}  // namespace covey
