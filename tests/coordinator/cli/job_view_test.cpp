#include "coordinator/cli/job_view.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "tests/coordinator/cli/sample_job.h"

using namespace covey;
using namespace covey::cli;

TEST_CASE("job view: text is measured in bits per byte, everything else by what is right") {
  JobSpec spec;
  spec.data.format = DataFormat::kText;
  CHECK(quality_of(spec) == Quality::kBitsPerByte);
  for (const bool files : {true, false}) {
    JobSpec tokens = spec;
    if (files) tokens.data.format = DataFormat::kTokens;
    else tokens.data.tokenizer_sha256 = std::string(64, 'a');
    CHECK(quality_of(tokens) == Quality::kBitsPerToken);
    CHECK(rounds_head(quality_of(tokens)).find("held-out b/token (1)") != std::string::npos);
    CHECK(std::string(held_out_unit(quality_of(tokens))) == "bits/token");
  }
  spec.data.format = DataFormat::kIdx;
  CHECK(quality_of(spec) == Quality::kAccuracy);
  const EvalStats stats{std::numbers::ln2 * 300, 100, 80};
  CHECK(bits_per_byte(stats) == doctest::Approx(3));
  CHECK(held_out(Quality::kAccuracy, stats) == doctest::Approx(80));
  CHECK(held_out_text(Quality::kBitsPerByte, stats) == "3.000");
  CHECK(held_out_text(Quality::kAccuracy, stats) == "80.00 %");
  CHECK(held_out_text(Quality::kAccuracy, EvalStats{}) == "-");
  CHECK(std::isnan(accuracy(EvalStats{})));
}

TEST_CASE("job view: one line a round, the final measurement without training figures") {
  const std::string line = round_line(Quality::kAccuracy, sample_round(2, 1.0), 2);
  for (const char* part : {"2/2", "2/3", "1.000", "75.00 %", "9.0 s", "2.0 MB"})
    CHECK(line.find(part) != std::string::npos);
  const std::string final = round_line(Quality::kAccuracy, sample_round(3, 0.5), 2);
  CHECK(final.find("final") != std::string::npos);
  CHECK(final.find("MB") == std::string::npos);
  CHECK(rounds_head(Quality::kAccuracy).size() == line.size());
}

TEST_CASE("job view: progress says what a job waits for") {
  JobSummary summary;
  summary.state = JobState::kPending;
  CHECK(round_progress(summary, 3) == "waiting for its turn, 3.0 s");
  summary.state = JobState::kRunning;
  summary.rounds = 15;
  summary.round = 2;
  summary.text = "waiting for clients: 1 of 5\nthere";
  CHECK(round_progress(summary, 3) ==
        "[....................] round 3/15: waiting for clients: 1 of 5 there, 3.0 s");
  summary.cohort = 4;
  summary.delivered = 1;
  summary.attempt = 2;
  CHECK(round_progress(summary, 12) ==
        "[#####...............] round 3/15 (attempt 2): 1 of 4 delivered, 12 s");
  summary.secure = true;
  summary.phase = "joining";
  CHECK(round_progress(summary, 12) == "[#####...............] round 3/15 (attempt 2): 1 of 4 delivered, joining, 12 s");
  summary.phase = "masking";
  summary.members = 4;
  summary.maskers = 3;
  CHECK(round_progress(summary, 12) ==
        "[#####...............] round 3/15 (attempt 2): 1 of 4 delivered, masking: 3 of 4 members mask, 12 s");
  summary.phase = "agreeing";
  summary.survivors = 2;
  CHECK(phase_text(summary) == ", agreeing: 2 survivors of 3 that masked");
  const auto line = nlohmann::json::parse(to_json(summary).text());
  CHECK(line["secure"] == true);
  CHECK(line["phase"] == "agreeing");
  CHECK(line["survivors"] == 2);
  CHECK(protection_text(summary).find("authority's key") != std::string::npos);
  summary.phase = "aborting";
  summary.cohort = 0;
  CHECK(round_progress(summary, 3).find("signed ABORT") != std::string::npos);
  summary.phase.clear();
  summary.secure = false;
  CHECK(protection_text(summary).find("sees every client's update") != std::string::npos);
  summary.cohort = 4;
  summary.round = 15;
  CHECK(round_progress(summary, 1).find("final measurement") != std::string::npos);
}

TEST_CASE("job view: the reason of a wait is told whole, and is the same one when only its figures change") {
  JobSummary summary;
  summary.state = JobState::kRunning;
  summary.rounds = 15;
  summary.round = 2;
  summary.text = "waiting for clients: 0 of 4 that can take part; 4 declined for good, e.g. " + std::string(300, 'x');
  CHECK(reason_line(summary) == "round 3/15: " + summary.text);
  summary.round = 15;
  CHECK(reason_line(summary).starts_with("final measurement: waiting"));
  summary.state = JobState::kPending;
  CHECK(reason_line(summary).starts_with("waits for its turn: waiting"));
  CHECK(reason_kind("1 of 4 there") == reason_kind("3 of 14 there"));
  CHECK(reason_kind("1 of 4 there") != reason_kind("1 of 4 that can take part"));
}

TEST_CASE("job view: steps that nobody counted are null") {
  RoundMetrics metrics = sample_round(2, 1.0);
  metrics.train.steps = 7;
  CHECK(nlohmann::json::parse(to_json(metrics, 4, 2).text())["train_steps"] == 7);
  metrics.train.steps = 0;
  CHECK(nlohmann::json::parse(to_json(metrics, 4, 2).text())["train_steps"].is_null());
}

TEST_CASE("job view: a round's JSON line names the model it measured") {
  const auto line = nlohmann::json::parse(to_json(sample_round(2, 1.0), 4, 2).text());
  CHECK(line["event"] == "round");
  CHECK(line["job"] == 4);
  CHECK(line["held_out_model"] == 1);
  CHECK(line["held_out_accuracy"] == 0.75);
  CHECK(line["seconds"] == 9);
  const auto final = nlohmann::json::parse(to_json(sample_round(3, 1.0), 4, 2).text());
  CHECK(final["event"] == "final");
  CHECK(final["held_out_model"] == 2);
  RoundMetrics nothing;
  nothing.round = 1;
  CHECK(nlohmann::json::parse(to_json(nothing, 4, 2).text())["train_loss"].is_null());
}

TEST_CASE("job view: how a job ended, on one line whatever its name") {
  JobSummary summary = sample_report(DataFormat::kText).summary;
  summary.name = "evil\x1b[2J\nname";
  summary.text = "stopped\nby x";
  CHECK(state_line(summary, summary.ended) ==
        "job 4 (evil?[2J name): finished, 2 of 2 rounds in 40 s: stopped by x");
}
