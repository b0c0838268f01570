#include "core/data/safetensors_header.h"

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/data/files.h"

namespace covey {
namespace {

constexpr std::size_t kRankMax = 16;
constexpr std::string_view kMetadataName = "__metadata__";

// Follows the events of nlohmann's SAX parser; returning false stops it.
class HeaderReader {
 public:
  SafetensorsHeader header;
  std::string fault;

  bool start_object(std::size_t) {
    if (place_ == Place::kStart) return go(Place::kTop);
    if (place_ == Place::kMetadataValue) return go(Place::kMetadata);
    if (place_ == Place::kTensorValue) return go(Place::kTensor);
    return unexpected_here("an object");
  }
  bool end_object() {
    if (place_ == Place::kTop) return go(Place::kEnd);
    if (place_ == Place::kTensor && seen_ != kAllFields)
      return fail(tensor() + " lacks one of dtype, shape, data_offsets");
    return go(Place::kTop);
  }
  bool key(std::string& name) {
    if (place_ == Place::kTop) return top_key(name);
    if (place_ == Place::kMetadata) {
      if (header.metadata.contains(name)) return fail("metadata " + shown(name) + " is there twice");
      metadata_name_ = name;
      return go(Place::kMetadataText);
    }
    return tensor_key(name);
  }
  bool start_array(std::size_t) {
    if (place_ == Place::kShape) return go(Place::kShapeItems);
    if (place_ == Place::kOffsets) return go(Place::kOffsetItems);
    return unexpected_here("an array");
  }
  bool end_array() {
    if (place_ == Place::kOffsetItems && offsets_ != 2)
      return fail(tensor() + " has " + std::to_string(offsets_) + " data_offsets, 2 are needed");
    return go(Place::kTensor);
  }
  bool string(std::string& text) {
    if (place_ == Place::kMetadataText) {
      header.metadata.emplace(metadata_name_, text);
      return go(Place::kMetadata);
    }
    if (place_ != Place::kDtype) return unexpected_here("text");
    header.tensors.back().dtype = text;
    return go(Place::kTensor);
  }
  bool number_unsigned(std::uint64_t number) {
    if (place_ == Place::kShapeItems) {
      auto& shape = header.tensors.back().shape;
      if (shape.size() == kRankMax)
        return fail(tensor() + " has more than " + std::to_string(kRankMax) + " dimensions");
      shape.push_back(number);
      return true;
    }
    if (place_ != Place::kOffsetItems || offsets_ == 2) return unexpected_here("a number");
    (offsets_++ == 0 ? header.tensors.back().begin : header.tensors.back().end) = number;
    return true;
  }
  bool number_integer(std::int64_t) { return unexpected_here("a negative number"); }
  bool number_float(double, const std::string&) {
    return unexpected_here("a fraction or too large a number");
  }
  bool null() { return unexpected_here("null"); }
  bool boolean(bool) { return unexpected_here("a boolean"); }
  bool binary(nlohmann::json::binary_t&) { return unexpected_here("binary"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
    return fail("not JSON at byte " + std::to_string(position) + " of the header");
  }

 private:
  enum class Place {
    kStart,
    kTop,
    kMetadataValue,
    kMetadata,
    kMetadataText,
    kTensorValue,
    kTensor,
    kDtype,
    kShape,
    kShapeItems,
    kOffsets,
    kOffsetItems,
    kEnd,
  };
  enum Field : unsigned { kDtypeField = 1, kShapeField = 2, kOffsetsField = 4, kAllFields = 7 };

  bool go(Place place) {
    place_ = place;
    return true;
  }
  bool fail(std::string what) {
    if (fault.empty()) fault = std::move(what);
    return false;
  }
  bool unexpected_here(const char* what) {
    return fail((header.tensors.empty() ? "the header" : tensor()) + " holds " + what +
                " where the format has none");
  }
  std::string tensor() const { return "tensor " + shown(header.tensors.back().name); }

  bool top_key(const std::string& name) {
    if (!names_.insert(name).second) return fail("tensor " + shown(name) + " is there twice");
    if (name == kMetadataName) return go(Place::kMetadataValue);
    header.tensors.push_back({name, {}, {}});
    seen_ = 0;
    offsets_ = 0;
    return go(Place::kTensorValue);
  }
  bool tensor_key(const std::string& name) {
    const auto enter = [&](Field field, Place place) {
      if ((seen_ & field) != 0) return fail(tensor() + " has " + shown(name) + " twice");
      seen_ |= field;
      return go(place);
    };
    if (name == "dtype") return enter(kDtypeField, Place::kDtype);
    if (name == "shape") return enter(kShapeField, Place::kShape);
    if (name == "data_offsets") return enter(kOffsetsField, Place::kOffsets);
    return fail(tensor() + " has an unknown field " + shown(name));
  }

  Place place_ = Place::kStart;
  unsigned seen_ = 0;
  std::size_t offsets_ = 0;
  std::string metadata_name_;
  std::unordered_set<std::string> names_;
};

}  // namespace

Result<SafetensorsHeader> read_safetensors_header(std::string_view json) {
  HeaderReader reader;
  bool read = false;
  try {
    read = nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  } catch (const nlohmann::json::exception&) {
    reader.fault = "not JSON";
  }
  if (!read || !reader.fault.empty()) return unexpected(ErrorCode::kInvalidData, reader.fault);
  return std::move(reader.header);
}

}  // namespace covey
