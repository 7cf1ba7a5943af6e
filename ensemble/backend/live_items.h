// The shelf of now, kept as fresh as the online store: looked at once a second by a thread of its own
// (ensemble/live_items.py).
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <string>

#include "periodic.h"
#include "redis.h"
#include "shelf.h"

namespace trireme {

/// States of items, read whenever their version is another than before; without the store the last known stay.
class LiveItems {
 public:
  /// `address` is host:port; connects at the first look.
  LiveItems(const std::string& address, Shelves& shelves);

  /// Look from now on, until this ends.
  void start() { periodic_.start(); }

  /// Take the states in if they have changed; a RedisTimeout or RedisError when the store cannot be read.
  void look();

  /// Since when nothing is known of what the store holds.
  double age_seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  Redis redis_;
  Shelves& shelves_;
  std::string version_;
  std::atomic<Clock::time_point> looked_;
  Periodic periodic_;
};

}  // namespace trireme
