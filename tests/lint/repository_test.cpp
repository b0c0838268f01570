// Holds the whole repository against the rules. Each case lists file:line and the rule.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "tests/lint/log_events.h"
#include "tests/lint/rules.h"
#include "tests/lint/source_text.h"

namespace covey::lint {
namespace {

const std::vector<Source>& repository() {
  static const std::vector<Source> sources = read_repository(COVEY_SOURCE_DIR);
  return sources;
}

const std::set<std::string>& paths() {
  static const std::set<std::string> all = [] {
    std::set<std::string> found;
    for (const Source& source : repository()) found.insert(source.path);
    return found;
  }();
  return all;
}

void report(const Violations& violations) {
  for (const Violation& violation : violations) {
    FAIL_CHECK(violation.path << ":" << violation.line << ": " << violation.rule);
  }
}

template <class Rule>
void hold_all(Rule rule) {
  for (const Source& source : repository()) report(rule(source));
}

TEST_CASE("lint: the repository is read") {
  CHECK(paths().contains("CMakeLists.txt"));
  CHECK(paths().contains("core/base/result.h"));
  CHECK(paths().contains("tests/lint/repository_test.cpp"));
  CHECK_FALSE(paths().contains(".git/HEAD"));
}

TEST_CASE("lint: includes go through drawn doors") {
  hold_all([](const Source& source) { return check_doors(source, paths()); });
}

TEST_CASE("lint: third-party headers stay inside their room") {
  const auto public_ones = public_headers(repository());
  hold_all([&](const Source& source) { return check_third_parties(source, public_ones); });
}

TEST_CASE("lint: state machines see no threads, files, sockets or clocks") { hold_all(check_state_machine); }

TEST_CASE("lint: no source is too long") { hold_all(check_length); }

TEST_CASE("lint: headers begin with a comment and have #pragma once") { hold_all(check_header); }

TEST_CASE("lint: a source includes its own header first") {
  hold_all([](const Source& source) { return check_own_header_first(source, paths()); });
}

TEST_CASE("lint: no unreproducible chance, no unfinished work, no sleeping tests") { hold_all(check_words); }

TEST_CASE("lint: no path of one machine") { hold_all(check_absolute_paths); }

TEST_CASE("lint: only known entries at the top") { report(check_top_level(paths())); }

TEST_CASE("lint: CMake reads every CMakeLists.txt") {
  std::ifstream file(std::string(COVEY_BINARY_DIR) + "/folders.txt");
  std::set<std::string> folders;
  for (std::string line; std::getline(file, line);) {
    const auto relative = std::filesystem::path(line).lexically_relative(COVEY_SOURCE_DIR).generic_string();
    folders.insert(relative == "." ? "" : relative);
  }
  REQUIRE_MESSAGE(folders.contains("tests/lint"), "folders.txt in the build tree is missing: configure again");
  report(check_folders(paths(), folders));
}

TEST_CASE("lint: docs/logs.md names every event that is logged, and no other") {
  // Where a name is passed on, or a level is chosen.
  const std::set<std::string> pass_on{"core/base/log.cpp", "core/base/log.h", "net/limited_log.h", "coordinator/main.cpp", "client/main.cpp"};
  std::set<std::string> logged, documented;
  for (const Source& source : repository()) {
    if (source.path == "docs/logs.md")
      for (const std::string& name : documented_events(source.text)) documented.insert(name);
    const std::string top = source.path.substr(0, source.path.find('/'));
    if (!is_cpp(source.path) || !(top == "core" || top == "net" || top == "coordinator" || top == "client")) continue;
    for (const LoggedEvent& event : logged_events(source.text)) {
      if (!event.name.empty())
        logged.insert(event.name);
      else if (!pass_on.contains(source.path))
        FAIL_CHECK(source.path << ":" << event.line << ": write the event's name out where it is logged");
    }
  }
  for (const std::string& name : logged)
    if (!documented.contains(name)) FAIL_CHECK("docs/logs.md lacks the event " << name);
  for (const std::string& name : documented)
    if (!logged.contains(name)) FAIL_CHECK("docs/logs.md names " << name << ", which nothing logs");
  CHECK(logged.size() > 50);
}

TEST_CASE("lint: a CMakeLists.txt names every source") { report(check_built(repository())); }

}  // namespace
}  // namespace covey::lint
