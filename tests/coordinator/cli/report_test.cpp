#include "coordinator/cli/report.h"

#include <doctest/doctest.h>

#include "coordinator/cli/job_view.h"
#include "tests/coordinator/cli/sample_job.h"

using namespace covey;
using namespace covey::cli;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++found;
  return found;
}

}  // namespace

TEST_CASE("report: names from peers cannot become markup") {
  const std::string html = report_html(sample_report(DataFormat::kText));
  CHECK(count(html, "<script") == 0);
  CHECK(count(html, "alert('x')") == 0);
  CHECK(count(html, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;") >=
        4);  // title, heading, legend, table
}

TEST_CASE("report: it needs nothing from outside and no script") {
  const std::string html = report_html(sample_report(DataFormat::kText));
  for (const char* bad : {"http://", "https://", "src=", "url(", "@import", "<link"})
    CHECK(count(html, bad) == 0);
  CHECK(count(html, "default-src 'none'") == 1);
  CHECK(count(html, "prefers-color-scheme:dark") == 1);
}

TEST_CASE("report: four charts, every round in the table, every client of the last measurement") {
  const std::string html = report_html(sample_report(DataFormat::kText));
  CHECK(count(html, "<svg ") == 4);
  CHECK(count(html, "</svg>") == 4);
  CHECK(count(html, "<tr><td>") == 3 + 2);
  CHECK(html.find("held-out bits per byte") != std::string::npos);
  CHECK(html.find("model after round 2") != std::string::npos);
  CHECK(report_html(sample_report(DataFormat::kIdx)).find("75.00 %") != std::string::npos);
}

TEST_CASE("report: under secure aggregation there is no row of a client, and it says why") {
  ReportData data = sample_report(DataFormat::kText);
  data.spec.privacy.secure_aggregation = true;
  data.clients.clear();  // as the coordinator has none
  const std::string html = report_html(data);
  CHECK(count(html, "<svg ") == 4);
  CHECK(count(html, "<tr><td>") == 3);
  CHECK(count(html, "per client") == 0);
  CHECK(count(html, "nobody's own figures") == 1);
}

TEST_CASE("report: the curve puts each measurement at the model it is of") {
  const std::string html = report_html(sample_report(DataFormat::kText));
  CHECK(html.find("all clients, 0: 2.8854") != std::string::npos);  // 2 nats, the initial model
  CHECK(html.find("all clients, 2: 0.7213") != std::string::npos);  // half a nat, the final one
}

TEST_CASE("report: a job without a committed round makes a page that says so") {
  ReportData data = sample_report(DataFormat::kText);
  data.rounds.clear();
  data.clients.clear();
  data.summary.round = 0;
  const std::string html = report_html(data);
  CHECK(count(html, "Nothing was measured yet") == 4);
  CHECK(count(html, "</html>") == 1);
}

TEST_CASE("report: the time from first to last round stays sound where the coordinator's clock was set back") {
  ReportData data = sample_report(DataFormat::kText);
  data.rounds = {sample_round(1, 2), sample_round(2, 1)};
  CHECK(span_of(data.rounds).seconds == doctest::Approx(19));
  CHECK_FALSE(span_of(data.rounds).clock_set_back);
  data.rounds[1].started -= std::chrono::hours(24);
  data.rounds[1].committed -= std::chrono::hours(24);
  CHECK(span_of(data.rounds).seconds == doctest::Approx(18));  // both rounds, and no pause
  CHECK(span_of(data.rounds).clock_set_back);
  CHECK(report_html(data).find("clock was set back between two") != std::string::npos);
  CHECK(span_of({}).seconds == 0);
}
