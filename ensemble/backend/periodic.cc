#include "periodic.h"

#include <exception>

namespace trireme {

Periodic::~Periodic() {
  {
    std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Periodic::start() {
  thread_ = std::thread([this] { run(); });
}

void Periodic::run() {
  std::unique_lock lock(mutex_);
  while (!end_) {
    lock.unlock();
    try {
      act_();
    } catch (const std::exception&) {
    }
    lock.lock();
    ended_.wait_for(lock, period_, [this] { return end_; });
  }
}

}  // namespace trireme
