// One ingest in a process of its own: a row that was measured before leaves nothing in it that would count as
// the receiver's memory.
#include <sstream>

#include "bench/load/child.h"
#include "bench/reliability/ingest_bed.h"
#include "bench/shell.h"

namespace covey::bench {

std::string line_of(const IngestPlan& plan) {
  std::ostringstream line;
  line << static_cast<int>(plan.intake) << ' ' << plan.clients << ' ' << plan.updates << ' ' << plan.parameters << ' '
       << plan.rounds << ' ' << plan.download << ' ' << plan.limit_s;
  return line.str();
}

std::optional<IngestPlan> plan_of(const std::string& text) {
  std::istringstream line(text);
  IngestPlan plan;
  int intake = 0;
  if (!(line >> intake >> plan.clients >> plan.updates >> plan.parameters >> plan.rounds >> plan.download >> plan.limit_s))
    return std::nullopt;
  plan.intake = static_cast<Intake>(intake);
  return plan;
}

std::string text_of(const Ingested& done) {
  std::ostringstream text;
  text << "error " << done.error << '\n';
  text.precision(17);
  for (const IngestRound& round : done.rounds)
    text << round.seconds << ' ' << round.cpu_seconds << ' ' << round.aggregate_seconds << ' ' << round.peak_mib << '\n';
  return text.str();
}

Ingested ingest(const IngestPlan& plan) {
  const Ran ran = run(load::folder_of_programs() + "/covey-ingest " + line_of(plan));
  std::istringstream text(ran.output);
  std::string word;
  Ingested done;
  if (ran.code != 0 || !(text >> word) || word != "error") return {{}, "covey-ingest ended with " + std::to_string(ran.code)};
  text.ignore(1);
  std::getline(text, done.error);
  for (IngestRound round; text >> round.seconds >> round.cpu_seconds >> round.aggregate_seconds >> round.peak_mib;)
    done.rounds.push_back(round);
  return done;
}

}  // namespace covey::bench
