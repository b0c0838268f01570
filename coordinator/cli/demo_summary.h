// What the demonstration measured, for people and for programs. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/cli/audit_log.h"
#include "coordinator/cli/format.h"
#include "coordinator/cli/json_object.h"

namespace covey::cli {

// Bits per byte on held-out text; one column a client.
struct DemoResult {
  std::vector<std::string> clients;
  std::vector<double> initial;              // [text]
  std::vector<std::vector<double>> alone;   // [model][text]
  std::vector<double> federated;            // [text]
  std::uint32_t rounds = 0;
  std::uint32_t sums = 0;                   // that the coordinator opened: one a round, and the final measurement
  std::uint32_t least = 0, most = 0;        // masked updates in one of them
  double seconds = 0;                       // the whole demonstration
};
double mean(const std::vector<double>& values);
double alone_mean(const DemoResult& result);       // over models and texts
double alone_own_mean(const DemoResult& result);   // each model on its own client's text
Table result_table(const DemoResult& result);
// One sentence on everyone's text, one on their own: which is better, by how much.
std::vector<std::string> verdict(const DemoResult& result);
// What the coordinator learned, what it did not, and what that rests on.
std::vector<std::string> protection(const DemoResult& result);
// What verified: acts, and the sums that were made use of (a ledger record may be of one that never was).
std::string text_of_records(const VerifiedLog& log);
JsonObject summary_json(const DemoResult& result);

}  // namespace covey::cli
