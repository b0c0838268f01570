// A replica of a model: parameters and gradients in flat buffers, activations in one planned arena,
// a static list of layers with hand-written forward and backward. Not thread-safe; one per thread.
#pragma once
#include <memory>
#include <span>

#include "core/base/random.h"
#include "core/base/result.h"
#include "core/spec/model_spec.h"
#include "core/spec/parameter_table.h"
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

class Model {
 public:
  // `ops` outlives the model. `batch` is the largest minibatch. Errors: kInvalidArgument from
  // spec.validate().
  static Result<std::unique_ptr<Model>> create(const ModelSpec& spec, std::int64_t batch, Ops& ops);
  virtual ~Model() = default;

  virtual const ParameterTable& table() const = 0;
  virtual std::span<float> parameters() = 0;  // table().size elements
  virtual std::span<float> gradients() = 0;

  // Forward and backward; gradients() holds the gradient of the mean loss over counted targets.
  virtual BatchStats forward_backward(const Minibatch& batch) = 0;
  // Forward only.
  virtual BatchStats evaluate(const Minibatch& batch) = 0;
  // Forward only, targets ignored; logits [B, classes] or [B*T, vocabulary], valid until the next call.
  virtual Tensor logits(const Minibatch& batch) = 0;
};

// Fresh parameters (table().size elements) from a seed: the same on every machine.
std::vector<float> initial_parameters(const ModelSpec& spec, Random random);

// The same from front to back in pieces of any size, for what need not hold them all.
class InitialParameters {
 public:
  InitialParameters(const ModelSpec& spec, Random random);
  void next(std::span<float> out);  // at most as many in all as the table has

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
