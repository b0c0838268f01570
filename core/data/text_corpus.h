// Makes one client's text out of files that lie on a machine: filtered, cleaned of duplicates and
// capped, written into a folder of its own.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/data/corpus_filter.h"

namespace covey {

struct CorpusRequest {
  std::vector<std::string> roots;  // folders or files; links below them are not followed
  // A file is taken if its name equals one of these, or ends in one that starts with '.'. None: all.
  std::vector<std::string> names;
  std::string output;                                     // a folder that is empty or not there yet
  std::uint64_t bytes_max = 0;                            // of text written
  std::uint64_t file_bytes_max = std::uint64_t{1} << 20;  // a longer file is left out
  std::uint64_t seed = 1;                                 // of the order in which files are taken
};

struct CorpusReport {
  std::uint64_t bytes = 0;       // written
  std::uint64_t files = 0;       // written
  std::uint64_t candidates = 0;  // files whose name fits
  std::uint64_t files_binary = 0;
  std::uint64_t files_too_long = 0;
  std::uint64_t files_duplicate = 0;  // nothing new in them
  std::uint64_t paragraphs_kept = 0;
  std::uint64_t paragraphs_dropped = 0;
  std::uint64_t bytes_read = 0;    // of the text files among the candidates taken
  std::uint64_t files_unused = 0;  // not reached: the cap was
};

// Takes files in a seeded order until `bytes_max` is reached; the last is cut at the end of a line.
// What is kept is added to `seen`. Errors: kInvalidArgument (no roots, no cap), kNotFound,
// kInvalidData (unreadable, or nothing new in any file), kAlreadyExists (output holds something),
// kResourceExhausted (cannot write).
Result<CorpusReport> prepare_corpus(const CorpusRequest& request, SeenText& seen);

}  // namespace covey
