// Training steps of whole models, in turn with PyTorch's on the same cores. Steps on one core are
// compared by processor time, so that what else the machine does weighs less; on more by the clock.
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
  std::string missing;         // why we cannot do it; else empty
  ModelSpec model;
  std::int64_t batch;
};

ModelSpec llama(std::uint32_t layers, std::uint32_t width, std::uint32_t heads) {
  ModelSpec spec{};
  spec.family = ModelFamily::kTransformer;
  spec.vocabulary = 256, spec.layers = layers, spec.width = width, spec.heads = heads, spec.context = 256;
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

std::vector<Case> cases() {
  const std::string no_gpt2 = "a job's models have no GPT-2 family yet";
  return {
      {"llama_6x256", "Llama 6x256, batch 16x256", 1, 1.5, 1.8, "", llama(6, 256, 8), 16},
      {"gpt_6x256", "GPT 6x256, batch 16x256", 1, 1.5, 1.8, no_gpt2, {}, 16},
      {"gpt2_124m", "GPT-2 124M, batch 4x256, two cores", 2, 1.3, 1.8, no_gpt2, {}, 4},
      {"fedavg_cnn", "FedAvg CNN, batch 32", 1, 1.8, 3, "", fedavg_cnn(), 32},
      {"cifar_cnn", "CIFAR CNN, batch 32", 1, 1.6, 0, "a job's CNN has one hidden dense layer, this one two", {}, 32},
      {"mlp", "MLP 784-200-200-10, batch 32", 1, 1.5, 0, "", mlp(), 32},
  };
}

double peak_mb() {  // of resident memory, since forget_peak()
  std::ifstream status("/proc/self/status");
  for (std::string text; std::getline(status, text);)
    if (text.starts_with("VmHWM:")) return std::stod(text.substr(6)) / 1024;
  return 0;
}
void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

// A model of ours with one minibatch, ready to step.
class OwnStep {
 public:
  OwnStep(const Case& c) : team_(c.threads), ops_(make_cpu_ops(team_)) {
    Result<std::unique_ptr<Model>> made = Model::create(c.model, c.batch, *ops_);
    if (!made) throw std::runtime_error(made.error().message);
    model_ = std::move(*made);
    const std::vector<float> start = initial_parameters(c.model, Random(1));
    std::copy(start.begin(), start.end(), model_->parameters().begin());
    TrainSpec train;
    const bool tokens = c.model.family == ModelFamily::kTransformer;
    train.optimizer = tokens ? LocalOptimizer::kAdamW : LocalOptimizer::kSgd;
    train.learning_rate = tokens ? 3e-4 : 0.01;
    optimizer_ = make_optimizer(train, model_->parameters().size(), *ops_);
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
    optimizer_->step(model_->parameters(), model_->gradients(), 0.5);
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
    for (int i = 0; i < 5; ++i) times.push_back(one->step().cpu_ms);
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

void measure_f32(const Case& c, std::vector<Figure>& figures) {
  const std::string name = "step: " + c.what + ", f32", memory = name + ", peak memory";
  const auto neither = [&](const std::string& why) {
    figures.push_back(not_measured(name, "times", Bound::kAtLeast, c.f32_goal, why));
    figures.push_back(not_measured(memory, "times", Bound::kAtMost, 0.7, why));
  };
  if (!c.missing.empty()) return neither(c.missing);
  forget_peak();
  OwnStep own(c);
  for (int i = 0; i < 2; ++i) own.step();
  const double own_peak = peak_mb();
  std::string why;
  const std::unique_ptr<TorchPeer> peer = best_peer({.name = c.peer, .precision = "f32", .threads = c.threads}, c.model.family == ModelFamily::kCnn, why);
  if (peer == nullptr) return neither(why);
  const int turns = c.threads > 1 || c.model.family == ModelFamily::kTransformer ? 5 : 41;
  std::vector<double> ours, theirs, ratios;
  for (int i = 0; i < turns; ++i) {
    const StepTime mine = own.step(), its = peer->step();
    ours.push_back(c.threads == 1 ? mine.cpu_ms : mine.wall_ms);
    theirs.push_back(c.threads == 1 ? its.cpu_ms : its.wall_ms);
    ratios.push_back(theirs.back() / ours.back());
  }
  const std::string threads = ", " + std::to_string(c.threads) + (c.threads == 1 ? " thread, processor time" : " threads, by the clock");
  figures.push_back(at_least(name, median_of(ratios), "times", c.f32_goal,
                             "ours " + number(median_of(ours)) + " ms, " + peer->says() + " " +
                                 number(median_of(theirs)) + " ms" + threads));
  figures.push_back(at_most(memory, own_peak / peer->peak_mb(), "times", 0.7,
                            "ours " + number(own_peak) + " MB, theirs " + number(peer->peak_mb()) + " MB, whole processes"));
}

}  // namespace

std::vector<Figure> engine_steps() {
  std::vector<Figure> figures;
  for (const Case& c : cases()) {
    measure_f32(c, figures);
    if (c.bf16_goal > 0)
      figures.push_back(not_measured("step: " + c.what + ", bf16", "times", Bound::kAtLeast, c.bf16_goal,
                                     c.missing.empty() ? "models do not compute in bf16 yet" : c.missing));
  }
  return figures;
}

}  // namespace covey::bench
