// Real processes in a network namespace of their own, whose only interface goes down and comes back in the
// middle of a job. Prints what `covey-figures reliability --row "row 19"` reads.
#include <doctest/doctest.h>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>

#include "core/protocol/limits.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

constexpr std::size_t kClients = 3;
constexpr std::uint32_t kRounds = 400;

bool set_loopback(bool up) {
  const int descriptor = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool done = descriptor >= 0 && ::ioctl(descriptor, SIOCGIFFLAGS, &request) == 0;
  if (done) {
    const int flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
    request.ifr_flags = static_cast<short>(flags);
    done = ::ioctl(descriptor, SIOCSIFFLAGS, &request) == 0;
  }
  if (descriptor >= 0) ::close(descriptor);
  return done;
}

double since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("partition: it is noticed in time, and after it the job goes on as if nothing had been") {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 || !set_loopback(true)) {
    std::printf("figure skipped: this machine permits no network namespaces\n");
    MESSAGE("skipped: this machine permits no network namespaces");
    return;
  }
  Federation federation(kClients);
  federation.start_all();
  const JobId job = federation.submit({.rounds = kRounds});
  Process& coordinator = federation.coordinator();
  REQUIRE(federation.until([&] { return coordinator.count("round_committed") >= 20; }, 40));

  const auto cut = std::chrono::steady_clock::now();
  REQUIRE(set_loopback(false));
  const std::size_t lost_before = coordinator.count("node_lost");
  const auto noticed = [&] { return coordinator.count("node_lost") >= lost_before + kClients; };
  CHECK(federation.until(noticed, 40));
  const double detected = since(cut);
  const std::size_t committed = coordinator.count("round_committed");
  REQUIRE(committed < kRounds);  // it was in the middle
  REQUIRE(set_loopback(true));
  const auto healed = std::chrono::steady_clock::now();
  CHECK(federation.until([&] { return coordinator.count("round_committed") > committed; }, 90));
  const double resumed = since(healed);
  CHECK(federation.await_end(job, 90) == "job_finished");

  Desk desk(federation.home());
  std::uint32_t rounds = 0, short_rounds = 0, last = 0;
  for (bool more = true; more;) {
    const auto answer = desk.ask(ShowJob{job, last});
    REQUIRE(answer);
    const auto& rows = std::get<JobDetail>(*answer).metrics;
    for (const RoundMetrics& round : rows) {
      ++rounds;
      last = round.round;
      short_rounds += round.delivered == kClients ? 0 : 1;
    }
    more = rows.size() == kPageRowsMax;
  }
  std::printf("figure detect_s=%.2f resume_s=%.2f rounds=%u lost=%u\n", detected, resumed, rounds,
              short_rounds + (kRounds + 1 - rounds));
  CHECK(detected <= seconds(kHeartbeatInterval + kLinkTimeout) + 1);
  CHECK(rounds == kRounds + 1);  // and the final evaluation
  CHECK(short_rounds == 0);
}
