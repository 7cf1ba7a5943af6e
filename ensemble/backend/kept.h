// What was made once and is kept, and how often it was there when it was looked for.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "contracts.h"

namespace trireme {

/// Looks for what is kept, by all threads; outlives what is kept (steps/bucket_log.py).
class Lookups {
 public:
  struct Counts {
    std::uint64_t hits, misses;
  };

  void count(bool hit) { (hit ? hits_ : misses_).fetch_add(1, std::memory_order_relaxed); }

  /// Since the last call.
  Counts counts() {
    return {hits_.exchange(0, std::memory_order_relaxed), misses_.exchange(0, std::memory_order_relaxed)};
  }

 private:
  std::atomic<std::uint64_t> hits_ = 0, misses_ = 0;
};

/// Values by key, for all instances of a model, until they hold too many numbers: then it begins anew.
template <class Key, class Value>
class Kept {
 public:
  explicit Kept(Lookups& lookups) : lookups_(lookups) {}

  /// What was made under that key, or is made now. Two who miss at once both compute, and agree.
  std::shared_ptr<const Value> keep(const Key& key, const std::function<Value()>& compute) {
    {
      std::lock_guard lock(mutex_);
      auto found = values_.find(key);
      lookups_.count(found != values_.end());
      if (found != values_.end()) return found->second;
    }
    auto made = std::make_shared<const Value>(compute());
    std::lock_guard lock(mutex_);
    if (numbers_ + made->size() > most_kept) {
      values_.clear();
      numbers_ = 0;
    }
    auto [place, is_new] = values_.emplace(key, made);
    if (is_new) numbers_ += made->size();
    return place->second;
  }

 private:
  Lookups& lookups_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Value>> values_;
  std::size_t numbers_ = 0;
};

}  // namespace trireme
