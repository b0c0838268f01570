#include "core/data/safetensors.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "core/base/random.h"
#include "core/base/wire.h"

namespace covey {
namespace {

ParameterTable small_table() {
  ParameterTable table;
  table.parameters = {{"a.weight", {2, 3}, 0, 6, 0}, {"a.bias", {2}, 6, 2, 0}, {"scale", {1}, 8, 1, 0}};
  table.shards = {{"model", 0, 9}};
  table.size = 9;
  return table;
}

const std::vector<float> kValues{1, -2, 3.5f, 0, -0.0f, 6, 1e-30f, 8, 9};

Bytes file_of(std::string_view header, std::size_t data_bytes) {
  ByteWriter writer;
  writer.u64(header.size()).raw(bytes_of(header));
  Bytes file = writer.take();
  file.resize(file.size() + data_bytes, 0x3f);
  return file;
}

std::string refused(std::string_view header, std::size_t data_bytes) {
  auto file = from_safetensors(file_of(header, data_bytes));
  REQUIRE(!file);
  CHECK(file.error().code == ErrorCode::kInvalidData);
  CHECK(!file.error().message.empty());
  return file.error().message;
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

bool has(const std::string& message, std::string_view what) {
  return message.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("safetensors: a model goes out and comes back bit for bit") {
  const ParameterTable table = small_table();
  const Bytes file = to_safetensors(table, kValues, {{"round", "3"}, {"quote", "\"\n\xc3\xa4"}});
  CHECK((ByteReader(file).u64() + 8) % 8 == 0);
  auto read = from_safetensors(file);
  REQUIRE(read);
  CHECK(read->metadata == std::map<std::string, std::string>{{"round", "3"}, {"quote", "\"\n\xc3\xa4"}});
  REQUIRE(read->tensors.size() == 3);
  CHECK(read->tensors[0].name == "a.weight");
  CHECK(read->tensors[0].shape == std::vector<std::uint64_t>{2, 3});
  auto flat = parameters_from(*read, table);
  REQUIRE(flat);
  CHECK(to_safetensors(table, *flat, read->metadata) == file);
  CHECK(from_safetensors(to_safetensors(table, kValues, {})));
  CHECK(from_safetensors(to_safetensors(table, kValues, {{"not utf-8", "\xff"}})));
}

TEST_CASE("safetensors: opens a file written by Python's safetensors, f16 and bf16 widened") {
  std::ifstream stream(std::string(COVEY_SOURCE_DIR) + "/tests/vectors/safetensors/mixed.safetensors",
                       std::ios::binary);
  REQUIRE(stream);
  const Bytes file{std::istreambuf_iterator<char>(stream), {}};
  auto read = from_safetensors(file);
  if (!read) FAIL(read.error().message);
  CHECK(read->metadata ==
        std::map<std::string, std::string>{{"format", "np"}, {"made_by", "make_safetensors_vectors.py"}});
  std::map<std::string, NamedTensor> tensors;
  for (const NamedTensor& t : read->tensors) tensors[t.name] = t;
  REQUIRE(tensors.size() == 5);
  CHECK(tensors["weight"].shape == std::vector<std::uint64_t>{2, 3});
  CHECK(tensors["weight"].values == std::vector<float>{0, 1, 2, 3, 4, 5});
  CHECK(tensors["scalar"].shape.empty());
  CHECK(tensors["scalar"].values == std::vector<float>{2.5f});
  CHECK(tensors["nothing"].values.empty());
  // Largest, smallest subnormal and normal, signs, infinities.
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(tensors["half"].values ==
        std::vector<float>{1.5f, -2, 65504, std::ldexp(1.0f, -24), std::ldexp(1.0f, -14), inf, -inf, 0});
  CHECK(tensors["brain"].values == std::vector<float>{1, -3.140625f, std::ldexp(1.0f, 127), 0.0078125f});
}

TEST_CASE("safetensors: refuses hostile headers") {
  const std::string good = R"({"a":)" + entry("F32", "[2]", "[0,8]") + "}";
  REQUIRE(from_safetensors(file_of(good, 8)));
  CHECK(from_safetensors(file_of(good + "   ", 8)));

  SUBCASE("lengths") {
    CHECK(!from_safetensors({}));
    CHECK(!from_safetensors(Bytes(7)));
    for (const std::uint64_t length : {std::uint64_t{100}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
      ByteWriter writer;
      writer.u64(length).raw(bytes_of("{}"));
      CHECK(!from_safetensors(writer.take()));
    }
    const Bytes whole = file_of(good, 8);
    for (std::size_t keep = 0; keep < whole.size(); ++keep)
      CHECK(!from_safetensors(ByteSpan(whole).first(keep)));
  }
  SUBCASE("JSON") {
    refused("", 0);
    refused("{", 0);
    refused(" {}", 0);
    refused("[]", 0);
    refused("{}x", 0);
    refused("null", 0);
    refused(std::string("{}\0", 3), 0);
    refused(R"({"a":1})", 0);
    refused(R"({"a":[]})", 0);
    refused("{\"\xff\":" + entry("F32", "[0]", "[0,0]") + "}", 0);
    refused(R"({"a":)" + std::string(1'000'000, '['), 0);
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += R"({"a":)";
    refused(deep, 0);
  }
  SUBCASE("fields") {
    CHECK(has(refused(R"({"a":{}})", 0), "lacks"));
    CHECK(has(refused(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}})", 0), "unknown"));
    CHECK(
        has(refused(R"({"a":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0), "twice"));
    CHECK(has(
        refused(R"({"a":)" + entry("F32", "[0]", "[0,0]") + R"(,"a":)" + entry("F32", "[0]", "[0,0]") + "}",
                0),
        "twice"));
    CHECK(has(refused(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "twice"));
    refused(R"({"__metadata__":{"k":1}})", 0);
    refused(R"({"__metadata__":{"k":{}}})", 0);
    refused(R"({"__metadata__":"k"})", 0);
    refused(R"({"__metadata__":{},"__metadata__":{}})", 0);
    for (const char* bad :
         {"[-1]", "[1.5]", "[99999999999999999999]", "[true]", "[null]", "[[2]]", "2", "\"2\"", "{}"})
      refused(R"({"a":)" + entry("F32", bad, "[0,8]") + "}", 8);
    for (const char* bad : {"[]", "[0]", "[0,8,8]", "[-1,8]", "{}", "[0,8.0]"})
      refused(R"({"a":)" + entry("F32", "[2]", bad) + "}", 8);
    refused(R"({"a":)" + entry("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]") + "}", 4);
  }
  SUBCASE("dtypes") {
    for (const char* dtype : {"F64", "U16", "U8", "F9", "BOOL", "F8_E4M3", "", "f32"})
      CHECK(has(refused(R"({"name":)" + entry(dtype, "[1]", "[0,8]") + "}", 8), "\"name\""));
  }
  SUBCASE("offsets and shapes") {
    CHECK(has(refused(R"({"a":)" + entry("F32", "[3]", "[0,8]") + "}", 8), "shape"));
    refused(R"({"a":)" + entry("F32", "[2]", "[8,0]") + "}", 8);
    refused(R"({"a":)" + entry("F32", "[4]", "[0,16]") + "}", 8);
    CHECK(has(refused(R"({"a":)" + entry("F32", "[1]", "[4,8]") + "}", 8), "gap"));
    refused(R"({"a":)" + entry("F32", "[1]", "[0,4]") + "}", 8);
    CHECK(has(
        refused(R"({"a":)" + entry("F32", "[2]", "[0,8]") + R"(,"b":)" + entry("F32", "[1]", "[4,8]") + "}",
                8),
        "overlap"));
    CHECK(has(
        refused(R"({"a":)" + entry("F32", "[1]", "[0,4]") + R"(,"b":)" + entry("F32", "[1]", "[8,12]") + "}",
                12),
        "gap"));
    // Products that wrap round 2^64 to the right number.
    refused(R"({"a":)" + entry("F32", "[4294967296,4294967296]", "[0,0]") + "}", 0);
    refused(R"({"a":)" + entry("F32", "[9223372036854775809,2]", "[0,8]") + "}", 8);
    CHECK(
        from_safetensors(file_of(R"({"a":)" + entry("F32", "[4294967296,4294967296,0]", "[0,0]") + "}", 0)));
    CHECK(from_safetensors(file_of(
        R"({"b":)" + entry("F32", "[1]", "[4,8]") + R"(,"a":)" + entry("F32", "[]", "[0,4]") + "}", 8)));
  }
}

TEST_CASE("safetensors: any damage to a file is an error or another readable file, never a crash") {
  const Bytes file = to_safetensors(small_table(), kValues, {{"k", "v"}});
  Random random(11);
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    Bytes damaged = file;
    for (std::uint64_t n = 1 + random.below(4); n > 0; --n)
      damaged[random.below(damaged.size())] = static_cast<std::uint8_t>(random.below(256));
    if (auto opened = from_safetensors(damaged)) {
      ++read;
      std::size_t bytes = 0;
      for (const NamedTensor& tensor : opened->tensors) bytes += tensor.values.size() * 4;
      CHECK(bytes <= damaged.size() * 2);
    }
  }
  CHECK(read > 0);
}

TEST_CASE("safetensors: only a file with exactly the model's tensors fills its parameters") {
  const ParameterTable table = small_table();
  const auto file = [&] { return *from_safetensors(to_safetensors(table, kValues, {})); };
  const auto refusal = [&](const SafetensorsFile& f) {
    auto flat = parameters_from(f, table);
    REQUIRE(!flat);
    CHECK(flat.error().code == ErrorCode::kInvalidData);
    return flat.error().message;
  };
  SafetensorsFile f = file();
  f.tensors.pop_back();
  CHECK(has(refusal(f), "\"scale\" of the model is missing"));
  f = file();
  f.tensors.push_back({"more", {1}, {1}});
  CHECK(has(refusal(f), "\"more\""));
  f = file();
  f.tensors[0].shape = {3, 2};
  CHECK(has(refusal(f), "[3, 2]"));
  f = file();
  f.tensors[1].values[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK(has(refusal(f), "NaN"));
}

}  // namespace covey
