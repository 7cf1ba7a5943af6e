// The item embeddings of the two-tower, and every item's score for a batch of queries.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace trireme {

/// A matrix of items, one row each.
class Embeddings {
 public:
  explicit Embeddings(std::string_view npy);

  std::size_t items() const { return items_; }
  std::size_t width() const { return width_; }

  /// Dot products of `number` queries, [number, items].
  std::vector<float> scores(const std::vector<float>& queries, std::size_t number) const;

 private:
  std::size_t items_, width_;
  std::vector<float> rows_;
};

}  // namespace trireme
