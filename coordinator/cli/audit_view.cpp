#include "coordinator/cli/audit_view.h"

#include <algorithm>
#include <map>

#include "coordinator/journal.h"

namespace covey::cli {
namespace {

bool shown(const RoundKey& round, std::optional<JobId> job) { return !job || round.job == *job; }

std::string number_or_blank(std::uint64_t number) { return number == 0 ? "" : std::to_string(number); }

// Who is who, as the log itself says: an enrolment's text is "client site-1".
std::map<PeerKey, std::string> names_in(const VerifiedLog& log) {
  std::map<PeerKey, std::string> names;
  for (const AuditEntry& entry : log.audit)
    if (entry.kind == AuditKind::kEnrolled) names[entry.who] = entry.text.substr(entry.text.find(' ') + 1);
  return names;
}

std::string name_in(const std::map<PeerKey, std::string>& names, const PeerKey& peer) {
  if (peer == PeerKey{}) return "";
  const auto at = names.find(peer);
  return at == names.end() ? short_hex(peer) : one_line(at->second);
}

std::string detail_of(const AuditEntry& entry) {
  switch (entry.kind) {
    case AuditKind::kStarted:
      return "epoch " + std::to_string(entry.number);
    case AuditKind::kRestored:
      return "from a backup of epoch " + std::to_string(entry.number) +
             (entry.text.empty() ? "" : ": " + entry.text);
    case AuditKind::kJobSubmitted:
      return entry.text + ", file " + short_hex(entry.subject);
    case AuditKind::kJobEnded:
      return std::string(name_of(static_cast<JobState>(entry.number))) +
             (entry.text.empty() ? "" : ": " + entry.text);
    case AuditKind::kRoundOpened:
      return counted(entry.number, "member") + ", roster " + short_hex(entry.subject);
    case AuditKind::kRoundFrozen:
      return counted(entry.number, "contribution") + ", " + short_hex(entry.subject);
    case AuditKind::kReleased:
      return (entry.text.empty() ? "model " + short_hex(entry.subject) : entry.text) + ", ledger " +
             std::to_string(entry.number);
    case AuditKind::kConsumed:
      return "the same model, " + short_hex(entry.subject) + (entry.number == 0 ? "" : ", ledger " + std::to_string(entry.number)) +
             ": " + entry.text;
    default:
      return entry.text;
  }
}

template <class Fixed>
std::string hex_or_blank(const Fixed& value) {
  return value == Fixed{} ? "" : hex(value.span());
}

void add_round(JsonObject& object, const RoundKey& round) {
  object.add("job", round.job).add("round", round.round).add("attempt", round.attempt);
}

}  // namespace

bool tells_of(const VerifiedLog& log, JobId job) {
  const auto of_job = [job](const auto& record) { return record.round.job == job; };
  return std::any_of(log.audit.begin(), log.audit.end(), of_job) || std::any_of(log.ledger.begin(), log.ledger.end(), of_job);
}

Table audit_table(const VerifiedLog& log, std::optional<JobId> job) {
  Table table({"AUDIT", "TIME", "WHAT", "JOB", "ROUND", "ATTEMPT", "BY", "WHO", "DETAIL"}, {0, 3, 4, 5});
  const auto names = names_in(log);
  for (std::size_t i = 0; i < log.audit.size(); ++i) {
    const AuditEntry& entry = log.audit[i];
    if (!shown(entry.round, job)) continue;
    table.add({std::to_string(i + 1), date_text(entry.time), name_of(entry.kind),
               number_or_blank(entry.round.job), number_or_blank(entry.round.round),
               number_or_blank(entry.round.attempt), name_in(names, entry.actor), name_in(names, entry.who),
               one_line(detail_of(entry))});
  }
  return table;
}

Table ledger_table(const VerifiedLog& log, std::optional<JobId> job) {
  Table table(
      {"LEDGER", "TIME", "JOB", "ROUND", "ATTEMPT", "CONTRIBUTORS", "CONTRIBUTIONS", "CHARGE", "USED"},
      {0, 2, 3, 4, 5});
  for (std::size_t i = 0; i < log.ledger.size(); ++i) {
    const ReleaseRecord& record = log.ledger[i];
    if (!shown(record.round, job)) continue;
    table.add({std::to_string(i + 1), date_text(record.time), std::to_string(record.round.job),
               std::to_string(record.round.round), std::to_string(record.round.attempt),
               std::to_string(record.contributors), short_hex(record.contributions),
               record.charge.empty() ? "-" : bytes_text(record.charge.size()),
               log.released.contains(i + 1) ? "released" : "not released"});
  }
  return table;
}

std::vector<JsonObject> audit_objects(const VerifiedLog& log, std::optional<JobId> job) {
  std::vector<JsonObject> objects;
  for (std::size_t i = 0; i < log.audit.size(); ++i) {
    const AuditEntry& entry = log.audit[i];
    if (!shown(entry.round, job)) continue;
    JsonObject object;
    object.add("chain", "audit")
        .add("sequence", i + 1)
        .add("time", iso8601(entry.time))
        .add("kind", name_of(entry.kind));
    add_round(object, entry.round);
    object.add("actor", hex_or_blank(entry.actor))
        .add("who", hex_or_blank(entry.who))
        .add("subject", hex_or_blank(entry.subject));
    object.add("number", entry.number).add("text", entry.text).add("hash", hex(log.audit_hashes[i].span()));
    objects.push_back(std::move(object));
  }
  return objects;
}

std::vector<JsonObject> ledger_objects(const VerifiedLog& log, std::optional<JobId> job) {
  std::vector<JsonObject> objects;
  for (std::size_t i = 0; i < log.ledger.size(); ++i) {
    const ReleaseRecord& record = log.ledger[i];
    if (!shown(record.round, job)) continue;
    JsonObject object;
    object.add("chain", "ledger").add("sequence", i + 1).add("time", iso8601(record.time));
    add_round(object, record.round);
    object.add("contributors", record.contributors).add("contributions", hex(record.contributions.span()));
    object.add("charge", hex(record.charge))
        .add("released", log.released.contains(i + 1))
        .add("hash", hex(log.ledger_hashes[i].span()));
    objects.push_back(std::move(object));
  }
  return objects;
}

}  // namespace covey::cli
