#include "triton_io.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "error.h"
#include "row_json.h"

namespace trireme {
namespace {

struct Input {
  TRITONSERVER_DataType type;
  std::size_t rows;
  std::string bytes;
};

using Inputs = std::map<std::string, Input>;

Input input_of(TRITONBACKEND_Input* input, std::string& name) {
  const char* held_name = nullptr;
  const std::int64_t* shape = nullptr;
  std::uint32_t dims = 0, buffers = 0;
  std::uint64_t size = 0;
  Input out{};
  checked(TRITONBACKEND_InputProperties(input, &held_name, &out.type, &shape, &dims, &size, &buffers));
  name = held_name;
  if (dims != 2 || shape[1] != 1 || shape[0] < 1) throw RequestError(name, "expected one value a row");
  out.rows = static_cast<std::size_t>(shape[0]);
  for (std::uint32_t i = 0; i < buffers; ++i) {
    const void* buffer = nullptr;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    std::int64_t memory_id = 0;
    checked(TRITONBACKEND_InputBuffer(input, i, &buffer, &size, &memory, &memory_id));
    if (memory == TRITONSERVER_MEMORY_GPU) throw RequestError(name, "expected a tensor in memory of the CPU");
    out.bytes.append(static_cast<const char*>(buffer), size);
  }
  return out;
}

/// Texts of a tensor: the length of each (four bytes) before it.
std::vector<std::string> texts(const Input& input, const std::string& name) {
  std::vector<std::string> out;
  std::string_view left = input.bytes;
  while (left.size() >= sizeof(std::uint32_t)) {
    std::uint32_t length;
    std::memcpy(&length, left.data(), sizeof length);
    left.remove_prefix(sizeof length);
    if (length > left.size()) break;
    out.emplace_back(left.substr(0, length));
    left.remove_prefix(length);
  }
  if (!left.empty() || out.size() != input.rows) throw RequestError(name, "expected texts, each after its length");
  return out;
}

/// Numbers of a tensor.
template <class Number>
std::vector<Number> numbers(const Input& input, const std::string& name) {
  std::vector<Number> out(input.rows);
  if (input.bytes.size() != out.size() * sizeof(Number)) throw RequestError(name, "expected a number a row");
  std::memcpy(out.data(), input.bytes.data(), input.bytes.size());
  return out;
}

/// The requests of typed tensors, `rows` of them; whatever is no golden row is a field of a request.
std::vector<nlohmann::json> typed(const Inputs& inputs, std::size_t rows) {
  std::vector<nlohmann::json> raw(rows, nlohmann::json::object());
  for (const auto& [name, input] : inputs) {
    if (name == "golden_row") continue;
    if (input.rows != rows) throw RequestError(name, "expected as many rows of every tensor");
    auto held = input.type == TRITONSERVER_TYPE_BYTES ? texts(input, name) : std::vector<std::string>();
    auto whole =
        input.type == TRITONSERVER_TYPE_INT32 ? numbers<std::int32_t>(input, name) : std::vector<std::int32_t>();
    auto parts = input.type == TRITONSERVER_TYPE_FP32 ? numbers<float>(input, name) : std::vector<float>();
    for (std::size_t i = 0; i < rows; ++i) {
      if (!held.empty()) raw[i][name] = decoded(held[i], name.c_str());
      if (!whole.empty()) raw[i][name] = whole[i];
      if (!parts.empty()) raw[i][name] = parts[i];
    }
  }
  return raw;
}

void add(Questions& out, Body body) {
  Refusals refusals;
  if (body.batch) refusals.emplace();
  for (auto& one : body.elements) {
    auto* request = std::get_if<Request>(&one);
    if (refusals) refusals->push_back(request ? "" : std::get<std::string>(one));
    if (request) out.asked.push_back({std::move(*request), {}});
  }
  out.bodies.push_back(std::move(refusals));
}

void add(Questions& out, SimilarRequest request) {
  out.asked.push_back({{}, {}, std::move(request)});
  out.bodies.emplace_back();
}

/// What is asked: bodies of either kind, or typed tensors of either kind.
Questions asked_of(const Inputs& inputs) {
  Questions out;
  if (auto bodies = inputs.find("request"); bodies != inputs.end()) {
    for (const std::string& body : texts(bodies->second, "request")) add(out, parse_body(body));
  } else if (bodies = inputs.find("similar_request"); bodies != inputs.end()) {
    for (const std::string& body : texts(bodies->second, "similar_request")) add(out, parse_similar(body));
  } else if (auto items = inputs.find("item_id"); items != inputs.end()) {
    for (const auto& raw : typed(inputs, items->second.rows)) add(out, check_similar(raw));
  } else {
    auto users = inputs.find("user_id");
    if (users == inputs.end()) users = inputs.find("anonymous_id");
    if (users == inputs.end()) throw RequestError("user_id", "expected a non-empty string, got none");
    for (const auto& raw : typed(inputs, users->second.rows)) add(out, Body{false, {check_typed(raw)}});
  }
  return out;
}

/// Bytes of a tensor of texts.
void append_text(std::string& bytes, std::string_view text) {
  auto length = static_cast<std::uint32_t>(text.size());
  bytes.append(reinterpret_cast<const char*>(&length), sizeof length);
  bytes += text;
}

struct Output {
  TRITONSERVER_DataType type = TRITONSERVER_TYPE_BYTES;
  std::size_t rows = 0;
  std::int64_t width = 1;
  std::string bytes;
};

/// The JSON that answers each body.
Output responses(std::span<const Answer> answers, const std::vector<Refusals>& bodies) {
  Output out;
  out.rows = bodies.size();
  for (const Refusals& refusals : bodies) {
    auto number = refusals ? std::count(refusals->begin(), refusals->end(), "") : 1;
    append_text(out.bytes, refusals ? batch_json(answers.first(number), *refusals) : answers[0].to_json());
    answers = answers.subspan(number);
  }
  return out;
}

Output output_of(const std::string& name, std::span<const Answer> answers, const std::vector<Refusals>& bodies) {
  if (name == "response") return responses(answers, bodies);
  std::size_t width = 1;  // a tensor without elements would be none
  for (const Answer& answer : answers) width = std::max(width, answer.item_ids.size());
  Output out;
  out.rows = answers.size();
  bool list = name == "item_ids" || name == "sources" || name == "scores";
  if (list) out.width = static_cast<std::int64_t>(width);
  if (name == "scores") out.type = TRITONSERVER_TYPE_FP32;
  for (const Answer& answer : answers) {
    if (name == "release") append_text(out.bytes, answer.release);
    for (std::size_t i = 0; list && i < width; ++i) {
      bool there = i < answer.item_ids.size();
      float score = there ? answer.scores[i] : 0;
      if (name == "item_ids") append_text(out.bytes, there ? answer.item_ids[i] : "");
      if (name == "sources") append_text(out.bytes, there ? answer.sources[i] : "");
      if (name == "scores") out.bytes.append(reinterpret_cast<const char*>(&score), sizeof score);
    }
  }
  return out;
}

}  // namespace

void checked(TRITONSERVER_Error* error) {
  if (!error) return;
  std::string message = TRITONSERVER_ErrorMessage(error);
  TRITONSERVER_ErrorDelete(error);
  throw std::runtime_error("tritonserver: " + message);
}

std::string text_of(TRITONSERVER_Message* message) {
  const char* base = nullptr;
  std::size_t size = 0;
  checked(TRITONSERVER_MessageSerializeToJson(message, &base, &size));
  return std::string(base, size);
}

Questions read(TRITONBACKEND_Request* request, const Layout& layout) {
  std::uint32_t count = 0;
  checked(TRITONBACKEND_RequestInputCount(request, &count));
  Inputs inputs;
  for (std::uint32_t i = 0; i < count; ++i) {
    TRITONBACKEND_Input* input = nullptr;
    checked(TRITONBACKEND_RequestInputByIndex(request, i, &input));
    std::string name;
    Input held = input_of(input, name);
    inputs.emplace(name, std::move(held));
  }
  Questions out = asked_of(inputs);
  if (auto golden = inputs.find("golden_row"); golden != inputs.end()) {
    auto rows = texts(golden->second, "golden_row");
    if (rows.size() != out.asked.size()) throw RequestError("golden_row", "expected a row for every request");
    for (std::size_t i = 0; i < rows.size(); ++i) out.asked[i].golden = golden_row(layout, rows[i]);
  }
  return out;
}

void write(TRITONBACKEND_Response* response, TRITONBACKEND_Request* request, std::span<const Answer> answers,
           const std::vector<Refusals>& bodies) {
  std::uint32_t count = 0;
  checked(TRITONBACKEND_RequestOutputCount(request, &count));
  for (std::uint32_t i = 0; i < count; ++i) {
    const char* name = nullptr;
    checked(TRITONBACKEND_RequestOutputName(request, i, &name));
    Output made = output_of(name, answers, bodies);
    TRITONBACKEND_Output* output = nullptr;
    const std::int64_t shape[] = {static_cast<std::int64_t>(made.rows), made.width};
    checked(TRITONBACKEND_ResponseOutput(response, &output, name, made.type, shape, 2));
    void* buffer = nullptr;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    std::int64_t memory_id = 0;
    checked(TRITONBACKEND_OutputBuffer(output, &buffer, made.bytes.size(), &memory, &memory_id));
    if (memory == TRITONSERVER_MEMORY_GPU) throw std::runtime_error("an output lies in memory of a GPU");
    std::memcpy(buffer, made.bytes.data(), made.bytes.size());
  }
}

}  // namespace trireme
