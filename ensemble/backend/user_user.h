// Users with similar histories, and what they took (contracts/user_user.py).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sums.h"

namespace trireme {

class Alike {
 public:
  /// Of the histories in an .npz file.
  Alike(std::string_view npz, std::size_t items, std::size_t number);

  /// Add the similarities of the most similar users to what they took.
  void add(std::span<const std::int64_t> seen, std::int64_t own, Sums<1>& sums) const;

 private:
  struct Near {
    double similarity;
    std::size_t user;
  };

  std::vector<Near> nearest(std::span<const std::int64_t> seen, std::int64_t own) const;

  std::size_t number_;
  std::vector<std::int64_t> users_, starts_;
  std::vector<std::uint32_t> taken_;  ///< the user at u took the places taken_[starts_[u]] on
  std::vector<std::int64_t> taker_starts_;
  std::vector<std::uint32_t> takers_;  ///< the same by item
};

}  // namespace trireme
