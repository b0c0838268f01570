#include "sim/plan_file.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <sstream>

#include <toml++/toml.h>

#include "core/spec/setting.h"

namespace covey {
namespace {

// ---- both ways: `io` reads or writes each field of a fault by its name, so that the two agree

template <class Io> void fields(Io& io, NetworkModel& f) {
  io("delay_s", f.delay), io("jitter_s", f.jitter), io("loss", f.loss), io("duplicate", f.duplicate);
  io("bytes_per_second", f.bytes_per_second);
}
template <class Io> void fields(Io& io, Crash& f) { io("node", f.node), io("at_s", f.at), io("down_s", f.down); }
template <class Io> void fields(Io& io, WriteCrash& f) { io("node", f.node), io("nth", f.nth), io("down_s", f.down); }
template <class Io> void fields(Io& io, Partition& f) { io("from_s", f.from), io("to_s", f.to), io("cut", f.cut); }
template <class Io> void fields(Io& io, DiskFull& f) {
  io("node", f.node), io("from_s", f.from), io("to_s", f.to), io("rows", f.rows);
}
template <class Io> void fields(Io& io, ClockJump& f) { io("node", f.node), io("at_s", f.at), io("by_s", f.by); }
template <class Io> void fields(Io& io, SlowPeer& f) {
  io("node", f.node), io("bytes_per_second", f.bytes_per_second), io("work", f.work);
}
template <class Io> void fields(Io& io, LateFrames& f) {
  io("node", f.node), io("from_s", f.from), io("to_s", f.to), io("hold_s", f.hold), io("share", f.share);
}
template <class Io> void fields(Io& io, Liar& f) { io("node", f.node), io("lie", f.lie, &lie_from); }
template <class Io> void fields(Io& io, OperatorAct& f) {
  io("act", f.act, &act_from), io("at_s", f.at), io("target", f.target);
}

constexpr const char* table_of(const std::vector<Crash>&) { return "crash"; }
constexpr const char* table_of(const std::vector<WriteCrash>&) { return "write_crash"; }
constexpr const char* table_of(const std::vector<Partition>&) { return "partition"; }
constexpr const char* table_of(const std::vector<DiskFull>&) { return "disk_full"; }
constexpr const char* table_of(const std::vector<ClockJump>&) { return "clock_jump"; }
constexpr const char* table_of(const std::vector<SlowPeer>&) { return "slow_peer"; }
constexpr const char* table_of(const std::vector<LateFrames>&) { return "late_frames"; }
constexpr const char* table_of(const std::vector<Liar>&) { return "liar"; }
constexpr const char* table_of(const std::vector<OperatorAct>&) { return "act"; }

// ---- writing

std::string text_of_seconds(Duration duration) {
  const std::int64_t nanos = duration.count();
  const std::uint64_t size = nanos < 0 ? 0 - static_cast<std::uint64_t>(nanos) : static_cast<std::uint64_t>(nanos);
  char text[48];
  std::snprintf(text, sizeof text, "%s%llu.%09llu", nanos < 0 ? "-" : "", static_cast<unsigned long long>(size / 1'000'000'000),
                static_cast<unsigned long long>(size % 1'000'000'000));
  std::string trimmed(text);
  while (trimmed.back() == '0' && trimmed[trimmed.size() - 2] != '.') trimmed.pop_back();
  return trimmed;
}

std::string quoted(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

class Writer {
 public:
  void operator()(const char* key, const Duration& value) { line(key, text_of_seconds(value)); }
  void operator()(const char* key, const double& value) {
    std::string text = setting_text(value);
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
    line(key, text);
  }
  void operator()(const char* key, const bool& value) { line(key, value ? "true" : "false"); }
  template <std::unsigned_integral Number>
  void operator()(const char* key, const Number& value) {
    line(key, std::to_string(value));
  }
  void operator()(const char* key, const std::vector<std::size_t>& value) {
    std::string text = "[";
    for (std::size_t i = 0; i < value.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(value[i]);
    line(key, text + "]");
  }
  template <class Named>
  void operator()(const char* key, const Named& value, Result<Named> (*)(std::string_view)) {
    line(key, quoted(name_of(value)));
  }
  void line(const std::string& key, const std::string& value) { out += key + " = " + value + "\n"; }

  std::string out;
};

// ---- reading

class Reader {
 public:
  Reader(const toml::table& table, std::string path, std::optional<Error>& error)
      : table_(table), path_(std::move(path)), error_(error) {}

  void operator()(const char* key, Duration& value) {
    if (!table_.contains(key)) return known_.emplace_back(key), void();
    double number = 0;
    (*this)(key, number);
    if (std::abs(number) > 1e9) return fail(key, "must lie within 1e9 seconds");
    value = Duration(std::llround(number * 1e9));
  }
  void operator()(const char* key, double& value) {
    if (const toml::node* node = find(key)) {
      const auto read = node->value<double>();
      if (!read || !std::isfinite(*read)) return fail(key, "must be a number");
      value = *read;
    }
  }
  void operator()(const char* key, bool& value) {
    if (const toml::node* node = find(key)) {
      if (!node->is_boolean()) return fail(key, "must be true or false");
      value = *node->value<bool>();
    }
  }
  template <std::unsigned_integral Number>
  void operator()(const char* key, Number& value) {
    if (const toml::node* node = find(key)) whole(key, *node, value);
  }
  void operator()(const char* key, std::vector<std::size_t>& value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) return fail(key, "must be a list of numbers");
    for (const toml::node& item : *array) whole(key, item, value.emplace_back());
  }
  void operator()(const char* key, std::string& value) {
    if (const toml::node* node = find(key)) {
      const auto read = node->value<std::string>();
      if (!read) return fail(key, "must be a text");
      value = *read;
    }
  }
  template <class Named>
  void operator()(const char* key, Named& value, Result<Named> (*from)(std::string_view)) {
    std::string text;
    (*this)(key, text);
    if (error_) return;
    auto read = from(text);
    if (!read) return fail(key, read.error().message);
    value = *read;
  }
  const toml::node* find(const char* key) {
    known_.emplace_back(key);
    return error_ ? nullptr : table_.get(key);
  }
  void finish() {
    for (const auto& [key, node] : table_)
      if (std::find(known_.begin(), known_.end(), key.str()) == known_.end()) fail(std::string(key.str()), "is not known");
  }
  void fail(const std::string& key, const std::string& rule) {
    if (!error_) error_ = Error{ErrorCode::kInvalidArgument, (path_.empty() ? "" : path_ + ".") + key + ": " + rule};
  }

 private:
  template <class Number>
  void whole(const char* key, const toml::node& node, Number& value) {
    const auto read = node.value<std::int64_t>();
    if (!node.is_integer() || !read || *read < 0 || static_cast<std::uint64_t>(*read) > std::numeric_limits<Number>::max())
      return fail(key, "must be a whole number that is not below 0");
    value = static_cast<Number>(*read);
  }
  const toml::table& table_;
  std::string path_;
  std::optional<Error>& error_;
  std::vector<std::string> known_;
};

template <class Fault>
void read_list(Reader& top, std::vector<Fault>& list, std::optional<Error>& error) {
  const char* name = table_of(list);
  const toml::node* node = top.find(name);
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  if (array == nullptr || !array->is_array_of_tables()) return top.fail(name, "must be written as [[" + std::string(name) + "]]");
  for (const toml::node& item : *array) {
    Reader reader(*item.as_table(), name, error);
    fields(reader, list.emplace_back());
    reader.finish();
  }
}

}  // namespace

std::string to_toml(const Scenario& scenario) {
  Scenario source = scenario;
  Writer top;
  if (!source.finding.empty()) top.line("finding", quoted(source.finding));
  top("seed", source.seed);
  top("clients", source.clients);
  top("rounds", source.rounds);
  if (source.faults.quiet_after != Duration::max()) top("quiet_after_s", source.faults.quiet_after);
  top.out += "\n[network]\n";
  fields(top, source.faults.network);
  FaultPlan::each_list(source.faults, [&](auto& list) {
    for (auto& fault : list) {
      top.out += "\n[[" + std::string(table_of(list)) + "]]\n";
      fields(top, fault);
    }
  });
  return top.out;
}

Result<Scenario> scenario_from(std::string_view text) {
  if (text.size() > kPlanBytesMax)
    return unexpected(ErrorCode::kInvalidArgument, "the plan has " + std::to_string(text.size()) + " bytes; at most " +
                                                       std::to_string(kPlanBytesMax) + " are allowed");
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& failure) {
    return unexpected(ErrorCode::kInvalidArgument, "line " + std::to_string(failure.source().begin.line) + ": not TOML: " +
                                                       std::string(failure.description()));
  }
  Scenario scenario;
  std::optional<Error> error;
  Reader top(table, "", error);
  top("finding", scenario.finding);
  top("seed", scenario.seed);
  top("clients", scenario.clients);
  top("rounds", scenario.rounds);
  top("quiet_after_s", scenario.faults.quiet_after);
  if (const toml::node* network = top.find("network")) {
    if (!network->is_table()) return unexpected(ErrorCode::kInvalidArgument, "network: must be written as [network]");
    Reader reader(*network->as_table(), "network", error);
    fields(reader, scenario.faults.network);
    reader.finish();
  }
  FaultPlan::each_list(scenario.faults, [&](auto& list) { read_list(top, list, error); });
  top.finish();
  if (error) return unexpected(*error);
  return scenario;
}

}  // namespace covey
