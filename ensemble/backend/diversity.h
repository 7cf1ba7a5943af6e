// Lists of unlike items: maximal marginal relevance (ensemble/steps/diversity.py).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace trireme {

/// Places of the first `k` of candidates (their vectors, the best first), each good and unlike those before it.
std::vector<std::size_t> spread_out(const std::vector<std::span<const float>>& vectors, std::size_t k,
                                    double diversity);

}  // namespace trireme
