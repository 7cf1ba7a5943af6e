// The steps of a release in the order of a plan, for many requests at once; each degrades instead of failing
// (ensemble/serving.py).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cold_start.h"
#include "covisits.h"
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
};

/// The wall clock, ms.
std::int64_t now_ms();

/// Shared by all instances of a model; whatever it holds does not change, but for what Popularity keeps and the shelf.
class Chain {
 public:
  /// `plan` names the steps, blanks between them; an ArtifactError when one is not known or the release is not whole.
  Chain(const std::string& release, const std::string& onnxruntime, const std::string& plan, std::string variant);

  const Release& release() const { return release_; }

  /// What may be listed, for whoever hears of it.
  Shelves& shelves() { return shelves_; }

  /// Answers of a batch, in its order; `kept` takes what they were made of.
  std::vector<Answer> answer(const std::vector<Asked>& asked, OnlineStore& store,
                             std::vector<Passage>* kept = nullptr) const;

  /// The record of an answer.
  std::string impression(const Asked& asked, const Passage& passage, const Answer& answer) const {
    return asked.similar ? impressions_(*asked.similar, passage, answer) : impressions_(asked.request, passage, answer);
  }

 private:
  using Step = std::function<void(const Batch&)>;

  std::vector<Answer> recommended(const std::vector<Asked>& asked, OnlineStore& store, std::vector<Passage>* kept) const;
  static Passage of_item(const SimilarRequest& request, std::int64_t as_of);
  std::vector<Passage> look_up(const std::vector<Asked>& asked, OnlineStore& store) const;
  Passage encoded(const Asked& asked, const Read& read, std::int64_t started) const;
  void run(const std::string& stage, const Step& step, const Batch& batch) const;
  Answer answered(Passage& passage) const;

  Release release_;
  Tables tables_;
  Shelves shelves_;
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
  std::vector<std::pair<std::string, Step>> between_;  ///< the plan's steps after the lookup and before the answer
};

}  // namespace trireme
