// Makes a failing scenario small: fewer faults, a quieter network, fewer clients and rounds, if need be
// under another seed, as long as it still fails in the same way.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "sim/plan_file.h"

namespace covey {

// What a scenario breaks; nothing where it breaks nothing. Must give the same answer each time.
using Judgement = std::function<std::optional<std::string>(const Scenario&)>;

// The kind of a finding: without what differs from run to run (numbers, keys, names of nodes).
std::string kind_of_finding(const std::string& finding);

struct Shrunk {
  Scenario scenario;       // its `finding` is its own
  std::size_t runs = 0;    // of the verdict
};
// `failing` must fail: its finding is made anew. Ends when nothing can be left out, or after `runs_max`.
Shrunk shrink(Scenario failing, const Judgement& verdict, std::size_t runs_max);

}  // namespace covey
