// Boosted trees over columns of candidates, without a branch (ensemble/trees.py says how; the oracle is the ONNX
// graph).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace trireme {

class Trees {
 public:
  /// Rows of a tile, which are evaluated together. A tile holds its columns one after the other.
  static constexpr std::size_t together = 64;

  /// Of an .npz file, over `width` columns; an ArtifactError when it does not hold trees over them.
  Trees(std::string_view npz, std::size_t width);

  /// The sum of the trees' values, a number a row of so many tiles, [tiles, width, together].
  void sum(const float* tiles, std::size_t number, float* out) const;

 private:
  struct Condition {
    std::uint32_t column;
    float threshold;
    std::int32_t kept;  ///< leaves (bits) that are left where `column <= threshold` does not hold
  };

  struct Tree {
    std::size_t first, last;  ///< its conditions
    float values[16];
  };

  std::size_t width_;
  std::vector<Condition> conditions_;
  std::vector<Tree> trees_;
};

}  // namespace trireme
