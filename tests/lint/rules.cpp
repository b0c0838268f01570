#include "tests/lint/rules.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "tests/lint/house.h"

namespace covey::lint {
namespace {

template <std::size_t N>
bool ends_with_any(std::string_view path, const std::array<std::string_view, N>& endings) {
  return std::ranges::any_of(endings, [&](std::string_view ending) { return path.ends_with(ending); });
}

bool contains(const std::vector<std::string_view>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

bool matches(const ThirdParty& party, std::string_view include) {
  if (party.match.starts_with('*')) return include.ends_with(party.match.substr(1));
  return include.starts_with(party.match);
}

const ThirdParty* third_party_of(std::string_view include) {
  const auto* found =
      std::ranges::find_if(kThirdParties, [&](const ThirdParty& party) { return matches(party, include); });
  return found == kThirdParties.end() ? nullptr : found;
}

bool is_system(std::string_view include) {
  return std::ranges::any_of(kSystemHeaders, [&](std::string_view header) {
    return header.ends_with(".h") ? include == header : include.starts_with(header);
  });
}

bool is_standard(std::string_view include) { return include.find_first_of("./") == std::string_view::npos; }

void check_third_party(const Source& source, const Include& include, const ThirdParty& party, bool is_public,
                       Violations& out) {
  const std::string_view room = room_of(source.path);
  if (is_public) {
    out.push_back({source.path, include.line,
                   "third-party header '" + include.path +
                       "' in a header that other rooms see: name it in the .cpp, or in a header private to the room"});
  }
  const bool may = room == "tests" || (room == "bench" && party.rooms != "tests") ||
                   contains(words_of(party.rooms), room);
  if (!may) {
    out.push_back({source.path, include.line,
                   "third-party header '" + include.path + "' outside " + std::string(party.rooms) +
                       ": use that room's own interface"});
  }
}

bool is_test(std::string_view path) { return path.starts_with("tests/"); }

std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// std::xxx_distribution, whatever xxx.
bool has_distribution(std::string_view line) {
  constexpr std::string_view kEnding = "_distribution";
  for (std::size_t at = line.find("std::"); at != std::string_view::npos; at = line.find("std::", at + 1)) {
    std::size_t end = at + 5;
    while (end < line.size() && (std::islower(static_cast<unsigned char>(line[end])) != 0 || line[end] == '_')) ++end;
    if (line.substr(at, end - at).ends_with(kEnding)) return true;
  }
  return false;
}

// `name` as a whole word, then an opening parenthesis.
bool calls(std::string_view line, std::string_view name) {
  for (std::size_t at = line.find(name); at != std::string_view::npos; at = line.find(name, at + 1)) {
    const std::size_t next = line.find_first_not_of(' ', at + name.size());
    const bool member = at > 0 && (line[at - 1] == '.' || line[at - 1] == '>');
    if (next != std::string_view::npos && line[next] == '(' && !member &&
        has_word(line.substr(at == 0 ? 0 : at - 1, next - (at == 0 ? 0 : at - 1)), name)) {
      return true;
    }
  }
  return false;
}

constexpr auto kSleeps =
    std::to_array<std::string_view>({"sleep_for", "sleep_until", "usleep", "nanosleep", "clock_nanosleep"});
// Written in halves, so that this file passes its own rule.
constexpr auto kUnfinished = std::to_array<std::string_view>({"TO" "DO", "FIX" "ME", "XX" "X"});
constexpr std::string_view kTemporary = "/tm" "p";
constexpr std::string_view kHomes = "/ho" "me";
constexpr auto kMachinePaths =
    std::to_array<std::string_view>({"/wo" "rk", kHomes, "/ro" "ot", "/Us" "ers", kTemporary});

}  // namespace

bool is_cpp(std::string_view path) {
  return ends_with_any(path, std::to_array<std::string_view>({".h", ".cpp", ".cu", ".cuh"}));
}

bool is_source(std::string_view path) {
  return is_cpp(path) || path == "check" || path == "demo" || path.starts_with(".ci/") ||
         ends_with_any(path, std::to_array<std::string_view>({"CMakeLists.txt", ".cmake", ".capnp", ".sh", ".py",
                                                              ".js", ".css", ".html"}));
}

std::string_view room_of(std::string_view path) {
  Place best{"", ""};
  for (const Place& place : kPlaces) {
    if (path.starts_with(place.prefix) && place.prefix.size() > best.prefix.size()) best = place;
  }
  return best.room;
}

bool is_state_machine(std::string_view path) {
  const std::string_view room = room_of(path);
  return (room == "coordinator" || room == "client") && is_cpp(path) &&
         std::ranges::none_of(kNotStateMachines,
                              [&](std::string_view prefix) { return path.starts_with(prefix); });
}

std::set<std::string_view> doors_of(std::string_view room) {
  std::set<std::string_view> reached;
  std::vector<std::string_view> open{room};
  while (!open.empty()) {
    const std::string_view next = open.back();
    open.pop_back();
    if (!reached.insert(next).second) continue;
    const auto* row = std::ranges::find(kRooms, next, &Room::name);
    if (row == kRooms.end()) continue;
    if (row->uses == "*") {
      for (const Room& any : kRooms) reached.insert(any.name);
      return reached;
    }
    for (const std::string_view use : words_of(row->uses)) open.push_back(use);
  }
  return reached;
}

Violations check_doors(const Source& source, const std::set<std::string>& paths) {
  Violations out;
  const std::string_view room = room_of(source.path);
  if (!is_cpp(source.path)) return out;
  if (room.empty()) {
    return {{source.path, 1, "belongs to no room: draw it in docs/architecture.md and add it to tests/lint/house.h"}};
  }
  const auto doors = doors_of(room);
  for (const Include& include : includes_of(source.text)) {
    if (!include.quoted) {
      if (!room_of(include.path).empty() && third_party_of(include.path) == nullptr && !is_system(include.path)) {
        out.push_back({source.path, include.line, "our own '" + include.path + "' is included with quotes"});
      }
      continue;
    }
    if (third_party_of(include.path) != nullptr) continue;  // generated or quoted: check_third_parties
    const std::string_view target = room_of(include.path);
    if (!paths.contains(include.path)) {
      out.push_back({source.path, include.line,
                     "no file '" + include.path + "': includes are relative to the repository's root"});
    } else if (target.empty()) {
      out.push_back({source.path, include.line, "'" + include.path + "' belongs to no room of tests/lint/house.h"});
    } else if (!doors.contains(target)) {
      out.push_back({source.path, include.line,
                     "no door from " + std::string(room) + " to " + std::string(target) + " ('" + include.path +
                         "'); docs/architecture.md draws the doors, tests/lint/house.h lists them"});
    }
  }
  return out;
}

std::set<std::string> public_headers(const std::vector<Source>& sources) {
  std::map<std::string, std::vector<std::string>> included;  // by each of our headers
  std::vector<std::string> open;
  for (const Source& source : sources) {
    const std::string_view room = room_of(source.path);
    if (!is_cpp(source.path) || room == "tests") continue;
    for (const Include& include : includes_of(source.text)) {
      if (!include.quoted) continue;
      included[source.path].push_back(include.path);
      if (room_of(include.path) != room) open.push_back(include.path);
    }
  }
  std::set<std::string> found;
  while (!open.empty()) {
    const std::string next = open.back();
    open.pop_back();
    if (!found.insert(next).second) continue;
    for (const std::string& further : included[next]) open.push_back(further);
  }
  return found;
}

Violations check_third_parties(const Source& source, const std::set<std::string>& public_ones) {
  Violations out;
  if (!is_cpp(source.path) || room_of(source.path).empty()) return out;
  for (const Include& include : includes_of(source.text)) {
    const ThirdParty* party = third_party_of(include.path);
    if (party != nullptr && !(include.quoted && !include.path.ends_with(".capnp.h") &&
                              !room_of(include.path).empty())) {
      check_third_party(source, include, *party, public_ones.contains(source.path), out);
    } else if (!include.quoted && !is_standard(include.path) && !is_system(include.path) &&
               room_of(include.path).empty()) {
      out.push_back({source.path, include.line,
                     "unknown header <" + include.path + ">: add its library to tests/lint/house.h"});
    }
  }
  return out;
}

Violations check_state_machine(const Source& source) {
  Violations out;
  if (!is_state_machine(source.path)) return out;
  const std::string why = " in a state machine: it is a function of (event, now); return a Command instead";
  for (const Include& include : includes_of(source.text)) {
    const bool impure = std::ranges::find(kImpureHeaders, include.path) != kImpureHeaders.end();
    if (impure || (!include.quoted && is_system(include.path) && !include.path.starts_with("std") &&
                   include.path != "math.h" && include.path != "string.h" && include.path != "errno.h" &&
                   include.path != "limits.h" && include.path != "float.h")) {
      out.push_back({source.path, include.line, "'" + include.path + "'" + why});
    }
  }
  const std::string code = without_comments(source.text, Literals::kBlank);
  const auto lines = lines_of(code);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const std::string_view word : kImpureWords) {
      if (has_word(lines[i], word)) out.push_back({source.path, i + 1, "'" + std::string(word) + "'" + why});
    }
  }
  return out;
}

Violations check_length(const Source& source) {
  if (!is_source(source.path)) return {};
  const std::size_t count = lines_of(source.text).size();
  if (count <= kSourceLinesMax) return {};
  return {{source.path, count,
           std::to_string(count) + " lines, the limit is " + std::to_string(kSourceLinesMax) + ": split it"}};
}

Violations check_header(const Source& source) {
  if (!source.path.ends_with(".h") && !source.path.ends_with(".cuh")) return {};
  Violations out;
  const auto lines = lines_of(source.text);
  if (lines.empty() || !(lines[0].starts_with("//") || lines[0].starts_with("/*"))) {
    out.push_back({source.path, 1, "a header begins with a comment that says what it is for"});
  }
  if (std::ranges::none_of(lines, [](std::string_view line) { return line.starts_with("#pragma once"); })) {
    out.push_back({source.path, 1, "a header has #pragma once"});
  }
  return out;
}

Violations check_own_header_first(const Source& source, const std::set<std::string>& paths) {
  if (!source.path.ends_with(".cpp") && !source.path.ends_with(".cu")) return {};
  const std::string own = source.path.substr(0, source.path.rfind('.')) + ".h";
  if (!paths.contains(own)) return {};
  const auto includes = includes_of(source.text);
  if (!includes.empty() && includes[0].path == own) return {};
  return {{source.path, includes.empty() ? 1 : includes[0].line, "the first include must be \"" + own + "\""}};
}

Violations check_words(const Source& source) {
  Violations out;
  if (!is_source(source.path)) return out;
  const bool cpp = is_cpp(source.path);
  const bool test = is_test(source.path);
  const std::string code = cpp ? without_comments(source.text, Literals::kBlank) : source.text;
  const auto code_lines = lines_of(code);
  const auto lines = lines_of(source.text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto add = [&](std::string rule) { out.push_back({source.path, i + 1, std::move(rule)}); };
    for (const std::string_view word : kUnfinished) {
      if (has_word(lines[i], word)) add(std::string(word) + ": finish it, or write down what is missing in docs/");
    }
    if (cpp && (has_distribution(code_lines[i]) || calls(code_lines[i], "rand") ||
                std::ranges::any_of(kUnreproducible,
                                    [&](std::string_view word) { return has_word(code_lines[i], word); }))) {
      add("not the same bits with every library: use covey::Random (or SecureRandom for keys, masks, noise)");
    }
    if (test && cpp && (calls(code_lines[i], "sleep") || std::ranges::any_of(kSleeps, [&](std::string_view word) {
                          return has_word(code_lines[i], word);
                        }))) {
      add("a test sleeps: wait for the event itself, with a deadline");
    }
  }
  return out;
}

Violations check_absolute_paths(const Source& source) {
  Violations out;
  const auto lines = lines_of(source.text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const std::string_view root : kMachinePaths) {
      if ((root == kTemporary || root == kHomes) && is_cpp(source.path)) continue;  // there it is a folder's name to append
      for (std::size_t at = lines[i].find(root); at != std::string_view::npos; at = lines[i].find(root, at + 1)) {
        const std::size_t end = at + root.size();
        constexpr std::string_view kInsidePath = "_.~-})*]>/";  // of a relative path or ${variable}
        const char before = at == 0 ? ' ' : lines[i][at - 1];
        const bool begins = std::isalnum(static_cast<unsigned char>(before)) == 0 &&
                            kInsidePath.find(before) == std::string_view::npos;
        const bool of_uri = at >= 3 && lines[i].substr(at - 3, 3) == "://";
        const bool whole = end == lines[i].size() || (std::isalnum(static_cast<unsigned char>(lines[i][end])) == 0 &&
                                                      lines[i][end] != '_' && lines[i][end] != '-');
        if ((begins || of_uri) && whole) {
          out.push_back({source.path, i + 1, "'" + std::string(root) + "' exists on some machines only: use a path "
                                             "relative to the repository, or a temporary folder the system names"});
        }
      }
    }
  }
  return out;
}

Violations check_top_level(const std::set<std::string>& paths) {
  std::set<std::string> entries;
  for (const std::string& path : paths) entries.insert(path.substr(0, path.find('/')));
  Violations out;
  for (const std::string& entry : entries) {
    if (std::ranges::find(kTopLevel, entry) == kTopLevel.end()) {
      out.push_back({entry, 1, "does not belong at the top: move it into a room, list it in tests/lint/house.h, or "
                               "(a file of yours alone) in .git/info/exclude"});
    }
  }
  return out;
}

Violations check_folders(const std::set<std::string>& paths, const std::set<std::string>& folders) {
  Violations out;
  for (const std::string& path : paths) {
    if (name_of(path) == "CMakeLists.txt" && room_of(path) != "bench" && room_of(path) != "examples" &&
        !path.starts_with("packaging/") && !folders.contains(std::string(folder_of(path)))) {
      out.push_back({path, 1, "CMake did not read it: name its folder in the CMakeLists.txt above (or configure "
                              "again, if it is new)"});
    }
  }
  return out;
}

Violations check_built(const std::vector<Source>& sources) {
  std::map<std::string_view, std::string_view> lists;  // folder -> its CMakeLists.txt
  for (const Source& source : sources) {
    if (name_of(source.path) == "CMakeLists.txt") lists[folder_of(source.path)] = source.text;
  }
  Violations out;
  for (const Source& source : sources) {
    if (!source.path.ends_with(".cpp") && !source.path.ends_with(".cu")) continue;
    bool named = false;
    for (std::string_view folder = folder_of(source.path); !named; folder = folder_of(folder)) {
      const auto list = lists.find(folder);
      named = list != lists.end() && has_word(list->second, name_of(source.path));
      if (folder.empty()) break;
    }
    if (!named) out.push_back({source.path, 1, "no CMakeLists.txt names it, so nothing builds it"});
  }
  return out;
}

}  // namespace covey::lint
