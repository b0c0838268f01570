// Images in the IDX format of MNIST (LeCun, Cortes, Burges, "The MNIST database", file formats):
// big-endian magic 0x00000803, count, rows, columns, one byte a pixel; labels 0x00000801, count.
// Pixels are given as value / 255, in [0, 1], without standardisation: that needs statistics of a
// data set, which a job does not know.
#include <algorithm>
#include <limits>
#include <map>

#include "core/base/check.h"
#include "core/data/files.h"
#include "core/data/gzip.h"
#include "core/data/readers.h"

namespace covey {
namespace {

constexpr std::string_view kImagesEnd = "-images-idx3-ubyte";
constexpr std::string_view kLabelsEnd = "-labels-idx1-ubyte";
constexpr std::uint32_t kImagesMagic = 0x00000803;
constexpr std::uint32_t kLabelsMagic = 0x00000801;

class IdxDataset final : public Dataset {
 public:
  explicit IdxDataset(const ModelSpec& model)
      : flat_(model.family != ModelFamily::kCnn),
        height_(model.image_height),
        width_(model.image_width),
        pixels_each_(flat_ ? model.inputs : std::size_t{height_} * width_) {}

  void add(const Bytes& pixels, const Bytes& labels, std::string group) {
    pixels_.insert(pixels_.end(), pixels.begin(), pixels.end());
    labels_.insert(labels_.end(), labels.begin(), labels.end());
    groups_.push_back(std::move(group));
    group_ends_.push_back(labels_.size());
  }
  std::uint64_t examples() const { return labels_.size(); }
  std::size_t pixels_each() const { return pixels_each_; }

  std::uint32_t size() const override { return static_cast<std::uint32_t>(labels_.size()); }
  Shape input_shape() const override {
    if (flat_) return {static_cast<std::int64_t>(pixels_each_)};
    return {1, height_, width_};
  }
  DType input_dtype() const override { return DType::kF32; }
  Shape target_shape() const override { return {}; }

  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override {
    COVEY_CHECK(batch.inputs.dim(0) == std::ssize(indices) && batch.targets.dim(0) == std::ssize(indices));
    COVEY_CHECK(static_cast<std::size_t>(batch.inputs.elements()) == indices.size() * pixels_each_);
    float* inputs = batch.inputs.f32();
    std::int32_t* targets = batch.targets.i32();
    for (const std::uint32_t index : indices) {
      COVEY_CHECK(index < labels_.size());
      const std::uint8_t* pixels = pixels_.data() + index * pixels_each_;
      for (std::size_t i = 0; i < pixels_each_; ++i) inputs[i] = static_cast<float>(pixels[i]) / 255.0f;
      inputs += pixels_each_;
      *targets++ = labels_[index];
    }
  }

  std::uint32_t label(std::uint32_t index) const override { return labels_[index]; }
  std::uint32_t group(std::uint32_t index) const override {
    const auto after = std::upper_bound(group_ends_.begin(), group_ends_.end(), index);
    return static_cast<std::uint32_t>(after - group_ends_.begin());
  }
  const std::vector<std::string>& groups() const override { return groups_; }

 private:
  bool flat_;
  std::uint32_t height_, width_;
  std::size_t pixels_each_;
  Bytes pixels_;  // a quarter of the memory of floats
  Bytes labels_;
  std::vector<std::string> groups_;
  std::vector<std::uint64_t> group_ends_;
};

struct Pair {
  std::string images, labels;  // paths, empty while not found
};

// Name without `ending`, or empty.
std::string_view stem(std::string_view name, std::string_view ending) {
  return name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : std::string_view{};
}

// Pairs by what their names start with. Where a file lies there plain and compressed, the plain one
// (it sorts first) counts.
std::map<std::string, Pair> find_pairs(const FileList& list) {
  std::map<std::string, Pair> pairs;
  for (const FoundFile& file : list.files) {
    std::string_view name = file.relative;
    if (name.ends_with(".gz")) name.remove_suffix(3);
    const auto note = [&](std::string_view prefix, std::string Pair::*path) {
      if (prefix.empty()) return;
      std::string& known = pairs[std::string(prefix)].*path;
      if (known.empty()) known = file.path;
    };
    note(stem(name, kImagesEnd), &Pair::images);
    note(stem(name, kLabelsEnd), &Pair::labels);
  }
  return pairs;
}

std::uint32_t big_endian(const Bytes& bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 |
         std::uint32_t{bytes[at + 2]} << 8 | std::uint32_t{bytes[at + 3]};
}

Result<Bytes> take_header(InflatingReader& reader, std::size_t bytes, std::uint32_t magic) {
  COVEY_TRY(Bytes header, reader.take(bytes));
  if (big_endian(header, 0) != magic)
    return unexpected(
        ErrorCode::kInvalidData,
        "starts with " + hex(ByteSpan(header).first(4)) + ", but IDX " +
            (magic == kImagesMagic ? "images start with 00000803" : "labels start with 00000801") +
            ": is it the right file?");
  return header;
}

// The body that the header promises, refused unread when the file cannot hold as much.
Result<Bytes> take_body(InflatingReader& reader, std::uint64_t count, std::uint64_t each) {
  const std::uint64_t bytes = count * each;  // both below 2^32
  if (bytes > kDataBytesMax || bytes > reader.bytes_max())
    return unexpected(ErrorCode::kInvalidData,
                      "its header promises " + std::to_string(bytes) +
                          " bytes, but the file can hold at most " +
                          std::to_string(std::min(kDataBytesMax, reader.bytes_max())) + ": fetch it again");
  COVEY_TRY(Bytes body, reader.take(static_cast<std::size_t>(bytes)));
  COVEY_TRY_VOID(reader.finish());
  return body;
}

Unexpected wrong_size(const ModelSpec& model, std::uint32_t rows, std::uint32_t columns) {
  const std::string found = std::to_string(rows) + " x " + std::to_string(columns) + " images";
  if (model.family == ModelFamily::kCnn)
    return unexpected(ErrorCode::kInvalidArgument,
                      "holds " + found + ", but model.image_height x model.image_width is " +
                          std::to_string(model.image_height) + " x " + std::to_string(model.image_width) +
                          ": make them equal");
  return unexpected(ErrorCode::kInvalidArgument,
                    "holds " + found + ", but model.inputs = " + std::to_string(model.inputs) +
                        ": set it to " + std::to_string(std::uint64_t{rows} * columns));
}

Result<Bytes> read_images(const std::string& path, const ModelSpec& model) {
  COVEY_TRY(Bytes file, read_data_file(path, kDataBytesMax));
  InflatingReader reader(std::move(file));
  COVEY_TRY(const Bytes header, take_header(reader, 16, kImagesMagic));
  const std::uint32_t rows = big_endian(header, 8), columns = big_endian(header, 12);
  const bool fits = model.family == ModelFamily::kCnn
                        ? rows == model.image_height && columns == model.image_width
                        : std::uint64_t{rows} * columns == model.inputs;
  const std::uint64_t each = std::uint64_t{rows} * columns;
  if (!fits || each == 0 || each > std::numeric_limits<std::uint32_t>::max())
    return wrong_size(model, rows, columns);
  return take_body(reader, big_endian(header, 4), each);
}

Result<Bytes> read_labels(const std::string& path, std::uint64_t images, std::uint32_t classes) {
  COVEY_TRY(Bytes file, read_data_file(path, kDataBytesMax));
  InflatingReader reader(std::move(file));
  COVEY_TRY(const Bytes header, take_header(reader, 8, kLabelsMagic));
  const std::uint32_t count = big_endian(header, 4);
  if (count != images)
    return unexpected(ErrorCode::kInvalidData, "holds " + std::to_string(count) + " labels for " +
                                                   std::to_string(images) +
                                                   " images: use two files that belong together");
  COVEY_TRY(Bytes labels, take_body(reader, count, 1));
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] >= classes)
      return unexpected(ErrorCode::kInvalidData,
                        "label " + std::to_string(labels[i]) + " of example " + std::to_string(i) +
                            " is out of range, model.classes = " + std::to_string(classes));
  return labels;
}

Result<void> check_model(const ModelSpec& model) {
  if (model.family == ModelFamily::kTransformer)
    return unexpected(ErrorCode::kInvalidArgument,
                      "idx data need model.family = \"cnn\", \"mlp\" or \"logistic\", got \"transformer\"");
  if (model.family == ModelFamily::kCnn && model.image_channels != 1)
    return unexpected(
        ErrorCode::kInvalidArgument,
        "model.image_channels = " + std::to_string(model.image_channels) + ", but idx images have 1");
  return {};
}

Result<void> add_pair(const std::string& prefix, const Pair& pair, const ModelSpec& model, IdxDataset& data) {
  if (pair.images.empty() || pair.labels.empty())
    return unexpected(ErrorCode::kInvalidData,
                      shown(pair.images + pair.labels, 300) + " has no partner " +
                          shown(prefix + std::string(pair.images.empty() ? kImagesEnd : kLabelsEnd), 300) +
                          "[.gz]: put it beside it");
  auto images = read_images(pair.images, model);
  if (!images) return unexpected(in_context(pair.images, images.error()));
  auto labels = read_labels(pair.labels, images->size() / data.pixels_each(), model.classes);
  if (!labels) return unexpected(in_context(pair.labels, labels.error()));
  data.add(*images, *labels, prefix);
  return {};
}

}  // namespace

Result<std::unique_ptr<Dataset>> load_idx(const LoadRequest& request) {
  COVEY_TRY_VOID(check_model(request.model));
  COVEY_TRY(const FileList list, list_files(request.path));
  auto data = std::make_unique<IdxDataset>(request.model);
  const auto pairs = find_pairs(list);
  for (const auto& [prefix, pair] : pairs) COVEY_TRY_VOID(add_pair(prefix, pair, request.model, *data));
  if (data->examples() == 0)
    return unexpected(ErrorCode::kInvalidData, shown(request.path, 300) +
                                                   " holds no images: a folder with files named "
                                                   "*-images-idx3-ubyte[.gz] and *-labels-idx1-ubyte[.gz] "
                                                   "is needed; " +
                                                   std::to_string(pairs.size()) +
                                                   " pairs are there, all of them empty");
  if (data->examples() > std::numeric_limits<std::uint32_t>::max())
    return unexpected(ErrorCode::kInvalidData,
                      shown(request.path, 300) + " holds " + std::to_string(data->examples()) +
                          " images, at most 4294967295 are possible: use fewer files");
  return std::unique_ptr<Dataset>(std::move(data));
}

}  // namespace covey
