#include "probe_crowd.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "budget.h"
#include "impression.h"
#include "kept.h"
#include "periodic.h"
#include "stages.h"

namespace trireme {
namespace {

using Json = nlohmann::json;

/// What became of the answers of all threads.
class Tally {
 public:
  explicit Tally(std::size_t requests) : lists_(requests) {}

  void count(const std::vector<Answer>& answers) {
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].skipped.empty()) {
        lists_[i].insert(answers[i].item_ids);
      } else {
        ++degraded_;
      }
    }
  }

  Json told() const { return {{"lists", lists_}, {"degraded", degraded_}}; }

 private:
  std::mutex mutex_;
  std::vector<std::set<std::vector<std::string>>> lists_;
  int degraded_ = 0;
};

}  // namespace

Json crowd(const Shared& shared, std::shared_ptr<const std::vector<Asked>> batch, const Json& asked) {
  const int threads = asked.at("threads"), times = asked.at("times");
  const std::int64_t now_ms = asked.at("now_ms");
  std::atomic<int> looks_at_items = 0, looks_at_buckets = 0, records = 0;
  Tally tally(batch->size());
  {
    ImpressionLog log(asked.at("path"), [&](const char*) { ++records; });
    Periodic items(std::chrono::milliseconds(0), [&] { shared.items.look(), ++looks_at_items; });
    Periodic buckets(std::chrono::milliseconds(0), [&] { shared.buckets.look(now_ms), ++looks_at_buckets; });
    items.start();
    buckets.start();
    std::vector<std::jthread> instances;
    for (int i = 0; i < threads; ++i) {
      instances.emplace_back([&] {
        Worker worker(shared.chain, shared.redis, [](const std::string&, int) {});
        for (int n = 0; n < times; ++n) {
          Account account(true);
          auto [answers, passages] = worker.answer(batch, account);
          tally.count(answers);
          for (std::size_t k = 0; k < answers.size(); ++k) {
            log(shared.chain->impression((*batch)[k], passages[k], answers[k]));
          }
        }
      });
    }
  }
  Json out = tally.told();
  out["records"] = records.load();
  out["looks_at_items"] = looks_at_items.load();
  out["looks_at_buckets"] = looks_at_buckets.load();
  return out;
}

Json kept(const Json& asked) {
  Lookups lookups;
  Kept<int, std::vector<double>> vectors(lookups);
  std::size_t numbers = asked.at("numbers");
  Json out = Json::array();
  for (int key : asked.at("keys")) {
    vectors.keep(key, [&] { return std::vector<double>(numbers); });
    out.push_back(lookups.counts().hits ? lookup_hit : lookup_miss);
  }
  return out;
}

}  // namespace trireme
