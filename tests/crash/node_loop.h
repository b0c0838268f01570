// Drives one machine in virtual time with whatever executor, blobs and network it is given: the same
// loop for the process that is killed (real threads, real files) and for the nodes around it.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/protocol/machine.h"
#include "net/blob_transfer.h"

namespace covey::crash {

class NodeLoop {
 public:
  struct Parts {
    Machine& machine;
    Executor& executor;
    BlobStore& blobs;
    std::function<void(const Link& to, const Message& message)> send;  // session 0: whichever is live
    std::function<void()> wake;  // called on any thread: a completion waits for drain()
  };
  explicit NodeLoop(Parts parts) : parts_(std::move(parts)), transfer_(parts_.blobs, BlobTransferConfig{}) {}

  void start(Instant now);
  void receive(const Link& from, const Message& message, Instant now);
  void advance(Instant now);         // fires what is due
  void drain();                      // handles completions that wait
  bool busy();                       // something was asked for and is not handled yet
  std::optional<Instant> next_due() const;
  bool halted() const { return halted_; }

 private:
  void dispatch(const Event& event);
  void after(const BlobTransfer::Step& step);
  void on(const Send& command);
  void on(const SetTimer& command) { timers_[command.name] = now_ + command.after; }
  void on(const CancelTimer& command) { timers_.erase(command.name); }
  void on(Persist command);
  void on(const FetchBlob& command);
  void on(const CancelFetch& command) { transfer_.cancel(command.ticket); }
  void on(const PublishBlob& command) { transfer_.publish(command); }
  void on(const WithdrawBlob& command) { transfer_.withdraw(command.blob); }
  void on(const EraseBlob& command);
  void on(StartWork command);
  void on(const CancelWork& command) { parts_.executor.cancel(command.ticket); }
  void on(const AdmitPeer&) {}       // every node of these scenes is a member
  void on(const ExpelPeer&) {}
  void on(const ServeKey&) {}        // nobody changes a key here
  void on(const DropKey&) {}
  void on(const FollowKey&) {}
  void on(const WriteLog&) {}
  void on(const Halt&) { halted_ = true; }
  Executor::Completion completion();

  Parts parts_;
  BlobTransfer transfer_;
  Instant now_;
  std::map<std::string, Instant> timers_;
  std::mutex mutex_;
  std::vector<Event> done_;
  std::size_t outstanding_ = 0;
  bool halted_ = false;
};

}  // namespace covey::crash
