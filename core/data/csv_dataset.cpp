// Rows of comma-separated values, encoded as DataSpec's columns say:
//   numeric   one feature in [0, 1]; values outside the bounds are clamped
//   category  one feature for each value, then one for any other
//   label     the class; a full stop after it is dropped (UCI Adult's test file has one)
// A missing value ("?" or nothing) is the lower bound of a number and the "other" of a category; a
// row without its label is an error. A first line that holds the columns' names is skipped.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/base/check.h"
#include "core/data/csv_line.h"
#include "core/data/files.h"
#include "core/data/readers.h"

namespace covey {
namespace {

constexpr std::size_t kLineBytesMax = std::size_t{1} << 20;

class CsvDataset final : public Dataset {
 public:
  explicit CsvDataset(std::uint32_t features) : features_(features) {}

  std::vector<float>& values() { return values_; }
  std::uint64_t value_count() const { return values_.size(); }
  void end_row(std::uint32_t label, const std::string& group) {
    labels_.push_back(label);
    const auto [at, added] = group_index_.try_emplace(group, static_cast<std::uint32_t>(groups_.size()));
    if (added) groups_.push_back(group);
    group_of_.push_back(at->second);
    COVEY_CHECK(values_.size() == labels_.size() * features_);
  }
  std::uint64_t rows() const { return labels_.size(); }

  std::uint32_t size() const override { return static_cast<std::uint32_t>(labels_.size()); }
  Shape input_shape() const override { return {features_}; }
  DType input_dtype() const override { return DType::kF32; }
  Shape target_shape() const override { return {}; }

  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override {
    COVEY_CHECK(batch.inputs.shape == Shape({std::ssize(indices), features_}));
    COVEY_CHECK(batch.targets.dim(0) == std::ssize(indices));
    float* inputs = batch.inputs.f32();
    std::int32_t* targets = batch.targets.i32();
    for (const std::uint32_t index : indices) {
      COVEY_CHECK(index < labels_.size());
      inputs = std::copy_n(values_.data() + std::size_t{index} * features_, features_, inputs);
      *targets++ = static_cast<std::int32_t>(labels_[index]);
    }
  }

  std::uint32_t label(std::uint32_t index) const override { return labels_[index]; }
  std::uint32_t group(std::uint32_t index) const override { return group_of_[index]; }
  const std::vector<std::string>& groups() const override { return groups_; }

 private:
  std::uint32_t features_;
  std::vector<float> values_;  // [rows, features]
  std::vector<std::uint32_t> labels_;
  std::vector<std::uint32_t> group_of_;
  std::vector<std::string> groups_;
  std::unordered_map<std::string, std::uint32_t> group_index_;
};

bool missing(std::string_view field) { return field.empty() || field == "?"; }

// One column's encoder: finds a value's place without walking the list of names.
struct Encoder {
  ColumnSpec column;
  std::unordered_map<std::string, std::uint32_t> place;
};

std::vector<Encoder> encoders_of(const DataSpec& data) {
  std::vector<Encoder> encoders;
  for (const ColumnSpec& column : data.columns) {
    Encoder encoder{column, {}};
    for (const std::string& value : column.values)
      encoder.place.try_emplace(value, static_cast<std::uint32_t>(encoder.place.size()));
    encoders.push_back(std::move(encoder));
  }
  return encoders;
}

Result<float> number(const Encoder& encoder, std::string_view field) {
  const ColumnSpec& column = encoder.column;
  if (missing(field)) return 0.0f;
  const std::string_view digits =
      field.starts_with('+') && !field.starts_with("+-") ? field.substr(1) : field;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::invalid_argument || end != digits.data() + digits.size())
    return unexpected(ErrorCode::kInvalidData, shown(field) +
                                                   " is not a number: mend the row, write "
                                                   "\"?\" where the value is missing, or "
                                                   "declare the column a category");
  if (error != std::errc() || !std::isfinite(value))
    return unexpected(ErrorCode::kInvalidData, shown(field) +
                                                   " is not a finite number: mend the row "
                                                   "or write \"?\" where it is missing");
  const double above = std::clamp(value, column.min, column.max) - column.min;
  const double range = column.max - column.min;
  return static_cast<float>(column.log ? std::log1p(above) / std::log1p(range) : above / range);
}

void one_hot(const Encoder& encoder, const std::string& field, std::vector<float>& row) {
  const std::size_t begin = row.size();
  row.resize(begin + encoder.column.values.size() + 1, 0.0f);
  const auto at = encoder.place.find(field);
  row[begin + (at == encoder.place.end() ? encoder.column.values.size() : at->second)] = 1.0f;
}

Result<std::uint32_t> class_of(const Encoder& encoder, const std::string& field) {
  auto at = encoder.place.find(field);
  if (at == encoder.place.end() && field.ends_with('.'))
    at = encoder.place.find(field.substr(0, field.size() - 1));
  if (at != encoder.place.end()) return at->second;
  std::string known;
  for (std::size_t i = 0; i < std::min<std::size_t>(encoder.column.values.size(), 10); ++i)
    known += (i == 0 ? "" : ", ") + shown(encoder.column.values[i], 40);
  return unexpected(ErrorCode::kInvalidData, "label " + shown(field) + " is none of the job's " +
                                                 std::to_string(encoder.column.values.size()) + " (" + known +
                                                 "): mend the row or leave it out");
}

class Reader {
 public:
  Reader(const LoadRequest& request, CsvDataset& data) : encoders_(encoders_of(request.data)), data_(data) {
    if (request.grouping.kind != PartitionKind::kColumn) return;
    const auto& columns = request.data.columns;
    while (group_column_ < columns.size() && columns[group_column_].name != request.grouping.column)
      ++group_column_;
    by_column_ = true;
  }
  bool knows_group() const { return !by_column_ || group_column_ < encoders_.size(); }

  // Every line of `text`. Errors carry the line's number.
  Result<void> read(std::string_view text, const std::string& group) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    bool first = true;
    for (std::uint64_t line_number = 1; !text.empty(); ++line_number) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      auto added = read_line(line, group, first);
      if (!added) return unexpected(in_context("line " + std::to_string(line_number), added.error()));
      first = false;
    }
    return {};
  }

 private:
  Result<void> read_line(std::string_view line, const std::string& group, bool may_be_header) {
    if (line.size() > kLineBytesMax)
      return unexpected(ErrorCode::kInvalidData, "has " + std::to_string(line.size()) + " bytes, at most " +
                                                     std::to_string(kLineBytesMax) +
                                                     " are read: is it comma-separated text?");
    COVEY_TRY(const std::vector<std::string> fields, csv_fields(line));
    if (fields.size() != encoders_.size())
      return unexpected(ErrorCode::kInvalidData,
                        "has " + std::to_string(fields.size()) + " columns, the job's data.columns are " +
                            std::to_string(encoders_.size()) + ": mend the row, or the job (fields are parted by commas)");
    if (may_be_header && is_header(fields)) return {};
    std::uint32_t label = 0;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      auto encoded = encode(encoders_[i], fields[i], label);
      if (!encoded) {
        Error error = in_context("column " + shown(encoders_[i].column.name), encoded.error());
        if (may_be_header)
          error.message += "; if this line is a header, its names must be those of data.columns, in order";
        return unexpected(std::move(error));
      }
    }
    if (data_.value_count() * sizeof(float) > kDataBytesMax)
      return unexpected(ErrorCode::kInvalidData, "the encoded rows take more than " +
                                                     std::to_string(kDataBytesMax) +
                                                     " bytes: use fewer rows or columns");
    data_.end_row(label, by_column_ ? fields[group_column_] : group);
    return {};
  }

  bool is_header(const std::vector<std::string>& fields) const {
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (fields[i] != encoders_[i].column.name) return false;
    return true;
  }

  Result<void> encode(const Encoder& encoder, const std::string& field, std::uint32_t& label) {
    switch (encoder.column.kind) {
      case ColumnKind::kNumeric: {
        COVEY_TRY(const float value, number(encoder, field));
        data_.values().push_back(value);
        break;
      }
      case ColumnKind::kCategory:
        one_hot(encoder, field, data_.values());
        break;
      case ColumnKind::kLabel: {
        COVEY_TRY(label, class_of(encoder, field));
        break;
      }
      case ColumnKind::kIgnore:
        break;
    }
    return {};
  }

  std::vector<Encoder> encoders_;
  CsvDataset& data_;
  std::size_t group_column_ = 0;
  bool by_column_ = false;
};

Result<void> check_model(const ModelSpec& model, const DataSpec& data) {
  if (model.family != ModelFamily::kLogistic && model.family != ModelFamily::kMlp)
    return unexpected(ErrorCode::kInvalidArgument,
                      std::string("csv data need model.family = \"logistic\" or \"mlp\", got \"") +
                          name_of(model.family) + "\"");
  if (model.inputs != data.feature_count())
    return unexpected(ErrorCode::kInvalidArgument,
                      "model.inputs = " + std::to_string(model.inputs) + ", but data.columns encode to " +
                          std::to_string(data.feature_count()) + " features: make them equal");
  if (model.classes != data.class_count())
    return unexpected(ErrorCode::kInvalidArgument,
                      "model.classes = " + std::to_string(model.classes) + ", but the label column has " +
                          std::to_string(data.class_count()) + " values: make them equal");
  return {};
}

}  // namespace

Result<std::unique_ptr<Dataset>> load_csv(const LoadRequest& request) {
  COVEY_TRY_VOID(check_model(request.model, request.data));
  COVEY_TRY(const FileList list, list_files(request.path));
  auto data = std::make_unique<CsvDataset>(request.data.feature_count());
  Reader reader(request, *data);
  if (!reader.knows_group())
    return unexpected(ErrorCode::kInvalidArgument,
                      "simulation.column = " + shown(request.grouping.column) + " is none of data.columns");
  std::size_t files = 0;
  for (const FoundFile& file : list.files) {
    // A file that the user names is read whatever its ending; a folder may hold other things.
    if (file.path != request.path && !file.relative.ends_with(".csv")) continue;
    ++files;
    COVEY_TRY(const Bytes text, read_data_file(file.path, kDataBytesMax));
    auto read = reader.read(text_of(text), file.relative);
    if (!read) return unexpected(in_context(file.path, read.error()));
  }
  if (data->rows() == 0)
    return unexpected(ErrorCode::kInvalidData,
                      shown(request.path, 300) + " holds no rows: " + std::to_string(files) +
                          " .csv files read; name a file, or a folder with *.csv in it");
  if (data->rows() > std::numeric_limits<std::uint32_t>::max())
    return unexpected(ErrorCode::kInvalidData, shown(request.path, 300) + " holds " +
                                                   std::to_string(data->rows()) +
                                                   " rows, at most 4294967295 are possible");
  return std::unique_ptr<Dataset>(std::move(data));
}

}  // namespace covey
