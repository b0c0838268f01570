// Training steps of whole models, in turn with PyTorch's on the same cores. Steps on one core are
// compared by processor time, so that what else the machine does weighs less; on more by the clock.
#include <malloc.h>

#include <fstream>
#include <string>

#include "bench/engine/rows.h"
#include "bench/engine/torch_peer.h"
#include "core/base/random.h"
#include "core/nn/model.h"
#include "core/nn/optimizer.h"

namespace covey::bench {
namespace {

struct Case {
  std::string peer;  // torch_train.py's name
  std::string what;
  int threads;
  double f32_goal, bf16_goal;  // times as fast; 0: none
  ModelSpec model;
  std::int64_t batch;
};

ModelSpec llama(std::uint32_t layers, std::uint32_t width, std::uint32_t heads) {
  ModelSpec spec{};
  spec.family = ModelFamily::kTransformer;
  spec.vocabulary = 256, spec.layers = layers, spec.width = width, spec.heads = heads, spec.context = 256;
  return spec;
}
ModelSpec gpt2(std::uint32_t layers, std::uint32_t width, std::uint32_t heads, std::uint32_t vocabulary) {
  ModelSpec spec = llama(layers, width, heads);
  spec.vocabulary = vocabulary, spec.style = TransformerStyle::kGpt2, spec.tied_head = true;
  return spec;
}
ModelSpec mlp() {
  ModelSpec spec{};
  spec.family = ModelFamily::kMlp;
  spec.inputs = 784, spec.hidden = {200, 200}, spec.classes = 10;
  return spec;
}
ModelSpec fedavg_cnn() {
  ModelSpec spec{};
  spec.family = ModelFamily::kCnn;
  spec.classes = 10;
  return spec;
}
ModelSpec cifar_cnn() {
  ModelSpec spec = fedavg_cnn();
  spec.blocks = CnnBlocks::kCifar;
  spec.image_height = 32, spec.image_width = 32, spec.image_channels = 3;
  spec.conv_channels = {64, 64}, spec.dense = 384;
  return spec;
}

std::vector<Case> cases() {
  return {
      {"llama_6x256", "Llama 6x256, batch 16x256", 1, 1.5, 1.8, llama(6, 256, 8), 16},
      {"gpt_6x256", "GPT 6x256, batch 16x256", 1, 1.5, 1.8, gpt2(6, 256, 8, 256), 16},
      {"gpt2_124m", "GPT-2 124M, batch 4x256, two cores", 2, 1.3, 1.8, gpt2(12, 768, 12, 50'257), 4},
      {"fedavg_cnn", "FedAvg CNN, batch 32", 1, 1.8, 3, fedavg_cnn(), 32},
      {"cifar_cnn", "CIFAR CNN, batch 32", 1, 1.6, 0, cifar_cnn(), 32},
      {"mlp", "MLP 784-200-200-10, batch 32", 1, 1.5, 0, mlp(), 32},
  };
}

double peak_mb() {  // of resident memory, since forget_peak()
  std::ifstream status("/proc/self/status");
  for (std::string text; std::getline(status, text);)
    if (text.starts_with("VmHWM:")) return std::stod(text.substr(6)) / 1024;
  return 0;
}
// What steps measured before this one freed is no part of it.
void forget_peak() {
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

// A model of ours with one minibatch, ready to step.
class OwnStep {
 public:
  OwnStep(const Case& c, DType activations) : team_(c.threads), ops_(make_cpu_ops(team_)) {
    ModelOptions options;
    options.batch = c.batch, options.activations = activations;
    Result<std::unique_ptr<Model>> made = Model::create(c.model, options, *ops_);
    if (!made) throw std::runtime_error(made.error().message);
    model_ = std::move(*made);
    const std::vector<float> start = initial_parameters(c.model, Random(1));
    std::copy(start.begin(), start.end(), model_->parameters().begin());
    TrainSpec train;
    const bool tokens = c.model.family == ModelFamily::kTransformer;
    train.optimizer = tokens ? LocalOptimizer::kAdamW : LocalOptimizer::kSgd;
    train.learning_rate = tokens ? 3e-4 : 0.01;
    train.weight_decay = tokens ? 0.01 : 0;  // what PyTorch's AdamW does unasked
    optimizer_ = make_optimizer(train, model_->table(), model_->trained(), *ops_);
    Random random(2);
    const std::int64_t length = tokens ? c.model.context : 1;
    for (std::int64_t i = 0; i < c.batch * length; ++i)
      targets_.push_back(static_cast<std::int32_t>(random.below(tokens ? c.model.vocabulary : c.model.classes)));
    batch_.targets = tensor_of(std::span(targets_), tokens ? Shape{c.batch, length} : Shape{c.batch});
    fill_inputs(c, random);
  }

  StepTime step() {
    const double begin = wall_ms(), cpu = all_cpu_ms();
    model_->forward_backward(batch_);
    optimizer_->step(model_->parameters(), model_->gradients(), 0.5, 1, model_->gradient_squares());
    return {wall_ms() - begin, all_cpu_ms() - cpu};
  }

 private:
  void fill_inputs(const Case& c, Random& random) {
    if (c.model.family == ModelFamily::kTransformer) {
      inputs_ = targets_;
      std::rotate(inputs_.begin(), inputs_.begin() + 1, inputs_.end());
      batch_.inputs = tensor_of(std::span(inputs_), batch_.targets.shape);
      return;
    }
    const bool images = c.model.family == ModelFamily::kCnn;
    const ModelSpec& m = c.model;
    const Shape shape = images ? Shape{c.batch, m.image_channels, m.image_height, m.image_width} : Shape{c.batch, m.inputs};
    for (std::int64_t i = 0; i < shape.elements(); ++i) values_.push_back(static_cast<float>(random.normal()));
    batch_.inputs = tensor_of(std::span(values_), shape);
  }

  Team team_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<std::int32_t> targets_, inputs_;
  std::vector<float> values_;
  Minibatch batch_;
};

// What is compared: processor time on one thread, the clock on more.
double time_of(const StepTime& step, int threads) { return threads == 1 ? step.cpu_ms : step.wall_ms; }

template <class Step>
double mean_time(int steps, int threads, Step step) {
  double sum = 0;
  for (int i = 0; i < steps; ++i) sum += time_of(step(), threads);
  return sum / steps;
}

// The fastest of eager and compiled, for images also with channels last; warmed up.
std::unique_ptr<TorchPeer> best_peer(PeerCase peer, bool images, std::string& why) {
  std::unique_ptr<TorchPeer> best;
  double least = 0;
  for (int way = 0; way < (images ? 4 : 2); ++way) {
    peer.compiled = way % 2 == 1;
    peer.channels_last = way >= 2;
    std::unique_ptr<TorchPeer> one = TorchPeer::start(peer, why);
    if (one == nullptr) continue;
    std::vector<double> times;
    for (int i = 0; i < 5; ++i) times.push_back(time_of(one->step(), peer.threads));
    if (best == nullptr || median_of(times) < least) {
      least = median_of(times);
      best = std::move(one);
    }
  }
  return best;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f" : "%.0f", value);
  return text;
}

// bf16: of activations and products. Memory is compared in f32 alone.
void measure(const Case& c, DType activations, std::vector<Figure>& figures) {
  const bool f32 = activations == DType::kF32, tokens = c.model.family == ModelFamily::kTransformer;
  const std::string precision = f32 ? "f32" : "bf16";
  const std::string name = "step: " + c.what + ", " + precision, memory = name + ", peak memory";
  const double goal = f32 ? c.f32_goal : c.bf16_goal;
  const auto neither = [&](const std::string& why) {
    figures.push_back(not_measured(name, "times", Bound::kAtLeast, goal, why));
    if (f32) figures.push_back(not_measured(memory, "times", Bound::kAtMost, 0.7, why));
  };
  forget_peak();
  OwnStep own(c, activations);
  for (int i = 0; i < 2; ++i) own.step();
  const double own_peak = peak_mb();
  std::string why;
  const PeerCase ask{.name = c.peer, .precision = precision, .threads = c.threads};
  const std::unique_ptr<TorchPeer> peer = best_peer(ask, c.model.family == ModelFamily::kCnn, why);
  if (peer == nullptr) return neither(why);
  // Steps of some milliseconds take turns in tens: a client takes them one after the other, and after a turn of
  // the other side the first of them finds the caches full of that side's data.
  const int turns = tokens ? 5 : 21, steps = tokens ? 1 : 10;
  std::vector<double> ours, theirs, ratios;
  for (int i = 0; i < turns; ++i) {
    ours.push_back(mean_time(steps, c.threads, [&] { return own.step(); }));
    theirs.push_back(mean_time(steps, c.threads, [&] { return peer->step(); }));
    ratios.push_back(theirs.back() / ours.back());
  }
  const std::string threads = c.threads == 1 ? "1 thread, processor time" : std::to_string(c.threads) + " threads, by the clock";
  figures.push_back(at_least(name, median_of(ratios), "times", goal,
                             "ours " + number(median_of(ours)) + " ms, " + peer->says() + " " +
                                 number(median_of(theirs)) + " ms, " + threads));
  if (f32)
    figures.push_back(at_most(memory, own_peak / peer->peak_mb(), "times", 0.7,
                              "ours " + number(own_peak) + " MiB, theirs " + number(peer->peak_mb()) + " MiB, whole processes"));
}

}  // namespace

std::vector<Row> engine_steps() {
  std::vector<Row> rows;
  for (const Case& c : cases())
    rows.push_back({"step: " + c.what, [c] {
                      std::vector<Figure> figures;
                      measure(c, DType::kF32, figures);
                      if (c.bf16_goal > 0) measure(c, DType::kBf16, figures);
                      return figures;
                    }});
  return rows;
}

}  // namespace covey::bench
