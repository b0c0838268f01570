#include "client/local_steps.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace covey;

namespace {

Indices take(BatchOrder& order, std::size_t batches) {
  Indices seen;
  for (std::size_t i = 0; i < batches; ++i) {
    const auto batch = order.next();
    seen.insert(seen.end(), batch.begin(), batch.end());
  }
  return seen;
}

}  // namespace

TEST_CASE("local steps: epochs round up to whole batches, steps are taken as they are") {
  TrainSpec spec;
  spec.local_epochs = 3;
  spec.batch_size = 4;
  CHECK(local_step_count(spec, 8) == 6);
  CHECK(local_step_count(spec, 9) == 9);
  CHECK(local_step_count(spec, 1) == 3);
  spec.local_epochs = 0;
  spec.local_steps = 5;
  CHECK(local_step_count(spec, 1'000'000) == 5);
}

TEST_CASE("local steps: a pass sees every example once, and the next is in another order") {
  const Indices examples{2, 3, 5, 7, 11, 13, 17, 19, 23, 29};
  BatchOrder order(examples, 4, Random(3));
  CHECK(order.next().size() == 4);
  CHECK(order.next().size() == 4);
  CHECK(order.next().size() == 2);
  BatchOrder again(examples, 4, Random(3));
  Indices first = take(again, 3), second = take(again, 3);
  CHECK(first != second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  CHECK(first == examples);
  CHECK(second == examples);
}

TEST_CASE("local steps: the same seed gives the same order, another seed another") {
  const Indices examples{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  BatchOrder a(examples, 3, Random(1)), b(examples, 3, Random(1)), c(examples, 3, Random(2));
  const Indices seen = take(a, 8);
  CHECK(seen == take(b, 8));
  CHECK(seen != take(c, 8));
}

TEST_CASE("local steps: an adapting batch takes the same examples in fewer steps") {
  TrainSpec spec;
  spec.local_epochs = 3;
  spec.batch_size = 4;
  Indices examples;
  for (std::uint32_t i = 0; i < 50; ++i) examples.push_back(i);
  const auto count = [&](bool noisy) {
    LocalSteps steps(spec, examples, Random(3));
    std::uint64_t seen = 0;
    double last = 0;
    for (; !steps.done(); steps.taken()) {
      const auto batch = steps.next();
      REQUIRE(!batch.empty());
      seen += batch.size();
      CHECK(steps.middle() > last);
      CHECK(steps.middle() < 1);
      last = steps.middle();
      if (noisy && batch.size() > 1) steps.adaptive()->measured({10, 1}, {1, static_cast<double>(batch.size())});
    }
    CHECK(steps.step() <= steps.steps_max());
    return std::pair(steps.step(), seen);
  };
  const auto fixed = count(false);
  CHECK(fixed == std::pair<std::uint64_t, std::uint64_t>(3 * 13, 150));
  spec.batch_max = 16;
  CHECK(count(false) == fixed);  // nothing measured, nothing changes
  const auto grown = count(true);
  CHECK(grown.second == 150);
  CHECK(grown.first < 30);
  spec.local_epochs = 0;
  spec.local_steps = 20;
  CHECK(count(true).second == 80);
}
