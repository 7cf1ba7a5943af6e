// The core over standard input, for tests: one JSON document a line in, one out; {"call": NAME, ...}.
#include <chrono>
#include <iostream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "chain.h"
#include "error.h"
#include "row_json.h"
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

Json parsed(const Json& asked) {
  Request request = parse_request(bytes_of(asked.at("body")));
  return {{"user_id", request.user_id},       {"k", request.k},
          {"region", request.region},         {"exclude_ids", request.exclude_ids},
          {"request_id", request.request_id}, {"deadline_ms", request.deadline_ms}};
}

Json decoded(const Json& asked) {
  Value value = decode_value(kind_of(asked.at("kind")), bytes_of(asked.at("bytes")));
  return std::visit([](const auto& held) { return Json(held); }, value);
}

/// A release, loaded, and its store.
struct Loaded {
  explicit Loaded(const Json& asked)
      : chain(asked.at("release"), asked.at("onnxruntime"), asked.at("plan"), asked.value("variant", "")),
        store(asked.value("redis", "127.0.0.1:1"), chain.release().derived.layout) {}

  Chain chain;
  OnlineStore store;
};

std::unique_ptr<Loaded> loaded;

std::vector<Asked> batch_of(const Json& asked) {
  std::vector<Asked> batch;
  for (const Json& one : asked.at("requests")) {
    Asked next{parse_request(bytes_of(one.at("body"))), {}};
    const Layout& layout = loaded->chain.release().derived.layout;
    if (one.contains("golden_row")) next.golden = golden_row(layout, one["golden_row"].get<std::string>());
    batch.push_back(std::move(next));
  }
  return batch;
}

Json answered(const Json& asked) {
  Json out = Json::array();
  for (const Answer& answer : loaded->chain.answer(batch_of(asked), loaded->store)) {
    out.push_back(Json::parse(answer.to_json()));
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
  std::vector<Passage> passages;
  auto answers = loaded->chain.answer(batch, loaded->store, &passages);
  Json out = Json::array();
  for (std::size_t i = 0; i < batch.size(); ++i) {
    out.push_back(latin_of(loaded->chain.impression(batch[i].request, passages[i], answers[i])));
  }
  return out;
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
  if (call == "decode") return decoded(asked);
  if (call == "load") return loaded = std::make_unique<Loaded>(asked), true;
  if (call == "answer") return answered(asked);
  if (call == "impressions") return logged(asked);
  if (call == "send") return sent(asked);
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
