// Vectors turned so that their first numbers hold most of each: a quarter of the memory to pass over, and less.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

/// The first numbers of each row along the catalogue's principal axes, a byte each, and how long the rest of it is.
class Leading {
 public:
  /// A query along the same axes, two bytes a number.
  struct Query {
    std::vector<std::int16_t> numbers;
    float scale = 0, error = 0;  ///< of a row of scale 1
    float rest = 0;
  };

  Leading() = default;
  Leading(std::span<const float> rows, std::size_t width);

  bool empty() const { return scales_.empty(); }

  Query turned(std::span<const float> query) const;

  /// What the products of the rows from `first` to before `last` are at most.
  void bound(const Query& query, std::size_t first, std::size_t last, float* most) const;

 private:
  /// The first numbers of a vector, and what is left of its length.
  float turn(std::span<const float> vector, std::span<float> leading) const;

  std::size_t width_ = 0, number_ = 0;
  std::vector<float> axes_;  ///< [number, width]
  std::vector<std::int8_t> bytes_;
  std::vector<float> scales_, rests_;
};

}  // namespace trireme
