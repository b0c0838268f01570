#include <zlib.h>

#include <array>

#include "core/data/dataset.h"
#include "tests/core/data/data_files.h"

namespace covey {
namespace {

std::string big_endian(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}
std::string images(std::uint32_t count, std::uint32_t rows, std::uint32_t columns,
                   const std::string& pixels) {
  return big_endian(0x803) + big_endian(count) + big_endian(rows) + big_endian(columns) + pixels;
}
std::string labels(std::uint32_t count, const std::string& classes) {
  return big_endian(0x801) + big_endian(count) + classes;
}

std::string gzipped(const std::string& text) {
  z_stream z{};
  REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

const std::string kPixels("\x00\xff\x33\x66\x01\x02", 6);  // three images of 1 x 2
const std::string kClasses("\x01\x00\x02", 3);

LoadRequest flat_request(const std::string& path) {
  LoadRequest request;
  request.path = path;
  request.data.format = DataFormat::kIdx;
  request.model.family = ModelFamily::kLogistic;
  request.model.inputs = 2;
  request.model.classes = 3;
  return request;
}

Error refused(const LoadRequest& request) {
  auto data = load_dataset(request);
  REQUIRE(!data);
  CHECK(!data.error().message.empty());
  return data.error();
}

// A folder with these two files' content.
Error refused(const std::string& image_file, const std::string& label_file) {
  const TemporaryFolder folder;
  folder.write("t-images-idx3-ubyte", image_file);
  folder.write("t-labels-idx1-ubyte", label_file);
  return refused(flat_request(folder.path()));
}

}  // namespace

TEST_CASE("idx: plain and gzip files give the same pixels in [0, 1]") {
  for (const bool compressed : {false, true}) {
    const TemporaryFolder folder;
    const std::string i = images(3, 1, 2, kPixels), l = labels(3, kClasses);
    folder.write(compressed ? "t-images-idx3-ubyte.gz" : "t-images-idx3-ubyte", compressed ? gzipped(i) : i);
    folder.write(compressed ? "t-labels-idx1-ubyte.gz" : "t-labels-idx1-ubyte", compressed ? gzipped(l) : l);
    auto data = load_dataset(flat_request(folder.path()));
    REQUIRE(data);
    REQUIRE((*data)->size() == 3);
    CHECK((*data)->input_shape() == Shape{2});
    CHECK((*data)->target_shape() == Shape{});
    BatchBuffer buffer(**data, 2);
    const Indices indices{1, 0};
    const Minibatch batch = buffer.fill(indices);
    CHECK(batch.inputs.shape == Shape{2, 2});
    CHECK(batch.inputs.f32()[0] == 0x33 / 255.0f);
    CHECK(batch.inputs.f32()[1] == 0x66 / 255.0f);
    CHECK(batch.inputs.f32()[2] == 0.0f);
    CHECK(batch.inputs.f32()[3] == 1.0f);
    CHECK(batch.targets.i32()[0] == 0);
    CHECK(batch.targets.i32()[1] == 1);
    CHECK((*data)->label(2) == 2);
  }
}

TEST_CASE("idx: several pairs are joined and are groups; a plain file counts before its .gz") {
  const TemporaryFolder folder;
  folder.write("a-images-idx3-ubyte", images(3, 1, 2, kPixels));
  folder.write("a-images-idx3-ubyte.gz", gzipped(images(3, 1, 2, kPixels)));
  folder.write("a-labels-idx1-ubyte", labels(3, kClasses));
  folder.write("b-images-idx3-ubyte", images(1, 1, 2, "ab"));
  folder.write("b-labels-idx1-ubyte", labels(1, std::string(1, '\0')));
  LoadRequest request = flat_request(folder.path());
  request.model.family = ModelFamily::kCnn;
  request.model.image_height = 1;
  request.model.image_width = 2;
  auto data = load_dataset(request);
  REQUIRE(data);
  CHECK((*data)->size() == 4);
  CHECK((*data)->input_shape() == Shape{1, 1, 2});
  CHECK((*data)->groups() == std::vector<std::string>{"a", "b"});
  CHECK((*data)->group(2) == 0);
  CHECK((*data)->group(3) == 1);
}

TEST_CASE("idx: refuses damaged and hostile files") {
  const std::string good_images = images(3, 1, 2, kPixels), good_labels = labels(3, kClasses);
  SUBCASE("wrong magic") {
    const Error error = refused(good_labels + std::string(20, 'x'), good_labels);
    CHECK(error.code == ErrorCode::kInvalidData);
    CHECK(mentions(error.message, "00000801"));
    CHECK(mentions(error.message, "t-images-idx3-ubyte"));
  }
  SUBCASE("too short, too long, no header") {
    CHECK(refused(good_images.substr(0, 21), good_labels).code == ErrorCode::kInvalidData);
    CHECK(refused(good_images + "x", good_labels).code == ErrorCode::kInvalidData);
    CHECK(refused(good_images.substr(0, 7), good_labels).code == ErrorCode::kInvalidData);
    CHECK(refused("", good_labels).code == ErrorCode::kInvalidData);
  }
  SUBCASE("a header that promises 8 GB, in a small file") {
    CHECK(mentions(refused(images(0xffffffff, 1, 2, kPixels), good_labels).message, "8589934590"));
    CHECK(mentions(refused(gzipped(images(0xffffffff, 1, 2, kPixels)), good_labels).message, "8589934590"));
  }
  SUBCASE("a gzip that holds far more than its header says") {
    const Error error =
        refused(gzipped(images(3, 1, 2, kPixels + std::string(10'000'000, '\0'))), good_labels);
    CHECK(mentions(error.message, "more bytes than its header says"));
  }
  SUBCASE("a gzip cut short, damaged, or followed by something") {
    const std::string packed = gzipped(good_images);
    for (std::size_t keep = 0; keep < packed.size(); ++keep)
      CHECK(refused(packed.substr(0, keep), good_labels).code == ErrorCode::kInvalidData);
    std::string damaged = packed;
    damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);  // the checksum
    CHECK(refused(damaged, good_labels).code == ErrorCode::kInvalidData);
    CHECK(refused(packed + packed, good_labels).code == ErrorCode::kInvalidData);
  }
  SUBCASE("labels that do not belong") {
    CHECK(mentions(refused(good_images, labels(2, "\x01\x01")).message, "2 labels for 3 images"));
    CHECK(mentions(refused(good_images, labels(3, "\x01\x01\x03")).message, "model.classes = 3"));
  }
}

TEST_CASE("idx: refuses a model that does not fit, naming both sizes") {
  const TemporaryFolder folder;
  folder.write("t-images-idx3-ubyte", images(3, 1, 2, kPixels));
  folder.write("t-labels-idx1-ubyte", labels(3, kClasses));
  LoadRequest request = flat_request(folder.path());
  SUBCASE("inputs") {
    for (const std::uint32_t inputs : {0u, 784u}) {
      request.model.inputs = inputs;
      const Error error = refused(request);
      CHECK(error.code == ErrorCode::kInvalidArgument);
      CHECK(mentions(error.message, "1 x 2"));
      CHECK(mentions(error.message, "model.inputs = " + std::to_string(inputs)));
    }
  }
  SUBCASE("image size") {
    request.model.family = ModelFamily::kCnn;
    CHECK(mentions(refused(request).message, "28 x 28"));
  }
  SUBCASE("channels") {
    request.model.family = ModelFamily::kCnn;
    request.model.image_channels = 3;
    CHECK(mentions(refused(request).message, "image_channels = 3"));
  }
}

TEST_CASE("idx: refuses a folder without pairs") {
  const TemporaryFolder folder;
  CHECK(refused(flat_request(folder.path())).code == ErrorCode::kInvalidData);
  folder.write("t-images-idx3-ubyte", images(3, 1, 2, kPixels));
  CHECK(mentions(refused(flat_request(folder.path())).message, "t-labels-idx1-ubyte"));
}

TEST_CASE("idx: the MNIST test set") {
  const std::string path = shared_data("mnist");
  if (path.empty()) {
    MESSAGE("skipped: no mnist beside the repository");
    return;
  }
  LoadRequest request = flat_request(path);
  request.model.family = ModelFamily::kCnn;
  request.model.classes = 10;
  auto data = load_dataset(request);
  REQUIRE(data);
  CHECK((*data)->size() == 10'000);
  std::array<int, 10> counts{};
  for (std::uint32_t i = 0; i < 10'000; ++i) ++counts[(*data)->label(i)];
  CHECK(counts == std::array<int, 10>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
  BatchBuffer buffer(**data, 100);
  double sum = 0;
  for (std::uint32_t first = 0; first < 10'000; first += 100) {
    Indices indices(100);
    for (std::uint32_t i = 0; i < 100; ++i) indices[i] = first + i;
    for (const float v : buffer.fill(indices).inputs.floats()) sum += v;
  }
  CHECK(sum / 7.84e6 == doctest::Approx(0.1325).epsilon(0.001));  // the test set's known mean
}

}  // namespace covey
