// A job with two committed rounds and a final measurement, and a client with a hostile name.
#pragma once
#include "coordinator/cli/report.h"

namespace covey::cli {

inline constexpr const char* kHostileName = "<script>alert('x')</script>&\"";

inline RoundMetrics sample_round(std::uint32_t round, double held_nats) {
  RoundMetrics metrics;
  metrics.round = round;
  metrics.attempt = 1;
  metrics.cohort = 3;
  metrics.delivered = 2;
  metrics.examples = 100;
  metrics.train = {held_nats * 1000, 1000, 7, 1.5};
  metrics.evaluation = {held_nats * 200, 200, 150};
  metrics.update_norm = 0.5;
  metrics.update_bytes = 2'000'000;
  metrics.started = instant_of_nanos(1'000'000'000'000'000'000) + std::chrono::seconds(10 * round);
  metrics.committed = metrics.started + std::chrono::seconds(9);
  return metrics;
}

inline ReportData sample_report(DataFormat format) {
  ReportData data;
  data.spec.data.format = format;
  data.spec.privacy.secure_aggregation = false;  // so that there are rows of clients
  data.spec.model.family = format == DataFormat::kText ? ModelFamily::kTransformer : ModelFamily::kCnn;
  data.summary.job = 4;
  data.summary.name = kHostileName;
  data.summary.state = JobState::kFinished;
  data.summary.round = data.summary.rounds = 2;
  data.summary.submitted = instant_of_nanos(1'000'000'000'000'000'000);
  data.summary.ended = data.summary.submitted + std::chrono::seconds(40);
  data.rounds = {sample_round(1, 2.0), sample_round(2, 1.0), sample_round(3, 0.5)};
  for (const RoundMetrics& round : data.rounds) {
    data.clients.push_back({round.round, kHostileName, 60, round.train, round.evaluation});
    data.clients.push_back({round.round, "site-b", 40, round.train, round.evaluation});
  }
  data.made = data.summary.ended;
  return data;
}

}  // namespace covey::cli
