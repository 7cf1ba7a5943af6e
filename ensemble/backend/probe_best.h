// What the probe asks of the parts that find the best of a catalogue, each by itself.
#pragma once

#include <nlohmann/json.hpp>

namespace trireme {

/// Places of the k best of what `asked` holds, none of `blocked`: by products of `rows` and a `query`, by sums of what
/// is `added` (place and number) to so many `items`, or by what is in demand where all count `counts` times `scale` and
/// a region its `own`, by `weights` if given.
nlohmann::json best_products(const nlohmann::json& asked);
nlohmann::json best_sums(const nlohmann::json& asked);
nlohmann::json best_demand(const nlohmann::json& asked);

}  // namespace trireme
