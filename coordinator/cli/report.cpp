#include "coordinator/cli/report.h"

#include <algorithm>
#include <map>

#include "coordinator/cli/format.h"
#include "coordinator/cli/job_view.h"
#include "coordinator/cli/pull.h"
#include "coordinator/cli/session.h"
#include "coordinator/cli/svg_chart.h"
#include "core/base/clock.h"

namespace covey::cli {
namespace {

const char* page_style() {
  return R"(body{margin:0 auto;max-width:860px;padding:2em 1em;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:2em 0 .3em}
p.sub{color:var(--soft);margin:.2em 0}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.25em .8em .25em 0;border-bottom:1px solid var(--grid);white-space:nowrap}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}
.tiles{display:flex;flex-wrap:wrap;gap:1em 2.5em;margin:1.2em 0}.tiles div{font-size:1.5em;font-weight:600}
.tiles span{display:block;font-size:.55em;font-weight:400;color:var(--soft)}
pre{background:var(--grid);padding:1em;overflow-x:auto;font-size:13px;border-radius:6px})";
}

std::string held_label(Quality quality) {
  if (!in_bits(quality)) return "held-out accuracy, percent";
  return quality == Quality::kBitsPerByte ? "held-out bits per byte" : "held-out bits per token";
}
std::string train_label(Quality quality) {
  if (!in_bits(quality)) return "training loss, nats";
  return quality == Quality::kBitsPerByte ? "training bits per byte" : "training bits per token";
}

// The evaluation of round r is of the model that round r - 1 made.
std::vector<Series> held_out_series(const ReportData& data, Quality quality) {
  std::vector<Series> series{{"all clients", {}}};
  for (const RoundMetrics& round : data.rounds)
    series[0].points.emplace_back(round.round - 1.0, held_out(quality, round.evaluation));
  std::map<std::string, Series> clients;
  for (const ClientMetrics& client : data.clients) {
    Series& own = clients[client.client];
    own.name = client.client;
    own.points.emplace_back(client.round - 1.0, held_out(quality, client.evaluation));
  }
  for (auto& [name, own] : clients) {
    std::sort(own.points.begin(), own.points.end());
    series.push_back(std::move(own));
  }
  return series;
}

template <class Value>
Series of_training_rounds(const ReportData& data, const std::string& name, Value value) {
  Series series{name, {}};
  for (const RoundMetrics& round : data.rounds)
    if (round.round <= data.summary.rounds) series.points.emplace_back(round.round, value(round));
  return series;
}

bool secret(const ReportData& data) { return data.spec.privacy.secure_aggregation; }

std::string charts(const ReportData& data, Quality quality) {
  const auto train = of_training_rounds(data, "all clients",
                                        [&](const RoundMetrics& r) { return trained(quality, r.train); });
  const auto times =
      of_training_rounds(data, "seconds", [](const RoundMetrics& r) { return round_seconds(r); });
  const auto sent = of_training_rounds(
      data, "MB", [](const RoundMetrics& r) { return static_cast<double>(r.update_bytes) / 1e6; });
  return line_chart(
             {secret(data) ? "On held-out data, over everyone" : "On held-out data, over everyone and per client",
              "model after round", held_label(quality)},
             held_out_series(data, quality)) +
         line_chart({"While training", "round", train_label(quality)}, {train}) +
         bar_chart({"Time of each round", "round", "seconds"}, times) +
         bar_chart({"Updates received in each round", "round", "MB"}, sent);
}

std::string cells(const char* tag, const std::vector<std::string>& texts) {
  std::string row = "<tr>";
  for (const std::string& text : texts)
    row += std::string("<") + tag + ">" + html_text(text) + "</" + tag + ">";
  return row + "</tr>\n";
}

std::string rounds_table(const ReportData& data, Quality quality) {
  std::string out = "<div class=\"wide\"><table>\n";
  out += cells("th",
               {"round", "clients", "declined", "examples", train_label(quality),
                held_label(quality) + " (of the model it started from)", "update norm", "received", "time"});
  for (const RoundMetrics& round : data.rounds) {
    const bool final = round.round > data.summary.rounds;
    out +=
        cells("td", {final ? "final" : std::to_string(round.round),
                     std::to_string(round.delivered) + "/" + std::to_string(round.cohort),
                     std::to_string(round.declined), std::to_string(round.examples),
                     final ? "" : trained_text(quality, round.train),
                     held_out_text(quality, round.evaluation), final ? "" : fixed_text(round.update_norm, 4),
                     final ? "" : bytes_text(round.update_bytes), duration_text(round_seconds(round))});
  }
  return out + "</table></div>\n";
}

// Each client at the last measurement of all.
std::string clients_table(const ReportData& data, Quality quality) {
  if (secret(data))
    return "<h2>Clients</h2><p class=\"sub\">Secure aggregation: the coordinator learned each round's sum over its clients, and "
           "nobody's own figures. There are none to show.</p>\n";
  if (data.rounds.empty()) return "";
  const std::uint32_t last = data.rounds.back().round;
  std::string rows;
  for (const ClientMetrics& client : data.clients)
    if (client.round == last)
      rows +=
          cells("td", {client.client, std::to_string(client.examples),
                       held_out_text(quality, client.evaluation), std::to_string(client.evaluation.targets)});
  if (rows.empty()) return "";
  return "<h2>Clients, on the model after round " + std::to_string(last - 1) +
         "</h2><div class=\"wide\"><table>\n" +
         cells("th", {"client", "training examples", held_label(quality), "measured on"}) + rows +
         "</table></div>\n";
}

std::string tile(const std::string& value, const std::string& what) {
  return "<div>" + html_text(value) + "<span>" + html_text(what) + "</span></div>";
}

std::string tiles(const ReportData& data, Quality quality) {
  std::string out =
      "<div class=\"tiles\">" +
      tile(std::to_string(data.summary.round) + "/" + std::to_string(data.summary.rounds), "rounds");
  if (!data.rounds.empty()) {
    const RoundMetrics& first = data.rounds.front();
    const RoundMetrics& last = data.rounds.back();
    out += tile(held_out_text(quality, first.evaluation) + " → " + held_out_text(quality, last.evaluation),
                held_label(quality) + ", first and last model");
    const RoundsSpan span = span_of(data.rounds);
    std::uint64_t bytes = 0;
    for (const RoundMetrics& round : data.rounds) bytes += round.update_bytes;
    out += tile(bytes_text(bytes), "updates received") +
           tile(duration_text(span.seconds),
                span.clock_set_back ? "first to last round, about: the coordinator's clock was set back between two" : "first to last round");
  }
  return out + "</div>\n";
}

}  // namespace

Result<ReportData> report_data(Session& session, JobId job) {
  COVEY_TRY(JobSpec spec, session.spec_of(job));
  COVEY_TRY(JobDetail detail, session.job(job, 0));
  COVEY_TRY(auto clients, all_clients(session, job, detail.metrics));
  return ReportData{std::move(detail.summary), std::move(spec), std::move(detail.metrics), std::move(clients),
                    SystemClock().now()};
}

std::string report_html(const ReportData& data) {
  const Quality quality = quality_of(data.spec);
  const std::string title = data.summary.name + ", job " + std::to_string(data.summary.job);
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
         "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
         "'unsafe-inline'\">"
         "<title>" +
         html_text(title) + "</title>\n<style>" + svg_style() + page_style() +
         "</style></head>\n<body>\n<h1>" + html_text(title) + "</h1>\n<p class=\"sub\">" +
         html_text(state_line(data.summary, data.made)) + "</p>\n<p class=\"sub\">Submitted " +
         date_text(data.summary.submitted) + " UTC; this report was made " + date_text(data.made) +
         " UTC by Covey.</p>\n" + tiles(data, quality) + charts(data, quality) + "<h2>Rounds</h2>" +
         rounds_table(data, quality) + clients_table(data, quality) + "<h2>Configuration</h2><pre>" +
         html_text(public_toml(data.spec)) + "</pre>\n</body></html>\n";
}

}  // namespace covey::cli
