// The items whose vectors have the greatest dot products with a query: exact, by way of bounds from one byte a number,
// and of a large catalogue first from what leads each row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "leading.h"
#include "scores.h"

namespace trireme {

/// Rows rounded to bytes: a quarter of the memory to pass over, and how far each product can be off is known.
class Nearest {
 public:
  /// What no cache holds: memory, not arithmetic, is what a pass over it costs.
  static constexpr std::size_t large = 1 << 18;

  Nearest() = default;

  /// Of rows [items, width], which outlive this; from so many items on what leads each row is looked at first.
  Nearest(std::span<const float> rows, std::size_t width, std::size_t leading_from = large);

  /// Places of the k greatest products that are not blocked, best first; of equals the smaller place.
  std::vector<std::uint32_t> best(std::span<const float> query, const Mask& blocked, std::size_t k) const;

 private:
  /// A query rounded to two bytes a number.
  struct Query {
    std::vector<std::int16_t> numbers;
    float scale, error;  ///< of a row of scale 1
    Leading::Query leading;
  };

  /// An item that may be among the best, and what its product is at least and at most.
  struct Likely {
    float least, most;
    std::uint32_t place;
  };

  Query rounded(std::span<const float> query) const;
  std::vector<Likely> likely(const Query& query, std::size_t first, std::size_t end, const Mask& blocked,
                             std::size_t k) const;
  void bound(const Query& query, std::size_t first, std::size_t last, float* most) const;
  void add_likely(const Query& query, std::size_t first, std::span<const float> most, const Mask& blocked, float bar,
                  std::vector<Likely>& pool) const;

  std::span<const float> rows_;
  std::size_t width_ = 0;
  std::vector<std::int8_t> bytes_;
  std::vector<float> scales_;
  Leading leading_;  ///< of a large catalogue
};

/// The products of a query and some rows, by place.
void dot_products(std::span<const float> query, const float* rows, std::span<const std::uint32_t> places, float* out);

}  // namespace trireme
