#include "coordinator/cli/svg_chart.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace covey::cli;

TEST_CASE("chart: ticks are round numbers that span the values") {
  CHECK(ticks_of(0, 10) == std::vector<double>{0, 2, 4, 6, 8, 10});
  for (const auto& [low, high] :
       {std::pair{0.0, 1.0}, {2.3, 8.05}, {-3.0, 1e9}, {1e-9, 2e-9}, {99.2, 99.9}}) {
    const auto ticks = ticks_of(low, high);
    CHECK(ticks.size() >= 2);
    CHECK(ticks.size() <= 8);
    CHECK(ticks.front() <= low + (high - low) * 1e-6);
    CHECK(ticks.back() >= high - (high - low) * 1e-6);
  }
  CHECK(ticks_of(5, 5).size() == 2);
}

TEST_CASE("chart: numbers on an axis are short") {
  CHECK(tick_text(0.1 + 0.2) == "0.3");
  CHECK(tick_text(12'000) == "12k");
  CHECK(tick_text(3'500'000) == "3.5M");
  CHECK(tick_text(2e9) == "2G");
}

TEST_CASE("chart: text from peers is escaped wherever it appears") {
  CHECK(html_text("<a href=\"x\">&'\x01\xff") == "&lt;a href=&quot;x&quot;&gt;&amp;&#39;??");
  const std::string chart =
      line_chart({"<b>", "<i>", "<u>"}, {{"<script>", {{1, 2}, {2, 3}}}, {"<svg onload=x>", {{1, 1}}}});
  for (const char* bad : {"<script", "<b>", "<i>", "<u>", "onload=x>"})
    CHECK(chart.find(bad) == std::string::npos);
  CHECK(chart.find("&lt;script&gt;") != std::string::npos);
}

TEST_CASE("chart: values that are not finite are left out, and nothing at all is said so") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string chart = line_chart({"t", "x", "y"}, {{"a", {{0, nan}, {1, 2}, {2, INFINITY}, {3, 4}}}});
  CHECK(chart.find("nan") == std::string::npos);
  CHECK(chart.find("inf") == std::string::npos);
  CHECK(chart.find("<polyline") != std::string::npos);
  CHECK(line_chart({"t", "x", "y"}, {{"a", {{0, nan}}}}).find("Nothing was measured") != std::string::npos);
  CHECK(bar_chart({"t", "x", "y"}, {"a", {}}).find("Nothing was measured") != std::string::npos);
}

TEST_CASE("chart: one value alone still has an axis") {
  const std::string bars = bar_chart({"t", "x", "y"}, {"a", {{1, 0}}});
  CHECK(bars.find("<rect") != std::string::npos);
  CHECK(bars.find("height=\"-") == std::string::npos);
  CHECK(line_chart({"t", "x", "y"}, {{"a", {{7, 3}}}}).find("<circle") != std::string::npos);
}

TEST_CASE("chart: many series share the last entry of the legend") {
  std::vector<Series> many;
  for (int i = 0; i < 12; ++i) many.push_back({"client-" + std::to_string(i), {{0, i}, {1, i}}});
  const std::string chart = line_chart({"t", "x", "y"}, many);
  CHECK(chart.find("<li><span class=\"key krest\"></span>4 more") != std::string::npos);
  CHECK(line_chart({"t", "x", "y"}, {many[0]}).find("legend") == std::string::npos);
}
