// How numbers, times and tables look in a terminal.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/base/time.h"

namespace covey::cli {

std::string fixed_text(double value, int decimals);  // "-" when it is not finite
std::string bytes_text(std::uint64_t bytes);          // "512 B", "4.2 MB", "1.3 GB" (powers of 1000)
std::string duration_text(double seconds);            // "0.4 s", "12 s", "3 min 20 s", "2 h 05 min", "3 d 4 h"
std::string date_text(Instant instant);               // "2026-01-31 12:34:56" UTC; "-" for the epoch

// A whole number and a unit: "90s", "30m", "24h", "7d". `what` names the flag in errors.
// Errors: kInvalidArgument naming the value and the bounds.
Result<Duration> duration_from(std::string_view what, std::string_view text, Duration least, Duration most);

// Bytes outside printable ASCII and UTF-8, and control characters other than '\n' and '\t', become
// '?': what peers and models send must not drive the terminal.
std::string printable(std::string_view text);
// The same on one line: line breaks and tabs become blanks.
std::string one_line(std::string_view text);
// Bytes of `text` without a UTF-8 character at its end that is begun and not whole: what can be shown already.
std::size_t whole_bytes(std::string_view text);
std::size_t columns_of(std::string_view text);  // UTF-8 characters

// A bar of `width` cells, `share` of them filled, in [0, 1].
std::string bar_text(double share, std::size_t width);

// Columns as wide as their widest cell; those named in `right` (by index) are flush right.
class Table {
 public:
  explicit Table(std::vector<std::string> head, std::vector<std::size_t> right = {});
  void add(std::vector<std::string> row);
  bool empty() const { return rows_.empty(); }
  std::vector<std::string> lines() const;  // the head first

 private:
  std::string line(const std::vector<std::string>& row, const std::vector<std::size_t>& widths) const;
  std::vector<std::string> head_;
  std::vector<std::size_t> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace covey::cli
