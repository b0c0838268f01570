// A process of PyTorch that does training steps when it is told to: bench/peers/torch_train.py --serve.
#pragma once
#include <sys/types.h>

#include <cstdio>
#include <memory>
#include <string>

namespace covey::bench {

struct PeerCase {
  std::string name;       // as torch_train.py calls it
  std::string precision;  // "f32", "bf16"
  int threads = 1;
  bool compiled = false;
  bool channels_last = false;
  std::string clip{};     // "hooks", "ghost": by Opacus; empty: the plain step
};

struct StepTime {
  double wall_ms, cpu_ms;  // cpu: of all threads of the process
};

class TorchPeer {
 public:
  // COVEY_PEERS_PYTHON names the interpreter. Null, with `why`, if that is not set or cannot do it.
  static std::unique_ptr<TorchPeer> start(const PeerCase& peer, std::string& why);
  ~TorchPeer();  // ends the process
  TorchPeer(const TorchPeer&) = delete;
  TorchPeer& operator=(const TorchPeer&) = delete;

  StepTime step();         // does one; throws std::runtime_error if the process ended
  double peak_mb() const;  // of its resident memory so far
  const std::string& says() const { return says_; }  // versions

 private:
  TorchPeer() = default;
  std::string line();

  pid_t pid_ = -1;
  std::FILE* in_ = nullptr;
  std::FILE* out_ = nullptr;
  std::string says_;
};

}  // namespace covey::bench
