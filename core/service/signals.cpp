#include "core/service/signals.h"

#include <csignal>
#include <unistd.h>

#include "core/service/exit_code.h"

namespace covey {
namespace {

// A handler has no other way to reach them.
std::function<void()> g_on_stop;
volatile std::sig_atomic_t g_stops = 0;

void handle_stop(int) {
  g_stops = g_stops + 1;
  if (g_stops > 1) ::_exit(kExitInterrupted);
  if (g_on_stop) g_on_stop();
}

void install(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals(std::function<void()> on_stop) {
  g_stops = 0;
  g_on_stop = std::move(on_stop);
  install(SIGINT, handle_stop);
  install(SIGTERM, handle_stop);
  install(SIGPIPE, SIG_IGN);
}

StopSignals::~StopSignals() {
  install(SIGINT, SIG_DFL);
  install(SIGTERM, SIG_DFL);
  g_on_stop = nullptr;
}

bool StopSignals::interrupted() { return g_stops > 0; }

}  // namespace covey
