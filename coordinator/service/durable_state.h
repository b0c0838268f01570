// Opens what a coordinator keeps, and judges it before anything is served from it.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/service/ledger_mark.h"
#include "core/base/blob_store.h"
#include "core/base/log.h"

namespace covey {

struct StateOptions {
  std::string folder;                            // the coordinator's; its state is in data/
  std::string mark;                              // its ledger mark
  Recovery recovery = Recovery::kStrict;         // kPointInTime is logged loudly
  MissingMark missing_mark = MissingMark::kRefuse;
};

struct DurableState {
  std::unique_ptr<MarkedStore> store;
  std::unique_ptr<BlobStore> blobs;
  std::vector<Row> rows;                         // all of them, as they were found
  std::vector<BlobRef> partials;                 // what a process before this one had begun to fetch
};

// Refuses, with the remedy, a store that does not verify, that lies behind its mark, or whose rows name
// a value that is not here. Then erases the values that no row names, which a crash left behind.
// Errors: kCorrupted, kUnavailable (in use), kDiskFull, kPermissionDenied.
Result<DurableState> open_state(const StateOptions& options, Log& log);

// The values without which the rows make no state: of models, updates, and configurations of jobs that
// have started. Part of blobs_in_rows(). Errors: kCorrupted naming the row.
Result<std::set<Digest>> blobs_needed(const std::vector<Row>& rows);

// Where the mark lies unless --ledger-mark says otherwise.
std::string default_mark_path(const std::string& folder);

}  // namespace covey
