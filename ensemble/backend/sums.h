// Sums over a catalogue of which a request adds to some places: looked through and emptied where it did, a block at a
// time, so that the catalogue's size costs nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "scores.h"

namespace trireme {

/// `n` sums a place, in the precision of the python steps: what adds up to ties there must do so here.
template <std::size_t n>
class Sums {
 public:
  explicit Sums(std::size_t items) : items_(items), cells_(items + block), touched_(items / block + 1) {}

  /// Add to a place's sums; one place beyond the last has some as well, which nobody looks at.
  void add(std::uint32_t place, double more, const std::array<double, n>& counts) {
    for (std::size_t i = 0; i < n; ++i) cells_[place][i] += more * counts[i];
    touched_[place / block] = 1;
  }

  double at(std::size_t place, std::size_t which) const { return cells_[place][which]; }

  /// Places of the k greatest that are not blocked, best first; of equals the smaller place.
  std::vector<std::uint32_t> best(std::size_t which, const Mask& blocked, std::size_t k) const {
    std::vector<std::pair<double, std::uint32_t>> pool;
    double bar = 0;
    for (std::size_t b = 0; b < touched_.size(); ++b) {
      if (!touched_[b]) continue;
      for (std::size_t place = b * block; place < std::min(b * block + block, items_); ++place) {
        // Places rise: what equals the bar comes after k that are as good.
        if (double sum = cells_[place][which]; sum > bar && !blocked[place]) pool.emplace_back(-sum, place);
      }
      if (pool.size() >= 4 * k) bar = raise(pool, k);
    }
    if (pool.size() < k) return best_of_all(which, blocked, k);
    raise(pool, k);
    std::sort(pool.begin(), pool.end());
    std::vector<std::uint32_t> out;
    for (const auto& [sum, place] : pool) out.push_back(place);
    return out;
  }

  void clear() {
    for (std::size_t b = 0; b < touched_.size(); ++b) {
      if (touched_[b]) std::fill_n(cells_.begin() + b * block, block, std::array<double, n>{});
      touched_[b] = 0;
    }
  }

 private:
  static constexpr std::size_t block = 64;

  /// Keep the k best; the least of their sums.
  static double raise(std::vector<std::pair<double, std::uint32_t>>& pool, std::size_t k) {
    std::nth_element(pool.begin(), pool.begin() + (k - 1), pool.end());
    pool.resize(k);
    return -pool.back().first;
  }

  /// With those that nothing was added to, which have 0, and those that have less.
  std::vector<std::uint32_t> best_of_all(std::size_t which, const Mask& blocked, std::size_t k) const {
    std::vector<double> all(items_);
    for (std::size_t i = 0; i < items_; ++i) all[i] = cells_[i][which];
    return top_k(std::span<const double>(all), blocked, k);
  }

  std::size_t items_;
  std::vector<std::array<double, n>> cells_;
  std::vector<std::uint32_t> touched_;  ///< blocks; of no type whose stores may change anything, as those of bytes do
};

}  // namespace trireme
