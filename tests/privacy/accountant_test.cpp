// The accountant against published values, against dp-accounting and theorems evaluated apart (accountant.json, by
// tests/vectors/make_privacy_vectors.py), and against exact divergences.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "privacy/rdp.h"

namespace covey {
namespace {

using Json = nlohmann::json;
constexpr double kTolerance = 1e-6;  // relative

std::string vectors_folder() { return COVEY_SOURCE_DIR "/tests/vectors/privacy/"; }

const Json& vectors() {
  static const Json json = Json::parse(std::ifstream(vectors_folder() + "accountant.json"));
  return json;
}

std::vector<std::vector<std::string>> rows_of(const std::string& name) {
  std::ifstream file(vectors_folder() + name);
  std::vector<std::vector<std::string>> rows;
  std::string line;
  std::getline(file, line);  // the names of the columns
  while (std::getline(file, line)) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    std::istringstream cells(line);
    rows.emplace_back();
    for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  return rows;
}

// "name;key=value;..." of the public table.
double setting(const std::string& mechanism, const std::string& key) {
  const std::size_t at = mechanism.find(";" + key + "=");
  REQUIRE(at != std::string::npos);
  return std::stod(mechanism.substr(at + key.size() + 2));
}

double value_at(const RdpCurve& curve, double order) {
  for (std::size_t i = 0; i < curve.orders.size(); ++i)
    if (std::fabs(curve.orders[i] - order) < 1e-9) return curve.values[i];
  FAIL("no order " << order);
  return 0;
}

RdpCurve sum_curve(const std::string& mechanism, const SummedNoise& noise) {
  return mechanism.find("skellam") != std::string::npos ? *skellam_sum_rdp(noise) : *discrete_gaussian_sum_rdp(noise);
}

// One step of a row of the public table, composed as it says; nullopt where this accountant has no bound for it.
std::optional<RdpCurve> public_curve(const std::string& m, double z, double q, double steps) {
  const std::string name = m.substr(0, m.find(';'));
  if (name == "poisson_gaussian" || name == "poisson_gaussian_adaptive_clip") return times(sampled_gaussian_rdp(z, q), steps);
  if (name == "gaussian" || name == "discrete_gaussian") return times(gaussian_rdp(z), steps);
  if (name == "dpftrl_tree") return tree_rdp(z, static_cast<std::uint64_t>(steps));
  if (name == "blt_minsep") return gaussian_rdp(z / setting(m, "sens"));
  const bool skellam = name == "distributed_skellam";
  if (skellam || name == "distributed_discrete_gaussian" || name == "poisson_zhuwang5_distributed_discrete_gaussian") {
    const double scale = skellam ? setting(m, "scale") : 1 / setting(m, "gamma");
    const auto dimension = static_cast<std::uint64_t>(setting(m, "dim"));
    const NormBound bound = *norm_bound({.clip = setting(m, "clip"), .grid = 1 / scale, .dimension = dimension});
    const auto members = skellam ? 1U : static_cast<std::uint32_t>(setting(m, "n"));
    const double deviation = scale * (skellam ? setting(m, "sigma_central") : setting(m, "sigma_local"));
    CHECK(std::sqrt(members) * deviation / bound.l2 == doctest::Approx(z).epsilon(1e-9));
    return times(poisson_sampled_rdp(sum_curve(name, {bound, dimension, deviation, members, members}), q), steps);
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("accountant: dp_public.csv") {
  std::set<std::string> without;
  int checked = 0;
  for (const auto& row : rows_of("dp_public.csv")) {
    const std::string& mechanism = row.at(0);
    CAPTURE(mechanism);
    const auto curve = public_curve(mechanism, std::stod(row.at(1)), std::stod(row.at(2)), std::stod(row.at(3)));
    if (!curve) {
      without.insert(mechanism.substr(0, mechanism.find(';')));
      continue;
    }
    CHECK(epsilon_of(*curve, std::stod(row.at(4))).epsilon == doctest::Approx(std::stod(row.at(5))).epsilon(kTolerance));
    ++checked;
  }
  CHECK(checked == 13);
  // Cohorts of a fixed or capped size: charged with q = 1 (privacy/dp_charge.h), so that no bound is needed.
  CHECK(without == std::set<std::string>{"fixed_size_wor_gaussian", "truncated_poisson_gaussian"});
}

TEST_CASE("accountant: dp_calibration.csv") {
  for (const auto& row : rows_of("dp_calibration.csv")) {
    CAPTURE(row.at(0));
    const auto curve = public_curve(row.at(0), std::stod(row.at(5)), std::stod(row.at(3)), std::stod(row.at(4)));
    REQUIRE(curve.has_value());
    CHECK(epsilon_of(*curve, std::stod(row.at(2))).epsilon == doctest::Approx(std::stod(row.at(1))).epsilon(1e-5));
  }
}

TEST_CASE("accountant: dp-accounting run on other parameters") {
  int checked = 0;
  for (const Json& row : vectors().at("gaussian")) {
    CAPTURE(row.dump());
    const double steps = row.at("steps");
    const RdpCurve curve = times(sampled_gaussian_rdp(row.at("z"), row.at("q")), steps);
    CHECK(epsilon_of(curve, row.at("delta")).epsilon == doctest::Approx(row.at("epsilon").get<double>()).epsilon(kTolerance));
    for (const Json& at : row.at("rdp")) {
      const double order = at.at(0), value = at.at(1);
      if (order == std::floor(order)) {
        CHECK(value_at(curve, order) == doctest::Approx(value).epsilon(kTolerance));
      } else {  // theirs, or the next order's where that is less
        CHECK(value_at(curve, order) <= value * (1 + kTolerance));
        CHECK(value_at(curve, order) >= value_at(curve, std::max(1.1, std::floor(order))) * (1 - kTolerance));
      }
      ++checked;
    }
  }
  CHECK(checked >= 60);
  for (const Json& row : vectors().at("tree"))
    CHECK(epsilon_of(tree_rdp(row.at("z"), row.at("steps")), row.at("delta")).epsilon ==
          doctest::Approx(row.at("epsilon").get<double>()).epsilon(kTolerance));
}

TEST_CASE("accountant: sums of integer noise, as their theorems say") {
  for (const Json& row : vectors().at("sums")) {
    CAPTURE(row.dump());
    const std::uint64_t dimension = row.at("dimension");
    const NormBound bound = *norm_bound(
        {.clip = row.at("clip"), .weight_max = row.at("weight_max"), .grid = row.at("grid"), .dimension = dimension});
    CHECK(bound.squared == row.at("norm_squared").get<std::uint64_t>());
    CHECK(bound.l1 == doctest::Approx(row.at("l1").get<double>()).epsilon(1e-12));
    const RdpCurve whole = sum_curve(row.at("mechanism"), {bound, dimension, row.at("deviation"), row.at("contributors"), row.at("members")});
    const RdpCurve curve = poisson_sampled_rdp(whole, row.at("q"));
    for (const Json& at : row.at("rdp")) CHECK(value_at(curve, at.at(0)) == doctest::Approx(at.at(1).get<double>()).epsilon(kTolerance));
    CHECK(epsilon_of(times(curve, row.at("releases")), row.at("delta")).epsilon ==
          doctest::Approx(row.at("epsilon").get<double>()).epsilon(kTolerance));
  }
}

TEST_CASE("accountant: bounds are not below the exact divergence in one dimension, and near it") {
  for (const Json& row : vectors().at("exact")) {
    CAPTURE(row.dump());
    const double norm = row.at("norm");
    const NormBound bound{static_cast<std::uint64_t>(norm * norm), norm, norm};
    const RdpCurve curve = sum_curve(row.at("mechanism"), {bound, 1, row.at("deviation"), row.at("contributors"), row.at("contributors")});
    const double exact = row.at("divergence");
    CHECK(value_at(curve, row.at("order")) >= exact * (1 - 1e-12));
    CHECK(value_at(curve, row.at("order")) <= exact * 1.2);
  }
}

TEST_CASE("accountant: the sums' noise must be wide enough for its theorem") {
  const NormBound bound{100, 10, 100};
  CHECK(discrete_gaussian_sum_rdp({bound, 64, 3.99, 50, 50}).error().message.find("at least 4") != std::string::npos);
  CHECK(discrete_gaussian_sum_rdp({bound, 64, 4, 50, 50}).has_value());
  CHECK(skellam_sum_rdp({bound, 64, 0.5, 50, 50}).has_value());
  CHECK_FALSE(skellam_sum_rdp({bound, 64, 0, 50, 50}).has_value());
  CHECK_FALSE(skellam_sum_rdp({bound, 64, std::nan(""), 50, 50}).has_value());
  CHECK_FALSE(discrete_gaussian_sum_rdp({bound, 0, 5, 50, 50}).has_value());
  CHECK_FALSE(discrete_gaussian_sum_rdp({NormBound{}, 64, 5, 50, 50}).has_value());
  CHECK_FALSE(discrete_gaussian_sum_rdp({bound, 64, 5, 50, 49}).has_value());
  CHECK(discrete_gaussian_tau(0.5, 2) == doctest::Approx(10 * std::exp(-std::pow(M_PI, 2) / 4)));
  CHECK(discrete_gaussian_tau(4, 1) == 0);
}

TEST_CASE("accountant: sampling helps, never costs, and is nothing at its ends") {
  const RdpCurve whole = *discrete_gaussian_sum_rdp({*norm_bound({.clip = 1, .grid = 1.0 / 256, .dimension = 4096}), 4096, 30, 50, 50});
  CHECK(poisson_sampled_rdp(whole, 1) == whole);
  CHECK(epsilon_of(poisson_sampled_rdp(whole, 0), 1e-6).epsilon == 0);
  double last = 0;
  for (const double q : {0.001, 0.01, 0.1, 0.5, 0.99, 1.0}) {
    const double epsilon = epsilon_of(poisson_sampled_rdp(whole, q), 1e-6).epsilon;
    CHECK(epsilon >= last);
    last = epsilon;
    CHECK(epsilon_of(sampled_gaussian_rdp(1, q), 1e-6).epsilon <= epsilon_of(gaussian_rdp(1), 1e-6).epsilon * (1 + 1e-12));
  }
  CHECK(epsilon_of(sampled_gaussian_rdp(1, 0), 1e-6).epsilon == 0);
}

TEST_CASE("accountant: releases add up, and flaws of the noise are charged to delta") {
  const RdpCurve one = gaussian_rdp(5);
  const RdpCurve two = composed(one, one);
  for (std::size_t i = 0; i < two.values.size(); ++i) CHECK(two.values[i] == times(one, 2).values[i]);
  const double plain = epsilon_of(one, 1e-6).epsilon;
  CHECK(epsilon_with_flaws(one, 1e-6, 0)->epsilon == plain);
  const double flawed = epsilon_with_flaws(one, 1e-6, 1e-7)->epsilon;
  CHECK(flawed > plain);
  CHECK(flawed == doctest::Approx(epsilon_of(one, 1e-6 - (1 + std::exp(flawed)) * 1e-7).epsilon).epsilon(1e-6));
  CHECK_FALSE(epsilon_with_flaws(one, 1e-6, 4e-7).has_value());
  CHECK_FALSE(epsilon_with_flaws(one, 1e-6, std::numeric_limits<double>::infinity()).has_value());
}

}  // namespace covey
