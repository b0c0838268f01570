#include "core/data/tensor_files.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/wire.h"
#include "tests/core/data/data_files.h"
#include "tests/core/data/engine_vectors.h"

namespace covey {
namespace {

const std::string kEmptyFile = std::string("\x02\0\0\0\0\0\0\0{}", 10);

std::string index_of(const std::string& map) {
  return R"({"metadata":{"total_size":1},"weight_map":)" + map + "}";
}

std::string file_with(const std::string& name) {
  const std::string json = "{\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  ByteWriter writer;
  writer.u64(json.size()).raw(bytes_of(json)).u32(0x3f800000);
  return std::string(text_of(writer.bytes()));
}

std::string refused(const std::string& folder, ErrorCode code = ErrorCode::kInvalidData) {
  const auto opened = TensorFolder::open(folder);
  REQUIRE(!opened);
  CHECK(opened.error().code == code);
  return opened.error().message;
}

}  // namespace

TEST_CASE("file dtype: a value that would become an infinity is refused by its tensor's name") {
  const float beyond = 65520.0F;  // the least that rounds up
  CHECK(check_fits("w", std::vector<float>{65519.0F, -65519.0F, INFINITY, std::nanf("")}, FileDType::kF16));
  const auto found = check_fits("layers.0.w", std::vector<float>{1, -beyond}, FileDType::kF16);
  REQUIRE(!found);
  CHECK(found.error().code == ErrorCode::kInvalidArgument);
  for (const char* part : {"layers.0.w", "-65520", "65504", "bf16 or f32"})
    CHECK_MESSAGE(found.error().message.find(part) != std::string::npos, found.error().message);
  CHECK(check_fits("w", std::vector<float>{1e6F}, FileDType::kBF16));
  CHECK(!check_fits("w", std::vector<float>{3.4e38F}, FileDType::kBF16));
  CHECK(check_fits("w", std::vector<float>{3.4e38F}, FileDType::kF32));
}

TEST_CASE("tensor files: weights beyond f16 are not written as infinities") {
  const TemporaryFolder folder;
  TensorWriting writing;
  writing.tensors = {{"big", FileDType::kF16, {2}}};
  const auto written = write_tensor_files(folder.path(), writing, [](std::size_t) -> Result<std::vector<float>> {
    return std::vector<float>{1, 1e6F};
  });
  REQUIRE(!written);
  CHECK(written.error().message.find("tensor big holds 1e+06") != std::string::npos);
}

TEST_CASE("file dtype: halves are narrowed as torch narrows them, and widen back exactly") {
  const std::string rows = text_of_file(engine_vector("halves.bin"));
  REQUIRE(rows.size() % 12 == 0);
  REQUIRE(rows.size() / 12 > 900);
  for (std::size_t at = 0; at < rows.size(); at += 12) {
    std::uint32_t row[3];
    std::memcpy(row, rows.data() + at, 12);
    const float value = std::bit_cast<float>(row[0]);
    CHECK_MESSAGE(narrowed_f16(value) == row[1], value);
    CHECK_MESSAGE(narrowed_bf16(value) == row[2], value);
  }
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if (!std::isnan(widened_f16(half))) CHECK(narrowed_f16(widened_f16(half)) == half);
    if (!std::isnan(widened_bf16(half))) CHECK(narrowed_bf16(widened_bf16(half)) == half);
  }
  CHECK(std::isnan(widened_f16(narrowed_f16(std::nanf("")))));
  CHECK(std::isnan(widened_bf16(narrowed_bf16(std::bit_cast<float>(0x7f800001u)))));
}

TEST_CASE("tensor files: reads the shards that huggingface_hub wrote, of every dtype") {
  const auto folder = TensorFolder::open(engine_vector("shards"));
  if (!folder) FAIL(folder.error().message);
  CHECK(folder->names() == std::vector<std::string>{"bf16", "bool", "f16", "f32", "i32", "i64", "i8"});
  CHECK(folder->find("f32")->shape == std::vector<std::uint64_t>{3, 4});
  CHECK(folder->find("f33") == nullptr);
  const auto read = [&](const std::string& name) {
    auto values = folder->read(name);
    REQUIRE(values);
    return *values;
  };
  CHECK(read("f32") ==
        std::vector<float>{0, .125f, .25f, .375f, .5f, .625f, .75f, .875f, 1, 1.125f, 1.25f, 1.375f});
  CHECK(read("f16") == std::vector<float>{1.5f, -2, 65504, std::ldexp(1.0f, -24)});
  CHECK(read("bf16") == std::vector<float>{1, -3.140625f, std::ldexp(1.0f, 127)});
  CHECK(read("i8") == std::vector<float>{-128, 0, 127});
  CHECK(read("i32") == std::vector<float>{-2147483648.0f, 7, 16777216});
  CHECK(read("i64") == std::vector<float>{-5, 9007199254740992.0f});
  CHECK(*folder->read_bf16("bf16") == std::vector<std::uint16_t>{0x3f80, 0xc049, 0x7f00});
  CHECK(*folder->read_bf16("i8") == std::vector<std::uint16_t>{0xc300, 0, 0x42fe});
  const auto boolean = folder->read("bool");
  REQUIRE(!boolean);
  CHECK(mentions(boolean.error().message, "\"BOOL\""));
}

TEST_CASE("tensor files: what is written is read back, whole, in ranges and over several files") {
  const TemporaryFolder folder;
  TensorWriting writing;
  writing.tensors = {
      {"a", FileDType::kF32, {300'000}}, {"b", FileDType::kBF16, {2, 3}}, {"c", FileDType::kF16, {}}};
  writing.metadata = {{"format", "pt"}};
  writing.file_bytes_max = 1'200'000;  // exactly "a"
  std::vector<std::vector<float>> values(3);
  for (int i = 0; i < 300'000; ++i) values[0].push_back(static_cast<float>(i) * 0.1f);
  values[1] = {1, -2, 3, 0, 256, -0.0f};
  values[2] = {0.1f};
  const TensorSource source = [&](std::size_t i) { return Result<std::vector<float>>(values[i]); };
  REQUIRE(write_tensor_files(folder.path(), writing, source));
  CHECK(file_exists(folder / "model-00002-of-00002.safetensors"));
  const auto again = write_tensor_files(folder.path(), writing, source);
  REQUIRE(!again);
  CHECK(again.error().code == ErrorCode::kAlreadyExists);

  const auto read = TensorFolder::open(folder.path());
  REQUIRE(read);
  CHECK(*read->read("a") == values[0]);
  CHECK(*read->read("b") == values[1]);
  CHECK(*read->read("c") == std::vector<float>{widened_f16(narrowed_f16(0.1f))});
  const auto file = TensorFile::open(folder / "model-00001-of-00002.safetensors");
  REQUIRE(file);
  CHECK(file->layout().metadata == writing.metadata);
  std::vector<float> part(5);
  REQUIRE(file->read(file->layout().tensors[0], 299'995, part));
  CHECK(part == std::vector<float>(values[0].end() - 5, values[0].end()));
  // A file that is cut while it is open is an error.
  std::filesystem::resize_file(folder / "model-00001-of-00002.safetensors", 2000);
  CHECK(!file->read(file->layout().tensors[0], 299'995, part));

  const TemporaryFolder one;
  writing.file_bytes_max = 1'200'014;
  REQUIRE(write_tensor_files(one.path(), writing, source));
  CHECK(file_exists(one / kModelFile));
  CHECK(*TensorFolder::open(one.path())->read("b") == values[1]);
}

TEST_CASE("tensor files: an index cannot lead outside its folder, nor lie about its files") {
  for (const char* name : {"../a.safetensors", "/a.safetensors", "b/a.safetensors", ".safetensors",
                           ".a.safetensors", "a.bin", "", "a\\n.safetensors", "a b.safetensors"}) {
    const auto index = parse_shard_index(index_of(std::string(R"({"t":")") + name + "\"}"));
    REQUIRE_MESSAGE(!index, name);
    CHECK(mentions(index.error().message, "\"t\""));
  }
  CHECK(!parse_shard_index(index_of(R"({"t":")" + std::string(300, 'a') + R"(.safetensors"})")));
  for (const char* map :
       {"{}", "[]", "null", "1", R"({"t":1})", R"({"t":null})", R"({"t":["a.safetensors"]})"})
    CHECK(!parse_shard_index(index_of(map)));
  for (const char* text : {"", "{", "[]", "{}", R"({"weight_map":{"t":"a.safetensors"},"weight_map":{}})"})
    CHECK(!parse_shard_index(text));
  CHECK(!parse_shard_index(std::string("{\"weight_map\":{\"t\":\"a.safetensors\"}}\0", 38)));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += R"({"a":)";
  CHECK(!parse_shard_index(deep));

  const TemporaryFolder folder;
  CHECK(mentions(refused(folder.path(), ErrorCode::kNotFound), kModelIndexFile));
  const auto with_index = [&](const std::string& map) { folder.write(kModelIndexFile, index_of(map)); };
  with_index(R"({"t":"a.safetensors"})");
  CHECK(mentions(refused(folder.path(), ErrorCode::kNotFound), "a.safetensors"));
  folder.write("a.safetensors", kEmptyFile);
  CHECK(mentions(refused(folder.path()), "lacks it"));
  folder.write("a.safetensors", file_with("t"));
  CHECK(TensorFolder::open(folder.path()));
  folder.write("b.safetensors", file_with("u"));
  with_index(R"({"t":"b.safetensors","u":"a.safetensors"})");
  CHECK(mentions(refused(folder.path()), "lacks it"));
  folder.write("b.safetensors", file_with("t"));
  with_index(R"({"t":"b.safetensors","u":"a.safetensors"})");
  CHECK(mentions(refused(folder.path()), "another file"));
  folder.write("b.safetensors", file_with("v"));
  with_index(R"({"t":"a.safetensors","v":"b.safetensors"})");
  CHECK(TensorFolder::open(folder.path()));
  folder.write("b.safetensors", kEmptyFile.substr(0, 9));
  CHECK(mentions(refused(folder.path()), "b.safetensors"));
  std::filesystem::create_directory(folder / kModelFile);
  CHECK(mentions(refused(folder.path()), kModelFile));
}

}  // namespace covey
