// What people take right after or before an item, as of an instant, from closed buckets (steps/covisits.py).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "popularity.h"

namespace trireme {

/// Decayed co-visits of items, both ways round.
class Covisits {
 public:
  Covisits(const Tables& tables, const Popularity& popularity);

  /// Co-visits of items (codes; pads count for nothing), a vector over the catalogue.
  std::vector<double> counts(std::int64_t as_of, std::span<const std::int64_t> items, double half_life_hours) const;

  /// Log of the probability that a candidate (item codes) is next: shares of `counts`, smoothed by what is popular.
  std::vector<float> log_share(const std::vector<double>& counts, std::int64_t as_of,
                               std::span<const std::int32_t> candidates) const;

 private:
  const Tables& tables_;
  const Popularity& popularity_;
  double hours_;
  std::vector<std::size_t> start_;  ///< of each item's rows, which are sorted by bucket
  std::vector<std::int64_t> number_;
  std::vector<std::uint32_t> other_;
  std::vector<double> count_;
};

}  // namespace trireme
