// Our own durable records and hashed values: little-endian, length-prefixed, bounded.
// (What crosses the network is Cap'n Proto, in net/.)
#pragma once
#include <bit>
#include <concepts>
#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/time.h"

namespace covey {

class ByteWriter {
 public:
  template <std::unsigned_integral T>
  ByteWriter& number(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    return *this;
  }
  ByteWriter& u8(std::uint8_t v) { return number(v); }
  ByteWriter& u32(std::uint32_t v) { return number(v); }
  ByteWriter& u64(std::uint64_t v) { return number(v); }
  ByteWriter& f64(double v) { return number(std::bit_cast<std::uint64_t>(v)); }
  ByteWriter& boolean(bool v) { return u8(v ? 1 : 0); }
  ByteWriter& instant(Instant v) { return u64(static_cast<std::uint64_t>(unix_nanos(v))); }
  ByteWriter& raw(ByteSpan v);
  ByteWriter& blob(ByteSpan v) {  // below 4 GiB
    COVEY_CHECK(v.size() <= 0xffffffffU);
    return u32(static_cast<std::uint32_t>(v.size())).raw(v);
  }
  ByteWriter& text(std::string_view v) { return blob(bytes_of(v)); }
  template <std::size_t N, class Tag>
  ByteWriter& fixed(const FixedBytes<N, Tag>& v) {
    return raw(v.span());
  }
  Bytes take() { return std::move(bytes_); }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

// Reads what ByteWriter wrote. After a read past the end, or of what no writer wrote, every further read gives zero or empty
// and finish() says kCorrupted: callers read a whole record and check once.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan bytes) : rest_(bytes) {}

  template <std::unsigned_integral T>
  T number() {
    const ByteSpan bytes = take(sizeof(T));
    T value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      value = static_cast<T>(value | (static_cast<T>(bytes[i]) << (8 * i)));
    return value;
  }
  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  double f64() { return std::bit_cast<double>(u64()); }
  bool boolean() {
    const std::uint8_t value = u8();
    if (value > 1) fail();
    return value == 1;
  }
  Instant instant() { return instant_of_nanos(static_cast<std::int64_t>(u64())); }
  ByteSpan raw(std::size_t count) { return take(count); }
  ByteSpan blob() { return take(u32()); }
  std::string text() { return std::string(text_of(blob())); }
  template <class Fixed>
  Fixed fixed() {
    Fixed value;
    const ByteSpan bytes = take(Fixed::kSize);
    std::copy(bytes.begin(), bytes.end(), value.bytes.begin());
    return value;
  }
  // How many elements to read next, at least `element_bytes_min` each: refuses counts that the
  // rest of the record cannot hold, so a hostile count allocates nothing.
  std::size_t count(std::size_t element_bytes_min) {
    const std::size_t n = u32();
    if (element_bytes_min != 0 && n > rest_.size() / element_bytes_min) {
      fail();
      return 0;
    }
    return n;
  }
  bool failed() const { return failed_; }
  // For a value that no writer wrote: finish() will say kCorrupted.
  void refuse() { fail(); }
  // kCorrupted if any read failed or bytes are left over.
  Result<void> finish(std::string_view what) const;

 private:
  ByteSpan take(std::size_t count) {
    if (failed_ || count > rest_.size()) {
      fail();
      return {};
    }
    const ByteSpan head = rest_.first(count);
    rest_ = rest_.subspan(count);
    return head;
  }
  void fail() {
    failed_ = true;
    rest_ = {};
  }
  ByteSpan rest_;
  bool failed_ = false;
};

}  // namespace covey
