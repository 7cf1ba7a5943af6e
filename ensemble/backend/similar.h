// Items like an item, for nobody in particular (ensemble/steps/similar.py).
#pragma once

#include <optional>
#include <vector>

#include "answer.h"
#include "covisits.h"
#include "listed.h"
#include "lookup.h"
#include "popularity.h"
#include "query.h"
#include "sources.h"
#include "tables.h"

namespace trireme {

/// Answers always: an item that is not known is answered by trending.
class SimilarItems {
 public:
  SimilarItems(const Tables& tables, const Popularity& popularity, const Covisits& covisits, const Sources& sources);

  /// Of a request, as of an instant; `recorded` requests know nothing of live states of items.
  Answer operator()(const SimilarRequest& request, const Lookup& lookup, const Shelves& shelves, std::int64_t as_of,
                    bool recorded, const std::string& variant) const;

 private:
  std::vector<double> scores(std::int64_t code, std::int64_t as_of) const;
  Listed like(const Passage& passage, std::int64_t code, const Mask& blocked) const;

  const Tables& tables_;
  const Popularity& popularity_;
  const Covisits& covisits_;
  const Sources& sources_;
  std::vector<double> lengths_;  ///< of the items' vectors
};

}  // namespace trireme
