// covey rotate-key.
#include <limits>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/format.h"
#include "coordinator/cli/session.h"
#include "coordinator/cli/token.h"
#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/service/exit_code.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

// The coordinator tells the change, while it lasts, with any answer.
Result<int> save_change(Session& session, const std::string& path, Console& console) {
  if (file_exists(path))
    return unexpected(ErrorCode::kAlreadyExists, path + " is there already; name another file with --save");
  const auto answer = session.ask(ListJobs{std::numeric_limits<JobId>::max()});
  if (!session.key_change())
    return unexpected(ErrorCode::kNotFound, answer ? "the coordinator's key was never changed: its tokens and members need nothing"
                                                   : "this home knows of no change of the coordinator's key, and the coordinator does not answer: " +
                                                         answer.error().message);
  const KeyChange& change = *session.key_change();
  COVEY_TRY_VOID(write_file(path, encode(change)));
  console.object(JsonObject()
                     .add("event", "key_change_saved")
                     .add("file", path)
                     .add("serial", change.serial)
                     .add("key", hex(change.after.key.span())));
  console.line("Wrote " + path + ", the change to the key " + short_hex(change.after.key) +
               ". It holds no secret. A client that was away: covey-client --key-change " + path + " ...");
  return kExitOk;
}

Result<int> follow_change(Session& session, const std::string& path, Console& console) {
  COVEY_TRY(const KeyChange change, read_key_change(path, session.membership().coordinator));
  COVEY_TRY_VOID(session.follow(change));
  const CoordinatorAddress& now = session.membership().coordinator;
  console.object(JsonObject().add("event", "key_change_followed").add("serial", session.key_change()->serial).add("key", hex(now.curve.span())));
  console.line("This home asks the coordinator under the key " + short_hex(now.curve) + " from now on, on ports " +
               std::to_string(now.control_port) + " and " + std::to_string(now.bulk_port) + ".");
  return kExitOk;
}

// Two pairs of ports take turns; the first time the second pair is the next two.
Result<KeyPlace> next_place(const RotateOptions& options, const Session& session) {
  const CoordinatorAddress& now = session.membership().coordinator;
  const auto& last = session.key_change();
  const auto beside = [](std::uint16_t port) { return static_cast<std::uint16_t>(port > 65533 ? port - 2 : port + 2); };
  KeyPlace place{{}, beside(now.control_port), beside(now.bulk_port)};
  if (last && last->after.key == now.curve) place = {{}, last->before.control_port, last->before.bulk_port};
  if (options.control_port != 0) place.control_port = options.control_port;
  if (options.bulk_port != 0) place.bulk_port = options.bulk_port;
  for (const std::uint16_t port : {place.control_port, place.bulk_port})
    if (port == now.control_port || port == now.bulk_port)
      return unexpected(ErrorCode::kInvalidArgument, "port " + std::to_string(port) +
                                                         " is in use by the present key, and both are served at once; name others with "
                                                         "--control-port and --bulk-port");
  return place;
}

std::uint64_t serial_after(std::uint64_t last, Instant now) {
  const auto clock = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  return std::max(last + 1, static_cast<std::uint64_t>(std::max<std::int64_t>(clock, 1)));
}

void say_changed(const KeyChange& change, const std::string& home, Console& console) {
  console.object(JsonObject()
                     .add("event", "key_changed")
                     .add("key", hex(change.after.key.span()))
                     .add("before", hex(change.before.key.span()))
                     .add("control_port", change.after.control_port)
                     .add("bulk_port", change.after.bulk_port)
                     .add("serial", change.serial)
                     .add("not_before", iso8601(change.not_before))
                     .add("old_until", iso8601(change.old_until)));
  console.line("The coordinator's key changes from " + short_hex(change.before.key) + " to " + short_hex(change.after.key) + ", on ports " +
               std::to_string(change.after.control_port) + " and " + std::to_string(change.after.bulk_port) + ".");
  console.line("Both are served until " + date_text(change.old_until) + " UTC; connected clients are told now, others when they come.");
  console.line("For who stays away longer: covey rotate-key" + home + " --save FILE, and at that site covey-client --key-change FILE.");
  console.note("Let the firewall pass both new ports.");
}

}  // namespace

Result<int> rotate_command(const RotateOptions& options, Console& console) {
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  if (!options.follow.empty()) return follow_change(*session, options.follow, console);
  if (!options.save.empty()) return save_change(*session, options.save, console);
  COVEY_TRY(const Duration overlap, duration_from("--overlap", options.overlap, kOverlapMin, kOverlapMax));
  COVEY_TRY(const Duration start_in, duration_from("--start-in", options.start_in, Duration::zero(), kOverlapMax));
  if (start_in >= overlap)
    return unexpected(ErrorCode::kInvalidArgument, "--start-in " + options.start_in + ": must be shorter than --overlap " + options.overlap +
                                                       ", which counts from now");
  COVEY_TRY(const SigningKey authority, authority_of(options.home, session->membership().coordinator));
  COVEY_TRY(KeyPlace after, next_place(options, *session));
  COVEY_TRY(const KeyPrepared prepared, session->ask_for<KeyPrepared>(PrepareKey{after.control_port, after.bulk_port}));
  const CoordinatorAddress address = session->membership().coordinator;
  if (prepared.before != address.curve)
    return unexpected(ErrorCode::kUnavailable, "the coordinator's key changed meanwhile, to " + short_hex(prepared.before) + "; run this again");
  after.key = prepared.after;
  const Instant now = SystemClock().now();
  KeyChange change{address.record, {address.curve, address.control_port, address.bulk_port}, after, serial_after(prepared.serial, now),
                   now + start_in, now + overlap, {}};
  sign(change, authority);
  COVEY_TRY(const KeyChange checked, decode_key_change(encode(change)));
  COVEY_TRY_VOID(session->ask_for<Done>(RegisterKeyChange{checked}));
  COVEY_TRY_VOID(session->follow(checked));
  say_changed(checked, options.home == default_home() ? "" : " --home " + options.home, console);
  return kExitOk;
}

}  // namespace covey::cli
