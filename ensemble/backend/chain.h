// The steps of a release in the order of a plan, for many requests at once; each degrades instead of failing
// (ensemble/serving.py).
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cold_start.h"
#include "covisits.h"
#include "faults.h"
#include "impression.h"
#include "lookup.h"
#include "popularity.h"
#include "query.h"
#include "ranker.h"
#include "ranker_features.h"
#include "release.h"
#include "retrieval.h"
#include "row.h"
#include "shelf.h"
#include "signals.h"
#include "similar.h"
#include "store.h"
#include "tables.h"

namespace trireme {

/// A checked request, with its own row where it brought one along; or one for items like an item.
struct Asked {
  Request request;
  std::optional<GoldenRow> golden;
  std::optional<SimilarRequest> similar = {};

  /// Whose rows are read: the user's, then that of the anonymous id.
  std::vector<std::string> ids() const;
};

/// A batch's answers and what each was made of, in its order.
struct Answered {
  std::vector<Answer> answers;
  std::vector<Passage> passages;
};

/// A batch under way: the step it is in, told to whoever waits, and by when the last of its pieces has to be done.
struct Course {
  std::atomic<const char*> step = "feature_lookup";
  std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
};

/// The wall clock, ms.
std::int64_t now_ms();

/// Shared by all instances of a model; whatever it holds does not change, but for what Popularity keeps and the shelf.
class Chain {
 public:
  /// `plan` names the steps, blanks between them; an ArtifactError when one is not known or the release is not whole.
  /// `fault` is the file of a drill, or "".
  Chain(const std::string& release, const std::string& onnxruntime, const std::string& plan, std::string variant,
        std::string fault = "");

  const Release& release() const { return release_; }

  /// What may be listed, for whoever hears of it.
  Shelves& shelves() { return shelves_; }
  const Tables& tables() const { return tables_; }
  Popularity& popularity() { return popularity_; }

  /// Of all that is kept.
  Lookups& lookups() const { return lookups_; }

  /// A large batch goes through the steps piece by piece; what there is no time for is answered by trending.
  Answered answer(const std::vector<Asked>& asked, OnlineStore& store, Course& course) const;

  /// The same by trending alone, because a stage could not do its part in time.
  Answered degraded(const std::vector<Asked>& asked, const std::string& stage, const std::string& reason) const;

  /// The record of an answer.
  std::string impression(const Asked& asked, const Passage& passage, const Answer& answer) const {
    return asked.similar ? impressions_(*asked.similar, passage, answer) : impressions_(asked.request, passage, answer);
  }

 private:
  using Step = std::function<void(const Batch&)>;

  Answered recommended(const std::vector<Asked>& asked, OnlineStore& store, Course& course) const;
  void after_lookup(std::span<Passage> passages, std::vector<Answer>::iterator answer, Course& course) const;
  void run_steps(std::span<Passage> passages, Course& course) const;
  Passage unknown(const Asked& asked, const std::string& stage, const std::string& reason, std::int64_t started) const;
  std::vector<Passage> look_up(const std::vector<Asked>& asked, OnlineStore& store) const;
  Passage encoded(const Asked& asked, std::span<const Read> read, std::int64_t started) const;
  void run(const std::string& stage, const Step& step, const Batch& batch) const;
  Answer answered(Passage& passage) const;

  Release release_;
  Tables tables_;
  Shelves shelves_;
  mutable Lookups lookups_;
  Popularity popularity_, novelty_;
  Covisits covisits_;
  Lookup lookup_;
  Signals signals_;
  std::shared_ptr<const OnnxLibrary> onnx_;
  Retrieval retrieval_;
  RankerFeatures features_;
  Ranker ranker_;
  ColdStart cold_start_;
  SimilarItems similar_;
  Impressions impressions_;
  std::string variant_;
  Faults faults_;
  std::vector<std::pair<std::string, Step>> between_;  ///< the plan's steps after the lookup and before the answer
};

}  // namespace trireme
