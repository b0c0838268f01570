#include "core/data/csv_line.h"

#include "core/data/files.h"

namespace covey {
namespace {

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Takes a quoted field off the front of `rest`, which starts with the quote.
Result<std::string> take_quoted(std::string_view& rest) {
  std::string field;
  std::size_t i = 1;
  for (; i < rest.size(); ++i) {
    if (rest[i] != '"') {
      field += rest[i];
    } else if (i + 1 < rest.size() && rest[i + 1] == '"') {
      field += '"';
      ++i;
    } else {
      rest.remove_prefix(i + 1);
      return field;
    }
  }
  return unexpected(ErrorCode::kInvalidData,
                    "the quote of " + shown(rest, 40) + " is not closed on its line: close it");
}

}  // namespace

Result<std::vector<std::string>> csv_fields(std::string_view line) {
  std::vector<std::string> fields;
  for (;;) {
    std::size_t lead = 0;
    while (lead < line.size() && blank(line[lead])) ++lead;
    std::size_t comma;
    if (lead < line.size() && line[lead] == '"') {
      line.remove_prefix(lead);
      COVEY_TRY(std::string field, take_quoted(line));
      comma = line.find(',');
      const std::string_view after = trimmed(line.substr(0, comma));
      if (!after.empty())
        return unexpected(ErrorCode::kInvalidData, "text " + shown(after, 40) +
                                                       " follows a closing quote: put it inside, or "
                                                       "double the quotes that belong to the field");
      fields.push_back(std::move(field));
    } else {
      comma = line.find(',');
      fields.emplace_back(trimmed(line.substr(0, comma)));
    }
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

}  // namespace covey
