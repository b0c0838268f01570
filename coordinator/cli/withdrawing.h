// The authority's list of withdrawn credentials (core/protocol/withdrawals.h), from the side that signs it. The newest
// that was signed lies beside the authority's key, so that no coordinator, and none that was put back to an older
// state, makes it sign a number twice.
#pragma once
#include <string>

#include "coordinator/cli/session.h"
#include "core/protocol/withdrawals.h"

namespace covey::cli {

std::string withdrawals_path(const std::string& home);  // ~/.covey/authority/withdrawals.bin

// What the authority's folder keeps; number 0: nothing. Errors: kCorrupted for a file that is not this authority's.
Result<Withdrawals> kept_withdrawals(const std::string& home, const VerifyKey& authority);
// What a restore forgot of revocations, and the remedy. `restored`: the list that the backup brought back; `kept`: the
// authority's, where its folder is at hand.
std::string forgotten_text(const Withdrawals& restored, const Withdrawals& kept);

// The newest of the coordinator's and the folder's. One that only the folder has is registered again: the command that
// signed it was cut off, or the coordinator was restored. Errors: kCorrupted for two lists of one number, or a file or
// answer that is not the authority's.
Result<Withdrawals> newest_withdrawals(Session& session, const std::string& home, const SigningKey& authority);
// Kept durably, then registered: from then on it counts. Errors: those of the file and of the coordinator.
Result<void> put_in_force(Session& session, const std::string& home, const Withdrawals& list);

}  // namespace covey::cli
