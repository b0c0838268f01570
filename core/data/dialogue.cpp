#include "core/data/dialogue.h"

#include <unordered_map>

#include "core/data/files.h"

namespace covey {
namespace {

constexpr std::size_t kNameLengthMax = 64;  // a longer first line is speech that ends in a colon

std::string_view without_line_end(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t'))
    line.remove_suffix(1);
  return line;
}

bool is_name(std::string_view line) {
  return line.size() >= 2 && line.size() <= kNameLengthMax && line.back() == ':';
}

}  // namespace

Result<std::vector<DialogueRole>> roles_of(std::string_view text) {
  std::vector<DialogueRole> roles;
  std::unordered_map<std::string, std::size_t> index;
  DialogueRole* speaker = nullptr;
  bool block_starts = true;
  std::size_t line_number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = without_line_end(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++line_number;
    if (line.empty()) {
      block_starts = true;
      continue;
    }
    if (block_starts && is_name(line)) {
      const std::string name(line.substr(0, line.size() - 1));
      const auto [at, added] = index.try_emplace(name, roles.size());
      if (added) roles.push_back({name, ""});
      speaker = &roles[at->second];
      if (!speaker->speech.empty()) speaker->speech += '\n';
      block_starts = false;
      continue;
    }
    if (speaker == nullptr)
      return unexpected(ErrorCode::kInvalidData,
                        "line " + std::to_string(line_number) + " " + shown(line) +
                            " stands before any role: start each block with a line \"NAME:\", or use "
                            "partition \"file\" or \"iid\"");
    if (block_starts && !speaker->speech.empty()) speaker->speech += '\n';
    block_starts = false;
    speaker->speech.append(line);
    speaker->speech += '\n';
  }
  return roles;
}

}  // namespace covey
