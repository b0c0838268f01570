#include "core/data/text_corpus.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>
#include <system_error>

#include "core/base/random.h"
#include "core/data/files.h"

namespace covey {
namespace {

namespace fs = std::filesystem;

struct Candidate {
  FoundFile file;
  std::string target;  // path below the output folder
};

bool name_fits(std::string_view relative, const std::vector<std::string>& names) {
  const std::string_view name = relative.substr(relative.rfind('/') + 1);  // npos + 1 is 0
  return names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& wanted) {
           return name == wanted || (wanted.starts_with('.') && name.ends_with(wanted));
         });
}

Result<std::vector<Candidate>> find_candidates(const CorpusRequest& request) {
  std::vector<Candidate> candidates;
  for (std::size_t r = 0; r < request.roots.size(); ++r) {
    COVEY_TRY(FileList list, list_files(request.roots[r]));
    const std::string prefix = request.roots.size() > 1 ? std::to_string(r) + "/" : "";
    for (FoundFile& file : list.files) {
      if (!name_fits(file.relative, request.names)) continue;
      std::string target = prefix + file.relative;
      candidates.push_back({std::move(file), std::move(target)});
    }
  }
  Random random = Random(request.seed).split("corpus");
  random.shuffle(std::span(candidates));
  return candidates;
}

Result<void> check_output(const std::string& output) {
  std::error_code error;
  if (!fs::exists(output, error) && !error) return {};
  if (!error && fs::is_directory(output, error) && fs::is_empty(output, error) && !error) return {};
  return unexpected(ErrorCode::kAlreadyExists,
                    shown(output, 300) + " is there already and is not an empty folder: name another");
}

Result<void> write_text(const fs::path& path, std::string_view text) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (error || !file)
    return unexpected(ErrorCode::kResourceExhausted,
                      "cannot write " + shown(path.string(), 300) +
                          ": free disk space or name a folder that can be written");
  return {};
}

// `text` or its whole lines that fit into `bytes_max`.
std::string_view cut_at_line(std::string_view text, std::uint64_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  text = text.substr(0, bytes_max);
  return text.substr(0, text.rfind('\n') + 1);
}

// Adds one file to the output. False: the cap is reached.
Result<bool> take(const Candidate& candidate, const CorpusRequest& request, SeenText& seen,
                  CorpusReport& report) {
  if (candidate.file.size > request.file_bytes_max) {
    ++report.files_too_long;
    return true;
  }
  COVEY_TRY(const Bytes bytes, read_data_file(candidate.file.path, request.file_bytes_max));
  if (looks_binary(bytes)) {
    ++report.files_binary;
    return true;
  }
  report.bytes_read += bytes.size();
  const SeenText::Kept kept = seen.keep_new(text_of(bytes));
  report.paragraphs_kept += kept.paragraphs_kept;
  report.paragraphs_dropped += kept.paragraphs_dropped;
  if (kept.text.empty()) {
    ++report.files_duplicate;
    return true;
  }
  const std::string_view text = cut_at_line(kept.text, request.bytes_max - report.bytes);
  if (!text.empty()) {
    COVEY_TRY_VOID(write_text(fs::path(request.output) / candidate.target, text));
    ++report.files;
    report.bytes += text.size();
  }
  return text.size() == kept.text.size() && report.bytes < request.bytes_max;
}

}  // namespace

Result<CorpusReport> prepare_corpus(const CorpusRequest& request, SeenText& seen) {
  if (request.roots.empty() || request.output.empty())
    return unexpected(ErrorCode::kInvalidArgument, "a corpus needs at least one root and an output folder");
  if (request.bytes_max == 0 || request.file_bytes_max == 0)
    return unexpected(ErrorCode::kInvalidArgument,
                      "a corpus of 0 bytes, or of files of 0 bytes, holds nothing: raise the bound");
  COVEY_TRY_VOID(check_output(request.output));
  COVEY_TRY(const std::vector<Candidate> candidates, find_candidates(request));

  CorpusReport report;
  report.candidates = candidates.size();
  std::size_t taken = 0;
  for (bool more = true; more && taken < candidates.size(); ++taken) {
    COVEY_TRY(more, take(candidates[taken], request, seen, report));
  }
  report.files_unused = candidates.size() - taken;
  if (report.bytes == 0)
    return unexpected(ErrorCode::kInvalidData,
                      shown(request.roots.front(), 300) + " and " + std::to_string(request.roots.size() - 1) +
                          " more roots hold no new text in " + std::to_string(candidates.size()) +
                          " files whose name fits (" + std::to_string(report.files_duplicate) +
                          " duplicates, " + std::to_string(report.files_binary) + " binary, " +
                          std::to_string(report.files_too_long) + " too long)");
  return report;
}

}  // namespace covey
