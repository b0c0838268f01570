#include "coordinator/cli/withdrawing.h"

#include "coordinator/service/home.h"
#include "core/service/text_file.h"

namespace covey::cli {
namespace {

constexpr std::size_t kFileBytesMax = 64 * 1024;

}  // namespace

std::string withdrawals_path(const std::string& home) { return authority_folder(home) + "/withdrawals.bin"; }

Result<Withdrawals> kept_withdrawals(const std::string& home, const VerifyKey& authority) {
  const std::string path = withdrawals_path(home);
  const auto content = read_file(path, kFileBytesMax);
  if (!content && content.error().code == ErrorCode::kNotFound) return Withdrawals{};
  if (!content) return unexpected(content.error());
  auto list = decode_withdrawals(*content);
  if (!list) return unexpected(ErrorCode::kCorrupted, path + ": " + list.error().message);
  if (const auto own = verify(*list, authority); !own) return unexpected(ErrorCode::kCorrupted, path + ": " + own.error().message);
  return list;
}

std::string forgotten_text(const Withdrawals& restored, const Withdrawals& kept) {
  std::string text = "Revocations after the backup are forgotten, and those nodes are members again: `covey revoke` each once more.";
  if (kept.number > restored.number)
    text += " The authority's newest list of withdrawn credentials, number " + std::to_string(kept.number) + " (epoch " +
            std::to_string(kept.epoch) + ", " + std::to_string(kept.keys.size()) + " keys), is newer than the restored one, number " +
            std::to_string(restored.number) + ": `covey vouch --all`, or a `covey run` of a secure job, puts it in force again.";
  return text;
}

Result<Withdrawals> newest_withdrawals(Session& session, const std::string& home, const SigningKey& authority) {
  COVEY_TRY(const Withdrawals ours, kept_withdrawals(home, authority.public_key()));
  COVEY_TRY(const WithdrawalsRow row, session.ask_for<WithdrawalsRow>(ShowWithdrawals{}));
  const Withdrawals& theirs = row.list;
  if (theirs.number != 0) {
    if (const auto own = verify(theirs, authority.public_key()); !own)
      return unexpected(ErrorCode::kCorrupted, "from the coordinator: " + own.error().message);
  }
  if (ours == theirs) return ours;
  if (ours.number == theirs.number)
    return unexpected(ErrorCode::kCorrupted, "the coordinator holds another list " + std::to_string(theirs.number) +
                                                 " of withdrawn credentials than " + withdrawals_path(home) +
                                                 "; two folders signed with one authority's key. Remove the file to go on from "
                                                 "the coordinator's");
  if (ours.number < theirs.number) return theirs;
  COVEY_TRY_VOID(session.ask_for<Done>(RegisterWithdrawals{ours}));
  return ours;
}

Result<void> put_in_force(Session& session, const std::string& home, const Withdrawals& list) {
  COVEY_TRY_VOID(write_file(withdrawals_path(home), encode(list)));
  COVEY_TRY_VOID(session.ask_for<Done>(RegisterWithdrawals{list}));
  return {};
}

}  // namespace covey::cli
