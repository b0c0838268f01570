#include "coordinator/cli/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "core/base/check.h"
#include "core/spec/setting.h"

namespace covey::cli {
namespace {

// Bytes of the UTF-8 character at the front of `text`; 0 if there is none. Overlong forms and
// surrogates are let through: they do no harm to a terminal.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = byte(0) < 0x80               ? 1
                             : (byte(0) & 0xE0U) == 0xC0U ? 2
                             : (byte(0) & 0xF0U) == 0xE0U ? 3
                             : (byte(0) & 0xF8U) == 0xF0U ? 4
                                                          : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  return length;
}

// C0, DEL and C1 (0xC2 0x80..0x9F in UTF-8).
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7F;
  return character.size() == 2 && first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
}

std::string unit_text(long whole, const char* unit, long part, const char* part_unit, int part_digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%ld %s %0*ld %s", whole, unit, part_digits, part, part_unit);
  return text;
}

}  // namespace

std::string fixed_text(double value, int decimals) {
  if (!std::isfinite(value)) return "-";
  char text[64];
  const int size = std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return size > 0 && size < static_cast<int>(sizeof text) ? text : setting_text(value);
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  const char* const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  return fixed_text(value, value < 10 ? 1 : 0) + " " + units[unit];
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 9.95) return fixed_text(seconds, 1) + " s";
  const long whole = std::lround(std::min(seconds, 1e12));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return unit_text(whole / 60, "min", whole % 60, "s", 2);
  if (whole < 48L * 3600) return unit_text(whole / 3600, "h", whole % 3600 / 60, "min", 2);
  return unit_text(whole / 86400, "d", whole % 86400 / 3600, "h", 1);
}

std::string date_text(Instant instant) {
  if (instant == Instant{}) return "-";
  std::string text = iso8601(instant).substr(0, 19);
  if (text.size() > 10) text[10] = ' ';
  return text;
}

Result<Duration> duration_from(std::string_view what, std::string_view text, Duration least, Duration most) {
  const auto bad = [&] {
    return unexpected(ErrorCode::kInvalidArgument, std::string(what) + " " + setting_text(text) +
                                                       ": must be a number and one of s, m, h, d, from " +
                                                       duration_text(covey::seconds(least)) + " to " +
                                                       duration_text(covey::seconds(most)) + ", such as 24h");
  };
  if (text.size() < 2) return bad();
  std::int64_t unit = 0;
  switch (text.back()) {
    case 's':
      unit = 1;
      break;
    case 'm':
      unit = 60;
      break;
    case 'h':
      unit = 3600;
      break;
    case 'd':
      unit = 86400;
      break;
    default:
      return bad();
  }
  std::int64_t count = 0;
  const char* const last = text.data() + text.size() - 1;
  const auto [end, code] = std::from_chars(text.data(), last, count);
  if (code != std::errc{} || end != last || count < 0 || count > 1'000'000'000 / unit) return bad();
  const Duration duration = std::chrono::seconds(count * unit);
  if (duration < least || duration > most) return bad();
  return duration;
}

std::size_t whole_bytes(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;  // the beginning is further to the front
    const std::size_t length = (byte & 0xE0U) == 0xC0U ? 2 : (byte & 0xF0U) == 0xE0U ? 3 : (byte & 0xF8U) == 0xF0U ? 4 : 1;
    return length > back ? text.size() - back : text.size();
  }
  return text.size();
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
    const bool kept = length > 0 && (!is_control(character) || character == "\n" || character == "\t");
    if (kept)
      out += character;
    else
      out += '?';
    text.remove_prefix(character.size());
  }
  return out;
}

std::string one_line(std::string_view text) {
  std::string out = printable(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string bar_text(double share, std::size_t width) {
  const double clamped = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
  const auto filled = static_cast<std::size_t>(std::lround(clamped * static_cast<double>(width)));
  return "[" + std::string(filled, '#') + std::string(width - filled, '.') + "]";
}

Table::Table(std::vector<std::string> head, std::vector<std::size_t> right)
    : head_(std::move(head)), right_(std::move(right)) {}

void Table::add(std::vector<std::string> row) {
  COVEY_CHECK(row.size() == head_.size());
  for (std::string& cell : row) cell = one_line(cell);
  rows_.push_back(std::move(row));
}

std::string Table::line(const std::vector<std::string>& row, const std::vector<std::size_t>& widths) const {
  std::string out;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::string gap(widths[i] - columns_of(row[i]), ' ');
    const bool flush_right = std::find(right_.begin(), right_.end(), i) != right_.end();
    out += (i == 0 ? "" : "  ") + (flush_right ? gap + row[i] : row[i] + gap);
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::vector<std::string> Table::lines() const {
  std::vector<std::size_t> widths;
  for (const std::string& cell : head_) widths.push_back(columns_of(cell));
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
  std::vector<std::string> out{line(head_, widths)};
  for (const auto& row : rows_) out.push_back(line(row, widths));
  return out;
}

}  // namespace covey::cli
