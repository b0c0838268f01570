#include "bench/figure.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

namespace covey::bench {
namespace {

std::string number(double value) {
  char text[32];
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  std::snprintf(text, sizeof text, whole ? "%.0f" : "%.4g", value);
  return text;
}

Figure figure(std::string name, double measured, std::string unit, Bound bound, double goal, std::string beside) {
  return {std::move(name), measured, std::move(unit), bound, goal, std::move(beside), ""};
}

}  // namespace

Figure at_most(std::string name, double measured, std::string unit, double goal, std::string beside) {
  return figure(std::move(name), measured, std::move(unit), Bound::kAtMost, goal, std::move(beside));
}

Figure at_least(std::string name, double measured, std::string unit, double goal, std::string beside) {
  return figure(std::move(name), measured, std::move(unit), Bound::kAtLeast, goal, std::move(beside));
}

Figure exactly(std::string name, double measured, std::string unit, double goal, std::string beside) {
  return figure(std::move(name), measured, std::move(unit), Bound::kExactly, goal, std::move(beside));
}

Figure not_measured(std::string name, std::string unit, Bound bound, double goal, std::string why) {
  return {std::move(name), std::nullopt, std::move(unit), bound, goal, "", std::move(why)};
}

bool met(const Figure& figure) {
  if (!figure.measured) return false;
  switch (figure.bound) {
    case Bound::kAtMost: return *figure.measured <= figure.goal;
    case Bound::kAtLeast: return *figure.measured >= figure.goal;
    case Bound::kExactly: return *figure.measured == figure.goal;
  }
  return false;
}

std::string verdict_of(const Figure& figure) {
  if (!figure.measured) return "not measured: " + figure.why;
  return met(figure) ? "ok" : "short";
}

std::string text_of_goal(const Figure& figure) {
  const char* sign = figure.bound == Bound::kAtMost ? "<= " : figure.bound == Bound::kAtLeast ? ">= " : "= ";
  return sign + number(figure.goal);
}

std::string text_of_measured(const Figure& figure) { return figure.measured ? number(*figure.measured) : "-"; }

std::string json_of(const Figure& figure) {
  nlohmann::ordered_json line;
  line["name"] = figure.name;
  line["measured"] = figure.measured ? nlohmann::ordered_json(*figure.measured) : nlohmann::ordered_json(nullptr);
  line["unit"] = figure.unit;
  line["goal"] = text_of_goal(figure);
  line["beside"] = figure.beside;
  line["verdict"] = verdict_of(figure);
  return line.dump();
}

}  // namespace covey::bench
