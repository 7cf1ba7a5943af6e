#include "chain.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <sstream>

#include "error.h"
#include "stages.h"
#include "together.h"

namespace trireme {
namespace {

/// Rows of a batch that two threads share: what many clients ask at once stays with the threads of their instances.
constexpr std::size_t two_threads_from = 64;
/// Rows that go through the steps together: the query tower costs less a row of many, and of a batch that there is no
/// time for only the pieces that were not begun are lost, where a piece takes a small part of the budget.
constexpr std::size_t piece = 16;

/// What an answer says of an error: enough to look for it in the log, and never a page of it.
std::string reason_of(const std::exception& error) {
  return ("Error: " + std::string(error.what())).substr(0, 200);
}

/// What a record tells of a request for similar items: no user stands behind it.
Passage of_item(const SimilarRequest& request, std::int64_t as_of) {
  Passage passage;
  passage.envelope.region = request.region;
  passage.envelope.k = request.k;
  passage.envelope.as_of = as_of;
  return passage;
}

void skip(Passage& passage, const std::string& stage, const std::string& reason) {
  passage.envelope.skipped.emplace_back(stage, reason);
}

}  // namespace

std::vector<std::string> Asked::ids() const {
  std::vector<std::string> out;
  if (golden) return out;
  if (!request.user_id.empty()) out.push_back(request.user_id);
  if (!request.anonymous_id.empty() && request.anonymous_id != request.user_id) out.push_back(request.anonymous_id);
  return out;
}

std::int64_t now_ms() {
  auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count();
}

Chain::Chain(const std::string& release, const std::string& onnxruntime, const std::string& plan, std::string variant,
             std::string fault)
    : release_(release),
      tables_(release_),
      shelves_(tables_),
      popularity_(tables_, tables_.buckets, lookups_),
      novelty_(tables_, tables_.first_takes, lookups_),
      covisits_(tables_, popularity_),
      lookup_(tables_, release_),
      signals_(popularity_),
      onnx_(std::make_shared<OnnxLibrary>(onnxruntime)),
      retrieval_(tables_, popularity_, covisits_, signals_, release_, onnx_),
      features_(tables_, popularity_, novelty_, covisits_, release_.derived),
      ranker_(features_, release_, onnx_),
      cold_start_(tables_, popularity_, release_.blend, retrieval_.all_sources().items()),
      similar_(tables_, popularity_, covisits_, retrieval_.all_sources()),
      impressions_(tables_, features_, release_.derived),
      variant_(std::move(variant)),
      faults_(std::move(fault)) {
  const std::map<std::string, Step> known = {{"retrieval", [this](const Batch& batch) { retrieval_(batch); }},
                                             {"ranker", [this](const Batch& batch) { ranker_(batch); }}};
  std::istringstream words(plan);
  std::vector<std::string> names{std::istream_iterator<std::string>(words), {}};
  if (names.size() < 2 || names.front() != "feature_lookup" || names.back() != "cold_start") {
    throw ArtifactError("expected a plan from feature_lookup to cold_start, got '" + plan + "'");
  }
  for (std::size_t i = 1; i + 1 < names.size(); ++i) {
    auto step = known.find(names[i]);
    if (step == known.end())
      throw ArtifactError("the plan names " + names[i] + ", which is no step between the two ends");
    between_.push_back(*step);
  }
}

Answered Chain::answer(const std::vector<Asked>& asked, OnlineStore& store, Course& course) const {
  auto is_similar = [](const Asked& one) { return one.similar.has_value(); };
  if (std::none_of(asked.begin(), asked.end(), is_similar)) return recommended(asked, store, course);
  std::vector<Asked> users;
  std::remove_copy_if(asked.begin(), asked.end(), std::back_inserter(users), is_similar);
  auto of_users = recommended(users, store, course);
  std::size_t next = 0;
  Answered out;
  for (const Asked& one : asked) {
    if (!one.similar) {
      out.answers.push_back(std::move(of_users.answers[next]));
      out.passages.push_back(std::move(of_users.passages[next++]));
      continue;
    }
    auto as_of = one.golden ? one.golden->as_of : now_ms();
    out.answers.push_back(similar_(*one.similar, lookup_, shelves_, as_of, one.golden.has_value(), variant_));
    out.passages.push_back(of_item(*one.similar, as_of));
  }
  return out;
}

Answered Chain::recommended(const std::vector<Asked>& asked, OnlineStore& store, Course& course) const {
  auto passages = look_up(asked, store);
  std::vector<Answer> answers(passages.size());
  std::span all(passages);
  std::size_t half = passages.size() / 2;
  if (passages.size() < two_threads_from) {
    after_lookup(all, answers.begin(), course);
  } else {
    together([&] { after_lookup(all.first(half), answers.begin(), course); },
             [&] { after_lookup(all.subspan(half), answers.begin() + half, course); });
  }
  return {std::move(answers), std::move(passages)};
}

/// The first piece is begun whatever the time; another one if it can end in time, judged by those before it.
void Chain::after_lookup(std::span<Passage> passages, std::vector<Answer>::iterator answer, Course& course) const {
  using Clock = std::chrono::steady_clock;
  Clock::duration longest{};
  std::size_t done = 0;
  while (done < passages.size()) {
    auto started = Clock::now();
    if (done > 0 && started > course.until - longest) break;
    auto now = passages.subspan(done, std::min(piece, passages.size() - done));
    run_steps(now, course);
    done += now.size();
    longest = std::max(longest, Clock::now() - started);
  }
  for (Passage& passage : passages.subspan(done))
    skip(passage, "retrieval", "Error: not begun: no time for all of a batch");
  course.step = "cold_start";
  for (Passage& passage : passages) *answer++ = answered(passage);
}

void Chain::run_steps(std::span<Passage> passages, Course& course) const {
  Batch batch;
  for (Passage& passage : passages) batch.push_back(&passage);
  for (const auto& [stage, step] : between_) {
    course.step = stage.c_str();  // outlives everything: it is the plan's
    run(stage, step, batch);
    for (Passage* passage : batch) passage->ranked.resize(passage->candidates.ids.size(), std::nanf(""));
  }
}

/// Without the online store users are unknown, and the envelope says so.
std::vector<Passage> Chain::look_up(const std::vector<Asked>& asked, OnlineStore& store) const {
  std::vector<std::string> ids;
  for (const Asked& one : asked) std::ranges::move(one.ids(), std::back_inserter(ids));
  std::vector<Read> read;
  try {
    if (!ids.empty()) {
      During reading(Stage::store);
      faults_.strike("feature_lookup");
      read = store.read(ids);
    }
  } catch (const StoreError& error) {
    read.assign(ids.size(), Read(error.what()));
  }
  During encoding(Stage::lookup);
  auto started = now_ms();
  std::span<const Read> left = read;
  std::vector<Passage> passages;
  for (const Asked& one : asked) {
    auto number = one.ids().size();
    passages.push_back(encoded(one, left.first(number), started));
    left = left.subspan(number);
  }
  return passages;
}

Passage Chain::encoded(const Asked& asked, std::span<const Read> read, std::int64_t started) const {
  auto as_of = asked.golden ? asked.golden->as_of : started;
  auto shelf = asked.golden ? shelves_.recorded() : shelves_.now();
  auto of_row = [&](const Row& row) {
    Passage passage{lookup_.envelope(asked.request, row, as_of, started, variant_), {}, {}, {}, shelf};
    passage.query = lookup_.query(passage.envelope, row);
    return passage;
  };
  std::string reason;
  std::vector<const Row*> rows;
  if (asked.golden) rows.push_back(&asked.golden->row);
  for (const Read& one : read) {
    if (auto* row = std::get_if<Row>(&one)) {
      rows.push_back(row);
    } else if (reason.empty()) {
      reason = std::get<std::string>(one);
    }
  }
  Passage passage;
  try {
    passage = rows.size() == 1 ? of_row(*rows[0]) : of_row(lookup_.person(rows));
  } catch (const std::exception& error) {
    reason = reason_of(error);
    passage = of_row(lookup_.unknown_row());
  }
  if (!reason.empty()) skip(passage, "feature_lookup", reason);
  return passage;
}

/// A user never seen, because a stage could not do its part.
Passage Chain::unknown(const Asked& asked, const std::string& stage, const std::string& reason,
                       std::int64_t started) const {
  auto as_of = asked.golden ? asked.golden->as_of : started;
  auto shelf = asked.golden ? shelves_.recorded() : shelves_.now();
  const Row& row = lookup_.unknown_row();
  Passage passage{lookup_.envelope(asked.request, row, as_of, started, variant_), {}, {}, {}, shelf};
  passage.query = lookup_.query(passage.envelope, row);
  skip(passage, stage, reason);
  return passage;
}

Answered Chain::degraded(const std::vector<Asked>& asked, const std::string& stage, const std::string& reason) const {
  auto started = now_ms();
  Answered out;
  for (const Asked& one : asked) {
    if (!one.similar) {
      out.passages.push_back(unknown(one, stage, reason, started));
      out.answers.push_back(cold_start_(out.passages.back()));
      continue;
    }
    auto of_nothing = *one.similar;  // an item that is not known is answered by trending
    of_nothing.item_id.clear();
    auto as_of = one.golden ? one.golden->as_of : started;
    auto answer = similar_(of_nothing, lookup_, shelves_, as_of, one.golden.has_value(), variant_);
    answer.user_id = one.similar->item_id;
    answer.skipped.emplace_back(stage, reason);
    out.answers.push_back(std::move(answer));
    out.passages.push_back(of_item(*one.similar, as_of));
  }
  return out;
}

/// A step for those of a batch that have time left; when it fails for all together, for each alone.
void Chain::run(const std::string& stage, const Step& step, const Batch& batch) const {
  Batch due;
  auto now = now_ms();
  for (Passage* passage : batch) {
    auto late = now - passage->envelope.deadline;
    if (late <= 0) {
      due.push_back(passage);
    } else {
      skip(*passage, stage, "deadline passed " + std::to_string(late) + " ms before it started");
    }
  }
  if (due.empty()) return;
  try {
    faults_.strike(stage);
    step(due);
    return;
  } catch (const std::exception& error) {
    if (due.size() == 1) return skip(*due[0], stage, reason_of(error));
  }
  for (Passage* passage : due) {
    try {
      faults_.strike(stage);
      step({passage});
    } catch (const std::exception& error) {
      skip(*passage, stage, reason_of(error));
    }
  }
}

/// The answer; trending when it cannot be made of what the steps before have found.
Answer Chain::answered(Passage& passage) const {
  During blending(Stage::blend);
  try {
    faults_.strike("cold_start");
    return cold_start_(passage);
  } catch (const std::exception& error) {
    skip(passage, "cold_start", reason_of(error));
    passage.candidates = {};
    passage.ranked.clear();
    return cold_start_(passage);
  }
}

}  // namespace trireme
