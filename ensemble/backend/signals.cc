#include "signals.h"

#include "error.h"

namespace trireme {

Signals::Signals(const Popularity& popularity) {
  for (std::size_t i = 0; i < std::size(sources); ++i) {
    std::string source = sources[i];
    known_[source + "_score"] = [i](const Passage& passage) { return standardised(passage.candidates.scores[i]); };
    known_[source + "_log"] = [i](const Passage& passage) { return log_of_greatest(passage.candidates.scores[i]); };
  }
  known_["trend"] = [&popularity](const Passage& passage) {
    return at_candidates(passage, popularity.trend(passage.envelope.as_of), [](double value) { return value; });
  };
}

std::vector<double> Signals::sum(const Passage& passage, const std::map<std::string, double>& weights) const {
  std::vector<double> out(passage.candidates.ids.size());
  for (const auto& [name, weight] : weights) {
    Column signal = known_.at(name)(passage);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += weight * signal[i];
  }
  return out;
}

void Signals::check(const std::map<std::string, double>& weights) const {
  for (const auto& [name, weight] : weights) {
    if (!known_.contains(name)) throw ArtifactError("the blend weighs " + name + ", which this backend does not know");
  }
}

}  // namespace trireme
