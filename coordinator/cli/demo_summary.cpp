#include "coordinator/cli/demo_summary.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace covey::cli {
namespace {

std::vector<std::string> row_of(const std::string& name, const std::vector<double>& bits) {
  std::vector<std::string> row{name};
  for (const double value : bits) row.push_back(fixed_text(value, 3));
  row.push_back(fixed_text(mean(bits), 3));
  return row;
}

std::string compare(const std::string& where, double federated, double alone) {
  const double share = 100 * (alone - federated) / alone;
  const std::string numbers =
      fixed_text(federated, 3) + " against " + fixed_text(alone, 3) + " bits per byte";
  if (std::abs(share) < 0.05)
    return where + ", the federated model equals the models trained alone: " + numbers + ".";
  return where + ", the federated model is " + fixed_text(std::abs(share), 1) + " % " +
         (share > 0 ? "better" : "worse") + " than the models trained alone: " + numbers + ".";
}

}  // namespace

double mean(const std::vector<double>& values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double alone_mean(const DemoResult& result) {
  std::vector<double> means;
  for (const auto& model : result.alone) means.push_back(mean(model));
  return mean(means);
}

double alone_own_mean(const DemoResult& result) {
  std::vector<double> own;
  for (std::size_t i = 0; i < result.alone.size(); ++i) own.push_back(result.alone[i][i]);
  return mean(own);
}

Table result_table(const DemoResult& result) {
  std::vector<std::string> head{"bits per byte"};
  std::vector<std::size_t> right;
  for (const std::string& client : result.clients) head.push_back(client);
  head.emplace_back("mean");
  for (std::size_t i = 1; i < head.size(); ++i) right.push_back(i);
  Table table(std::move(head), std::move(right));
  table.add(row_of("initial", result.initial));
  for (std::size_t i = 0; i < result.alone.size(); ++i)
    table.add(row_of("alone: " + result.clients[i], result.alone[i]));
  table.add(row_of("federated", result.federated));
  return table;
}

std::vector<std::string> verdict(const DemoResult& result) {
  return {compare("On everyone's held-out text", mean(result.federated), alone_mean(result)),
          compare("On each client's own held-out text", mean(result.federated), alone_own_mean(result))};
}

std::vector<std::string> protection(const DemoResult& result) {
  const std::string each = std::to_string(result.least) + (result.least == result.most ? "" : " to " + std::to_string(result.most));
  return {"Secure aggregation was on. The coordinator learned " + std::to_string(result.sums) + " sums, each of " + each +
              " clients' masked updates and figures, who took part, and how long each trained.",
          "It did not learn any client's update, loss or number of examples: so there are no figures of one client from the "
          "federation. The table above is this command's own measurement of the finished models.",
          "The authority that says who the clients are has its key on this machine too. That protects against a coordinator "
          "that was broken into, not against whoever runs this machine (docs/secure_aggregation.md, section 1)."};
}

// The federated model is one, so its mean over all texts is also its mean over each client's own.
std::string text_of_records(const VerifiedLog& log) {
  const std::size_t unused = log.ledger.size() - log.released.size();
  return std::to_string(log.audit.size()) + " acts, " + std::to_string(log.released.size()) + " releases" +
         (unused == 0 ? "" : ", and " + std::to_string(unused) + " frozen and never opened");
}

JsonObject summary_json(const DemoResult& result) {
  return JsonObject()
      .add("initial", mean(result.initial))
      .add("alone", alone_mean(result))
      .add("federated", mean(result.federated))
      .add("alone_own", alone_own_mean(result))
      .add("federated_own", mean(result.federated))
      .add("rounds", result.rounds)
      .add("clients", result.clients.size())
      .add("seconds", result.seconds)
      .add("secure_aggregation", true)
      .null("epsilon");
}

}  // namespace covey::cli
