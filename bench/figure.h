// One row of a table of figures: what was measured, beside its goal and beside the floor or peer that
// was measured in the same run.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace covey::bench {

enum class Bound { kAtMost, kAtLeast, kExactly };

struct Figure {
  std::string name;
  std::optional<double> measured;  // absent: `why` says why
  std::string unit;
  Bound bound = Bound::kAtMost;
  double goal = 0;
  std::string beside;              // the floor or the peer, with its own figure; may be empty
  std::string why;                 // only where nothing was measured
};

Figure at_most(std::string name, double measured, std::string unit, double goal, std::string beside = "");
Figure at_least(std::string name, double measured, std::string unit, double goal, std::string beside = "");
Figure exactly(std::string name, double measured, std::string unit, double goal, std::string beside = "");
Figure not_measured(std::string name, std::string unit, Bound bound, double goal, std::string why);

bool met(const Figure& figure);              // false where nothing was measured
std::string verdict_of(const Figure& figure);  // "ok", "short", "not measured: why"
std::string json_of(const Figure& figure);     // keys: name measured unit goal beside verdict
std::string text_of_goal(const Figure& figure);     // "<= 4"
std::string text_of_measured(const Figure& figure); // "-" where nothing was measured

// A measurement makes one or more figures. It may take minutes: it says so on stderr itself.
struct Row {
  std::string name;                // for --row; the figures' names begin with it
  std::function<std::vector<Figure>()> measure;
};

struct Table {
  std::string name;
  std::vector<Row> rows;
};

}  // namespace covey::bench
