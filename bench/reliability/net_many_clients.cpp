// Rows 5 and 6: ten thousand clients at one coordinator, and five thousand that lose it.
#include <algorithm>

#include "bench/load/estate.h"
#include "bench/load/swarm.h"
#include "bench/reliability/rows.h"

namespace covey::bench {
namespace {

using namespace load;

constexpr std::size_t kClients = 10'000;
constexpr std::size_t kStorm = 5'000;
constexpr std::size_t kProcesses = 4;

std::string text_of(double value) {
  std::string text = std::to_string(value);
  return text.substr(0, text.find('.') + 2);
}

}  // namespace

std::vector<Figure> net_many_clients() {
  Estate estate(kClients);
  estate.serve({{"--nodes-max", "11000"}});
  Swarm swarm(estate.address(), 0, kClients, kProcesses);
  const double idle_rss = static_cast<double>(estate.service().rss_bytes());
  const double idle_cpu = estate.service().cpu_seconds();
  const double begin = now_seconds();
  swarm.dial();
  const double connect = swarm.await_joined(begin, kClients, 60);
  const double cpu = estate.service().cpu_seconds() - idle_cpu;
  const double rss = static_cast<double>(estate.service().rss_bytes()) - idle_rss;
  if (connect < 0)
    return {not_measured("row 5: 10,000 CURVE clients connect", "s", Bound::kAtMost, 10,
                         std::to_string(swarm.joined_since(begin)) + " of 10,000 joined in 60 s")};
  const double asked = now_seconds();
  swarm.ask_all();
  const double answer = swarm.await_answered(asked, kClients, 20);
  // An unhurried minute later they cost what heartbeats cost.
  const double cpu_before = estate.service().cpu_seconds();
  const double watched = now_seconds();
  pause_seconds(10);
  const double share = (estate.service().cpu_seconds() - cpu_before) / (now_seconds() - watched);
  return {
      at_most("row 5: 10,000 CURVE clients connect and join", connect, "s", 10,
              "coordinator " + text_of(cpu * 1e6 / kClients) + " us CPU each; " + machine_state()),
      at_most("row 5: memory of a client at the coordinator", rss / kClients / 1024, "KiB", 50,
              "RSS " + text_of(rss / 1048576) + " MiB above idle"),
      at_most("row 5: all 10,000 answered", answer < 0 ? 20 : answer, "s", 1,
              "idle they cost " + text_of(100 * share) + " % of a core"),
  };
}

std::vector<Figure> net_reconnect_storm() {
  Estate estate(kStorm);
  estate.serve({{"--nodes-max", "11000"}});
  Swarm swarm(estate.address(), 0, kStorm, kProcesses);
  swarm.dial();
  if (swarm.await_joined(now_seconds() - 1, kStorm, 60) < 0)
    return {not_measured("row 6: 99 % of 5,000 back after kill -9", "s", Bound::kAtMost, 5, "they did not join in 60 s")};
  const double killed = now_seconds();
  estate.service().kill();
  estate.serve({{"--nodes-max", "11000"}});
  const double served = now_seconds() - killed;
  const double back = swarm.await_joined(killed, kStorm * 99 / 100, 60);
  const double last = swarm.await_joined(killed, kStorm, 60);
  const std::vector<double> times = swarm.join_times(killed);
  const std::string first = times.empty() ? "-" : text_of(times.front());
  return {at_most("row 6: 99 % of 5,000 back after kill -9", back < 0 ? 60 : back, "s", 5,
                  "listening again after " + text_of(served) + " s, first back " + first + " s, last " +
                      (last < 0 ? "never" : text_of(last) + " s") + "; " + machine_state())};
}

}  // namespace covey::bench
