// What is replaced as a whole while others use it.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace trireme {

/// Whoever got it keeps what he has while the next is put in its place. A mutex: the load of std::atomic<shared_ptr> is
/// no acquire and release in libstdc++ 12 (it unlocks by memory_order_relaxed), which ThreadSanitizer found.
template <class Held>
class Swapped {
 public:
  explicit Swapped(std::shared_ptr<const Held> first = {}) : held_(std::move(first)) {}

  std::shared_ptr<const Held> get() const {
    std::lock_guard lock(mutex_);
    return held_;
  }

  /// The one before goes, when nobody has it any more, without anybody waiting for that.
  void put(std::shared_ptr<const Held> next) {
    std::lock_guard lock(mutex_);
    held_.swap(next);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Held> held_;
};

}  // namespace trireme
