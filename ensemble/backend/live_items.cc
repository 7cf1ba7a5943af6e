#include "live_items.h"

#include <nlohmann/json.hpp>

#include "contracts.h"

namespace trireme {
namespace {

constexpr std::chrono::milliseconds timeout(1000);
constexpr std::chrono::milliseconds period(static_cast<int>(live_items_period_seconds * 1000));

/// A document of contracts/item_state.py: attribute -> [time, event id, value]. One that is none says nothing.
ItemState state_of(const std::string& document) {
  ItemState out;
  auto raw = nlohmann::json::parse(document, nullptr, false);
  if (!raw.is_object()) return out;
  for (const auto& [name, said] : raw.items()) {
    if (!said.is_array() || said.size() != 3 || !said[2].is_string()) return {};
    out[name] = said[2];
  }
  return out;
}

}  // namespace

LiveItems::LiveItems(const std::string& address, Shelves& shelves)
    : redis_(address.substr(0, address.rfind(':')), address.substr(address.rfind(':') + 1)),
      shelves_(shelves),
      looked_(Clock::now()),
      periodic_(period, [this] { look(); }) {}

void LiveItems::look() {
  // The version is read first: what is written meanwhile has another, and is read again.
  std::string version = redis_.get(item_version_key, timeout).value_or("");
  if (version != version_) {
    std::map<std::string, ItemState> states;
    for (const auto& [item_id, document] : redis_.hgetall(item_states_key, timeout)) {
      states.emplace(item_id, state_of(document));
    }
    shelves_.take(states);
    version_ = version;
  }
  looked_ = Clock::now();
}

double LiveItems::age_seconds() const {
  return std::chrono::duration<double>(Clock::now() - looked_.load()).count();
}

}  // namespace trireme
