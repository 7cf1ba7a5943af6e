// What is in demand in a region: of all items a number, of most regions few numbers of their own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "scores.h"

namespace trireme {

/// Counts of the catalogue, their sum, and the places of the greatest of them, best first.
struct Ranks {
  explicit Ranks(std::vector<double> counts);

  std::vector<double> counts;
  double whole;
  std::vector<std::uint32_t> best;
};

/// From 0 to 1 (the first of the list), by place.
class Demand {
 public:
  /// A place and a region's own count, sorted by place.
  using Own = std::vector<std::pair<std::uint32_t, double>>;

  /// A region's own counts beside those of all, of which each counts `scale`.
  Demand(std::shared_ptr<const Ranks> all, Own own, double scale);

  std::shared_ptr<const Ranks> of_all() const { return all_; }

  double operator[](std::size_t place) const { return most_ > 0 ? count(place) / most_ : count(place); }

  /// Places of the k first that are not blocked, best first.
  std::vector<std::uint32_t> best(const Mask& blocked, std::size_t k) const;

  /// The same by `weighted(place, demand)`, which is at most `most` times the demand; what has 0 is never taken.
  template <class Weighted>
  std::vector<std::uint32_t> best(const Mask& blocked, std::size_t k, Weighted weighted, double most) const;

  /// Numbers that are held beside those of all regions.
  std::size_t size() const { return 2 * own_.size() + first_.size(); }

 private:
  double count(std::size_t place) const;
  bool first_are_all() const { return first_.size() == all_->counts.size(); }
  std::vector<double> whole() const;

  std::shared_ptr<const Ranks> all_;
  Own own_;
  double scale_, most_ = 0;
  std::vector<std::uint32_t> first_;  ///< in demand, best first; of equals the smaller; all others come after them
};

template <class Weighted>
std::vector<std::uint32_t> Demand::best(const Mask& blocked, std::size_t k, Weighted weighted, double most) const {
  std::vector<std::pair<double, std::uint32_t>> found;  // sorted, and no more than k
  bool sure = first_are_all();
  for (auto place : first_) {
    double demand = (*this)[place];
    if (found.size() == k && demand * most < -found.back().first) {
      sure = true;  // what comes later has less
      break;
    }
    double score = weighted(place, demand);
    if (!(score > 0) || blocked[place]) continue;
    std::pair one(-score, place);
    if (found.size() == k && one > found.back()) continue;
    found.insert(std::upper_bound(found.begin(), found.end(), one), one);
    if (found.size() > k) found.pop_back();
  }
  if (!sure) {
    auto scores = whole();
    for (std::size_t i = 0; i < scores.size(); ++i) {
      double score = weighted(i, scores[i]);
      scores[i] = score > 0 ? score : -std::numeric_limits<double>::infinity();
    }
    return top_k(std::span<const double>(scores), blocked, k);
  }
  std::vector<std::uint32_t> out;
  for (const auto& [score, place] : found) out.push_back(place);
  return out;
}

}  // namespace trireme
