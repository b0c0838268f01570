// covey init, covey token.
#include "coordinator/cli/commands.h"
#include "coordinator/cli/session.h"
#include "coordinator/cli/token.h"
#include "coordinator/service/home.h"
#include "core/base/file.h"
#include "core/service/exit_code.h"
#include "core/store/blobs.h"

namespace covey::cli {

Result<int> init_command(const InitOptions& options, Console& console) {
  COVEY_TRY(const CoordinatorAddress address, init_home({options.home, options.host, options.control_port,
                                                         options.bulk_port, options.operator_name}));
  console.object(JsonObject()
                     .add("event", "initialised")
                     .add("home", options.home)
                     .add("host", address.host)
                     .add("control_port", address.control_port)
                     .add("bulk_port", address.bulk_port)
                     .add("coordinator_key", hex(address.curve.span()))
                     .add("operator", options.operator_name));
  const std::string home = options.home == default_home() ? "" : " --home " + options.home;
  console.line("Made " + options.home);
  console.line("  authority/    signs join tokens; keep it with you, away from the coordinator's machine");
  console.line("  coordinator/  what covey-coordinator needs; its key begins with " +
               short_hex(address.curve));
  console.line("  operator/     your own identity, " + options.operator_name);
  console.line("");
  console.line("Next:");
  console.line("  1. Start the coordinator:    covey-coordinator" + home);
  console.line("     It listens on ports " + std::to_string(address.control_port) + " and " +
               std::to_string(address.bulk_port) + "; clients reach it as " + address.host + ".");
  console.line("  2. Make a token per site:    covey token" + home + " -o site1.token");
  console.line("  3. At each site:             covey-client --home site1 --token @site1.token --name site1 --data FOLDER");
  console.line("     Jobs aggregate securely unless they say otherwise, and wait for four sites.");
  console.line("  4. Vouch for the sites:      covey vouch" + home + "          (lists them and their keys)");
  console.line("                               covey vouch" + home + " --all    (signs for them, with authority/)");
  console.line("  5. Train:                    covey run" + home + " job.toml");
  console.line("With fewer than four sites: [privacy] secure_aggregation = false in the job, and covey-client --plain-updates");
  console.line("at each site; the coordinator then sees every site's updates.");
  return kExitOk;
}

Result<int> token_command(const TokenOptions& options, Console& console) {
  const auto named = role_from(options.role);
  if (!named) return unexpected(in_context("--role", named.error()));
  const Role role = *named;
  if (role == Role::kAggregator)
    return unexpected(ErrorCode::kUnsupported, "--role aggregator: no job selects an aggregator in this version; make a token for a client or an operator");
  COVEY_TRY(const Duration expires, duration_from("--expires", options.expires, std::chrono::minutes(1),
                                                  std::chrono::hours(24 * 90)));
  COVEY_TRY(const Duration valid, duration_from("--valid", options.valid, kMembershipMin, kMembershipMax));
  if (!options.output.empty()) COVEY_TRY_VOID(check_token_file(options.output));
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  COVEY_TRY(const std::string text, make_token(*session, {options.home, role, expires, valid}));
  if (!options.output.empty()) {
    COVEY_TRY_VOID(save_token(options.output, text));
    console.object(JsonObject().add("event", "token").add("role", name_of(role)).add("file", options.output));
    console.line("Wrote " + options.output + ": a token for one " + name_of(role) + ", to be used within " +
                 options.expires + "; the membership lasts " + options.valid + " from now. Whoever holds it can join once; carry it on a private way.");
    return kExitOk;
  }
  console.object(JsonObject().add("event", "token").add("role", name_of(role)).add("token", text));
  console.line(text);
  return kExitOk;
}

}  // namespace covey::cli
