#include "coordinator/cli/svg_chart.h"

#include <algorithm>
#include <cmath>

#include "coordinator/cli/format.h"
#include "core/spec/setting.h"

namespace covey::cli {
namespace {

constexpr double kWidth = 720, kHeight = 300;
constexpr double kLeft = 62, kRight = 16, kTop = 14, kBottom = 46;
constexpr int kTicksAsked = 5;

struct Axis {
  double low = 0, high = 1;   // values
  double begin = 0, end = 1;  // pixels
  double at(double value) const { return begin + (value - low) / (high - low) * (end - begin); }
};

std::string number(double pixels) { return fixed_text(pixels, 1); }

std::vector<std::pair<double, double>> finite_points(const Series& series) {
  std::vector<std::pair<double, double>> points;
  for (const auto& point : series.points)
    if (std::isfinite(point.first) && std::isfinite(point.second)) points.push_back(point);
  return points;
}

struct Bounds {
  double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
  bool empty() const { return !(x_low <= x_high); }
  void take(const Series& series) {
    for (const auto& [x, y] : finite_points(series)) {
      x_low = std::min(x_low, x);
      x_high = std::max(x_high, x);
      y_low = std::min(y_low, y);
      y_high = std::max(y_high, y);
    }
  }
};

std::string nothing_to_show(const ChartSpec& spec) {
  return "<figure><figcaption>" + html_text(spec.title) +
         "</figcaption><p class=\"none\">Nothing was measured yet.</p></figure>\n";
}

Axis y_axis(const ChartSpec& spec, const Bounds& bounds) {
  double low = spec.from_zero ? std::min(0.0, bounds.y_low) : bounds.y_low;
  double high = bounds.y_high;
  if (low == high) {  // a flat line lies in the middle
    low -= spec.from_zero && low >= 0 ? 0 : std::max(std::abs(low) * 0.1, 0.5);
    high += std::max(std::abs(high) * 0.1, 0.5);
  }
  const auto ticks = ticks_of(low, high);
  return {ticks.front(), ticks.back(), kHeight - kBottom, kTop};
}

std::string label(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\">" +
         html_text(text) + "</text>";
}

std::string grid(const Axis& y) {
  std::string out = "<g class=\"grid\">";
  for (const double tick : ticks_of(y.low, y.high)) {
    const std::string at = number(y.at(tick));
    out += "<line x1=\"" + number(kLeft) + "\" x2=\"" + number(kWidth - kRight) + "\" y1=\"" + at +
           "\" y2=\"" + at + "\"/>" + label(kLeft - 8, y.at(tick) + 4, "end", tick_text(tick));
  }
  return out + "</g>";
}

std::string x_ticks(const Axis& x) {
  std::string out = "<g class=\"ticks\">";
  for (const double tick : ticks_of(x.low, x.high)) {
    const bool whole = tick == std::floor(tick);  // rounds and versions are counted
    if (tick < x.low || tick > x.high || !whole) continue;
    out += label(x.at(tick), kHeight - kBottom + 18, "middle", tick_text(tick));
  }
  return out + "</g>";
}

std::string frame(const ChartSpec& spec, const Axis& x, const Axis& y, const std::string& inside) {
  const double middle = (kTop + kHeight - kBottom) / 2;
  return "<svg viewBox=\"0 0 " + number(kWidth) + " " + number(kHeight) + "\" role=\"img\" aria-label=\"" +
         html_text(spec.title) + "\">" + grid(y) + x_ticks(x) +
         label((kLeft + kWidth - kRight) / 2, kHeight - 6, "middle", spec.x_label) +
         "<text transform=\"translate(14 " + number(middle) + ") rotate(-90)\" text-anchor=\"middle\">" +
         html_text(spec.y_label) + "</text>" + inside + "</svg>";
}

std::string class_of(std::size_t index) {
  return index < kSeriesNamed ? "s" + std::to_string(index) : "rest";
}

std::string line_of(const Series& series, std::size_t index, const Axis& x, const Axis& y) {
  const auto points = finite_points(series);
  std::string path, marks;
  for (const auto& [px, py] : points) {
    path += (path.empty() ? "" : " ") + number(x.at(px)) + "," + number(y.at(py));
    marks += "<circle cx=\"" + number(x.at(px)) + "\" cy=\"" + number(y.at(py)) + "\" r=\"" +
             (points.size() > 60 ? "1.5" : "3") + "\"><title>" + html_text(series.name) + ", " +
             tick_text(px) + ": " + fixed_text(py, 4) + "</title></circle>";
  }
  return "<g class=\"" + class_of(index) + (index == 0 ? " first" : "") + "\"><polyline points=\"" + path +
         "\"/>" + marks + "</g>";
}

std::string legend(const std::vector<Series>& series) {
  if (series.size() < 2) return "";
  std::string out = "<ul class=\"legend\">";
  for (std::size_t i = 0; i < std::min(series.size(), kSeriesNamed); ++i)
    out += "<li><span class=\"key k" + std::to_string(i) + "\"></span>" + html_text(series[i].name) + "</li>";
  if (series.size() > kSeriesNamed)
    out +=
        "<li><span class=\"key krest\"></span>" + std::to_string(series.size() - kSeriesNamed) + " more</li>";
  return out + "</ul>";
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::vector<double> ticks_of(double low, double high) {
  if (!(low < high) || !std::isfinite(low) || !std::isfinite(high)) return {low, low + 1};
  const double raw = (high - low) / kTicksAsked;
  const double magnitude = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * magnitude;
  for (const double factor : {5.0, 2.0, 1.0})
    if (factor * magnitude >= raw * (1 - 1e-9)) step = factor * magnitude;
  const auto first = static_cast<long long>(std::floor(low / step + 1e-9));
  const auto last = static_cast<long long>(std::ceil(high / step - 1e-9));
  std::vector<double> ticks;
  for (long long i = first; i <= last; ++i) ticks.push_back(static_cast<double>(i) * step);
  return ticks;
}

std::string tick_text(double value) {
  const auto rounded = [](double v) { return setting_text(std::round(v * 1e6) / 1e6); };
  if (std::abs(value) >= 1e9) return rounded(value / 1e9) + "G";
  if (std::abs(value) >= 1e6) return rounded(value / 1e6) + "M";
  if (std::abs(value) >= 1e4) return rounded(value / 1e3) + "k";
  return rounded(value);
}

std::string line_chart(const ChartSpec& spec, const std::vector<Series>& series) {
  Bounds bounds;
  for (const Series& one : series) bounds.take(one);
  if (bounds.empty()) return nothing_to_show(spec);
  const Axis y = y_axis(spec, bounds);
  const Axis x{bounds.x_low, std::max(bounds.x_high, bounds.x_low + 1), kLeft + 8, kWidth - kRight - 8};
  std::string lines;  // the first last, on top of the others
  for (std::size_t i = series.size(); i-- > 0;) lines += line_of(series[i], i, x, y);
  return "<figure><figcaption>" + html_text(spec.title) + "</figcaption>" + legend(series) +
         frame(spec, x, y, lines) + "</figure>\n";
}

std::string bar_chart(const ChartSpec& spec, const Series& series) {
  Bounds bounds;
  bounds.take(series);
  if (bounds.empty()) return nothing_to_show(spec);
  ChartSpec zero = spec;
  zero.from_zero = true;
  const Axis y = y_axis(zero, bounds);
  const Axis x{bounds.x_low - 0.5, bounds.x_high + 0.5, kLeft, kWidth - kRight};
  const double width = std::clamp((x.at(1) - x.at(0)) * 0.7, 0.5, 24.0);
  std::string bars = "<g class=\"bars\">";
  for (const auto& [px, py] : finite_points(series)) {
    const double top = y.at(py);
    bars += "<rect x=\"" + number(x.at(px) - width / 2) + "\" y=\"" + number(top) + "\" width=\"" +
            number(width) + "\" height=\"" + number(std::max(y.at(y.low) - top, 0.0)) +
            "\" rx=\"1.5\"><title>" + tick_text(px) + ": " + fixed_text(py, 3) + "</title></rect>";
  }
  return "<figure><figcaption>" + html_text(spec.title) + "</figcaption>" + frame(spec, x, y, bars + "</g>") +
         "</figure>\n";
}

const char* svg_style() {
  return R"(:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--soft:#5d6670;--grid:#e3e6ea;--rest:#b6bcc4;
--c0:#2a78d6;--c1:#1baf7a;--c2:#eda100;--c3:#e34948;--c4:#4a3aa7;--c5:#e87ba4;--c6:#008300;--c7:#eb6834}
@media(prefers-color-scheme:dark){:root{--page:#16191d;--ink:#e7eaee;--soft:#9aa4af;--grid:#2b3036;--rest:#59626c;
--c0:#3987e5;--c1:#199e70;--c2:#c98500;--c3:#e66767;--c4:#9085e9;--c5:#d55181;--c6:#1f9a1f;--c7:#d95926}}
figure{margin:1.6em 0}figcaption{font-weight:600}svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}.grid line{stroke:var(--grid)}.grid text{font-variant-numeric:tabular-nums}
polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}.first polyline{stroke-width:3}
.s0{stroke:var(--c0);fill:var(--c0)}.s1{stroke:var(--c1);fill:var(--c1)}.s2{stroke:var(--c2);fill:var(--c2)}
.s3{stroke:var(--c3);fill:var(--c3)}.s4{stroke:var(--c4);fill:var(--c4)}.s5{stroke:var(--c5);fill:var(--c5)}
.s6{stroke:var(--c6);fill:var(--c6)}.s7{stroke:var(--c7);fill:var(--c7)}.rest{stroke:var(--rest);fill:var(--rest)}
circle{stroke:none}.bars rect{fill:var(--c0)}.none{color:var(--soft)}
.legend{list-style:none;margin:.3em 0;padding:0;display:flex;flex-wrap:wrap;gap:.2em 1.2em;color:var(--soft);font-size:14px}
.key{display:inline-block;width:14px;height:4px;border-radius:2px;margin-right:6px;vertical-align:middle}
.k0{background:var(--c0)}.k1{background:var(--c1)}.k2{background:var(--c2)}.k3{background:var(--c3)}
.k4{background:var(--c4)}.k5{background:var(--c5)}.k6{background:var(--c6)}.k7{background:var(--c7)}.krest{background:var(--rest)})";
}

}  // namespace covey::cli
