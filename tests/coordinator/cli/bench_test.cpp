#include <doctest/doctest.h>

#include "coordinator/cli/bench_presets.h"
#include "core/nn/model.h"

using namespace covey;
using namespace covey::cli;

TEST_CASE("bench: every preset is a model that trains, on noise of its shape") {
  std::string names = preset_names();
  int found = 0;
  while (!names.empty()) {
    const std::string name = names.substr(0, names.find(' '));
    names.erase(0, name.size() + 1);
    CAPTURE(name);
    const auto job = preset_job(name);
    REQUIRE(job.has_value());
    ++found;
    CHECK(job->name == name);
    CHECK(job->train.validate().has_value());
    ModelOptions options;
    options.batch = job->train.batch_size;
    CHECK(Model::memory_bytes(job->model, options).has_value());
    const auto noise = noise_data(job->model, 100, 1), again = noise_data(job->model, 100, 1), other = noise_data(job->model, 100, 2);
    CHECK(noise->size() == 100);
    BatchBuffer a(*noise, 3), b(*again, 3), c(*other, 3);
    const Indices indices{99, 0, 64};
    const Minibatch x = a.fill(indices), y = b.fill(indices), z = c.fill(indices);
    const std::int64_t outputs = job->model.family == ModelFamily::kTransformer ? job->model.vocabulary : job->model.classes;
    bool same = true, differs = false;
    for (std::size_t i = 0; i < x.targets.ints().size(); ++i) {
      CHECK(x.targets.ints()[i] >= 0);
      CHECK(x.targets.ints()[i] < outputs);
      same = same && x.targets.ints()[i] == y.targets.ints()[i];
    }
    if (x.inputs.dtype == DType::kF32) {
      for (std::size_t i = 0; i < x.inputs.floats().size(); ++i) {
        same = same && x.inputs.floats()[i] == y.inputs.floats()[i];
        differs = differs || x.inputs.floats()[i] != z.inputs.floats()[i];
      }
    } else {
      for (std::size_t i = 0; i < x.inputs.ints().size(); ++i) {
        same = same && x.inputs.ints()[i] == y.inputs.ints()[i];
        differs = differs || x.inputs.ints()[i] != z.inputs.ints()[i];
      }
    }
    CHECK(same);
    CHECK(differs);
  }
  CHECK(found == 6);
  CHECK(preset_job("gpt-9").error().message.find("--preset \"gpt-9\": must be one of gpt-6x256") == 0);
}
