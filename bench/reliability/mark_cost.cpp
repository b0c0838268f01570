// What the ledger mark adds to a batch that promises something: the store's own synced write alone is
// the floor of the same run.
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>

#include "bench/reliability/rows.h"
#include "coordinator/service/ledger_mark.h"
#include "core/base/check.h"

namespace covey::bench {
namespace {

constexpr int kBatches = 200;

double milliseconds_each(Store& store, const std::string& table) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kBatches; ++i) {
    Batch batch;
    batch.put(table + std::to_string(i), Bytes(300, 1));
    COVEY_CHECK(store.write(batch).has_value());
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / kBatches * 1e3;
}

}  // namespace

std::vector<Figure> mark_cost() {
  namespace fs = std::filesystem;
  const std::string folder = (fs::temp_directory_path() / ("covey-mark-" + std::to_string(::getpid()))).string();
  double with = 0, without = 0;
  {
    fs::create_directories(folder);
    auto plain = open_rocks_store(folder + "/db");
    COVEY_CHECK(plain.has_value());
    auto marked = MarkedStore::open(std::move(*plain), folder + "/mark", {});
    COVEY_CHECK(marked.has_value());
    without = milliseconds_each(**marked, "journal/");
    with = milliseconds_each(**marked, "model/");
  }
  fs::remove_all(folder);
  return {at_most("ledger mark: a promising batch over a plain one", with / without, "times", 4,
                  std::to_string(with) + " ms over " + std::to_string(without) + " ms")};
}

}  // namespace covey::bench
