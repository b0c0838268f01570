// Child processes for measurements: a forked function or a program of this build. Each is ended by its
// own id when its Child goes, and dies with its parent.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace covey::load {

struct Program {
  std::string name;                     // in the folder of this executable
  std::vector<std::string> arguments;
  std::string log;                      // file for both its streams; empty: nowhere
  std::uint64_t open_files_max = 0;     // RLIMIT_NOFILE, soft and hard; 0: ours
};

class Child {
 public:
  explicit Child(const std::function<int()>& body);
  explicit Child(const Program& program);
  ~Child() { kill(); }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), code_(other.code_) {}
  Child& operator=(Child&& other) noexcept;

  pid_t pid() const { return pid_; }
  bool alive();
  void signal(int number) const;
  std::optional<int> wait(double seconds);  // its exit code, 128 + signal where one ended it; nothing: it runs
  void kill();

  std::uint64_t rss_bytes() const;
  std::uint64_t peak_rss_bytes() const;
  double cpu_seconds() const;
  std::size_t open_files() const;
  std::size_t open_sockets() const;  // among them
  std::size_t threads() const { return status_field("Threads:"); }

 private:
  std::uint64_t status_field(const char* field) const;
  pid_t pid_ = -1;
  std::optional<int> code_;
};

double now_seconds();           // steady, the same in every process
void pause_seconds(double seconds);
std::string folder_of_programs();
double load_average();
std::string machine_state();    // "load 5.1 on 4 cores"

}  // namespace covey::load
