#include "triton_metrics.h"

#include "triton_io.h"

namespace trireme {

AnswerMetrics::AnswerMetrics(const std::string& release)
    : answers_family_(family("trireme_answers", "Requests that were answered.")),
      skipped_family_(family("trireme_skipped", "Answers that a stage had no part in.")),
      answers_(metric(answers_family_, "release", release)) {
  for (const char* stage : {"feature_lookup", "retrieval", "ranker", "cold_start"}) {
    skipped_.emplace(stage, metric(skipped_family_, "stage", stage));
  }
}

void AnswerMetrics::count(const Answer& answer) const {
  checked(TRITONSERVER_MetricIncrement(answers_.get(), 1));
  for (const auto& [stage, reason] : answer.skipped) {
    checked(TRITONSERVER_MetricIncrement(skipped_.at(stage).get(), 1));
  }
}

AnswerMetrics::Family AnswerMetrics::family(const char* name, const char* description) {
  TRITONSERVER_MetricFamily* made = nullptr;
  checked(TRITONSERVER_MetricFamilyNew(&made, TRITONSERVER_METRIC_KIND_COUNTER, name, description));
  return {made, TRITONSERVER_MetricFamilyDelete};
}

AnswerMetrics::Metric AnswerMetrics::metric(const Family& family, const char* label, const std::string& value) {
  std::unique_ptr<TRITONSERVER_Parameter, void (*)(TRITONSERVER_Parameter*)> labelled(
      TRITONSERVER_ParameterNew(label, TRITONSERVER_PARAMETER_STRING, value.c_str()), TRITONSERVER_ParameterDelete);
  const TRITONSERVER_Parameter* labels[] = {labelled.get()};
  TRITONSERVER_Metric* made = nullptr;
  checked(TRITONSERVER_MetricNew(&made, family.get(), labels, 1));
  return {made, TRITONSERVER_MetricDelete};
}

}  // namespace trireme
