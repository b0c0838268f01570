// What training allocates for a client after another one of the same job was served by the same workspace.
#include "tests/core/nn/counted_allocations.h"

#include <doctest/doctest.h>

#include "client/trainer.h"
#include "core/nn/model.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"
#include "tests/core/data/data_files.h"

using namespace covey;
using namespace covey::testing;

namespace {

constexpr long kAround = 12;  // allocations of one call of train(), its steps apart

constexpr std::string_view kJob = R"(
name = "sums"
rounds = 3
[model]
family = "mlp"
hidden = [24, 16]
[data]
format = "csv"
holdout = 0.25
[[data.columns]]
name = "x"
kind = "numeric"
min = 0
max = 9
[[data.columns]]
name = "y"
kind = "numeric"
min = 0
max = 9
[[data.columns]]
name = "more"
kind = "label"
values = ["no", "yes"]
[train]
local_epochs = 4
batch_size = 8
learning_rate = 0.1
)";

// Its own data, on the workspace of all.
struct Node {
  Node(const JobSpec& job, MemoryBlobs& all, int rows) : blobs(all) {
    std::string csv = "x,y,more\n";
    for (int i = 0; i < rows; ++i) {
      const int x = i % 10, y = i * 7 % 10;
      csv += std::to_string(x) + "," + std::to_string(y) + "," + (x + y > 9 ? "yes" : "no") + "\n";
    }
    folder.write("sums.csv", csv);
    local = std::move(make_path_source(folder.path())->load(job)).value();
  }
  std::uint32_t train(const Train& work, TrainWorkspace& workspace) {
    const auto trained = covey::train(work, {.blobs = blobs, .local = local, .client = PeerKey{{1}}, .workspace = &workspace});
    REQUIRE(trained.has_value());
    return trained->train.steps;
  }
  TemporaryFolder folder;
  MemoryBlobs& blobs;
  LocalData local;
};

}  // namespace

TEST_CASE("allocations: a client's training allocates as little whatever the number of its steps") {
  const JobSpec job = *parse_job(kJob);
  MemoryBlobs blobs;
  RoundOffer offer;
  offer.key = {1, 1, 1};
  offer.progress_end = 1;
  offer.model = *write_model(blobs, job.model, 0, initial_parameters(job.model, Random(1)));
  const Train work{job, offer};
  Node few(job, blobs, 100), many(job, blobs, 2000);
  TrainWorkspace workspace;
  few.train(work, workspace);
  many.train(work, workspace);
  std::uint32_t few_steps = 0, many_steps = 0;
  const long by_few = allocations_of([&] { few_steps = few.train(work, workspace); });
  const long by_many = allocations_of([&] { many_steps = many.train(work, workspace); });
  CHECK(many_steps >= 10 * few_steps);
  // The steps allocate nothing. Around them: a batch's memory and order, and the update and its blob.
  CHECK(by_many == by_few);
  CHECK(by_few <= kAround);
}
