// What the backend says on Triton's metrics page: answers, those that a stage had no part in (ensemble/triton_io.py),
// and where a batch's time goes.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "answer.h"
#include "stages.h"
#include "triton_api.h"

namespace trireme {

using MetricFamily = std::unique_ptr<TRITONSERVER_MetricFamily, TRITONSERVER_Error* (*)(TRITONSERVER_MetricFamily*)>;
using Metric = std::unique_ptr<TRITONSERVER_Metric, TRITONSERVER_Error* (*)(TRITONSERVER_Metric*)>;

class AnswerMetrics {
 public:
  explicit AnswerMetrics(const std::string& release);

  void count(const Answer& answer) const;

  /// Seconds since states of items were looked at.
  void set_item_state_age(double seconds) const;

 private:
  MetricFamily answers_family_, skipped_family_, age_family_;  ///< outlive their metrics
  Metric answers_, age_;
  std::map<std::string, Metric> skipped_;
};

/// Threads of a stage that took longer than their budget and have not come back; the watchdog reads it.
class HungThreads {
 public:
  HungThreads();

  void change(const std::string& stage, int by) const;

 private:
  MetricFamily family_;
  std::map<std::string, Metric> by_stage_;
};

/// Seconds by stage: a histogram of each batch's, and the CPU time of one batch in so many, counted as often.
class StageMetrics {
 public:
  StageMetrics();

  /// Whether the next batch is one whose CPU time is read.
  bool reads_cpu() const { return batches_++ % cpu_every == 0; }

  void observe(const Account& account) const;

 private:
  /// Reading a thread's CPU time is a system call of some .7 us, dozens a batch.
  static constexpr std::uint64_t cpu_every = 16;

  MetricFamily seconds_family_, cpu_family_;
  std::vector<Metric> seconds_, cpu_;
  mutable std::atomic<std::uint64_t> batches_ = 0;
};

}  // namespace trireme
