// What a job says of each client's data: its form, never its place.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

enum class DataFormat : std::uint8_t { kText, kIdx, kCsv, kJsonl, kTokens };
const char* name_of(DataFormat format);  // "text", "idx", "csv", "jsonl", "tokens"
Result<DataFormat> data_format_from(std::string_view name);

enum class ColumnKind : std::uint8_t { kNumeric, kCategory, kLabel, kIgnore };
const char* name_of(ColumnKind kind);  // "numeric", "category", "label", "ignore"
Result<ColumnKind> column_kind_from(std::string_view name);

// One CSV column, in file order. The job is public, so it holds only public facts: bounds and
// category names, never statistics of anyone's rows.
struct ColumnSpec {
  std::string name;
  ColumnKind kind = ColumnKind::kIgnore;
  double min = 0, max = 1;          // numeric: scaled to [0, 1]; values outside are clamped
  bool log = false;                 // numeric: log(1 + v - min) before scaling
  std::vector<std::string> values;  // category: one-hot over these and "other"; label: class names
  bool operator==(const ColumnSpec&) const = default;
};

struct DataSpec {
  DataFormat format = DataFormat::kText;
  double holdout = 0.1;              // share of each client's examples kept for evaluation, [0, 0.9]
  std::vector<ColumnSpec> columns;   // csv
  std::string field = "text";        // jsonl: the member of each line that holds the document
  std::uint64_t damaged_max = 100;   // jsonl: lines, tokens: records of an epoch, passed over before it is an error
  // Of tokenizer.json, 64 hex digits: text and jsonl are encoded with that file, and tokens were made with it.
  // Empty: text and jsonl are read as bytes; of tokens the vocabulary's size alone is checked.
  std::string tokenizer_sha256;
  std::optional<std::uint32_t> separator;  // encoded documents: the token that follows each
  double augment_flip = 0;           // idx, in training: chance of a left-right mirror image
  std::uint32_t augment_crop = 0;    // idx, in training: pixels of zeros around, out of which the image is cut
  bool operator==(const DataSpec&) const = default;
  Result<void> validate() const;
  bool augments() const { return augment_flip > 0 || augment_crop > 0; }
  // Whether examples are windows of tokens or bytes.
  bool is_language() const {
    return format == DataFormat::kText || format == DataFormat::kJsonl || format == DataFormat::kTokens;
  }
  // Whether a token is a byte of the documents.
  bool reads_bytes() const { return is_language() && format != DataFormat::kTokens && tokenizer_sha256.empty(); }
  // csv: features after encoding (numeric 1, category values + 1), and classes of the label.
  std::uint32_t feature_count() const;
  std::uint32_t class_count() const;
};

// How the simulator (or `--part` of a client on a shared folder) divides one data set.
enum class PartitionKind : std::uint8_t { kIid, kDirichlet, kShards, kFile, kColumn, kRole };
const char* name_of(PartitionKind kind);  // "iid", "dirichlet", "shards", "file", "column", "role"
Result<PartitionKind> partition_kind_from(std::string_view name);

struct PartitionSpec {
  PartitionKind kind = PartitionKind::kIid;
  double alpha = 0.5;                     // dirichlet: concentration over classes
  std::uint32_t shards_per_client = 2;    // shards (McMahan et al. 2017): label-sorted pieces
  std::string column;                     // column: the CSV column whose value names the client
  bool operator==(const PartitionSpec&) const = default;
  Result<void> validate() const;
};

}  // namespace covey
