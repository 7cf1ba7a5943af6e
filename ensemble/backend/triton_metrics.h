// What the backend says on Triton's metrics page: answers, those that a stage had no part in (ensemble/triton_io.py),
// and where a batch's time goes.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "answer.h"
#include "contracts.h"
#include "kept.h"
#include "stages.h"
#include "triton_api.h"

namespace trireme {

using MetricFamily = std::unique_ptr<TRITONSERVER_MetricFamily, TRITONSERVER_Error* (*)(TRITONSERVER_MetricFamily*)>;
using Metric = std::unique_ptr<TRITONSERVER_Metric, TRITONSERVER_Error* (*)(TRITONSERVER_Metric*)>;

/// A metric of contracts.metrics on Triton's page, by the value of its label.
class Labelled {
 public:
  Labelled(const Measure& measure, TRITONSERVER_MetricKind kind, std::span<const std::string> values,
           std::span<const double> bounds = {});

  void add(double number = 1, std::string_view value = {}) const;
  void set(double number, std::string_view value = {}) const;
  void observe(double number, std::string_view value = {}) const;

 private:
  const Metric& at(std::string_view value) const;

  MetricFamily family_;  ///< outlives its metrics
  std::map<std::string, Metric, std::less<>> metrics_;
};

/// What is counted of answers: ensemble/triton_io.py's Answered.
class AnswerMetrics {
 public:
  explicit AnswerMetrics(const std::string& release);

  void count(const Answer& answer) const;
  void count_batch(std::size_t requests) const { batch_.observe(static_cast<double>(requests), model_); }

  /// Looks for what is kept, since this was last told.
  void count_lookups(Lookups& lookups) const;

  /// What became of an impression.
  void count_impression(std::string_view what) const;

  /// Seconds since states of items were looked at.
  void set_item_state_age(double seconds) const { item_state_age_.set(seconds, release_); }

 private:
  const std::string release_, model_ = "recommend";
  Labelled answers_, items_, skipped_, degraded_, feature_age_, batch_, item_state_age_, lookups_, sent_, dropped_;
};

/// Threads of a stage that took longer than their budget and have not come back; the watchdog reads it.
class HungThreads {
 public:
  HungThreads();

  void change(const std::string& stage, int by) const { hung_.add(by, stage); }

 private:
  Labelled hung_;
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

  Labelled seconds_, cpu_;
  mutable std::atomic<std::uint64_t> batches_ = 0;
};

}  // namespace trireme
