// Rows 7 to 10: what strangers without a key can do to the real service.
#include <algorithm>
#include <memory>

#include "bench/load/estate.h"
#include "bench/load/probe.h"
#include "bench/load/raw_socket.h"
#include "bench/reliability/rows.h"
#include "core/base/random.h"
#include "core/base/secure_random.h"
#include "core/protocol/limits.h"
#include "core/service/file_limit.h"

namespace covey::bench {
namespace {

using namespace load;

constexpr double kFloodSeconds = 15;
constexpr double kHandshakeLimit = 5;  // net/zmq_socket.cpp: HANDSHAKE_IVL
constexpr std::size_t kSlowPeers = 3'000;
constexpr std::size_t kGiantPeers = 300;

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size())))];
}

std::string whole(double value) { return std::to_string(static_cast<long>(value + 0.5)); }

// Connections that end at once, garbage, and greetings followed by a HELLO that nobody can open.
int flood(const CoordinatorAddress& address, double seconds, std::uint64_t seed) {
  Random random(seed);
  const double end = now_seconds() + seconds;
  for (std::uint64_t n = 0; now_seconds() < end; ++n) {
    RawSocket socket(n % 2 == 0 ? address.control_port : address.bulk_port);
    if (n % 3 == 1) {
      Bytes garbage(1 + random.below(2000));
      for (auto& byte : garbage) byte = static_cast<std::uint8_t>(random.next());
      socket.send(garbage);
    }
    if (n % 3 == 2) {
      socket.send(zmtp_greeting("CURVE", false));
      if (socket.wait_for_bytes(64, 0.2)) socket.send(curve_hello_of_noise(random.next()));
    }
  }
  return 0;
}

// Strangers with keys of their own.
int knock(const CoordinatorAddress& address, double seconds) {
  SystemRandom random;
  const double end = now_seconds() + seconds;
  int let_in = 0;
  while (now_seconds() < end) {
    Probe stranger(address, CurveKey::generate(random));
    let_in += stranger.await_link(2) == LinkState::kUp ? 1 : 0;
  }
  return let_in == 0 ? 0 : 1;
}

struct Honest {  // what clients with keys saw
  std::vector<double> round_trips;
  std::size_t handshakes = 0;
  std::size_t asked = 0;
};

Honest live(const CoordinatorAddress& address, double seconds) {
  Honest seen;
  Probe settled(address, key_of_node(0));
  settled.join(5);
  const double end = now_seconds() + seconds;
  for (std::size_t n = 0; now_seconds() < end; ++n) {
    if (const auto took = settled.round_trip(2)) seen.round_trips.push_back(*took);
    else seen.round_trips.push_back(2);
    if (n % 20 != 0) {
      pause_seconds(0.003);
      continue;
    }
    Probe fresh(address, key_of_node(1 + n / 20 % 50));
    ++seen.asked;
    seen.handshakes += fresh.join(5) ? 1 : 0;
    fresh.send(Leave{});
    fresh.round_trip(0.05);
  }
  return seen;
}

}  // namespace

std::vector<Figure> net_flood() {
  Estate estate(60);
  estate.serve();
  const Honest quiet = live(estate.address(), 3);
  const double cpu = estate.service().cpu_seconds();
  Child first([&] { return flood(estate.address(), kFloodSeconds, 1); });
  Child second([&] { return flood(estate.address(), kFloodSeconds, 2); });
  Child third([&] { return knock(estate.address(), kFloodSeconds); });
  const Honest seen = live(estate.address(), kFloodSeconds - 1);
  const double share = (estate.service().cpu_seconds() - cpu) / kFloodSeconds;
  const bool shut = third.wait(10) == 0;
  const std::string beside = "quiet p99 " + std::to_string(1000 * quantile(quiet.round_trips, 0.99)) + " ms; the service used " +
                             whole(100 * share) + " % of a core; " + machine_state();
  return {
      at_most("row 7: flood by strangers, p99 of a client's round trip", 1000 * quantile(seen.round_trips, 0.99), "ms", 20, beside),
      exactly("row 7: handshakes of clients that succeed in it",
              100.0 * static_cast<double>(seen.handshakes) / static_cast<double>(std::max<std::size_t>(seen.asked, 1)), "%", 100,
              std::to_string(seen.asked) + " tried; strangers let in: " + (shut ? "none" : "some")),
  };
}

std::vector<Figure> net_slow_loris() {
  raise_file_limit();
  Estate estate(2);
  estate.serve();
  const std::size_t before = estate.service().open_files();
  std::vector<std::unique_ptr<RawSocket>> slow;
  const Bytes greeting = zmtp_greeting("CURVE", false);
  const double begin = now_seconds();
  for (std::size_t i = 0; i < kSlowPeers; ++i) {
    slow.push_back(std::make_unique<RawSocket>(i % 2 == 0 ? estate.address().control_port : estate.address().bulk_port));
    if (i % 3 == 1) slow.back()->send(ByteSpan(greeting).first(11));
  }
  const double connected = now_seconds();
  std::size_t most = 0;
  double gone = -1;
  for (std::size_t turn = 0; gone < 0 && now_seconds() < connected + 30; ++turn) {
    for (std::size_t i = 2; i < slow.size(); i += 3)  // a byte at a time
      if (turn < greeting.size() - 1) slow[i]->send(ByteSpan(greeting).subspan(turn, 1));
    const std::size_t files = estate.service().open_files();
    most = std::max(most, files);
    if (most > before + kSlowPeers / 2 && files <= before + 2) gone = now_seconds() - connected;
    pause_seconds(0.2);
  }
  Probe honest(estate.address(), key_of_node(0));
  const bool joined = honest.join(5);
  const std::string beside = "held " + std::to_string(most - before) + " at most, connecting took " +
                             std::to_string(connected - begin) + " s; then a client joins: " + (joined ? "yes" : "no");
  return {at_most("row 8: 3,000 slow-loris connections are gone after", gone < 0 ? 30 : gone, "s", kHandshakeLimit + 2, beside)};
}

namespace {

Figure giants(const char* name, std::size_t limit, bool bulk) {
  Estate estate(2);
  estate.serve();
  const std::uint16_t port = bulk ? estate.address().bulk_port : estate.address().control_port;
  const auto before = static_cast<double>(estate.service().rss_bytes());
  std::vector<std::unique_ptr<RawSocket>> peers;
  const Bytes body(limit - 1, 0x55);  // one byte is missing for ever
  std::size_t cut = 0;
  for (std::size_t i = 0; i < kGiantPeers; ++i) {
    peers.push_back(std::make_unique<RawSocket>(port));
    RawSocket& peer = *peers.back();
    peer.send(zmtp_greeting("CURVE", false));
    peer.wait_for_bytes(64, 2);
    // A third announce a terabyte.
    peer.send(zmtp_command_header(i % 3 == 0 ? std::uint64_t{1} << 40 : limit));
    for (std::size_t sent = 0; sent < body.size(); sent += 65536)
      peer.send(ByteSpan(body).subspan(sent, std::min<std::size_t>(65536, body.size() - sent)));
  }
  double peak = 0;
  for (int i = 0; i < 20; ++i) {
    peak = std::max(peak, static_cast<double>(estate.service().rss_bytes()) - before);
    pause_seconds(0.05);
  }
  for (const auto& peer : peers) cut += peer->closed() ? 1 : 0;
  Probe honest(estate.address(), key_of_node(0));
  const bool joined = honest.join(5);
  const double bound = static_cast<double>(limit) / 1024 + 32;
  return at_most(name, peak / kGiantPeers / 1024, "KiB", bound,
                 std::to_string(kGiantPeers) + " peers, " + std::to_string(cut) + " cut within a second; then a client joins: " +
                     (joined ? "yes" : "no"));
}

}  // namespace

std::vector<Figure> net_giant_frames() {
  return {giants("row 9: giant frames before the handshake, control port, RSS a peer", kControlFrameBytesMax + 256, false),
          giants("row 9: giant frames before the handshake, bulk port, RSS a peer", kBulkFrameBytesMax + 256, true)};
}

std::vector<Figure> net_file_exhaustion() {
  raise_file_limit();
  Estate estate(2);
  estate.serve({{"--nodes-max", "100"}, 256});
  std::vector<std::unique_ptr<RawSocket>> held;
  for (std::size_t i = 0; i < 400; ++i) held.push_back(std::make_unique<RawSocket>(estate.address().control_port));
  const double full = now_seconds();
  pause_seconds(0.5);
  const std::size_t files = estate.service().open_files();
  const double cpu = estate.service().cpu_seconds();
  pause_seconds(1);
  const double share = estate.service().cpu_seconds() - cpu;
  double back = -1;
  for (std::size_t n = 0; back < 0 && now_seconds() < full + 30; ++n) {
    Probe honest(estate.address(), key_of_node(n % 2));
    if (honest.join(0.5)) back = now_seconds() - full;
  }
  const bool alive = estate.service().alive();
  return {
      at_most("row 10: out of files, a client is served again after", back < 0 ? 30 : back, "s", kHandshakeLimit + 2,
              std::to_string(files) + " of 256 files open, " + whole(100 * share) + " % of a core while full"),
      exactly("row 10: crashes when out of files", alive ? 0 : 1, "", 0),
  };
}

}  // namespace covey::bench
