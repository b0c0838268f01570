#include "tests/lint/log_events.h"

#include <algorithm>
#include <regex>

namespace covey::lint {

std::vector<LoggedEvent> logged_events(std::string_view text) {
  static const std::regex call(R"(LogLevel::k[A-Za-z]+,\s|\b\w*(log_?|limited_|log\(\))(\.|->)(info|warning|error|debug)\((?!\)))");
  static const std::regex literal(R"re("([a-z_]+)")re");
  const std::string code = without_comments(text, Literals::kKeep);
  std::vector<LoggedEvent> events;
  for (std::sregex_iterator at(code.begin(), code.end(), call), end; at != end; ++at) {
    const auto begin = static_cast<std::size_t>(at->position() + at->length());
    // The fields begin with a brace; without any, the statement ends.
    const std::string name = code.substr(begin, code.find_first_of("{;", begin) - begin);
    const std::size_t line = 1 + static_cast<std::size_t>(std::count(code.begin(), code.begin() + at->position(), '\n'));
    const std::size_t before = events.size();
    for (std::sregex_iterator word(name.begin(), name.end(), literal); word != end; ++word)
      events.push_back({(*word)[1].str(), line});
    if (events.size() == before) events.push_back({"", line});
  }
  return events;
}

std::vector<std::string> documented_events(std::string_view page) {
  static const std::regex name("`([a-z_]+)`");
  std::vector<std::string> events;
  for (const std::string_view line : lines_of(page)) {
    if (!line.starts_with("| ")) continue;
    const std::string cell(line.substr(2, line.find('|', 2) - 2));
    for (std::sregex_iterator word(cell.begin(), cell.end(), name), end; word != end; ++word) events.push_back((*word)[1].str());
  }
  return events;
}

}  // namespace covey::lint
