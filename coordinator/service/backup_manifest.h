// What a backup holds and how each byte of it is known again. As text, one line each:
//   covey-backup-v1
//   taken NANOSECONDS          since 1970
//   coordinator HEX            the CURVE key of the coordinator whose state it is
//   ledger SEQUENCE HASH       newest record of the release ledger
//   epoch N
//   store N                    DurableStore::sequence()
//   file SHA-256 BYTES PATH    for every file, in order of their paths: db/... and blobs/...
//   sum SHA-256                of the lines before
#pragma once
#include <string>
#include <vector>

#include "coordinator/service/ledger_mark.h"
#include "core/base/time.h"
#include "core/store/file_copies.h"

namespace covey {

inline constexpr const char* kManifestName = "manifest";

struct BackupFile {
  std::string path;  // relative: letters, digits, '.', '_', '-' and '/', without ".."
  CopiedFile content;
};

struct BackupManifest {
  Instant taken;
  PeerKey coordinator;
  LedgerMark mark;
  std::vector<BackupFile> files;
  std::uint64_t bytes() const;  // of all files
};

std::string text_of(const BackupManifest& manifest);
// Errors: kCorrupted naming the line.
Result<BackupManifest> manifest_from_text(std::string_view text);

// Where `path` is a value below blobs/, named by the hash of its content, that it still has this content; of other
// files nothing. Errors: kCorrupted naming the file, those of reading it.
Result<void> check_saved_value(const std::string& path);

// The manifest of the backup in `folder`, once all that it names is there with these bytes and nothing
// else is, every value below blobs/ is the one that its name says, its store opens, its ledger follows to the mark, and every value that its rows name is among
// the files. Errors: kNotFound (no backup), kCorrupted naming the file.
Result<BackupManifest> verify_backup(const std::string& folder);

}  // namespace covey
