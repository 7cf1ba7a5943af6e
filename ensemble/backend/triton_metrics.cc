#include "triton_metrics.h"

#include <algorithm>

#include "triton_io.h"

namespace trireme {
namespace {

template <class Texts>
std::vector<std::string> listed(const Texts& texts) {
  return {std::begin(texts), std::end(texts)};
}

constexpr auto counter = TRITONSERVER_METRIC_KIND_COUNTER, gauge = TRITONSERVER_METRIC_KIND_GAUGE,
               histogram = TRITONSERVER_METRIC_KIND_HISTOGRAM;
const std::vector<std::string> unlabelled = {""};

/// contracts.metrics.degraded_by.
const char* degraded_by(std::string_view reason) {
  std::size_t i = 0;
  while (i < std::size(degraded_words) && reason.find(degraded_words[i]) == reason.npos) ++i;
  return degraded_reasons[i];
}

}  // namespace

Labelled::Labelled(const Measure& measure, TRITONSERVER_MetricKind kind, std::span<const std::string> values,
                   std::span<const double> bounds)
    : family_(nullptr, TRITONSERVER_MetricFamilyDelete) {
  TRITONSERVER_MetricFamily* family = nullptr;
  checked(TRITONSERVER_MetricFamilyNew(&family, kind, measure.name, measure.doc));
  family_.reset(family);
  std::unique_ptr<TRITONSERVER_MetricArgs, TRITONSERVER_Error* (*)(TRITONSERVER_MetricArgs*)> args(
      nullptr, TRITONSERVER_MetricArgsDelete);
  if (!bounds.empty()) {
    TRITONSERVER_MetricArgs* made = nullptr;
    checked(TRITONSERVER_MetricArgsNew(&made));
    args.reset(made);
    checked(TRITONSERVER_MetricArgsSetHistogram(made, bounds.data(), bounds.size()));
  }
  for (const std::string& value : values) {
    std::unique_ptr<TRITONSERVER_Parameter, void (*)(TRITONSERVER_Parameter*)> labelled(
        TRITONSERVER_ParameterNew(measure.label, TRITONSERVER_PARAMETER_STRING, value.c_str()),
        TRITONSERVER_ParameterDelete);
    const TRITONSERVER_Parameter* labels[] = {labelled.get()};
    std::uint64_t number = *measure.label ? 1 : 0;
    TRITONSERVER_Metric* made = nullptr;
    checked(TRITONSERVER_MetricNewWithArgs(&made, family, labels, number, args.get()));
    metrics_.emplace(value, Metric(made, TRITONSERVER_MetricDelete));
  }
}

void Labelled::add(double number, std::string_view value) const {
  checked(TRITONSERVER_MetricIncrement(at(value).get(), number));
}

void Labelled::set(double number, std::string_view value) const {
  checked(TRITONSERVER_MetricSet(at(value).get(), number));
}

void Labelled::observe(double number, std::string_view value) const {
  checked(TRITONSERVER_MetricObserve(at(value).get(), number));
}

const Metric& Labelled::at(std::string_view value) const {
  auto found = metrics_.find(value);
  if (found == metrics_.end()) throw std::logic_error("no such label: " + std::string(value));
  return found->second;
}

AnswerMetrics::AnswerMetrics(const std::string& release)
    : release_(release),
      answers_(answers_metric, counter, std::span(&release_, 1)),
      items_(items_metric, counter, listed(answer_sources)),
      skipped_(skipped_metric, counter, listed(steps)),
      degraded_(degraded_metric, counter, listed(degraded_reasons)),
      feature_age_(feature_age_metric, histogram, unlabelled, feature_age_metric_bounds),
      batch_(batch_metric, histogram, std::span(&model_, 1), batch_metric_bounds),
      item_state_age_(item_state_age_metric, gauge, std::span(&release_, 1)),
      lookups_(cache_lookups_metric, counter, std::vector<std::string>{lookup_hit, lookup_miss}),
      sent_(sent_metric, counter, unlabelled),
      dropped_(dropped_metric, counter, listed(impression_drops)) {}

void AnswerMetrics::count(const Answer& answer) const {
  answers_.add(1, release_);
  for (const char* source : answer_sources) {
    auto number = std::count(answer.sources.begin(), answer.sources.end(), std::string_view(source));
    if (number > 0) items_.add(static_cast<double>(number), source);
  }
  for (const auto& [stage, reason] : answer.skipped) {
    skipped_.add(1, stage);
    degraded_.add(1, degraded_by(reason));
  }
  if (answer.feature_age_ms >= 0) feature_age_.observe(static_cast<double>(answer.feature_age_ms) / 1000);
}

void AnswerMetrics::count_lookups(Lookups& lookups) const {
  auto [hits, misses] = lookups.counts();
  lookups_.add(static_cast<double>(hits), lookup_hit);
  if (misses > 0) lookups_.add(static_cast<double>(misses), lookup_miss);
}

void AnswerMetrics::count_impression(std::string_view what) const {
  if (what == "sent") {
    sent_.add();
  } else {
    dropped_.add(1, what);
  }
}

HungThreads::HungThreads() : hung_(hung_metric, gauge, listed(steps)) {
  for (const char* stage : steps) hung_.set(0, stage);
}

StageMetrics::StageMetrics()
    : seconds_(stage_seconds_metric, histogram, listed(stage_names), stage_seconds_metric_bounds),
      cpu_(stage_cpu_metric, counter, listed(stage_names)) {}

void StageMetrics::observe(const Account& account) const {
  for (std::size_t i = 0; i < stage_count; ++i) {
    if (account.wall()[i] > 0) seconds_.observe(account.wall()[i] / 1e9, stage_names[i]);
    double cpu = static_cast<double>(account.cpu()[i]) * cpu_every / 1e9;
    if (account.has_cpu()) cpu_.add(cpu, stage_names[i]);
  }
}

}  // namespace trireme
