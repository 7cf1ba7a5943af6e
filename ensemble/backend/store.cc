#include "store.h"

#include "contracts.h"
#include "error.h"
#include "text.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds timeout(static_cast<int>(store_timeout_seconds * 1000));
constexpr std::chrono::milliseconds pause(static_cast<int>(store_pause_seconds * 1000));

}  // namespace

OnlineStore::OnlineStore(const std::string& address, const Layout& layout)
    : redis_(address.substr(0, address.rfind(':')), address.substr(address.rfind(':') + 1)), layout_(layout) {
  for (const Feature& feature : layout.features) fields_.push_back(feature.field);
}

std::vector<Read> OnlineStore::read(const std::vector<std::string>& user_ids) {
  // After timeouts in a row the store is left alone: one that hangs must not hold every batch for the timeout.
  if (Clock::now() < paused_until_) throw StoreError("online store timed out a moment ago and was not asked");
  std::vector<std::string> keys;
  for (const std::string& user_id : user_ids) keys.push_back(layout_.key(user_id));
  std::vector<Read> rows;
  for (const Fields& values : fetch(keys)) {
    try {
      rows.emplace_back(layout_.decode(values));
    } catch (const StoreError& error) {
      rows.emplace_back(error.what());
    }
  }
  return rows;
}

/// Once more at once after an error: a connection from before a restart of Redis fails at its first use.
std::vector<Fields> OnlineStore::fetch(const std::vector<std::string>& keys) {
  for (bool again = true;; again = false) {
    try {
      auto found = redis_.hmget(keys, fields_, timeout);
      timeouts_ = 0;
      return found;
    } catch (const RedisTimeout&) {
      if (++timeouts_ >= store_patience) paused_until_ = Clock::now() + pause;
      throw StoreError("online store did not answer within " + repr_number(store_timeout_seconds) + " s");
    } catch (const RedisError& error) {
      if (!again) throw StoreError(std::string("online store cannot be read: ") + error.what());
    }
  }
}

}  // namespace trireme
