#include "core/service/signals.h"

#include <unistd.h>

#include <csignal>
#include <ctime>

#include "core/service/exit_code.h"

namespace covey {
namespace {

// A handler has no other way to reach them.
std::function<void()> g_on_stop;
volatile std::sig_atomic_t g_stops = 0;
timespec g_first_stop;
double g_same_request_seconds = 0;

double seconds_since_first_stop() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec - g_first_stop.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec - g_first_stop.tv_nsec);
}

void handle_stop(int) {
  if (g_stops > 0) {
    if (seconds_since_first_stop() > g_same_request_seconds) ::_exit(kExitInterrupted);
    return;
  }
  ::clock_gettime(CLOCK_MONOTONIC, &g_first_stop);
  g_stops = 1;
  if (g_on_stop) g_on_stop();
}

void install(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  ::sigaddset(&action.sa_mask, SIGINT);  // one handler at a time
  ::sigaddset(&action.sa_mask, SIGTERM);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals(std::function<void()> on_stop, Duration same_request) {
  g_stops = 0;
  g_same_request_seconds = seconds(same_request);
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
