// Clients in processes of their own give their updates, over CURVE on loopback, to the real reactor,
// blob store and executor in another process, which is measured. What is left out is the training.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace covey::bench {

enum class Intake {
  kCryptoAlone,  // the floor: every chunk moved, decrypted and hashed, then forgotten
  kAttempt,      // durability = "attempt"
  kUpdate,       // durability = "update"
};

struct IngestPlan {
  Intake intake = Intake::kAttempt;
  std::size_t clients = 16;
  std::size_t updates = 4;        // of each client and round, each with other content
  std::uint64_t parameters = 10'000'000;  // a multiple of 10,000
  std::size_t rounds = 1;
  bool download = false;          // each client fetches each round's model first
  unsigned limit_s = 120;         // for everything; then it is killed
};

struct IngestRound {
  double seconds = 0;             // from the last update's announcement to the last one's end
  double cpu_seconds = 0;         // of the receiving process, meanwhile
  double aggregate_seconds = 0;   // to the next model, durable; 0 for kCryptoAlone
  double peak_mib = 0;            // of the receiving process, in this round
};

struct Ingested {
  std::vector<IngestRound> rounds;
  std::string error;              // "" when all went well
};

Ingested ingest_here(const IngestPlan& plan);  // forks: what this process holds counts as the receiver's memory
Ingested ingest(const IngestPlan& plan);       // by covey-ingest, beside this executable

std::string line_of(const IngestPlan& plan);   // what the two say to each other
std::optional<IngestPlan> plan_of(const std::string& text);
std::string text_of(const Ingested& done);

}  // namespace covey::bench
