// A vector for every item, and every item's score for a batch of queries: of the two-tower and of ALS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nearest.h"

namespace trireme {

/// Rows of the catalogue's items.
class Embeddings {
 public:
  /// An ArtifactError when an .npy file does not hold a row for each of `items`.
  Embeddings(std::string_view npy, std::size_t items);

  std::size_t width() const { return width_; }

  /// The vector of an item, by its code.
  std::span<const float> row(std::int64_t code) const;

  /// The sum of some items' (codes) vectors, each as often as it counts.
  std::vector<float> sum(std::span<const std::int64_t> codes, std::span<const float> counts) const;

  /// A query's dot products, of every item.
  std::vector<float> scores(const std::vector<float>& query) const;

  /// They, of some items (codes).
  std::vector<float> scores(std::span<const float> query, std::span<const std::int32_t> codes) const;

  /// Places of the k items of the greatest dot products that are not blocked, best first.
  std::vector<std::uint32_t> best(std::span<const float> query, const Mask& blocked, std::size_t k) const;

 private:
  std::size_t items_, width_;
  std::vector<float> rows_;
  Nearest nearest_;
};

}  // namespace trireme
