#include <cmath>
#include <limits>

#include "core/data/csv_line.h"
#include "core/data/dataset.h"
#include "tests/core/data/data_files.h"

namespace covey {
namespace {

ColumnSpec numeric(std::string name, double min, double max) {
  return {.name = std::move(name), .kind = ColumnKind::kNumeric, .min = min, .max = max, .values = {}};
}
ColumnSpec category(std::string name, std::vector<std::string> values) {
  return {.name = std::move(name), .kind = ColumnKind::kCategory, .values = std::move(values)};
}
ColumnSpec label(std::vector<std::string> values) {
  return {.name = "income", .kind = ColumnKind::kLabel, .values = std::move(values)};
}

LoadRequest small_request(const std::string& path) {
  LoadRequest request;
  request.path = path;
  request.data.format = DataFormat::kCsv;
  request.data.columns = {numeric("age", 0, 100),
                          category("work", {"Private", "State"}),
                          {.name = "id", .kind = ColumnKind::kIgnore, .values = {}},
                          label({"<=50K", ">50K"})};
  request.model.inputs = 4;
  request.model.classes = 2;
  return request;
}

struct Read {
  std::vector<float> features;
  std::vector<std::uint32_t> labels;
};

Read read_all(const LoadRequest& request) {
  auto data = load_dataset(request);
  if (!data) FAIL(data.error().message);
  Read read;
  BatchBuffer buffer(**data, 1);
  for (std::uint32_t i = 0; i < (*data)->size(); ++i) {
    const Minibatch batch = buffer.fill(std::span(&i, 1));
    read.features.insert(read.features.end(), batch.inputs.floats().begin(), batch.inputs.floats().end());
    CHECK(batch.targets.i32()[0] == static_cast<std::int32_t>((*data)->label(i)));
    read.labels.push_back((*data)->label(i));
  }
  return read;
}

Error refused_text(const std::string& text) {
  const TemporaryFolder folder;
  auto data = load_dataset(small_request(folder.write("d.csv", text)));
  REQUIRE(!data);
  CHECK(data.error().code == ErrorCode::kInvalidData);
  return data.error();
}

using Floats = std::vector<float>;

}  // namespace

TEST_CASE("csv: fields are trimmed, quotes are undone") {
  CHECK(*csv_fields(" a , b c ,,\"x, \"\"y\"\"\" \r") ==
        std::vector<std::string>{"a", "b c", "", "x, \"y\""});
  CHECK(*csv_fields("") == std::vector<std::string>{""});
  CHECK(*csv_fields("a,") == std::vector<std::string>{"a", ""});
  CHECK(!csv_fields("\"open"));
  CHECK(!csv_fields("\"a\"b,c"));
}

TEST_CASE("csv: rows are encoded as the job's columns say") {
  const TemporaryFolder folder;
  const std::string path = folder.write("d.csv",
                                        "50, Private, 7, <=50K\r\n\n  \n25, State, 8, >50K.\n+200, Else, 9, "
                                        "\"<=50K\"\n?, ?, ?, >50K\n-1,,,>50K");
  const Read read = read_all(small_request(path));
  CHECK(read.labels == std::vector<std::uint32_t>{0, 1, 0, 1, 1});
  CHECK(read.features == Floats{0.5f, 1, 0, 0, 0.25f, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1});
}

TEST_CASE("csv: a first line with the columns' names is a header") {
  const TemporaryFolder folder;
  const std::string path = folder.write("d.csv",
                                        "\xef\xbb\xbf"
                                        "age, work, id, income\n50, Private, 7, <=50K\n");
  CHECK(read_all(small_request(path)).labels.size() == 1);
  CHECK(mentions(refused_text("work, age, id, income\n50, Private, 7, <=50K\n").message, "header"));
}

TEST_CASE("csv: the logarithm comes before scaling") {
  const TemporaryFolder folder;
  LoadRequest request =
      small_request(folder.write("d.csv", "0,State,1,>50K\n9,State,1,>50K\n99,State,1,>50K\n"));
  request.data.columns[0] = numeric("gain", 0, 99);
  request.data.columns[0].log = true;
  const Read read = read_all(request);
  CHECK(read.features[0] == 0);
  CHECK(read.features[4] == doctest::Approx(std::log(10.0) / std::log(100.0)));
  CHECK(read.features[8] == 1);
}

TEST_CASE("csv: errors carry file, line, column, value and remedy") {
  const std::string good = "50, Private, 7, <=50K\n";
  const Error columns = refused_text(good + "\n50, Private, <=50K\n");
  CHECK(mentions(columns.message, "d.csv: line 3: has 3 columns"));
  const Error number = refused_text(good + "fifty, Private, 7, <=50K\n");
  CHECK(mentions(number.message, "line 2"));
  CHECK(mentions(number.message, "\"age\""));
  CHECK(mentions(number.message, "\"fifty\""));
  for (const char* bad :
       {"nan", "inf", "-inf", "1e999", "NaN", "Infinity", "1.5x", "0x10", "1 2", "+-1", "+", "++1"})
    CHECK(mentions(refused_text(good + bad + ", Private, 7, <=50K\n").message, "line 2"));
  CHECK(mentions(refused_text(good + "50, Private, 7, 50K\n").message, "\"50K\""));
  CHECK(mentions(refused_text(good + "50, Private, 7, ?\n").message, "label"));
  CHECK(mentions(refused_text(good + "50, \"Private, 7, <=50K\n").message, "quote"));
  CHECK(mentions(refused_text("").message, "no rows"));
  CHECK(mentions(refused_text("age,work,id,income\n").message, "no rows"));
  CHECK(mentions(refused_text(std::string(2'000'000, 'x')).message, "line 1"));
}

TEST_CASE("csv: groups are files, or the values of a column") {
  const TemporaryFolder folder;
  folder.write("a.csv", "50, Private, 7, <=50K\n25, State, 8, >50K\n");
  folder.write("b/c.csv", "1, Private, 7, <=50K\n");
  folder.write("readme.txt", "not, data\n");
  LoadRequest request = small_request(folder.path());
  auto by_file = load_dataset(request);
  REQUIRE(by_file);
  CHECK((*by_file)->groups() == std::vector<std::string>{"a.csv", "b/c.csv"});
  CHECK((*by_file)->group(2) == 1);

  request.grouping.kind = PartitionKind::kColumn;
  request.grouping.column = "id";
  auto by_column = load_dataset(request);
  REQUIRE(by_column);
  CHECK((*by_column)->groups() == std::vector<std::string>{"7", "8"});
  CHECK((*by_column)->group(2) == 0);

  request.grouping.column = "city";
  auto unknown = load_dataset(request);
  REQUIRE(!unknown);
  CHECK(unknown.error().code == ErrorCode::kInvalidArgument);
  CHECK(mentions(unknown.error().message, "city"));
}

TEST_CASE("csv: refuses a model that does not fit, naming both sizes") {
  const TemporaryFolder folder;
  LoadRequest request = small_request(folder.write("d.csv", "50, Private, 7, <=50K\n"));
  const auto message = [&] {
    auto data = load_dataset(request);
    REQUIRE(!data);
    CHECK(data.error().code == ErrorCode::kInvalidArgument);
    return data.error().message;
  };
  request.model.inputs = 0;
  CHECK(mentions(message(), "4 features"));
  request.model.inputs = 4;
  request.model.classes = 10;
  CHECK(mentions(message(), "2 values"));
  request.model.classes = 2;
  request.model.family = ModelFamily::kTransformer;
  CHECK(mentions(message(), "transformer"));
  request.model.family = ModelFamily::kMlp;
  CHECK(load_dataset(request));
}

TEST_CASE("csv: UCI Adult, train and test") {
  const std::string path = shared_data("adult");
  if (path.empty()) {
    MESSAGE("skipped: no adult beside the repository");
    return;
  }
  LoadRequest request;
  request.path = path;
  request.data.format = DataFormat::kCsv;
  request.data.columns = {
      numeric("age", 17, 90),
      category("workclass", {"Private", "Self-emp-not-inc", "Self-emp-inc", "Federal-gov", "Local-gov",
                             "State-gov", "Without-pay", "Never-worked"}),
      {.name = "fnlwgt", .kind = ColumnKind::kIgnore, .values = {}},
      {.name = "education", .kind = ColumnKind::kIgnore, .values = {}},
      numeric("education-num", 1, 16),
      category("marital-status", {"Married-civ-spouse", "Divorced", "Never-married", "Separated", "Widowed"}),
      {.name = "occupation", .kind = ColumnKind::kIgnore, .values = {}},
      {.name = "relationship", .kind = ColumnKind::kIgnore, .values = {}},
      {.name = "race", .kind = ColumnKind::kIgnore, .values = {}},
      category("sex", {"Male", "Female"}),
      numeric("capital-gain", 0, 99'999),
      numeric("capital-loss", 0, 4'356),
      numeric("hours-per-week", 1, 99),
      {.name = "native-country", .kind = ColumnKind::kIgnore, .values = {}},
      label({"<=50K", ">50K"})};
  request.model.inputs = request.data.feature_count();
  auto data = load_dataset(request);
  if (!data) FAIL(data.error().message);
  CHECK((*data)->size() == 32'561 + 16'281);
  std::uint32_t positive = 0;
  for (std::uint32_t i = 0; i < (*data)->size(); ++i) positive += (*data)->label(i);
  CHECK(positive == 7'841 + 3'846);
}

}  // namespace covey
