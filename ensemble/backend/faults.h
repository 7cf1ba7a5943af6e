// Faults on purpose, for drills only (ensemble/faults.py).
#pragma once

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "error.h"

namespace trireme {

/// What a drill does to a stage: `file` holds STAGE:raise, STAGE:hang or STAGE:slow. Without a file, which is the rule,
/// nothing.
class Faults {
 public:
  explicit Faults(std::string file) : file_(std::move(file)) {}

  /// Raise, hang, or take a tenth of a second, when the file says so.
  void strike(const std::string& stage) const {
    if (file_.empty()) return;
    std::string said;
    std::getline(std::ifstream(file_), said);
    if (said == stage + ":raise") throw StoreError("a drill made it raise");
    if (said == stage + ":hang") std::this_thread::sleep_for(std::chrono::hours(1));
    if (said == stage + ":slow") std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }

 private:
  std::string file_;
};

}  // namespace trireme
