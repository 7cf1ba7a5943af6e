// What was made once and is asked for again, for all instances of a model.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

namespace trireme {

/// By key, shared by whoever still reads it; all of it is let go when it holds more than `most` numbers.
template <class Key, class Value>
class Kept {
 public:
  explicit Kept(std::size_t most) : most_(most) {}

  /// What was made under that key, or is made now. Two who miss at once both make it, and agree.
  template <class Make>
  std::shared_ptr<const Value> operator()(const Key& key, Make make) {
    {
      std::lock_guard lock(mutex_);
      if (auto found = held_.find(key); found != held_.end()) return found->second;
    }
    std::shared_ptr<const Value> made = make();
    std::lock_guard lock(mutex_);
    if (size_ + made->size() > most_) {
      held_.clear();
      size_ = 0;
    }
    if (held_.emplace(key, made).second) size_ += made->size();
    return made;
  }

 private:
  std::size_t most_, size_ = 0;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Value>> held_;
};

}  // namespace trireme
