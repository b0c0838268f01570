// A training step after the first two allocates nothing with new, whatever the model, on one thread or two.
// (What oneDNN's matrix products take from malloc for a moment is not counted.)
#include "tests/core/nn/counted_allocations.h"

#include <doctest/doctest.h>

#include <string>

#include "core/nn/optimizer.h"
#include "core/tensor/cpu/amx.h"
#include "tests/core/nn/nn_testing.h"

using namespace covey;
using namespace covey::testing;

namespace {

struct Way {
  ModelSpec spec;
  DType activations;
  LocalOptimizer optimizer;
};

ModelSpec tile_cnn() {  // of convolutions that are computed by tiles, where there are any
  ModelSpec spec = tiny_cnn();
  spec.conv_channels = {16, 40};
  spec.image_height = spec.image_width = 16;
  return spec;
}

}  // namespace

TEST_CASE("allocations: a step allocates nothing once two were taken") {
  CHECK(allocations_of([] { const std::string some(1000, 'x'); }) == 1);  // it counts
  for (const int threads : {1, 2}) {
    for (const Way& way : {Way{tiny_mlp(), DType::kF32, LocalOptimizer::kSgd},
                           Way{tile_cnn(), DType::kF32, LocalOptimizer::kSgd},
                           Way{tile_cnn(), DType::kBf16, LocalOptimizer::kSgd},
                           Way{tiny_separable(), DType::kF32, LocalOptimizer::kLion},
                           Way{tiny_transformer(), DType::kF32, LocalOptimizer::kAdamW},
                           Way{tiny_gpt2(), DType::kBf16, LocalOptimizer::kAdamW},
                           Way{tiny_gpt2(), DType::kF16, LocalOptimizer::kMuon}}) {
      CAPTURE(std::string(name_of(way.spec.family)));
      CAPTURE(std::string(name_of(way.activations)));
      CAPTURE(threads);
      if (way.spec.family == ModelFamily::kCnn && !cpu::amx_usable()) continue;  // oneDNN's convolutions allocate
      Team team(threads);
      const auto ops = make_cpu_ops(team);
      ModelOptions options;
      options.batch = 6;
      options.activations = way.activations;
      const auto model = std::move(Model::create(way.spec, options, *ops)).value();
      randomize(*model, 3);
      TrainSpec train;
      train.optimizer = way.optimizer;
      train.learning_rate = 1e-3;
      const auto optimizer = make_optimizer(train, model->table(), model->trained(), *ops);
      const Examples examples(way.spec, 6, 8, Random(4));
      const auto step = [&] {
        model->forward_backward(examples.batch());
        optimizer->step(model->parameters(), model->gradients(), 0.5);
        model->evaluate(examples.batch());
      };
      step(), step();
      CHECK(allocations_of([&] { step(), step(), step(); }) == 0);
    }
  }
}
