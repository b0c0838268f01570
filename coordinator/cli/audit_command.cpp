// covey audit.
#include "coordinator/cli/audit_log.h"
#include "coordinator/cli/audit_view.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/session.h"
#include "coordinator/service/home.h"
#include "core/service/exit_code.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

constexpr std::size_t kFileBytesMax = std::size_t{1} << 30;  // about four million records

Result<AuditLog> read_log(const std::string& path) {
  COVEY_TRY(const Bytes bytes, read_file(path, kFileBytesMax));
  auto log = decode_audit_log(bytes);
  if (!log) return unexpected(in_context(path, log.error()));
  return log;
}

Result<VerifyKey> record_key_of(const AuditOptions& options) {
  if (!options.key.empty()) {
    const auto key = fixed_from_hex<VerifyKey>(options.key);
    if (key) return *key;
    return unexpected(ErrorCode::kInvalidArgument,
                      "--key has " + std::to_string(options.key.size()) +
                          " characters; a record key is 64 hex digits, as `covey audit` prints it");
  }
  const std::string folder = operator_folder(options.home);
  COVEY_TRY(const auto membership, load_membership(folder));
  if (membership) return membership->coordinator.record;
  return unexpected(
      ErrorCode::kNotFound,
      folder +
          " holds no operator to tell the record key; give it with --key, or name the folder with --home");
}

Result<AuditLog> get_log(const AuditOptions& options, Console& console) {
  if (!options.file.empty()) return read_log(options.file);
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  AuditLog log;
  COVEY_TRY(log.audit, session->chain<ListAudit>());
  console.progress(std::to_string(log.audit.size()) + " audit records");
  // After the audit chain: what that speaks of is in the ledger by now.
  COVEY_TRY(log.ledger, session->chain<ListLedger>());
  console.progress("");
  return log;
}

Result<void> compare_with(const std::string& path, const VerifyKey& key, const VerifiedLog& now) {
  COVEY_TRY(const AuditLog earlier, read_log(path));
  const auto verified = verify_log(earlier, key);
  if (!verified) return unexpected(in_context(path + " itself does not verify", verified.error()));
  const auto continues = check_continues(*verified, now);
  if (!continues) return unexpected(in_context("compared with " + path, continues.error()));
  return {};
}

std::string head_text(const std::vector<Digest>& hashes) {
  return hashes.empty() ? "none" : std::to_string(hashes.size()) + " (" + short_hex(hashes.back()) + ")";
}

void print(const AuditOptions& options, std::optional<JobId> job, const VerifyKey& key, const VerifiedLog& log, Console& console) {
  if (console.json()) {
    for (const JsonObject& object : audit_objects(log, job)) console.object(object);
    for (const JsonObject& object : ledger_objects(log, job)) console.object(object);
    const auto head = [](const std::vector<Digest>& hashes) {
      return hashes.empty() ? std::string() : hex(hashes.back().span());
    };
    console.object(JsonObject()
                       .add("event", "verified")
                       .add("audit", log.audit.size())
                       .add("audit_head", head(log.audit_hashes))
                       .add("ledger", log.ledger.size())
                       .add("ledger_head", head(log.ledger_hashes))
                       .add("record_key", hex(key.span())));
    return;
  }
  if (const Table table = audit_table(log, job); !table.empty()) console.table(table);
  if (const Table table = ledger_table(log, job); !table.empty()) {
    console.line("");
    console.table(table);
  }
  console.line("");
  console.line("Verified: every link and signature of both chains, and a ledger record for every release.");
  console.line("Newest records: audit " + head_text(log.audit_hashes) + ", ledger " +
               head_text(log.ledger_hashes) + ". Record key: " + hex(key.span()));
  if (!options.since.empty()) console.line("Everything in " + options.since + " is still there, unchanged.");
}

}  // namespace

Result<int> audit_command(const AuditOptions& options, Console& console) {
  std::optional<JobId> job;
  if (!options.job.empty()) {
    COVEY_TRY(job, job_number(options.job));
  }
  if (!options.save.empty()) COVEY_TRY_VOID(check_new_file("--save", options.save));
  COVEY_TRY(const VerifyKey key, record_key_of(options));
  COVEY_TRY(const AuditLog log, get_log(options, console));
  const auto verified = verify_log(log, key);
  if (!verified)
    return unexpected(
        in_context("the log does not verify with record key " + short_hex(key), verified.error()));
  if (!options.since.empty()) COVEY_TRY_VOID(compare_with(options.since, key, *verified));
  if (job && !tells_of(*verified, *job))
    return unexpected(ErrorCode::kNotFound, "the log verifies and tells of no job " + std::to_string(*job) + "; `covey list` has their numbers");
  if (!options.save.empty()) COVEY_TRY_VOID(write_file(options.save, encode(log)));
  print(options, job, key, *verified, console);
  if (!options.save.empty())
    console.note("Saved in " + options.save + "; compare with it later: covey audit --since " + options.save);
  return kExitOk;
}

}  // namespace covey::cli
