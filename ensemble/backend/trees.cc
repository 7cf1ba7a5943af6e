#include "trees.h"

#include <algorithm>
#include <limits>

#include "arrays.h"
#include "error.h"
#include "lanes.h"

namespace trireme {
namespace {

constexpr std::size_t vectors = Trees::together / lanes;
constexpr std::size_t leaves = 16;

}  // namespace

Trees::Trees(std::string_view npz, std::size_t width) : width_(width) {
  auto arrays = read_npz(npz);
  const auto columns = arrays["columns"].as<std::int64_t>();
  const auto thresholds = arrays["thresholds"].as<float>(), values = arrays["values"].as<float>();
  const auto kept = arrays["kept"].as<std::int64_t>();
  std::size_t number = values.size() / leaves, most = leaves - 1;
  bool whole = number > 0 && values.size() == number * leaves && columns.size() == number * most &&
               thresholds.size() == columns.size() && kept.size() == columns.size();
  for (auto column : columns) whole = whole && column >= 0 && column < static_cast<std::int64_t>(width);
  if (!whole) throw ArtifactError("expected trees over the ranker's columns in trees.npz");
  for (std::size_t i = 0; i < number; ++i) {
    Tree tree{conditions_.size(), 0, {}};
    std::copy_n(values.begin() + i * leaves, leaves, tree.values);
    for (std::size_t j = i * most; j < (i + 1) * most; ++j) {
      if (thresholds[j] == std::numeric_limits<float>::infinity()) continue;
      conditions_.push_back(
          {static_cast<std::uint32_t>(columns[j]), thresholds[j], static_cast<std::int32_t>(kept[j])});
    }
    tree.last = conditions_.size();
    trees_.push_back(tree);
  }
}

TRIREME_WIDE void Trees::sum(const float* tiles, std::size_t number, float* out) const {
  for (const float* tile = tiles; tile < tiles + number * width_ * together; tile += width_ * together) {
    Lanes sums[vectors] = {};
    for (const Tree& tree : trees_) {
      IntegerLanes left[vectors];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < vectors; ++v) left[v] = IntegerLanes{} - 1;
      for (std::size_t c = tree.first; c < tree.last; ++c) {
        const Condition& asked = conditions_[c];
        const float* column = tile + asked.column * together;
#pragma GCC unroll 8
        for (std::size_t v = 0; v < vectors; ++v) {
          left[v] &= (*reinterpret_cast<const Lanes*>(column + v * lanes) <= asked.threshold) | asked.kept;
        }
      }
      const Lanes low = *reinterpret_cast<const Lanes*>(tree.values);
      const Lanes high = *reinterpret_cast<const Lanes*>(tree.values + lanes);
#pragma GCC unroll 8
      for (std::size_t v = 0; v < vectors; ++v) {
        // A power of two as a float holds its exponent above 23 bits of fraction.
        Lanes lowest = __builtin_convertvector(left[v] & -left[v], Lanes);
        IntegerLanes leaf = (reinterpret_cast<IntegerLanes&>(lowest) >> 23) - 127;
        sums[v] += leaf < 8 ? __builtin_shuffle(low, leaf) : __builtin_shuffle(high, leaf);
      }
    }
    out = std::copy_n(reinterpret_cast<const float*>(sums), together, out);
  }
}

}  // namespace trireme
