#include "signals.h"

#include <algorithm>

#include "error.h"

namespace trireme {
namespace {

/// The place of a signal among a candidate's, or how many there are.
std::size_t place_of(const std::string& name) {
  if (name == "trend") return trend_signal;
  for (std::size_t i = 0; i < std::size(sources); ++i) {
    if (name == std::string(sources[i]) + "_score") return score_signal(i);
    if (name == std::string(sources[i]) + "_log") return log_signal(i);
  }
  return signal_count;
}

}  // namespace

void Signals::operator()(Passage& passage) const {
  Candidates& found = passage.candidates;
  for (std::size_t i = 0; i < std::size(sources); ++i) {
    found.signals[score_signal(i)] = standardised(found.scores[i]);
    found.signals[log_signal(i)] = log_of_greatest(found.scores[i]);
  }
  Vector trend = popularity_.trend(passage.envelope.as_of);
  found.signals[trend_signal] = at_candidates(passage, trend, [](double value) { return value; });
}

Columns Signals::known() {
  Columns out;
  auto know = [&](const std::string& name) {
    out[name] = [place = place_of(name)](const Passage& passage) { return passage.candidates.signals[place]; };
  };
  for (std::string source : sources) {
    know(source + "_score");
    know(source + "_log");
  }
  know("trend");
  return out;
}

SignalWeights Signals::weights(const std::map<std::string, double>& named) {
  SignalWeights out;
  for (const auto& [name, weight] : named) {
    auto place = place_of(name);
    if (place == signal_count) {
      throw ArtifactError("the blend weighs " + name + ", which this backend does not know");
    }
    out.emplace_back(place, weight);
  }
  return out;
}

std::vector<double> Signals::sum(const Candidates& candidates, const SignalWeights& weights) {
  std::vector<double> out(candidates.ids.size());
  for (const auto& [place, weight] : weights) {
    const auto& signal = candidates.signals[place];
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += weight * signal[i];
  }
  return out;
}

}  // namespace trireme
