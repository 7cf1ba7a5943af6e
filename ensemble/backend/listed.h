// A list in the making, what fills it up, and the answer that it becomes (the end of ensemble/steps/blend.py).
#pragma once

#include <span>
#include <vector>

#include "answer.h"
#include "demand.h"
#include "query.h"
#include "scores.h"
#include "tables.h"

namespace trireme {

struct Listed {
  std::vector<std::int64_t> codes;
  std::vector<double> scores;
  std::vector<const char*> sources;
};

/// Make a list that is shorter than `k` up with trending; all of the catalogue that is not blocked, when that is less.
void fill(Listed& list, std::size_t k, Mask blocked, const Demand& trending);

/// The answer; a std::runtime_error when a score is no number.
Answer answer_of(Envelope envelope, Listed list, const Tables& tables);

}  // namespace trireme
