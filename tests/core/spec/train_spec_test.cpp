#include "core/spec/train_spec.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

using namespace covey;

namespace {

std::string fault(const TrainSpec& spec) {
  const auto valid = spec.validate();
  return valid ? "" : valid.error().message;
}

}  // namespace

TEST_CASE("train spec: the defaults are valid") { CHECK(fault({}) == ""); }

TEST_CASE("train spec: exactly one of local_epochs and local_steps is set") {
  TrainSpec spec;
  spec.local_steps = 5;
  CHECK(fault(spec).find("train.local_steps = 5: set exactly one of") == 0);
  spec.local_epochs = 0;
  CHECK(fault(spec) == "");
  spec.local_steps = 0;
  CHECK(fault(spec).find("train.local_steps = 0: set exactly one of") == 0);
}

TEST_CASE("train spec: numbers out of bounds are refused by name") {
  TrainSpec spec;
  spec.batch_size = 0;
  CHECK(fault(spec) == "train.batch_size = 0: must lie in [1, 65536]; try 1");
  spec = {};
  spec.learning_rate = std::numeric_limits<double>::quiet_NaN();
  CHECK(fault(spec).find("train.learning_rate = nan: must be a finite number") == 0);
  spec = {};
  spec.learning_rate = -0.1;
  CHECK(fault(spec).find("train.learning_rate = -0.1: must lie in") == 0);
  spec = {};
  spec.momentum = 1;
  CHECK(fault(spec).find("train.momentum = 1: must lie in") == 0);
  spec = {};
  spec.beta2 = 1.5;
  CHECK(fault(spec).find("train.beta2 = 1.5") == 0);
  spec = {};
  spec.clip_norm = std::numeric_limits<double>::infinity();
  CHECK(fault(spec).find("train.clip_norm = inf") == 0);
  for (const double norm : {-5e-324, -1.0, 1e10}) {  // below 1e-6: job_fit.h
    spec = {};
    spec.clip_norm = norm;
    CHECK(fault(spec).find("train.clip_norm = ") == 0);
    CHECK(fault(spec).find("must be 0 (gradients are not clipped), or lie in [1e-06, 1e+09]") != std::string::npos);
    spec = {};
    spec.per_example_clip = norm;
    CHECK(fault(spec).find("train.per_example_clip = ") == 0);
  }
  spec = {};
  spec.clip_norm = 1e-6;
  CHECK(spec.validate().has_value());
  spec = {};
  spec.warmup = 1;
  CHECK(fault(spec).find("train.warmup = 1") == 0);
  spec = {};
  spec.optimizer = LocalOptimizer::kAdamW;
  spec.momentum = 0.9;
  CHECK(fault(spec).find("train.momentum = 0.9: belongs to sgd") == 0);
}

TEST_CASE("train spec: an adapting batch has bounds around its beginning") {
  TrainSpec spec;
  spec.batch_min = 8;
  CHECK(fault(spec).find("train.batch_min = 8: belongs to train.batch_max") == 0);
  spec.batch_max = 16;
  CHECK(fault(spec).find("train.batch_max = 16: must lie in [32, 65536]") == 0);
  spec.batch_max = 64;
  CHECK(fault(spec) == "");
  spec.batch_min = 33;
  CHECK(fault(spec).find("train.batch_min = 33: with train.batch_max must lie in [2, train.batch_size]") == 0);
  spec.batch_min = 0;
  spec.batch_size = 1;
  CHECK(fault(spec).find("train.batch_size = 1: with train.batch_max") == 0);
  spec.batch_size = 32;
  spec.per_example_clip = 1;
  CHECK(fault(spec).find("train.batch_max = 64: moves the batch by the data, and train.per_example_clip") == 0);
}

TEST_CASE("train spec: the schedule warms up linearly, then follows a half cosine") {
  TrainSpec spec;
  CHECK(spec.schedule_factor(0) == 1);
  CHECK(spec.schedule_factor(1) == 1);
  spec.schedule = Schedule::kCosine;
  spec.warmup = 0.2;
  spec.final_ratio = 0.1;
  CHECK(spec.schedule_factor(0) == 0);
  CHECK(spec.schedule_factor(0.1) == doctest::Approx(0.5));
  CHECK(spec.schedule_factor(0.2) == doctest::Approx(1));
  CHECK(spec.schedule_factor(0.6) == doctest::Approx(0.55));
  CHECK(spec.schedule_factor(1) == doctest::Approx(0.1));
  CHECK(spec.schedule_factor(7) == doctest::Approx(0.1));
  CHECK(spec.schedule_factor(-1) == 0);
}

TEST_CASE("train spec: optimizers and schedules have names, both ways") {
  CHECK(local_optimizer_from("adamw").value() == LocalOptimizer::kAdamW);
  CHECK(local_optimizer_from(name_of(LocalOptimizer::kSgd)).value() == LocalOptimizer::kSgd);
  CHECK(schedule_from("cosine").value() == Schedule::kCosine);
  CHECK(schedule_from(name_of(Schedule::kConstant)).value() == Schedule::kConstant);
  CHECK(local_optimizer_from("adam").error().message ==
        "train.optimizer = \"adam\": must be \"sgd\", \"adamw\", \"lion\" or \"muon\"");
  CHECK(schedule_from(std::string(1000, 'x')).error().message.size() < 200);
}
