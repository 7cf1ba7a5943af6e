// The core over standard input, for tests: one JSON document a line in, one out; {"call": NAME, ...}.
#include <chrono>
#include <iostream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "budget.h"
#include "chain.h"
#include "error.h"
#include "kept.h"
#include "live_buckets.h"
#include "live_items.h"
#include "merge.h"
#include "probe_best.h"
#include "probe_crowd.h"
#include "row_json.h"
#include "stages.h"
#include "text.h"

namespace {

using Json = nlohmann::json;
using namespace trireme;

/// Bytes travel as one code point a byte.
std::string bytes_of(const Json& latin) {
  std::string out;
  const auto& text = latin.get_ref<const std::string&>();
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto lead = static_cast<unsigned char>(text[i]);
    out += lead < 0x80 ? text[i] : static_cast<char>(lead << 6 | (text[++i] & 0x3F));
  }
  return out;
}

Json document_of(const Wishes& wishes) {
  const CandidateFilter& filter = wishes.candidate_filter;
  auto number = [](const std::optional<double>& held) { return held ? Json(*held) : Json(); };
  return {{"k", wishes.k},
          {"region", wishes.region},
          {"exclude_ids", wishes.exclude_ids},
          {"request_id", wishes.request_id},
          {"deadline_ms", wishes.deadline_ms},
          {"diversity", wishes.diversity},
          {"candidate_filter",
           {{"category", filter.category},
            {"price_min", number(filter.price_min)},
            {"price_max", number(filter.price_max)},
            {"available", filter.available}}}};
}

Json document_of(const Request& request) {
  Json out = document_of(static_cast<const Wishes&>(request));
  out.update({{"user_id", request.user_id},
              {"anonymous_id", request.anonymous_id},
              {"device", request.device},
              {"session_id", request.session_id},
              {"context", Json::parse(request.context)}});
  return out;
}

Json parsed(const Json& asked) {
  Body body = parse_body(bytes_of(asked.at("body")));
  Json out = Json::array();
  for (const auto& one : body.elements) {
    auto* request = std::get_if<Request>(&one);
    out.push_back(request ? document_of(*request) : Json(std::get<std::string>(one)));
  }
  return body.batch ? out : out[0];
}

Json parsed_similar(const Json& asked) {
  SimilarRequest request = parse_similar(bytes_of(asked.at("body")));
  Json out = document_of(request);
  out["item_id"] = request.item_id;
  return out;
}

Json decoded(const Json& asked) {
  Value value = decode_value(kind_of(asked.at("kind")), bytes_of(asked.at("bytes")));
  return std::visit([](const auto& held) { return Json(held); }, value);
}

/// A release, loaded, and its store.
struct Loaded {
  explicit Loaded(const Json& asked)
      : redis(asked.value("redis", "127.0.0.1:1")),
        chain(asked.at("release"), asked.at("onnxruntime"), asked.at("plan"), asked.value("variant", ""),
              asked.value("fault", "")),
        live(redis, chain.shelves()),
        live_buckets(redis, chain.tables(), chain.popularity()),
        store(redis, chain.release().derived.layout) {}

  std::string redis;
  Chain chain;
  LiveItems live;
  LiveBuckets live_buckets;
  OnlineStore store;
  std::mutex mutex;
  std::map<std::string, int> hung;  ///< under the mutex: threads that were left behind tell when they come back
};

std::shared_ptr<Loaded> loaded;
std::unique_ptr<Worker> worker;

/// Threads of the release before that hang keep it.
void load(const Json& asked) {
  worker.reset();
  loaded = std::make_shared<Loaded>(asked);
  auto tell = [held = loaded](const std::string& stage, int change) {
    std::lock_guard lock(held->mutex);
    held->hung[stage] += change;
  };
  worker = std::make_unique<Worker>(std::shared_ptr<const Chain>(loaded, &loaded->chain), loaded->redis, tell);
}

std::vector<Asked> batch_of(const Json& asked) {
  std::vector<Asked> batch;
  for (const Json& one : asked.at("requests")) {
    Asked next;
    if (one.value("similar", false)) {
      next.similar = parse_similar(bytes_of(one.at("body")));
    } else {
      next.request = parse_request(bytes_of(one.at("body")));
    }
    const Layout& layout = loaded->chain.release().derived.layout;
    if (one.contains("golden_row")) next.golden = golden_row(layout, one["golden_row"].get<std::string>());
    batch.push_back(std::move(next));
  }
  return batch;
}

Answered answers_of(const std::vector<Asked>& batch) {
  Course course;
  return loaded->chain.answer(batch, loaded->store, course);
}

Json answered(const Json& asked) {
  Json out = Json::array();
  for (const Answer& answer : answers_of(batch_of(asked)).answers) {
    out.push_back(Json::parse(answer.to_json()));
  }
  return out;
}

/// Answers as Triton gets them, under the budget of the requests, and how many threads of each stage hang.
Json answered_in_time(const Json& asked) {
  Json out = {{"answers", Json::array()}};
  Account account(false);
  auto batch = std::make_shared<const std::vector<Asked>>(batch_of(asked));
  for (const Answer& answer : worker->answer(batch, account).answers) {
    out["answers"].push_back(Json::parse(answer.to_json()));
  }
  std::lock_guard lock(loaded->mutex);
  out["hung"] = loaded->hung;
  return out;
}

/// The same by several threads at once.
Json crowded(const Json& asked) {
  Shared shared{{loaded, &loaded->chain}, loaded->redis, loaded->live, loaded->live_buckets};
  return crowd(shared, std::make_shared<const std::vector<Asked>>(batch_of(asked)), asked);
}

Json document_of(const Lookups::Counts& counts) {
  return {{lookup_hit, counts.hits}, {lookup_miss, counts.misses}};
}

/// Nanoseconds by stage, of the wall and of the CPU, that a batch's answers take when they are made so many times.
Json spent(const Json& asked) {
  auto batch = batch_of(asked);
  Account account(true);
  for (int i = 0; i < asked.at("times"); ++i) {
    auto answers = answers_of(batch).answers;
    During writing(Stage::write);
    for (const Answer& answer : answers) answer.to_json();
  }
  account.turn(Stage::other);
  Json out;
  for (std::size_t i = 0; i < stage_count; ++i) out[stage_names[i]] = {account.wall()[i], account.cpu()[i]};
  return out;
}

Json merged(const Json& asked) {
  const Release& release = loaded->chain.release();
  const Layout& layout = release.derived.layout;
  auto row = [&](const char* name) { return golden_row(layout, asked.at(name).get<std::string>()).row; };
  Row both = merge(row("user"), row("anonymous"), layout, release.features);
  Json out = Json::object();
  for (std::size_t i = 0; i < both.size(); ++i) {
    out[layout.features[i].name] = std::visit([](const auto& held) { return Json(held); }, both[i]);
  }
  return out;
}

/// Bytes as one code point each.
std::string latin_of(const std::string& bytes) {
  std::string out;
  for (unsigned char byte : bytes) {
    if (byte >= 0x80) out += static_cast<char>(0xC0 | byte >> 6);
    out += static_cast<char>(byte < 0x80 ? byte : 0x80 | (byte & 0x3F));
  }
  return out;
}

/// The records of a batch's answers.
Json logged(const Json& asked) {
  auto batch = batch_of(asked);
  auto [answers, passages] = answers_of(batch);
  Json out = Json::array();
  for (std::size_t i = 0; i < batch.size(); ++i) {
    out.push_back(latin_of(loaded->chain.impression(batch[i], passages[i], answers[i])));
  }
  return out;
}

/// Seconds that a record of a batch's answers takes, by making each so many times.
Json record_seconds(const Json& asked) {
  auto batch = batch_of(asked);
  auto [answers, passages] = answers_of(batch);
  auto started = std::chrono::steady_clock::now();
  std::size_t bytes = 0;
  for (int n = 0; n < asked.at("times"); ++n) {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      bytes += loaded->chain.impression(batch[i], passages[i], answers[i]).size();
    }
  }
  std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
  double records = static_cast<double>(batch.size()) * asked.at("times").get<double>();
  return {{"seconds", spent.count() / records}, {"bytes", static_cast<double>(bytes) / records}};
}

/// Send records by a log to a path, and wait until it has told of all; what became of how many.
Json sent(const Json& asked) {
  std::map<std::string, int> counts;
  std::mutex mutex;
  {
    ImpressionLog log(asked.at("path"), [&](const char* what) {
      std::lock_guard lock(mutex);
      ++counts[what];
    });
    for (const Json& record : asked.at("records")) log(bytes_of(record));
    std::this_thread::sleep_for(std::chrono::milliseconds(asked.value("wait_ms", 0)));
  }
  return counts;
}

Json called(const Json& asked) {
  const std::string call = asked.at("call");
  if (call == "parse") return parsed(asked);
  if (call == "parse_similar") return parsed_similar(asked);
  if (call == "decode") return decoded(asked);
  if (call == "load") return load(asked), true;
  if (call == "answer") return answered(asked);
  if (call == "impressions") return logged(asked);
  if (call == "record_seconds") return record_seconds(asked);
  if (call == "send") return sent(asked);
  if (call == "answer_in_time") return answered_in_time(asked);
  if (call == "crowd") return crowded(asked);
  if (call == "spent") return spent(asked);
  if (call == "lookups") return document_of(loaded->chain.lookups().counts());
  if (call == "keep") return kept(asked);
  if (call == "best_products") return best_products(asked);
  if (call == "best_sums") return best_sums(asked);
  if (call == "best_demand") return best_demand(asked);
  if (call == "look") return loaded->live.look(), true;
  if (call == "merge") return merged(asked);
  if (call == "look_at_buckets") return loaded->live_buckets.look(asked.at("now_ms")), true;
  if (call == "repr_number") return repr_number(asked.at("value"));
  throw std::invalid_argument("no such call: " + call);
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    Json out;
    try {
      out["result"] = called(Json::parse(line));
    } catch (const std::exception& error) {
      out["error"] = error.what();
    }
    std::cout << out.dump(-1, ' ', true, Json::error_handler_t::replace) << std::endl;
  }
}
