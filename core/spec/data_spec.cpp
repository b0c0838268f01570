#include "core/spec/data_spec.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::uint64_t kColumnsMax = 4096;
constexpr std::uint64_t kValuesMax = 65'536;    // of one column
constexpr std::uint64_t kFeaturesMax = 1 << 20;  // as model.inputs
constexpr std::size_t kNameBytesMax = 256;
constexpr double kNumberMax = 1e300;  // so that max - min stays finite

Result<void> check_name(const std::string& setting, const std::string& name) {
  if (name.empty())
    return bad_setting(setting, "\"\"", "must not be empty; give the name in the CSV's header line");
  if (name.size() > kNameBytesMax)
    return bad_setting(setting, setting_text(name),
                       "has " + std::to_string(name.size()) + " bytes; at most " +
                           std::to_string(kNameBytesMax) + " are allowed");
  return {};
}

Result<void> check_values(const std::string& where, const ColumnSpec& column) {
  const std::uint64_t least = column.kind == ColumnKind::kLabel ? 2 : 1;
  COVEY_TRY_VOID(setting_within("size of " + where + ".values",
                                std::uint64_t{column.values.size()}, least, kValuesMax));
  std::set<std::string_view> seen;
  for (const std::string& value : column.values) {
    if (value.size() > kNameBytesMax)
      return bad_setting(where + ".values", setting_text(value),
                         "has more than " + std::to_string(kNameBytesMax) + " bytes");
    if (!seen.insert(value).second)
      return bad_setting(where + ".values", setting_text(value), "appears twice; remove one");
  }
  return {};
}

Result<void> check_column(const std::string& where, const ColumnSpec& column) {
  COVEY_TRY_VOID(check_name(where + ".name", column.name));
  const bool takes_values =
      column.kind == ColumnKind::kCategory || column.kind == ColumnKind::kLabel;
  if (takes_values) COVEY_TRY_VOID(check_values(where, column));
  if (!takes_values && !column.values.empty())
    return bad_setting(where + ".values", setting_text(column.values.front()),
                       "only category and label columns have values; remove them");
  if (column.kind == ColumnKind::kNumeric) {
    COVEY_TRY_VOID(setting_within(where + ".min", column.min, -kNumberMax, kNumberMax));
    COVEY_TRY_VOID(setting_within(where + ".max", column.max, -kNumberMax, kNumberMax));
    if (column.min >= column.max)
      return bad_setting(where + ".max", setting_text(column.max),
                         "must be above min = " + setting_text(column.min));
    return {};
  }
  constexpr const char* kRemedy = "only numeric columns have it; remove it, or set kind = \"numeric\"";
  const ColumnSpec plain;
  if (column.log) return bad_setting(where + ".log", "true", kRemedy);
  if (column.min != plain.min) return bad_setting(where + ".min", setting_text(column.min), kRemedy);
  if (column.max != plain.max) return bad_setting(where + ".max", setting_text(column.max), kRemedy);
  return {};
}

// A setting that other formats do not have.
Unexpected misplaced(const char* setting, std::string_view value, const char* formats) {
  return bad_setting(setting, value, std::string("belongs to data.format = ") + formats + "; remove it");
}

Result<void> check_documents(const DataSpec& data) {
  const DataSpec plain;
  const bool lines = data.format == DataFormat::kJsonl, tokens = data.format == DataFormat::kTokens;
  if (!lines && data.field != plain.field) return misplaced("data.field", setting_text(data.field), "\"jsonl\"");
  if (data.field.empty() || data.field.size() > kNameBytesMax)
    return bad_setting("data.field", setting_text(data.field),
                       "must have 1 to " + std::to_string(kNameBytesMax) + " bytes; try \"text\"");
  if (!lines && !tokens && data.damaged_max != plain.damaged_max)
    return misplaced("data.damaged_max", std::to_string(data.damaged_max), "\"jsonl\" and \"tokens\"");
  COVEY_TRY_VOID(setting_within("data.damaged_max", data.damaged_max, 0, 1'000'000'000));
  const std::string& pin = data.tokenizer_sha256;
  if (!pin.empty() && !data.is_language())
    return misplaced("data.tokenizer_sha256", setting_text(pin), "\"text\", \"jsonl\" and \"tokens\"");
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (!pin.empty() && (pin.size() != 64 || !std::all_of(pin.begin(), pin.end(), digit)))
    return bad_setting("data.tokenizer_sha256", setting_text(pin),
                       "must be 64 digits of 0-9 a-f, as `sha256sum tokenizer.json` prints them");
  const bool encoded = tokens || (data.is_language() && !pin.empty());
  if (!data.separator || encoded) return {};
  return bad_setting("data.separator", std::to_string(*data.separator),
                     "is a token: it needs data.format = \"tokens\", or data.tokenizer_sha256");
}

Result<void> check_augment(const DataSpec& data) {
  COVEY_TRY_VOID(setting_within("data.augment_flip", data.augment_flip, 0.0, 1.0));
  COVEY_TRY_VOID(setting_within("data.augment_crop", std::uint64_t{data.augment_crop}, 0, 4095));
  if (!data.augments() || data.format == DataFormat::kIdx) return {};
  return misplaced(data.augment_crop > 0 ? "data.augment_crop" : "data.augment_flip",
                   data.augment_crop > 0 ? std::to_string(data.augment_crop) : setting_text(data.augment_flip), "\"idx\"");
}

}  // namespace

const char* name_of(DataFormat format) {
  switch (format) {
    case DataFormat::kText: return "text";
    case DataFormat::kIdx: return "idx";
    case DataFormat::kCsv: return "csv";
    case DataFormat::kJsonl: return "jsonl";
    case DataFormat::kTokens: return "tokens";
  }
  return "unknown";
}

Result<DataFormat> data_format_from(std::string_view name) {
  for (const auto format :
       {DataFormat::kText, DataFormat::kIdx, DataFormat::kCsv, DataFormat::kJsonl, DataFormat::kTokens})
    if (name == name_of(format)) return format;
  return bad_setting("data.format", setting_text(name), "must be \"text\", \"idx\", \"csv\", \"jsonl\" or \"tokens\"");
}

const char* name_of(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kNumeric: return "numeric";
    case ColumnKind::kCategory: return "category";
    case ColumnKind::kLabel: return "label";
    case ColumnKind::kIgnore: return "ignore";
  }
  return "unknown";
}

Result<ColumnKind> column_kind_from(std::string_view name) {
  for (const auto kind : {ColumnKind::kNumeric, ColumnKind::kCategory, ColumnKind::kLabel,
                          ColumnKind::kIgnore})
    if (name == name_of(kind)) return kind;
  return bad_setting("data.columns.kind", setting_text(name),
                     "must be \"numeric\", \"category\", \"label\" or \"ignore\"");
}

Result<void> DataSpec::validate() const {
  if (name_of(format) == std::string_view("unknown"))
    return bad_setting("data.format", std::to_string(static_cast<int>(format)),
                       "is not a known format");
  COVEY_TRY_VOID(setting_within("data.holdout", holdout, 0.0, 0.9));
  COVEY_TRY_VOID(check_documents(*this));
  COVEY_TRY_VOID(check_augment(*this));
  if (format != DataFormat::kCsv) {
    if (columns.empty()) return {};
    return bad_setting("size of data.columns", std::to_string(columns.size()),
                       std::string("data.format = \"") + name_of(format) +
                           "\" has no columns; remove them or try \"csv\"");
  }

  if (columns.size() < 2)
    return bad_setting("size of data.columns", std::to_string(columns.size()),
                       "data.format = \"csv\" needs one [[data.columns]] for each column of the files, in order, 2 at least: "
                       "name = \"...\" and kind = \"numeric\", \"category\", \"label\" or \"ignore\"");
  COVEY_TRY_VOID(setting_within("size of data.columns", std::uint64_t{columns.size()}, 2, kColumnsMax));
  std::set<std::string_view> names;
  std::uint64_t labels = 0;
  std::uint64_t features = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const ColumnSpec& column = columns[i];
    const std::string where = "data.columns[" + std::to_string(i) + "]";
    if (name_of(column.kind) == std::string_view("unknown"))
      return bad_setting(where + ".kind", std::to_string(static_cast<int>(column.kind)),
                         "is not a known kind of column");
    COVEY_TRY_VOID(check_column(where, column));
    if (!names.insert(column.name).second)
      return bad_setting(where + ".name", setting_text(column.name), "appears twice; rename one");
    labels += column.kind == ColumnKind::kLabel ? 1 : 0;
    if (column.kind == ColumnKind::kNumeric) features += 1;
    if (column.kind == ColumnKind::kCategory) features += column.values.size() + 1;
  }
  if (labels != 1)
    return bad_setting("data.columns", std::to_string(labels) + " label columns",
                       "exactly one column must have kind = \"label\"");
  return setting_within("features of data.columns", features, 1, kFeaturesMax);
}

std::uint32_t DataSpec::feature_count() const {
  std::size_t count = 0;
  for (const ColumnSpec& column : columns) {
    if (column.kind == ColumnKind::kNumeric) count += 1;
    if (column.kind == ColumnKind::kCategory) count += column.values.size() + 1;
  }
  return static_cast<std::uint32_t>(count);
}

std::uint32_t DataSpec::class_count() const {
  for (const ColumnSpec& column : columns)
    if (column.kind == ColumnKind::kLabel) return static_cast<std::uint32_t>(column.values.size());
  return 0;
}

const char* name_of(PartitionKind kind) {
  switch (kind) {
    case PartitionKind::kIid: return "iid";
    case PartitionKind::kDirichlet: return "dirichlet";
    case PartitionKind::kShards: return "shards";
    case PartitionKind::kFile: return "file";
    case PartitionKind::kColumn: return "column";
    case PartitionKind::kRole: return "role";
  }
  return "unknown";
}

Result<PartitionKind> partition_kind_from(std::string_view name) {
  for (const auto kind : {PartitionKind::kIid, PartitionKind::kDirichlet, PartitionKind::kShards,
                          PartitionKind::kFile, PartitionKind::kColumn, PartitionKind::kRole})
    if (name == name_of(kind)) return kind;
  return bad_setting("simulation.partition", setting_text(name),
                     "must be \"iid\", \"dirichlet\", \"shards\", \"file\", \"column\" or \"role\"");
}

Result<void> PartitionSpec::validate() const {
  if (name_of(kind) == std::string_view("unknown"))
    return bad_setting("simulation.partition", std::to_string(static_cast<int>(kind)),
                       "is not a known kind of partition");
  COVEY_TRY_VOID(setting_within("simulation.alpha", alpha, 1e-4, 1e6));
  COVEY_TRY_VOID(setting_within("simulation.shards_per_client", std::uint64_t{shards_per_client}, 1,
                                10'000));
  if (kind == PartitionKind::kColumn) return check_name("simulation.column", column);
  if (!column.empty())
    return bad_setting("simulation.column", setting_text(column),
                       "only simulation.partition = \"column\" has it; remove it");
  return {};
}

}  // namespace covey
