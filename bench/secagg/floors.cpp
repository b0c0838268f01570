#include <algorithm>
#include <array>
#include <thread>

#include "bench/secagg/rows.h"
#include "privacy/masking.h"

namespace covey::bench {
namespace {

constexpr std::size_t kPieceWords = 16 * 1024 / 8;

// Every thread does its share of each term, as masking divides it.
void on_threads(const MaskWork& work, const std::function<void(std::size_t words)>& share) {
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < work.threads; ++i)
    threads.emplace_back([&, i] { share(work.words * (i + 1) / work.threads - work.words * i / work.threads); });
}

}  // namespace

double seconds_of(const std::function<void()>& act) {
  const auto begin = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

double cipher_seconds(const MaskWork& work) {
  return seconds_of([&] {
    on_threads(work, [&](std::size_t words) {
      std::array<std::uint8_t, kPieceWords * 8> piece{};
      for (std::size_t term = 0; term < work.terms; ++term) {
        Prg stream{Secret<32>()};
        for (std::size_t rest = words * 8; rest > 0;) {
          const std::size_t some = std::min(rest, piece.size());
          stream.fill(std::span(piece).first(some));
          rest -= some;
        }
      }
    });
  });
}

double addition_seconds(const MaskWork& work) {
  const Ring ring = *Ring::of_width(32);
  return seconds_of([&] {
    on_threads(work, [&](std::size_t words) {
      std::vector<std::uint64_t> into(kPieceWords), other(kPieceWords, 3);
      for (std::size_t term = 0; term < work.terms; ++term)
        for (std::size_t rest = words; rest > 0;) {
          const std::size_t some = std::min(rest, kPieceWords);
          combine(std::span(into).first(some), std::span<const std::uint64_t>(other).first(some), Sign::kPlus, ring);
          rest -= some;
        }
    });
  });
}

}  // namespace covey::bench
