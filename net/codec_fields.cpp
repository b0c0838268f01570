#include "net/codec_fields.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace covey::codec {
namespace {

// The position is the number on the wire: only ever append.
constexpr std::array kErrorCodes{
    ErrorCode::kInvalidArgument,  ErrorCode::kInvalidData, ErrorCode::kInvalidMessage,
    ErrorCode::kInvalidUpdate,    ErrorCode::kNotFound,    ErrorCode::kAlreadyExists,
    ErrorCode::kPermissionDenied, ErrorCode::kUnavailable, ErrorCode::kResourceExhausted,
    ErrorCode::kCorrupted,        ErrorCode::kUnsupported, ErrorCode::kInternal};

// Length of the UTF-8 sequence (RFC 3629) at the start of `text`; 0 if there is none, or if it is
// a control character.
std::size_t visible_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = at(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  const std::uint8_t second = at(1);
  if (first == 0xc2 && second < 0xa0) return 0;                                        // C1 controls
  if ((first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90)) return 0;  // overlong
  if ((first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f))
    return 0;  // surrogates, above U+10FFFF
  return length;
}

std::string number_text(double value) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.6g", value);
  return {text.data(), static_cast<std::size_t>(length)};
}

bool is_name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
}

}  // namespace

bool is_wire_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = visible_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string wire_text(std::string_view text, std::size_t bytes_max) {
  constexpr std::string_view kCut = "...";
  std::string out;
  std::size_t cut_at = 0;  // where "..." still fits
  while (!text.empty()) {
    const std::size_t length = visible_length(text);
    const auto first = static_cast<std::uint8_t>(text.front());
    const std::string_view piece =
        length > 0 ? text.substr(0, length) : std::string_view(first < 0x20 || first == 0x7f ? " " : "?");
    if (out.size() + piece.size() > bytes_max) {
      out.resize(cut_at);
      return out.append(kCut);
    }
    out.append(piece);
    if (out.size() + kCut.size() <= bytes_max) cut_at = out.size();
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::uint8_t wire_number(ErrorCode code) {
  // Whose disk is full is nobody else's business, and a peer that said so would end our process.
  if (code == ErrorCode::kDiskFull) code = ErrorCode::kUnavailable;
  const auto found = std::find(kErrorCodes.begin(), kErrorCodes.end(), code);
  COVEY_CHECK(found != kErrorCodes.end());
  return static_cast<std::uint8_t>(found - kErrorCodes.begin());
}

void Fields::refuse(const char* field, const std::string& value, const std::string& rule) const {
  if (refusal_) return;
  refusal_ = Error{ErrorCode::kInvalidMessage, path() + "." + field + " = " + value + ": " + rule};
}

std::string Fields::path() const {
  std::string text = outer_ == nullptr ? "" : outer_->path() + ".";
  text += name_;
  if (index_ >= 0) text += "[" + std::to_string(index_) + "]";
  return text;
}

double Fields::within(const char* field, double value, double low, double high) const {
  if (value >= low && value <= high) return value;  // false for NaN
  refuse(field, number_text(value),
         "must be finite and lie in [" + number_text(low) + ", " + number_text(high) + "]");
  return 0;
}

Duration Fields::duration(const char* field, std::int64_t nanos) const {
  if (nanos >= 0 && nanos <= kDurationMax.count()) return Duration(nanos);
  refuse(field, std::to_string(nanos) + " ns", "must lie between 0 and 366 days");
  return {};
}

Instant Fields::instant(const char* field, std::int64_t nanos) const {
  if (nanos >= 0) return instant_of_nanos(nanos);
  refuse(field, std::to_string(nanos) + " ns", "must not lie before 1970");
  return {};
}

bool Fields::has_size(const char* field, ByteSpan bytes, std::size_t size) const {
  if (bytes.size() == size) return true;
  refuse(field, std::to_string(bytes.size()) + " bytes", "must be " + std::to_string(size) + " bytes");
  return false;
}

std::string Fields::checked_text(const char* field, std::string_view value, std::size_t bytes_max) const {
  if (value.size() > bytes_max)
    refuse(field, std::to_string(value.size()) + " bytes",
           "at most " + std::to_string(bytes_max) + " are allowed");
  else if (!is_wire_text(value))
    refuse(field, "'" + wire_text(value, kNameBytesMax) + "'", "must be UTF-8 without control characters");
  else
    return std::string(value);
  return {};
}

std::string Fields::checked_name(const char* field, std::string_view value) const {
  if (!value.empty() && value.size() <= kNameBytesMax &&
      std::all_of(value.begin(), value.end(), is_name_character))
    return std::string(value);
  refuse(field, "'" + wire_text(value, kNameBytesMax) + "'",
         "must be 1 to " + std::to_string(kNameBytesMax) + " of [A-Za-z0-9._-]");
  return {};
}

ErrorCode Fields::error_code(const char* field, std::uint8_t value) const {
  within(field, value, std::uint8_t{0}, static_cast<std::uint8_t>(kErrorCodes.size() - 1));
  return refused() ? ErrorCode::kInternal : kErrorCodes[value];
}

}  // namespace covey::codec
