#include "request.h"

#include "error.h"
#include "request_values.h"
#include "text.h"

namespace trireme {
namespace {

using Json = nlohmann::json;

CandidateFilter filter_of(const Json* raw) {
  CandidateFilter out;
  if (!raw) return out;
  if (!raw->is_object()) throw RequestError("candidate_filter", "expected a JSON object, got " + shown(*raw));
  Fields fields(*raw, filter_fields, "candidate_filter", "candidate_filter.");
  out.category = fields.texts("category", max_categories, "categories");
  out.price_min = fields.number("price_min", 0, max_price);
  out.price_max = fields.number("price_max", 0, max_price);
  if (out.price_min && out.price_max && *out.price_min > *out.price_max) {
    throw RequestError("candidate_filter.price_max", "expected at least price_min, " + repr_number(*out.price_min) +
                                                         ", got " + repr_number(*out.price_max));
  }
  out.available = fields.boolean("available", true);
  return out;
}

void read_wishes(const Fields& fields, Wishes& out) {
  out.k = fields.integer("k", 1, max_k, default_k);
  out.region = fields.text("region");
  out.exclude_ids = fields.texts("exclude_ids", max_excluded, "item ids");
  out.request_id = fields.text("request_id");
  out.deadline_ms = fields.integer("deadline_ms", 1, max_deadline_ms, default_deadline_ms);
  out.candidate_filter = filter_of(fields.find("candidate_filter"));
  out.diversity = fields.number("diversity", 0, 1).value_or(0);
}

Request check(const Json& raw) {
  Fields fields(raw, request_fields, "a request");
  Request out;
  out.anonymous_id = fields.text("anonymous_id");
  out.user_id = fields.text("user_id", out.anonymous_id.empty());
  out.device = fields.text("device");
  out.session_id = fields.text("session_id");
  out.context = fields.context("context");
  read_wishes(fields, out);
  return out;
}

}  // namespace

Request parse_request(std::string_view body) {
  return check(document_of(body));
}

Body parse_body(std::string_view body) {
  Json raw = document_of(body);
  if (!raw.is_object() || !raw.contains("requests")) return {false, {check(raw)}};
  const char* const known[] = {"requests"};
  const Json& held = *Fields(raw, known, "a batch").find("requests");
  if (!held.is_array() || held.empty() || held.size() > max_batch) {
    std::string got = held.is_array() ? std::to_string(held.size()) : shown(held);
    throw RequestError("requests", "expected a list of 1 to " + std::to_string(max_batch) + " requests, got " + got);
  }
  Body out{true, {}};
  for (const Json& one : held) {
    try {
      out.elements.emplace_back(check(one));
    } catch (const RequestError& error) {
      out.elements.emplace_back(error.what());
    }
  }
  return out;
}

SimilarRequest parse_similar(std::string_view body) {
  return check_similar(document_of(body));
}

SimilarRequest check_similar(const Json& raw) {
  Fields fields(raw, similar_fields, "a request for similar items");
  SimilarRequest out;
  out.item_id = fields.text("item_id", true);
  read_wishes(fields, out);
  return out;
}

Request check_typed(const Json& raw) {
  return check(raw);
}

std::string decoded(std::string_view bytes, const char* field) {
  if (!is_utf8(bytes)) throw RequestError(field, "expected UTF-8, got " + repr_bytes(bytes));
  return std::string(bytes);
}

}  // namespace trireme
