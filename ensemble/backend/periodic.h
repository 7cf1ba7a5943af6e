// A thread that does one thing again and again, off the path of requests.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace trireme {

/// What fails is tried again after the period: whoever needs to know since when looks at how old it is.
class Periodic {
 public:
  Periodic(std::chrono::milliseconds period, std::function<void()> act) : period_(period), act_(std::move(act)) {}
  Periodic(const Periodic&) = delete;
  ~Periodic();

  /// From now on, until this ends.
  void start();

 private:
  void run();

  std::chrono::milliseconds period_;
  std::function<void()> act_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

}  // namespace trireme
