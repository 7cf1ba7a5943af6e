// What the probe asks of what threads share: of a release that they use at once, as two instances of a model and its
// pollers do, and of what is kept for all of them.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "chain.h"
#include "live_buckets.h"
#include "live_items.h"

namespace trireme {

/// What is used at once.
struct Shared {
  std::shared_ptr<const Chain> chain;
  std::string redis;
  LiveItems& items;
  LiveBuckets& buckets;
};

/// Answers a batch `times` times on each of so many `threads`, each under its budget and logged to `path`, while states
/// of items and counts until `now_ms` are looked at without a pause: the lists that each request was answered in full,
/// and how often everything was done.
nlohmann::json crowd(const Shared& shared, std::shared_ptr<const std::vector<Asked>> batch,
                     const nlohmann::json& asked);

/// Looks for vectors of so many `numbers` under `keys`: hit or miss, in their order.
nlohmann::json kept(const nlohmann::json& asked);

}  // namespace trireme
