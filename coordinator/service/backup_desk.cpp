#include "coordinator/service/backup_desk.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/base/file.h"
#include "core/base/wire.h"

namespace covey {
namespace {

constexpr const char* kSocket = "backup.sock";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kFrameBytesMax = 16 * 1024;
constexpr int kRequestSeconds = 5;      // for a request to come and an answer to go
constexpr int kBackupSeconds = 6 * 3600;  // for a backup to be taken

// A socket's name is short by nature, a folder's path is not: through the folder's descriptor.
struct SocketPlace {
  FileDescriptor folder;
  sockaddr_un address{};
};
Result<SocketPlace> place_in(const std::string& folder) {
  SocketPlace place;
  place.folder = FileDescriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (place.folder.number() < 0) return unexpected(system_error_of(errno, folder));
  place.address.sun_family = AF_UNIX;
  std::snprintf(place.address.sun_path, sizeof place.address.sun_path, "/proc/self/fd/%d/%s", place.folder.number(), kSocket);
  return place;
}

const sockaddr* address_of(const SocketPlace& place) { return reinterpret_cast<const sockaddr*>(&place.address); }

void limit_waits(int socket, int seconds_to_receive) {
  const timeval receive{seconds_to_receive, 0};
  const timeval send{kRequestSeconds, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &send, sizeof send);
}

bool send_all(int socket, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

bool receive_all(int socket, std::span<std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

bool send_frame(int socket, const Bytes& body) {
  return send_all(socket, ByteWriter().u32(static_cast<std::uint32_t>(body.size())).raw(body).bytes());
}

std::optional<Bytes> receive_frame(int socket) {
  std::array<std::uint8_t, 4> head{};
  if (!receive_all(socket, head)) return std::nullopt;
  const std::uint32_t size = ByteReader(head).u32();
  if (size > kFrameBytesMax) return std::nullopt;
  Bytes body(size);
  if (!receive_all(socket, body)) return std::nullopt;
  return body;
}

Bytes encode(const BackupAsk& ask) {
  return ByteWriter().u8(kVersion).boolean(ask.mode == CopyMode::kCopy).text(ask.destination).take();
}

Result<BackupAsk> decode_ask(ByteSpan bytes) {
  ByteReader in(bytes);
  const std::uint8_t version = in.u8();
  BackupAsk ask;
  ask.mode = in.boolean() ? CopyMode::kCopy : CopyMode::kLinkOrCopy;
  ask.destination = in.text();
  COVEY_TRY_VOID(in.finish("the request"));
  if (version != kVersion)
    return unexpected(ErrorCode::kUnsupported, "the request has version " + std::to_string(version) + ", this coordinator knows 1");
  if (!ask.destination.empty() && ask.destination.front() != '/')
    return unexpected(ErrorCode::kInvalidArgument, ask.destination + " is not an absolute path");
  return ask;
}

Bytes encode(const Result<BackupAnswer>& answer) {
  ByteWriter out;
  out.boolean(answer.has_value());
  if (!answer) return out.u8(static_cast<std::uint8_t>(answer.error().code)).text(answer.error().message.substr(0, kFrameBytesMax / 2)).take();
  return out.text(answer->folder).u64(answer->files).u64(answer->bytes).u64(answer->ledger).u64(answer->pruned).take();
}

Result<BackupAnswer> decode_answer(ByteSpan bytes) {
  ByteReader in(bytes);
  BackupAnswer answer;
  if (!in.boolean()) {
    const std::uint8_t code = in.u8();
    std::string text(in.text());
    if (code > static_cast<std::uint8_t>(ErrorCode::kInternal)) return unexpected(ErrorCode::kInternal, std::move(text));
    return unexpected(static_cast<ErrorCode>(code), std::move(text));
  }
  answer.folder = in.text();
  answer.files = in.u64();
  answer.bytes = in.u64();
  answer.ledger = in.u64();
  answer.pruned = in.u64();
  COVEY_TRY_VOID(in.finish("the coordinator's answer"));
  return answer;
}

// The folder's mode keeps others out; this holds where someone opened it.
bool is_ours(int connection) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return false;
  return who.uid == ::geteuid() || who.uid == 0;
}

}  // namespace

Result<BackupAnswer> answer_backup(const BackupAsk& ask, const BackupDeskConfig& config, const TakeBackup& take) {
  BackupPlan plan{config.folder + "/data", ask.destination, ask.mode, config.coordinator, SystemClock().now()};
  const bool own = ask.destination.empty();
  if (own) {
    COVEY_TRY_VOID(make_folders(config.own));
    plan.destination = own_backup_path(config.own, plan.now);
  }
  COVEY_TRY(const BackupManifest made, take(plan));
  BackupAnswer answer{plan.destination, made.files.size(), made.bytes(), made.mark.ledger.sequence, 0};
  if (own) {
    COVEY_TRY(answer.pruned, prune_backups(config.own, config.keep));
  }
  return answer;
}

Result<std::unique_ptr<BackupDesk>> BackupDesk::open(const BackupDeskConfig& config, MarkedStore& store, Log& log) {
  COVEY_TRY(const SocketPlace place, place_in(config.folder));
  const std::string path = config.folder + "/" + kSocket;
  COVEY_TRY_VOID(remove_file(path));  // of a coordinator that was killed: we hold its store
  FileDescriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (listening.number() < 0 || ::bind(listening.number(), address_of(place), sizeof place.address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(listening.number(), 8) != 0)
    return unexpected(system_error_of(errno, path));
  FileDescriptor wake(::eventfd(0, EFD_CLOEXEC));
  if (wake.number() < 0) return unexpected(system_error_of(errno, path));
  return std::unique_ptr<BackupDesk>(new BackupDesk(config, store, log, std::move(listening), std::move(wake)));
}

BackupDesk::BackupDesk(BackupDeskConfig config, MarkedStore& store, Log& log, FileDescriptor listening, FileDescriptor wake)
    : config_(std::move(config)),
      store_(store),
      log_(log),
      listening_(std::move(listening)),
      wake_(std::move(wake)),
      thread_([this] { serve(); }) {}

BackupDesk::~BackupDesk() {
  stop_ = true;
  const std::uint64_t one = 1;
  COVEY_CHECK(::write(wake_.number(), &one, sizeof one) == sizeof one);
  thread_.join();
  (void)remove_file(config_.folder + "/" + kSocket);  // a stale one does no harm
}

void BackupDesk::serve() {
  while (!stop_) {
    std::array<pollfd, 2> polled{{{listening_.number(), POLLIN, 0}, {wake_.number(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    if (stop_ || polled[0].revents == 0) continue;
    const FileDescriptor connection(::accept4(listening_.number(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.number() < 0) continue;
    limit_waits(connection.number(), kRequestSeconds);
    if (is_ours(connection.number())) answer(connection.number());
  }
}

void BackupDesk::answer(int connection) {
  const auto request = receive_frame(connection);
  if (!request) return;
  const auto answer = [&]() -> Result<BackupAnswer> {
    COVEY_TRY(const BackupAsk ask, decode_ask(*request));
    return answer_backup(ask, config_, [&](const BackupPlan& plan) { return take_backup(plan, store_, stop_); });
  }();
  if (answer) {
    log_.info("backup_taken", {{"folder", answer->folder}, {"files", answer->files}, {"bytes", answer->bytes},
                               {"ledger", answer->ledger}, {"pruned", answer->pruned}});
  } else {
    log_.warning("backup_failed", {{"reason", answer.error().message}});
  }
  send_frame(connection, encode(answer));
}

Result<std::optional<BackupAnswer>> ask_backup(const std::string& folder, const BackupAsk& ask) {
  COVEY_TRY(const SocketPlace place, place_in(folder));
  const FileDescriptor connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connection.number() < 0) return unexpected(system_error_of(errno, folder));
  if (::connect(connection.number(), address_of(place), sizeof place.address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) return std::optional<BackupAnswer>();
    return unexpected(system_error_of(errno, folder + "/" + kSocket));
  }
  limit_waits(connection.number(), kBackupSeconds);
  const auto body = send_frame(connection.number(), encode(ask)) ? receive_frame(connection.number()) : std::nullopt;
  if (!body)
    return unexpected(ErrorCode::kUnavailable,
                      "the coordinator on " + folder + " did not answer; does it run as another user? Its log says more");
  COVEY_TRY(BackupAnswer answer, decode_answer(*body));
  return std::optional<BackupAnswer>(std::move(answer));
}

}  // namespace covey
