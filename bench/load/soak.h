// Row 31 of the reliability table: visitors come and go at a real coordinator with a real job, in
// batches. After each batch, when the coordinator has closed their connections, it is measured.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace covey::load {

struct SoakPlan {
  std::size_t visits = 100'000;
  std::size_t nodes = 10'000;     // enrolled; each is drawn again and again, or never
  std::size_t batches = 20;
  std::size_t processes = 3;      // of visitors
  std::size_t at_once = 128;      // visitors of each
  double seconds_max = 900;       // then it is given up
  std::uint64_t seed = 1;
};

struct Gauge {  // of the coordinator, at rest
  double rss_bytes = 0;
  std::size_t files = 0, sockets = 0, threads = 0;
};

inline constexpr double kWarm = 0.2;  // share of the visits after which nothing should grow any more

struct Soaked {
  std::vector<Gauge> gauges;  // before the first batch, then after each
  double seconds = 0, cpu_seconds = 0;  // the whole; the coordinator's
  double peak_rss_bytes = 0;
  std::uint64_t joined = 0, not_joined = 0, unanswered = 0;
  std::uint64_t left = 0, vanished = 0, silent = 0;
  std::uint64_t offered = 0, downloads_cut = 0, uploads_cut = 0, uploads_whole = 0;
  std::uint32_t rounds = 0;   // committed meanwhile
  std::string why;            // it was given up; empty: it ran to its end

  // From `warm` of the batches on to the end.
  double rss_growth_percent(double warm = kWarm) const;
  // The others from kWarm on.
  long files_gained() const;    // other than sockets: tables of the store come and go
  long sockets_gained() const;
  long threads_gained() const;
  std::string text() const;     // one line of all this
};

Soaked soak(const SoakPlan& plan);

}  // namespace covey::load
