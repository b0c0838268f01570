#include "tests/lint/source_text.h"

#include <stdio.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace covey::lint {
namespace {

namespace fs = std::filesystem;

bool is_name_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Where the literal that starts at text[begin] (a quote) ends: one past its closing quote, or the
// end of the line for an unclosed one.
std::size_t end_of_literal(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  std::size_t i = begin + 1;
  while (i < text.size() && text[i] != quote && text[i] != '\n') i += text[i] == '\\' ? 2 : 1;
  if (i < text.size() && text[i] == quote) return i + 1;
  return std::min(i, text.size());
}

// The same for R"delimiter( ... )delimiter", `begin` at its quote.
std::size_t end_of_raw_string(std::string_view text, std::size_t begin) {
  const std::size_t open = text.find('(', begin);
  if (open == std::string_view::npos) return text.size();
  const std::string closing = ")" + std::string(text.substr(begin + 1, open - begin - 1)) + "\"";
  const std::size_t close = text.find(closing, open);
  return close == std::string_view::npos ? text.size() : close + closing.size();
}

bool starts_raw_string(std::string_view text, std::size_t quote) {
  if (text[quote] != '"' || quote == 0 || text[quote - 1] != 'R') return false;
  if (quote == 1) return true;
  const char before = text[quote - 2];  // also u8R, uR, UR, LR
  return !is_name_char(before) || before == 'u' || before == 'U' || before == 'L' || before == '8';
}

void blank(std::string& text, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    if (text[i] != '\n') text[i] = ' ';
  }
}

// What git would commit; empty without git or a repository.
std::vector<std::string> paths_from_git(const std::string& root) {
  std::string quoted = "'";
  for (const char c : root) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  const std::string command =
      "git -C " + quoted + "' ls-files -z --cached --others --exclude-standard 2>/dev/null";
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::string output;
  char buffer[65536];
  for (std::size_t n = 0; (n = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  if (::pclose(pipe) != 0) return {};
  std::vector<std::string> paths;
  for (std::size_t begin = 0, end = 0; (end = output.find('\0', begin)) != std::string::npos; begin = end + 1) {
    paths.push_back(output.substr(begin, end - begin));
  }
  return paths;
}

std::vector<std::string> paths_from_disk(const fs::path& root) {
  std::vector<std::string> paths;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator(); ++it) {
    const std::string path = it->path().lexically_relative(root).generic_string();
    const std::string name = it->path().filename().string();
    const bool ignored = name == ".git" || name == ".cache" || name == "__pycache__" ||
                         (it.depth() == 0 && name.starts_with("build"));
    if (ignored) {
      it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      paths.push_back(path);
    }
  }
  return paths;
}

}  // namespace

std::string without_comments(std::string_view text, Literals literals) {
  std::string out(text);
  std::size_t i = 0;
  while (i < text.size()) {
    const std::string_view rest = text.substr(i);
    std::size_t end = i + 1;
    if (rest.starts_with("//")) {
      end = std::min(text.find('\n', i), text.size());
      blank(out, i, end);
    } else if (rest.starts_with("/*")) {
      const std::size_t close = text.find("*/", i + 2);
      end = close == std::string_view::npos ? text.size() : close + 2;
      blank(out, i, end);
    } else if (text[i] == '"' || (text[i] == '\'' && (i == 0 || !is_name_char(text[i - 1])))) {
      end = starts_raw_string(text, i) ? end_of_raw_string(text, i) : end_of_literal(text, i);
      if (literals == Literals::kBlank && end > i + 2) blank(out, i + 1, end - 1);
    }
    i = end;
  }
  return out;
}

std::vector<Include> includes_of(std::string_view text) {
  const std::string code = without_comments(text, Literals::kKeep);
  const std::string bare = without_comments(text, Literals::kBlank);  // no '#' from inside a string
  const auto code_lines = lines_of(code);
  const auto bare_lines = lines_of(bare);
  std::vector<Include> found;
  for (std::size_t i = 0; i < code_lines.size(); ++i) {
    std::size_t at = bare_lines[i].find_first_not_of(" \t");
    if (at == std::string_view::npos || bare_lines[i][at] != '#') continue;
    at = bare_lines[i].find_first_not_of(" \t", at + 1);
    if (at == std::string_view::npos || !bare_lines[i].substr(at).starts_with("include")) continue;
    const std::size_t open = code_lines[i].find_first_of("\"<", at);
    if (open == std::string_view::npos) continue;
    const bool quoted = code_lines[i][open] == '"';
    const std::size_t close = code_lines[i].find(quoted ? '"' : '>', open + 1);
    if (close == std::string_view::npos) continue;
    found.push_back({std::string(code_lines[i].substr(open + 1, close - open - 1)), i + 1, quoted});
  }
  return found;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

bool has_word(std::string_view line, std::string_view word) {
  for (std::size_t at = line.find(word); at != std::string_view::npos; at = line.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_name_char(line[at - 1])) && (end == line.size() || !is_name_char(line[end]))) return true;
  }
  return false;
}

std::vector<std::string_view> words_of(std::string_view blank_separated) {
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  while ((begin = blank_separated.find_first_not_of(' ', begin)) != std::string_view::npos) {
    const std::size_t end = std::min(blank_separated.find(' ', begin), blank_separated.size());
    words.push_back(blank_separated.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

std::vector<Source> read_repository(const std::string& root) {
  std::vector<std::string> paths = paths_from_git(root);
  if (paths.empty()) paths = paths_from_disk(root);
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  std::vector<Source> sources;
  for (const std::string& path : paths) {
    std::ifstream file(fs::path(root) / path, std::ios::binary);
    if (!file) continue;  // deleted, but still in git's index
    std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const bool binary = text.substr(0, 8192).find('\0') != std::string::npos;
    sources.push_back({path, binary ? std::string() : std::move(text)});
  }
  return sources;
}

}  // namespace covey::lint
