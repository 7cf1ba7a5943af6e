#include "triton_metrics.h"

#include "contracts.h"
#include "triton_io.h"

namespace trireme {
namespace {

/// Upper bounds of a stage's seconds: the share of a millisecond that it takes, and what an outage makes of it.
constexpr double stage_seconds[] = {.00001, .00002, .00005, .0001, .0002, .0005, .001,
                                    .002,   .005,   .01,    .02,   .05,   .1,    .5};

MetricFamily family(const char* name, const char* description,
                    TRITONSERVER_MetricKind kind = TRITONSERVER_METRIC_KIND_COUNTER) {
  TRITONSERVER_MetricFamily* made = nullptr;
  checked(TRITONSERVER_MetricFamilyNew(&made, kind, name, description));
  return {made, TRITONSERVER_MetricFamilyDelete};
}

Metric metric(const MetricFamily& family, const char* label, const std::string& value,
              const TRITONSERVER_MetricArgs* args = nullptr) {
  std::unique_ptr<TRITONSERVER_Parameter, void (*)(TRITONSERVER_Parameter*)> labelled(
      TRITONSERVER_ParameterNew(label, TRITONSERVER_PARAMETER_STRING, value.c_str()), TRITONSERVER_ParameterDelete);
  const TRITONSERVER_Parameter* labels[] = {labelled.get()};
  TRITONSERVER_Metric* made = nullptr;
  checked(TRITONSERVER_MetricNewWithArgs(&made, family.get(), labels, 1, args));
  return {made, TRITONSERVER_MetricDelete};
}

}  // namespace

AnswerMetrics::AnswerMetrics(const std::string& release)
    : answers_family_(family("trireme_answers", "Requests that were answered.")),
      skipped_family_(family("trireme_skipped", "Answers that a stage had no part in.")),
      age_family_(family("trireme_item_state_age_seconds", "Since states of items were looked at.",
                         TRITONSERVER_METRIC_KIND_GAUGE)),
      answers_(metric(answers_family_, "release", release)),
      age_(metric(age_family_, "release", release)) {
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

void AnswerMetrics::set_item_state_age(double seconds) const {
  checked(TRITONSERVER_MetricSet(age_.get(), seconds));
}

HungThreads::HungThreads()
    : family_(family(hung_threads, "Threads of a stage that took longer than their budget and have not come back.",
                     TRITONSERVER_METRIC_KIND_GAUGE)) {
  for (const char* stage : {"feature_lookup", "retrieval", "ranker", "cold_start"}) {
    auto made = by_stage_.emplace(stage, metric(family_, "stage", stage)).first;
    checked(TRITONSERVER_MetricSet(made->second.get(), 0));
  }
}

void HungThreads::change(const std::string& stage, int by) const {
  checked(TRITONSERVER_MetricIncrement(by_stage_.at(stage).get(), by));
}

StageMetrics::StageMetrics()
    : seconds_family_(
          family("trireme_stage_duration_seconds", "Time of a batch in a stage.", TRITONSERVER_METRIC_KIND_HISTOGRAM)),
      cpu_family_(
          family("trireme_stage_cpu_seconds_total", "CPU time by stage: of one batch in 16, counted 16 times.")) {
  TRITONSERVER_MetricArgs* made = nullptr;
  checked(TRITONSERVER_MetricArgsNew(&made));
  std::unique_ptr<TRITONSERVER_MetricArgs, TRITONSERVER_Error* (*)(TRITONSERVER_MetricArgs*)> bounds(
      made, TRITONSERVER_MetricArgsDelete);
  checked(TRITONSERVER_MetricArgsSetHistogram(bounds.get(), stage_seconds, std::size(stage_seconds)));
  for (const char* stage : stage_names) {
    seconds_.push_back(metric(seconds_family_, "stage", stage, bounds.get()));
    cpu_.push_back(metric(cpu_family_, "stage", stage));
  }
}

void StageMetrics::observe(const Account& account) const {
  for (std::size_t i = 0; i < stage_count; ++i) {
    if (account.wall()[i] > 0) checked(TRITONSERVER_MetricObserve(seconds_[i].get(), account.wall()[i] / 1e9));
    double cpu = static_cast<double>(account.cpu()[i]) * cpu_every / 1e9;
    if (account.has_cpu()) checked(TRITONSERVER_MetricIncrement(cpu_[i].get(), cpu));
  }
}

}  // namespace trireme
