// Charts as inline SVG: no script, no external resource; colours come from the page's style sheet
// (svg_style), which knows light and dark. Pure.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace covey::cli {

// & < > " ' become entities; control characters and bytes that are no UTF-8 become '?'.
std::string html_text(std::string_view text);

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // ascending x; those that are not finite are left out
};
struct ChartSpec {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool from_zero = false;  // the y axis begins at 0
};
// One line for each series, the first drawn strongest. Above kSeriesNamed, the rest are grey and
// share one entry of the legend. Without a single point: a sentence that says so.
inline constexpr std::size_t kSeriesNamed = 8;
std::string line_chart(const ChartSpec& spec, const std::vector<Series>& series);
// One bar for each point.
std::string bar_chart(const ChartSpec& spec, const Series& series);

const char* svg_style();  // CSS for the page's head

// Between 2 and 8 round numbers that span [low, high].
std::vector<double> ticks_of(double low, double high);
std::string tick_text(double value);  // "0.25", "12k", "3.5M"

}  // namespace covey::cli
