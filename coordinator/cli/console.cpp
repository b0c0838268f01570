#include "coordinator/cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>

#include "core/service/signals.h"

namespace covey::cli {
namespace {

std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 8) return size.ws_col;
  return 80;
}

// Whole characters, so that none is cut in two.
std::string_view first_columns(std::string_view text, std::size_t columns) {
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    const bool begins = (static_cast<unsigned char>(text[end]) & 0xC0U) != 0x80U;
    if (begins && seen++ == columns) break;
  }
  return text.substr(0, end);
}

}  // namespace

Console::Console(bool json) : json_(json), terminal_(::isatty(STDERR_FILENO) == 1) {}

Console::~Console() { progress(""); }

void Console::write(std::FILE* to, std::string_view text) {
  progress("");
  const bool written = std::fwrite(text.data(), 1, text.size(), to) == text.size() && std::fflush(to) == 0;
  if (!written && to == stdout && errno == EPIPE) unread_ = true;
}

void Console::line(std::string_view text) {
  if (!json_) write(stdout, std::string(text) + "\n");
}

void Console::object(const JsonObject& object) {
  if (json_) write(stdout, object.text() + "\n");
}

void Console::table(const Table& table) {
  for (const std::string& text : table.lines()) line(text);
}

void Console::raw(std::string_view bytes) { write(stdout, bytes); }

void Console::note(std::string_view text) { write(json_ ? stderr : stdout, std::string(text) + "\n"); }

void Console::warn(std::string_view text) { write(stderr, std::string(text) + "\n"); }

void Console::progress(std::string_view text) {
  if (!terminal_ || (text.empty() && !moved_)) return;
  const auto now = std::chrono::steady_clock::now();
  if (moved_ && !text.empty() && now - shown_ < std::chrono::milliseconds(50)) return;
  shown_ = now;
  const std::string shown(first_columns(text, terminal_columns() - 1));
  std::fprintf(stderr, "\r%s\033[K", shown.c_str());
  std::fflush(stderr);
  moved_ = !text.empty();
}

bool wait_or_interrupt(double seconds) {
  using Steady = std::chrono::steady_clock;
  const auto end = Steady::now() + std::chrono::duration<double>(seconds);
  while (!StopSignals::interrupted()) {
    const double left = std::chrono::duration<double>(end - Steady::now()).count();
    if (left <= 0) return true;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left, 0.05)));
  }
  return false;
}

}  // namespace covey::cli
