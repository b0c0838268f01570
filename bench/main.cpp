// covey-figures NAME: measures one table and prints it, a row as soon as it is measured.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>

#include "bench/tables.h"

namespace covey::bench {
namespace {

struct Options {
  std::string table;
  std::vector<std::string> rows;
  bool json = false;
  bool list = false;
};

std::vector<Table> all_tables() { return {engine_table(), reliability_table(), secagg_table()}; }

void print(const Figure& figure, bool json) {
  if (json) {
    std::printf("%s\n", json_of(figure).c_str());
  } else {
    std::printf("%-52s %12s %-9s %-10s %s%s%s\n", figure.name.c_str(), text_of_measured(figure).c_str(),
                figure.unit.c_str(), text_of_goal(figure).c_str(), verdict_of(figure).c_str(),
                figure.beside.empty() ? "" : "  | ", figure.beside.c_str());
  }
  std::fflush(stdout);
}

// A measurement that throws is a row that was not measured, and the others still are.
std::vector<Figure> measured(const Row& row) {
  try {
    return row.measure();
  } catch (const std::exception& failure) {
    return {not_measured(row.name, "", Bound::kAtMost, 0, failure.what())};
  }
}

int measure(const Table& table, const Options& options) {
  std::size_t ok = 0, all = 0;
  if (!options.json)
    std::printf("%-52s %12s %-9s %-10s %s\n", "name", "measured", "unit", "goal", "verdict | beside");
  for (const Row& row : table.rows) {
    if (!options.rows.empty() && std::find(options.rows.begin(), options.rows.end(), row.name) == options.rows.end())
      continue;
    std::fprintf(stderr, "measuring %s\n", row.name.c_str());
    for (const Figure& figure : measured(row)) {
      print(figure, options.json);
      ok += met(figure) ? 1 : 0;
      ++all;
    }
  }
  if (!options.json) std::printf("%zu of %zu rows ok\n", ok, all);
  return all == 0 ? 2 : 0;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app{"Measures one of Covey's tables of figures on this machine."};
  app.add_option("table", options.table, "Which table; --list prints their names");
  app.add_option("--row", options.rows, "Only this row (repeat for several)");
  app.add_flag("--json", options.json, "A JSON line per row");
  app.add_flag("--list", options.list, "Print the tables' names; with a table, its rows' names");
  CLI11_PARSE(app, argc, argv);
  for (const Table& table : all_tables()) {
    if (options.list && options.table.empty()) {
      std::printf("%s\n", table.name.c_str());
      continue;
    }
    if (table.name != options.table) continue;
    if (!options.list) return measure(table, options);
    for (const Row& row : table.rows) std::printf("%s\n", row.name.c_str());
    return 0;
  }
  if (options.list && options.table.empty()) return 0;
  std::fprintf(stderr, "covey-figures: no table is called '%s'; --list prints the names\n", options.table.c_str());
  return 2;
}

}  // namespace
}  // namespace covey::bench

int main(int argc, char** argv) { return covey::bench::run(argc, argv); }
