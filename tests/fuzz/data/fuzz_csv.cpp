// A table from a user's disk, read under every kind of column.
#include <cstddef>
#include <cstdint>

#include "tests/core/base/temporary_folder.h"
#include "tests/fuzz/data/data_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  static const TemporaryFolder folder;
  static const LoadRequest request = [] {
    LoadRequest made;
    made.path = folder / "rows.csv";
    made.data.format = DataFormat::kCsv;
    made.data.columns.resize(5);
    made.data.columns[0] = {.name = "age", .kind = ColumnKind::kNumeric, .min = 0, .max = 100};
    made.data.columns[1] = {.name = "gain", .kind = ColumnKind::kNumeric, .min = -10, .max = 1e9, .log = true};
    made.data.columns[2] = {.name = "work", .kind = ColumnKind::kCategory, .values = {"state", "private", "a, b"}};
    made.data.columns[3] = {.name = "weight", .kind = ColumnKind::kIgnore};
    made.data.columns[4] = {.name = "rich", .kind = ColumnKind::kLabel, .values = {"no", "yes"}};
    made.model.family = ModelFamily::kLogistic;
    made.model.inputs = made.data.feature_count();
    made.model.classes = made.data.class_count();
    made.grouping.kind = PartitionKind::kColumn;
    made.grouping.column = "work";
    return made;
  }();
  write_data_file(request.path, ByteSpan(data, size));
  load_and_check(request);
  return 0;
}
