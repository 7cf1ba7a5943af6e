// Counters on Triton's metrics page: answers, and by stage those that a stage had no part in (ensemble/triton_io.py).
#pragma once

#include <map>
#include <memory>
#include <string>

#include "answer.h"
#include "triton_api.h"

namespace trireme {

class AnswerMetrics {
 public:
  explicit AnswerMetrics(const std::string& release);

  void count(const Answer& answer) const;

 private:
  using Family = std::unique_ptr<TRITONSERVER_MetricFamily, TRITONSERVER_Error* (*)(TRITONSERVER_MetricFamily*)>;
  using Metric = std::unique_ptr<TRITONSERVER_Metric, TRITONSERVER_Error* (*)(TRITONSERVER_Metric*)>;

  static Family family(const char* name, const char* description);
  static Metric metric(const Family& family, const char* label, const std::string& value);

  Family answers_family_, skipped_family_;  ///< outlive their metrics
  Metric answers_;
  std::map<std::string, Metric> skipped_;
};

}  // namespace trireme
