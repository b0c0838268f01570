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
    made.data.columns = {
        {"age", ColumnKind::kNumeric, 0, 100, false, {}},
        {"gain", ColumnKind::kNumeric, -10, 1e9, true, {}},
        {"work", ColumnKind::kCategory, 0, 1, false, {"state", "private", "a, b"}},
        {"weight", ColumnKind::kIgnore, 0, 1, false, {}},
        {"rich", ColumnKind::kLabel, 0, 1, false, {"no", "yes"}},
    };
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
