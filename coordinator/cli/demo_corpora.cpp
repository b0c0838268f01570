#include "coordinator/cli/demo_corpora.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "coordinator/cli/format.h"
#include "core/data/text_corpus.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/limits.h"

namespace covey::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBytesMax = 400'000;  // of one client: more than the training can read often enough
constexpr std::uint64_t kBytesMin = 20'000;   // below, a held-out tenth says nothing
constexpr std::uint64_t kFileBytesMax = 100'000;  // many files rather than a few long ones
constexpr std::uint64_t kOwnFileBytesMax = 64 << 20U;

struct Source {
  std::string name;
  std::string what;
  std::vector<std::string> roots;
  std::vector<std::string> names;
  std::uint64_t file_bytes_max = kFileBytesMax;
};

// Folders in `parent` whose name begins with `prefix`.
std::vector<std::string> folders_like(const std::string& parent, std::string_view prefix) {
  std::vector<std::string> found;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(parent, code))
    if (entry.is_directory(code) && entry.path().filename().string().starts_with(prefix))
      found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<Source> machine_sources() {
  return {
      {"licences", "licence texts", {"/usr/share/common-licenses"}, {}},
      {"notices", "copyright notices", {"/usr/share/doc"}, {"copyright"}},
      {"headers", "C and C++ headers", {"/usr/include"}, {".h", ".hpp", ".hh", ".hxx"}},
      {"cmake", "CMake modules", folders_like("/usr/share", "cmake-"), {".cmake"}},
      {"perl", "Perl sources", {"/usr/share/perl"}, {".pm", ".pl"}},
      {"python", "Python modules", folders_like("/usr/lib", "python3"), {".py"}},
  };
}

std::vector<Source> own_sources(const std::vector<std::string>& paths) {
  const std::vector<std::string> names = client_names(paths);
  std::vector<Source> sources;
  for (std::size_t i = 0; i < paths.size(); ++i)
    sources.push_back({names[i], "text in " + paths[i], {paths[i]}, {}, kOwnFileBytesMax});
  return sources;
}

// Text of `source` that nobody else has, at most `bytes_max` of it.
Result<CorpusReport> prepare(const Source& source, const std::string& folder, std::uint64_t bytes_max,
                             SeenText& seen) {
  if (source.roots.empty()) return unexpected(ErrorCode::kNotFound, "no " + source.what + " on this machine");
  return prepare_corpus({source.roots, source.names, folder, bytes_max, source.file_bytes_max, 1}, seen);
}

struct Measured {
  std::vector<Source> sources;  // those with enough text
  std::uint64_t bytes = 0;      // that each of them has
};

// A first pass finds out how much each has once nothing is said twice.
Result<Measured> measure(const std::vector<Source>& sources, const std::string& folder, bool all_needed,
                         Console& console) {
  Measured measured{{}, kBytesMax};
  SeenText seen;
  for (const Source& source : sources) {
    auto report = prepare(source, folder + "/" + source.name, kBytesMax, seen);
    const std::uint64_t bytes = report ? report->bytes : 0;
    if (bytes >= kBytesMin) {
      measured.sources.push_back(source);
      measured.bytes = std::min(measured.bytes, bytes);
      continue;
    }
    const std::string why = report ? "only " + bytes_text(bytes) + " of it is new, at least " +
                                         bytes_text(kBytesMin) + " are needed"
                                   : report.error().message;
    if (all_needed)
      return unexpected(report ? ErrorCode::kInvalidData : report.error().code, source.what + ": " + why);
    console.warn("demo: no client \"" + source.name + "\" (" + source.what + "): " + one_line(why));
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return measured;
}

}  // namespace

std::vector<std::string> client_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const std::string& path : paths) {
    fs::path plain = fs::path(path).lexically_normal();
    if (!plain.has_filename()) plain = plain.parent_path();  // a slash at the end
    std::string name = plain.filename().string().substr(0, kNameBytesMax / 2);
    std::replace_if(
        name.begin(), name.end(),
        [](char c) {
          return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '_' && c != '-';
        },
        '-');
    if (name.empty() || name == "." || name == "..") name = "client";
    const std::string stem = name;
    for (int i = 2; !taken.insert(name).second; ++i) name = stem + "-" + std::to_string(i);
    names.push_back(name);
  }
  return names;
}

Result<std::vector<DemoClient>> prepare_corpora(const CorporaRequest& request, Console& console) {
  const bool own = !request.data.empty();
  const std::string least = std::to_string(kSecureClientsMin);
  if (own && request.data.size() < kSecureClientsMin)
    return unexpected(ErrorCode::kInvalidArgument,
                      "--data names the data of " + std::to_string(request.data.size()) + " clients; at least " + least +
                          " are needed, so that no sum is of few (secure aggregation): give --data DIR DIR DIR DIR ...");
  const auto sources = own ? own_sources(request.data) : machine_sources();
  console.progress("reading text");
  COVEY_TRY(const Measured measured, measure(sources, request.folder + "/measured", own, console));
  if (measured.sources.size() < kSecureClientsMin)
    return unexpected(ErrorCode::kNotFound, "text for only " + std::to_string(measured.sources.size()) +
                                                " clients lies on this machine, at least " + least +
                                                " are needed; name folders of your own with --data DIR DIR DIR DIR ...");
  SeenText seen;
  std::vector<DemoClient> clients;
  for (const Source& source : measured.sources) {
    const std::string folder = request.folder + "/" + source.name;
    COVEY_TRY(const CorpusReport report, prepare(source, folder, measured.bytes, seen));
    const std::uint64_t dropped = report.paragraphs_dropped;
    console.note("  " + source.name + ": " + bytes_text(report.bytes) + " of " + source.what + " in " +
                 std::to_string(report.files) + " files; " + std::to_string(dropped) + " of " +
                 std::to_string(dropped + report.paragraphs_kept) +
                 " paragraphs repeat others and were dropped");
    clients.push_back({source.name, folder, report.bytes});
  }
  return clients;
}

}  // namespace covey::cli
