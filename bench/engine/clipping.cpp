// Steps whose examples' gradients are clipped one by one, in turn with plain steps of the same model, by
// processor time on one thread; beside them what the same costs Opacus over a plain step of PyTorch.
#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "bench/engine/rows.h"
#include "bench/engine/torch_peer.h"
#include "core/base/random.h"
#include "core/nn/model.h"
#include "core/nn/optimizer.h"

namespace covey::bench {
namespace {

constexpr double kGoal = 1.5;

struct Case {
  std::string peer, what;  // torch_train.py's name
  ModelSpec model;
  std::int64_t batch;
  DType activations;
  int steps;
};

std::vector<Case> cases() {
  ModelSpec llama{}, gpt{}, cnn{}, mlp{};
  llama.family = ModelFamily::kTransformer;
  llama.vocabulary = 256, llama.layers = 6, llama.width = 256, llama.heads = 8, llama.context = 256;
  gpt = llama;
  gpt.style = TransformerStyle::kGpt2, gpt.tied_head = true;
  cnn.family = ModelFamily::kCnn, cnn.classes = 10;
  mlp.family = ModelFamily::kMlp, mlp.inputs = 784, mlp.hidden = {200, 200}, mlp.classes = 10;
  return {{"llama_6x256", "Llama 6x256, batch 16x256, f32", llama, 16, DType::kF32, 7},
          {"llama_6x256", "Llama 6x256, batch 16x256, bf16", llama, 16, DType::kBf16, 9},
          {"", "GPT 6x256 with a tied head, batch 16x256, f32", gpt, 16, DType::kF32, 7},
          {"fedavg_cnn", "FedAvg CNN, batch 32, f32", cnn, 32, DType::kF32, 41},
          {"fedavg_cnn", "FedAvg CNN, batch 32, bf16", cnn, 32, DType::kBf16, 41},
          {"mlp", "MLP 784-200-200-10, batch 32, f32", mlp, 32, DType::kF32, 201}};
}

class Stepper {
 public:
  Stepper(const Case& c, double clip, Ops& ops) {
    ModelOptions options;
    options.batch = c.batch, options.activations = c.activations, options.per_example_clip = clip;
    Result<std::unique_ptr<Model>> made = Model::create(c.model, options, ops);
    if (!made) throw std::runtime_error(made.error().message);
    model_ = std::move(*made);
    const std::vector<float> start = initial_parameters(c.model, Random(1));
    std::copy(start.begin(), start.end(), model_->parameters().begin());
    TrainSpec train;
    const bool tokens = c.model.family == ModelFamily::kTransformer;
    train.optimizer = tokens ? LocalOptimizer::kAdamW : LocalOptimizer::kSgd;
    train.learning_rate = tokens ? 3e-4 : 0.01;
    optimizer_ = make_optimizer(train, model_->table(), model_->trained(), ops);
  }
  double step_ms(const Minibatch& batch) {
    const double begin = all_cpu_ms();
    model_->forward_backward(batch);
    optimizer_->step(model_->parameters(), model_->gradients(), 0.5, 1, model_->gradient_squares());
    return all_cpu_ms() - begin;
  }

 private:
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
};

class Batch {
 public:
  explicit Batch(const Case& c) {
    Random random(2);
    const ModelSpec& m = c.model;
    if (m.family == ModelFamily::kTransformer) {
      for (std::int64_t i = 0; i < c.batch * m.context; ++i) {
        tokens_.push_back(static_cast<std::int32_t>(random.below(m.vocabulary)));
        targets_.push_back(static_cast<std::int32_t>(random.below(m.vocabulary)));
      }
      const Shape shape{c.batch, m.context};
      view_ = {tensor_of(std::span(tokens_), shape), tensor_of(std::span(targets_), shape)};
      return;
    }
    const bool image = m.family == ModelFamily::kCnn;
    const Shape shape = image ? Shape{c.batch, m.image_channels, m.image_height, m.image_width} : Shape{c.batch, m.inputs};
    for (std::int64_t i = 0; i < shape.elements(); ++i) values_.push_back(static_cast<float>(random.normal()));
    for (std::int64_t i = 0; i < c.batch; ++i) targets_.push_back(static_cast<std::int32_t>(random.below(m.classes)));
    view_ = {tensor_of(std::span(values_), shape), tensor_of(std::span(targets_), {c.batch})};
  }
  const Minibatch& view() const { return view_; }

 private:
  std::vector<float> values_;
  std::vector<std::int32_t> tokens_, targets_;
  Minibatch view_;
};

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 100 ? "%.2f" : "%.0f", value);
  return text;
}

// What Opacus's faster way costs, in times of PyTorch's plain step.
std::string opacus(const Case& c) {
  if (c.peer.empty()) return "Opacus has no tied weights";
  std::string why;
  PeerCase ask{.name = c.peer, .precision = c.activations == DType::kF32 ? "f32" : "bf16"};
  const std::unique_ptr<TorchPeer> plain = TorchPeer::start(ask, why);
  if (plain == nullptr) return "Opacus not measured: " + why;
  std::string best;
  double least = 0;
  for (const char* way : {"hooks", "ghost"}) {
    ask.clip = way;
    const std::unique_ptr<TorchPeer> clipped = TorchPeer::start(ask, why);
    if (clipped == nullptr) continue;
    std::vector<double> ratios, times;
    for (int i = 0; i < (c.steps > 9 ? 9 : 3); ++i) {
      times.push_back(clipped->step().cpu_ms);
      ratios.push_back(times.back() / plain->step().cpu_ms);
    }
    if (!best.empty() && median_of(times) >= least) continue;
    least = median_of(times);
    best = clipped->says() + ": " + number(median_of(ratios)) + " times its plain step, " + number(least) + " ms";
  }
  return best.empty() ? "Opacus not measured: " + why : best;
}

Figure measure(const Case& c) {
  std::fprintf(stderr, "clipping: %s\n", c.what.c_str());
  const std::unique_ptr<Ops> ops = make_cpu_ops();
  const Batch batch(c);
  Stepper plain(c, 0, *ops), clipped(c, 1, *ops);
  for (int i = 0; i < 2; ++i) plain.step_ms(batch.view()), clipped.step_ms(batch.view());
  std::vector<double> ratios, plain_ms, clipped_ms;
  for (int i = 0; i < c.steps; ++i) {
    plain_ms.push_back(plain.step_ms(batch.view()));
    clipped_ms.push_back(clipped.step_ms(batch.view()));
    ratios.push_back(clipped_ms.back() / plain_ms.back());
  }
  return at_most("per-example clipping: " + c.what, median_of(ratios), "times the plain step", kGoal,
                 "ours " + number(median_of(clipped_ms)) + " ms, plain " + number(median_of(plain_ms)) + " ms; " + opacus(c));
}

}  // namespace

std::vector<Figure> engine_clipping() {
  std::vector<Figure> figures;
  for (const Case& c : cases()) figures.push_back(measure(c));
  return figures;
}

}  // namespace covey::bench
