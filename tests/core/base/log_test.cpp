#include "core/base/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/time.h"
#include "tests/core/base/temporary_folder.h"

using namespace covey;
using nlohmann::json;

namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string digits_as_zeros(std::string text) {
  for (char& c : text) c = c >= '0' && c <= '9' ? '0' : c;
  return text;
}

std::vector<std::string> logged(LogFormat format, const std::vector<LogEntry>& entries,
                                LogLevel level = LogLevel::kDebug) {
  const TemporaryFolder folder;
  const auto log = make_log({format, level, folder / "log"});
  for (const LogEntry& entry : entries) log->write(entry);
  return lines_of(folder / "log");  // while the log is open: each line is flushed at once
}

}  // namespace

TEST_CASE("log: a JSON line has time, level, event and typed fields") {
  const auto lines = logged(LogFormat::kJson, {{LogLevel::kWarning, "round_committed",
                                                {{"round", 3}, {"loss", 1.25}, {"ok", true}, {"job", "mnist"},
                                                 {"big", std::int64_t{-9223372036854775807}}}}});
  REQUIRE(lines.size() == 1);
  const json line = json::parse(lines[0]);
  CHECK(line["level"] == "warning");
  CHECK(line["event"] == "round_committed");
  CHECK(line["round"] == 3);
  CHECK(line["loss"] == 1.25);
  CHECK(line["ok"] == true);
  CHECK(line["job"] == "mnist");
  CHECK(line["big"] == -9223372036854775807);
  CHECK(digits_as_zeros(line["time"].get<std::string>()) == "0000-00-00T00:00:00.000Z");
}

TEST_CASE("log: JSON stays valid whatever a peer sends") {
  std::string controls;
  for (char c = 0; c < 0x20; ++c) controls += c;
  const std::pair<std::string, std::string> cases[] = {
      {controls + "\x7f\"\\/", controls + "\x7f\"\\/"},
      {"\n{\"event\":\"forged\"}", "\n{\"event\":\"forged\"}"},
      {"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xa6", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xa6"},
      {"\xff", "\xef\xbf\xbd"},
      {"a\xc3", "a\xef\xbf\xbd"},                                          // cut short
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                            // overlong
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},            // a surrogate
      {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // above U+10FFFF
      {"\xe2\x28\xa1", "\xef\xbf\xbd(\xef\xbf\xbd"},
      {"\xc2\x9b" "31m", "\xc2\x9b" "31m"}};                               // a C1 control
  for (const auto& [sent, expected] : cases) {
    CAPTURE(expected);
    const auto lines = logged(LogFormat::kJson, {{LogLevel::kInfo, sent, {{"peer", sent}, {sent, 1}}}});
    REQUIRE(lines.size() == 1);
    const json line = json::parse(lines[0], nullptr, false);
    REQUIRE_FALSE(line.is_discarded());
    CHECK(line["peer"] == expected);
    CHECK(line["event"] == expected);
    CHECK(lines[0].find('\x1b') == std::string::npos);
    CHECK(lines[0].find("\xc2\x9b") == std::string::npos);
  }
}

TEST_CASE("log: numbers that JSON lacks become null, and reserved names are kept apart") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto lines = logged(
      LogFormat::kJson,
      {{LogLevel::kInfo, "e", {{"a", nan}, {"b", -infinity}, {"c", 1e300}, {"event", "x"}, {"time", 1}}}});
  REQUIRE(lines.size() == 1);
  const json line = json::parse(lines[0]);
  CHECK(line["a"].is_null());
  CHECK(line["b"].is_null());
  CHECK(line["c"] == 1e300);
  CHECK(line["event"] == "e");
  CHECK(line["event_"] == "x");
  CHECK(line["time_"] == 1);
}

TEST_CASE("log: text is one aligned line, quoted where it must be") {
  const auto lines = logged(
      LogFormat::kText,
      {{LogLevel::kInfo, "round_committed", {{"round", 3}, {"loss", 1.2}}},
       {LogLevel::kError, "peer_lost", {{"name", "a b"}, {"reason", "bad\nline"}, {"empty", ""}, {"ok", false}}},
       {LogLevel::kWarning, "w", {}}});
  REQUIRE(lines.size() == 3);
  CHECK(digits_as_zeros(lines[0].substr(0, 12)) == "00:00:00.000");
  CHECK(lines[0].substr(12) == " info  round_committed round=3 loss=1.2");
  CHECK(lines[1].substr(12) == " error peer_lost name=\"a b\" reason=\"bad\\nline\" empty=\"\" ok=false");
  CHECK(lines[2].substr(12) == " warn  w");
}

TEST_CASE("log: entries below the level are dropped") {
  const std::vector<LogEntry> entries = {{LogLevel::kDebug, "d", {}}, {LogLevel::kInfo, "i", {}},
                                         {LogLevel::kWarning, "w", {}}, {LogLevel::kError, "e", {}}};
  CHECK(logged(LogFormat::kText, entries, LogLevel::kWarning).size() == 2);
  CHECK(logged(LogFormat::kText, entries, LogLevel::kDebug).size() == 4);
}

TEST_CASE("log: braces are text, not a format") {
  const auto lines = logged(LogFormat::kText, {{LogLevel::kInfo, "{}", {{"x", "{0:%n}"}}}});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].substr(12) == " info  {} x={0:%n}");
}

TEST_CASE("log: lines of several threads do not mix") {
  const TemporaryFolder folder;
  const auto log = make_log({LogFormat::kJson, LogLevel::kInfo, folder / "log"});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&log, t] {
        for (int i = 0; i < 100; ++i) log->info("line", {{"thread", t}, {"text", std::string(200, 'x')}});
      });
  }
  const auto lines = lines_of(folder / "log");
  CHECK(lines.size() == 400);
  for (const std::string& line : lines) CHECK_FALSE(json::parse(line, nullptr, false).is_discarded());
}

TEST_CASE("log: standard error is the default, and the refuge when a file cannot be opened") {
  const TemporaryFolder folder;
  const int saved = ::dup(2);
  const int target = ::open((folder / "stderr").c_str(), O_WRONLY | O_CREAT, 0600);
  ::dup2(target, 2);
  make_log({})->info("to_stderr");
  make_log({LogFormat::kText, LogLevel::kInfo, folder / "stderr/impossible"})->info("kept");
  ::dup2(saved, 2);
  ::close(saved);
  ::close(target);
  const auto lines = lines_of(folder / "stderr");
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].substr(12) == " info  to_stderr");
  CHECK(lines[1].find(" error log_file_unusable file=") != std::string::npos);
  CHECK(lines[2].substr(12) == " info  kept");
}
