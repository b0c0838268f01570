// A replica of a model: parameters and gradients in flat buffers, activations in one planned arena,
// a static list of layers with hand-written forward and backward. Not thread-safe; one per thread.
#pragma once
#include <memory>
#include <span>

#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/base/result.h"
#include "core/spec/model_spec.h"
#include "core/spec/parameter_table.h"
#include "core/spec/train_spec.h"
#include "core/tensor/minibatch.h"
#include "core/tensor/ops.h"

namespace covey {

struct BatchStats {
  double loss_sum = 0;         // nats, summed over counted targets
  std::int64_t targets = 0;    // examples, or tokens with a target
  std::int64_t correct = 0;    // targets whose largest logit was theirs
  BatchStats& operator+=(const BatchStats& other) {
    loss_sum += other.loss_sum;
    targets += other.targets;
    correct += other.correct;
    return *this;
  }
};

// How a replica computes. What it is, ModelSpec says.
struct ModelOptions {
  std::int64_t batch = 1;               // the largest minibatch, at most 65,536
  DType activations = DType::kF32;      // kBf16: transformers and CNNs but separable ones; kF16: transformers
  Checkpointing checkpointing = Checkpointing::kNone;  // kBlock or kNone
  float label_smoothing = 0;
  double per_example_clip = 0;          // L2 norm of each example's gradient; 0: no clipping. Not with kF16
  std::vector<std::string> frozen;      // as in TrainSpec
  // kBf16 and kInt8: frozen weights of a transformer's blocks are held so, and are not among parameters().
  FrozenStorage frozen_storage = FrozenStorage::kF32;  // not kAuto
};

class Model {
 public:
  // `ops` outlives the model. Errors: kInvalidArgument from spec.validate() or for options that do not
  // fit the spec, kResourceExhausted.
  static Result<std::unique_ptr<Model>> create(const ModelSpec& spec, const ModelOptions& options, Ops& ops);
  static Result<std::unique_ptr<Model>> create(const ModelSpec& spec, std::int64_t batch, Ops& ops);
  // Bytes of such a replica: parameters, gradients, activations, by the measuring pass. Errors as create's.
  static Result<std::size_t> memory_bytes(const ModelSpec& spec, const ModelOptions& options);
  virtual ~Model() = default;

  virtual const ParameterTable& table() const = 0;
  virtual const std::vector<ParameterRange>& trained() const = 0;
  // What parameters() has: all of the table, but for weights that are held in fewer bits.
  virtual const std::vector<ParameterRange>& held() const = 0;
  virtual std::span<float> parameters() = 0;  // of held(), one range behind the other
  // Sets every parameter; `all` has table().size elements, and what is held in fewer bits is rounded.
  virtual void load(std::span<const float> all) = 0;
  virtual std::span<float> gradients() = 0;   // of trained(), one range behind the other
  // The sum of their squares, as the last pass left them: in part known without reading them.
  virtual double gradient_squares() = 0;

  // Forward and backward; gradients() holds the gradient of the mean loss over counted targets.
  virtual BatchStats forward_backward(const Minibatch& batch) = 0;
  // The same in parts: begin_step(), then add_gradients() for each, with the same `scale` for the sum of
  // the losses. Dropout's coins are those of `seed` and `step`, below 2^32.
  // With per_example_clip, `scale` is of the sum of the examples' clipped gradients, each of the mean loss
  // over the example's own counted targets; forward_backward() takes the mean over examples.
  virtual void begin_step(std::uint64_t seed, std::uint64_t step) = 0;
  virtual BatchStats add_gradients(const Minibatch& batch, double scale) = 0;
  // With per_example_clip, of the last add_gradients(): the L2 norm of each example's gradient before
  // clipping, those of an example without a counted target 0. Valid until the next.
  virtual std::span<const float> example_norms() const = 0;
  // Forward only.
  virtual BatchStats evaluate(const Minibatch& batch) = 0;
  // Forward only, targets ignored; logits [B, classes] or [B*T, vocabulary], valid until the next call.
  virtual Tensor logits(const Minibatch& batch) = 0;
};

// Targets that count.
std::int64_t counted_targets(const Minibatch& batch);

// Fresh parameters (table().size elements) from a seed: the same on every machine.
std::vector<float> initial_parameters(const ModelSpec& spec, Random random);

// The same from front to back in pieces of any size, for what need not hold them all.
class InitialParameters {
 public:
  InitialParameters(const ModelSpec& spec, Random random);
  void next(std::span<float> out);  // at most as many in all as the table has
  void skip();                      // the whole parameter that comes next; at its beginning, of a transformer

 private:
  void begin(const ParameterInfo& info);
  void fill(const ParameterInfo& info, std::span<float> values);

  ModelSpec spec_;
  ParameterTable table_;
  Random random_;
  Random stream_;           // of the parameter being filled
  std::size_t index_ = 0;   // that one
  std::uint64_t done_ = 0;  // elements of it
  double bound_ = 0;
};

}  // namespace covey
