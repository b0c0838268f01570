#include "core/spec/data_spec.h"

#include <doctest/doctest.h>

#include <string>

using namespace covey;

namespace {

DataSpec csv() {
  DataSpec spec;
  spec.format = DataFormat::kCsv;
  spec.columns = {{"age", ColumnKind::kNumeric, 17, 90, false, {}},
                  {"work", ColumnKind::kCategory, 0, 1, false, {"Private", "State-gov"}},
                  {"note", ColumnKind::kIgnore, 0, 1, false, {}},
                  {"income", ColumnKind::kLabel, 0, 1, false, {"<=50K", ">50K"}}};
  return spec;
}

template <class Spec>
std::string fault(const Spec& spec) {
  const auto valid = spec.validate();
  return valid ? "" : valid.error().message;
}

}  // namespace

TEST_CASE("data spec: counts features and classes of CSV columns") {
  const DataSpec spec = csv();
  CHECK(fault(spec) == "");
  CHECK(spec.feature_count() == 1 + 3);
  CHECK(spec.class_count() == 2);
  CHECK(fault(DataSpec{}) == "");
}

TEST_CASE("data spec: settings of documents and images belong to their formats") {
  const auto with = [](DataFormat format, auto change) {
    DataSpec spec;
    spec.format = format;
    change(spec);
    return fault(spec);
  };
  for (const auto format : {DataFormat::kText, DataFormat::kIdx, DataFormat::kJsonl, DataFormat::kTokens}) {
    CHECK(data_format_from(name_of(format)).value() == format);
    CHECK(with(format, [](DataSpec&) {}) == "");
  }
  const auto pinned = [](DataSpec& spec) { spec.tokenizer_sha256 = std::string(64, '0'); };
  CHECK(with(DataFormat::kText, pinned) == "");
  CHECK(with(DataFormat::kIdx, pinned).starts_with("data.tokenizer_sha256 = "));
  CHECK(with(DataFormat::kText, [](DataSpec& spec) { spec.tokenizer_sha256 = "ABC"; }).find("64 digits") != std::string::npos);
  CHECK(with(DataFormat::kText, [](DataSpec& spec) { spec.separator = 1; }).starts_with("data.separator = 1"));
  CHECK(with(DataFormat::kTokens, [](DataSpec& spec) { spec.separator = 1; }) == "");
  CHECK(with(DataFormat::kTokens, [](DataSpec& spec) { spec.field = "body"; }).starts_with("data.field = \"body\""));
  CHECK(with(DataFormat::kJsonl, [](DataSpec& spec) { spec.field = ""; }).starts_with("data.field = \"\""));
  CHECK(with(DataFormat::kText, [](DataSpec& spec) { spec.damaged_max = 1; }).starts_with("data.damaged_max = 1"));
  CHECK(with(DataFormat::kText, [](DataSpec& spec) { spec.augment_flip = 0.5; }).starts_with("data.augment_flip = 0.5"));
  CHECK(with(DataFormat::kIdx, [](DataSpec& spec) { spec.augment_flip = 1.5; }).starts_with("data.augment_flip = 1.5"));
}

TEST_CASE("data spec: faulty columns are named by their place") {
  DataSpec spec = csv();
  spec.columns[0].max = 17;
  CHECK(fault(spec) == "data.columns[0].max = 17: must be above min = 17");
  spec = csv();
  spec.columns[1].values.push_back("Private");
  CHECK(fault(spec) == "data.columns[1].values = \"Private\": appears twice; remove one");
  spec = csv();
  spec.columns[1].log = true;
  CHECK(fault(spec).find("data.columns[1].log = true") == 0);
  spec = csv();
  spec.columns[2].min = -1;  // where `kind` was forgotten
  CHECK(fault(spec) == "data.columns[2].min = -1: only numeric columns have it; remove it, or set kind = \"numeric\"");
  spec = csv();
  spec.columns[3].max = 2;
  CHECK(fault(spec).find("data.columns[3].max = 2: only numeric") == 0);
  spec = csv();
  spec.columns[2].name = "age";
  CHECK(fault(spec).find("data.columns[2].name = \"age\": appears twice") == 0);
  spec = csv();
  spec.columns[2].name = std::string(300, 'n');
  CHECK(fault(spec).find("has 300 bytes; at most 256") != std::string::npos);
  spec = csv();
  spec.columns[3].values = {"only"};
  CHECK(fault(spec) == "size of data.columns[3].values = 1: must lie in [2, 65536]; try 2");
  spec = csv();
  spec.columns[3].kind = ColumnKind::kCategory;
  CHECK(fault(spec).find("0 label columns") != std::string::npos);
  spec = csv();
  spec.columns[0].values = {"x"};
  CHECK(fault(spec).find("data.columns[0].values = \"x\": only category and label") == 0);
}

TEST_CASE("data spec: bounds and misplaced settings") {
  DataSpec spec;
  spec.holdout = 0.95;
  CHECK(fault(spec) == "data.holdout = 0.95: must lie in [0, 0.9]; try 0.9");
  spec = csv();
  spec.format = DataFormat::kText;
  CHECK(fault(spec).find("size of data.columns = 4: data.format = \"text\" has no columns") == 0);
  spec = csv();
  spec.columns.clear();
  CHECK(fault(spec).find("size of data.columns = 0: data.format = \"csv\" needs one [[data.columns]] for each column") == 0);
  CHECK(data_format_from("idx").value() == DataFormat::kIdx);
  CHECK(column_kind_from("category").value() == ColumnKind::kCategory);
  CHECK(!data_format_from("parquet"));
  CHECK(!column_kind_from(""));
}

TEST_CASE("partition spec: bounds, and a column only where it is used") {
  PartitionSpec spec;
  CHECK(fault(spec) == "");
  spec.alpha = 0;
  CHECK(fault(spec).find("simulation.alpha = 0: must lie in") == 0);
  spec = {};
  spec.shards_per_client = 0;
  CHECK(fault(spec).find("simulation.shards_per_client = 0") == 0);
  spec = {};
  spec.kind = PartitionKind::kColumn;
  CHECK(fault(spec).find("simulation.column = \"\": must not be empty") == 0);
  spec.column = "state";
  CHECK(fault(spec) == "");
  spec.kind = PartitionKind::kIid;
  CHECK(fault(spec).find("simulation.column = \"state\"") == 0);
  for (const auto kind : {PartitionKind::kIid, PartitionKind::kDirichlet, PartitionKind::kShards,
                          PartitionKind::kFile, PartitionKind::kColumn, PartitionKind::kRole})
    CHECK(partition_kind_from(name_of(kind)).value() == kind);
  CHECK(!partition_kind_from("random"));
}
