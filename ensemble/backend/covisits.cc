#include "covisits.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "contracts.h"
#include "scores.h"

namespace trireme {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

Covisits::Covisits(const Tables& tables, const Popularity& popularity)
    : tables_(tables), popularity_(popularity), hours_(tables.features.bucket_minutes / 60.0) {
  const Pairs& pairs = tables.covisits;
  std::size_t number = pairs.item.size();
  auto item = [&](std::size_t i) { return i < number ? pairs.item[i] : pairs.following[i - number]; };
  auto other = [&](std::size_t i) { return i < number ? pairs.following[i] : pairs.item[i - number]; };
  std::vector<std::size_t> order(2 * number);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    return std::pair(item(a), pairs.number[a % number]) < std::pair(item(b), pairs.number[b % number]);
  });
  start_.assign(tables.items + 1, 0);
  for (auto i : order) {
    ++start_[item(i) - first_value + 1];
    number_.push_back(pairs.number[i % number]);
    other_.push_back(static_cast<std::uint32_t>(other(i) - first_value));
    count_.push_back(pairs.count[i % number]);
  }
  std::partial_sum(start_.begin(), start_.end(), start_.begin());
}

std::vector<double> Covisits::counts(std::int64_t as_of, std::span<const std::int64_t> items,
                                     double half_life_hours) const {
  std::vector<double> found(tables_.items);
  auto now = tables_.features.bucket(as_of);
  for (auto code : items) {
    if (code < first_value) continue;
    auto low = start_[code - first_value], high = start_[code - first_value + 1];
    for (std::size_t i = low; i < high && number_[i] < now; ++i) {
      found[other_[i]] += count_[i] * decay((now - 1 - number_[i]) * hours_, half_life_hours);
    }
  }
  return found;
}

/// A Dirichlet prior (Zhai and Lafferty, SIGIR 2001): of an item that nobody came from only popularity is known.
std::vector<float> Covisits::log_share(const std::vector<double>& counts, std::int64_t as_of,
                                       std::span<const std::int32_t> candidates) const {
  Vector popular = popularity_.counts(as_of, tables_.serve.trending_half_life_hours);
  double all = std::max(sum(*popular), 1e-30), total = sum(counts);
  std::vector<float> out;
  out.reserve(candidates.size());
  for (auto code : candidates) {
    double prior = (*popular)[code - first_value] / all;
    double share = (counts[code - first_value] + covisit_prior * prior) / (total + covisit_prior);
    out.push_back(static_cast<float>(std::log(share + least_share)));
  }
  return out;
}

}  // namespace trireme
