// The entry points that tritonserver calls: a model is a chain over a release, an instance has a connection to Redis.
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "budget.h"
#include "chain.h"
#include "error.h"
#include "live_buckets.h"
#include "live_items.h"
#include "stages.h"
#include "triton_api.h"
#include "triton_io.h"
#include "triton_metrics.h"

#define TRIREME_EXPORTED extern "C" __attribute__((visibility("default"))) TRITONSERVER_Error*

namespace trireme {
namespace {

using Json = nlohmann::json;

/// What `--backend-config=trireme,NAME=VALUE` and config.pbtxt say.
struct Settings {
  std::string release, onnxruntime, plan, redis, variant, fault, impressions;
};

/// The folder of the release that a model's folder lies in, at whatever depth.
std::filesystem::path release_of(std::filesystem::path folder) {
  while (!std::filesystem::exists(folder / "release.json")) {
    if (folder == folder.parent_path()) throw ArtifactError("the model's folder lies in no release");
    folder = folder.parent_path();
  }
  return folder;
}

Settings settings_of(TRITONBACKEND_Model* model) {
  TRITONBACKEND_Backend* backend = nullptr;
  TRITONSERVER_Message *server_text = nullptr, *model_text = nullptr;
  TRITONBACKEND_ArtifactType type;
  const char *repository = nullptr, *artifacts = nullptr;
  checked(TRITONBACKEND_ModelBackend(model, &backend));
  checked(TRITONBACKEND_BackendConfig(backend, &server_text));  // the server's own
  checked(TRITONBACKEND_BackendArtifacts(backend, &type, &artifacts));
  checked(TRITONBACKEND_ModelRepository(model, &type, &repository));
  checked(TRITONBACKEND_ModelConfig(model, 1, &model_text));
  Json line = Json::parse(text_of(server_text)).value("cmdline", Json::object());
  Json config = Json::parse(text_of(model_text));
  checked(TRITONSERVER_MessageDelete(model_text));
  Settings out;
  out.release = release_of(repository);
  out.onnxruntime = std::filesystem::path(artifacts) / "libonnxruntime.so.1";
  out.plan = config.at("parameters").at("plan").at("string_value");
  out.redis = line.value("redis", "");
  out.variant = line.value("variant", "");
  out.fault = line.value("fault", "");
  out.impressions = line.value("impressions", "");
  if (out.redis.rfind(':') == out.redis.npos) {
    throw ArtifactError("expected --backend-config=trireme,redis=host:port, got '" + out.redis + "'");
  }
  return out;
}

struct Model {
  explicit Model(const Settings& settings)
      : redis(settings.redis),
        chain(settings.release, settings.onnxruntime, settings.plan, settings.variant, settings.fault),
        metrics(chain.release().id),
        live(settings.redis, chain.shelves()),
        live_buckets(settings.redis, chain.tables(), chain.popularity()) {
    live.start();
    live_buckets.start();
    if (!settings.impressions.empty()) {
      impressions.emplace(settings.impressions, [this](const char* what) { metrics.count_impression(what); });
    }
  }

  std::string redis;
  Chain chain;
  AnswerMetrics metrics;
  StageMetrics stages;
  HungThreads hung;
  LiveItems live;
  LiveBuckets live_buckets;
  mutable std::optional<ImpressionLog> impressions;  ///< none where they are not logged
};

/// Triton holds one, and so does every thread that still works for it.
using Held = std::shared_ptr<const Model>;

struct Instance {
  explicit Instance(const Held& model)
      : model(model), worker({model, &model->chain}, model->redis, [model](const std::string& stage, int change) {
          model->hung.change(stage, change);
        }) {}

  const Held model;
  Worker worker;
};

/// One Triton request: where its rows lie in the batch, or the error that it is answered with.
struct Received {
  TRITONBACKEND_Request* request;
  std::size_t first = 0, rows = 0;
  std::vector<Refusals> bodies;
  TRITONSERVER_Error* error = nullptr;
};

std::uint64_t now_ns() {
  auto since_start = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_start).count();
}

/// What went wrong, as Triton's: the caller's fault is INVALID_ARG, which it answers with 400.
TRITONSERVER_Error* error_of(const std::exception& error) {
  bool caller = dynamic_cast<const RequestError*>(&error) != nullptr;
  return TRITONSERVER_ErrorNew(caller ? TRITONSERVER_ERROR_INVALID_ARG : TRITONSERVER_ERROR_INTERNAL, error.what());
}

/// The state that Triton keeps for us of a model or an instance.
template <class State, class Owner>
State* state(TRITONSERVER_Error* (*get)(Owner*, void**), Owner* owner) {
  void* held = nullptr;
  checked(get(owner, &held));
  return static_cast<State*>(held);
}

void log_skipped(const std::vector<Answer>& answers) {
  for (const Answer& answer : answers) {
    for (const auto& [stage, reason] : answer.skipped) {
      std::string text = stage + ": " + reason;
      checked(TRITONSERVER_LogMessage(TRITONSERVER_LOG_WARN, __FILE__, __LINE__, text.c_str()));
      return;  // one line a batch: an outage is not told a thousand times a second
    }
  }
}

std::vector<Received> receive(TRITONBACKEND_Request** requests, std::uint32_t count, const Layout& layout,
                              std::vector<Asked>& asked) {
  During parsing(Stage::parse);
  std::vector<Received> received;
  for (std::uint32_t i = 0; i < count; ++i) {
    Received one{requests[i], asked.size(), 0, {}, nullptr};
    try {
      auto [held, bodies] = read(requests[i], layout);
      one.rows = held.size();
      one.bodies = std::move(bodies);
      std::move(held.begin(), held.end(), std::back_inserter(asked));
    } catch (const std::exception& error) {
      one.error = error_of(error);
    }
    received.push_back(std::move(one));
  }
  return received;
}

/// A response or an error for a request, whatever happens on the way.
void send(Received& one, const std::vector<Answer>& answers) {
  TRITONBACKEND_Response* response = nullptr;
  checked(TRITONBACKEND_ResponseNew(&response, one.request));
  try {
    During writing(Stage::write);
    if (!one.error) write(response, one.request, std::span(answers).subspan(one.first, one.rows), one.bodies);
  } catch (const std::exception& error) {
    one.error = error_of(error);
  }
  checked(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, one.error));
}

/// Requests are ours until they are released, each exactly once: what fails on the way is logged.
template <class Call>
void attempt(Call call) {
  try {
    call();
  } catch (const std::exception& error) {
    TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, __FILE__, __LINE__, error.what());
  }
}

/// Whether a record is made of the answer to a request: somebody sees it.
bool is_logged(const Asked& asked) {
  return !asked.golden && is_shown(asked.similar ? static_cast<const Wishes&>(*asked.similar) : asked.request);
}

void log_impressions(const Model& model, const std::vector<Asked>& asked, const Answered& answered) {
  if (!model.impressions) return;
  During logging(Stage::impressions);
  for (std::size_t i = 0; i < answered.answers.size(); ++i) {
    if (!is_logged(asked[i])) continue;
    try {
      (*model.impressions)(model.chain.impression(asked[i], answered.passages[i], answered.answers[i]));
    } catch (const std::exception&) {
      model.metrics.count_impression("failed");
      throw;
    }
  }
}

void execute(TRITONBACKEND_ModelInstance* handle, TRITONBACKEND_Request** requests, std::uint32_t count) {
  auto started = now_ns();
  auto& instance = *state<Instance>(TRITONBACKEND_ModelInstanceState, handle);
  const Model& model = *instance.model;
  Account account(model.stages.reads_cpu());
  // Shared with the thread that answers: one that hangs keeps it.
  auto asked = std::make_shared<std::vector<Asked>>();
  auto received = receive(requests, count, model.chain.release().derived.layout, *asked);
  auto computing = now_ns();
  auto rows = asked->size();
  Answered answered;
  const std::vector<Answer>& answers = answered.answers;
  try {
    if (rows > 0) answered = instance.worker.answer(asked, account);
  } catch (const std::exception& error) {
    for (Received& one : received) {
      if (!one.error) one.error = error_of(error);
    }
  }
  auto computed = now_ns();
  attempt([&] {
    for (const Answer& answer : answers) model.metrics.count(answer);
    model.metrics.set_item_state_age(model.live.age_seconds());
    model.metrics.count_lookups(model.chain.lookups());
    log_skipped(answers);
  });
  for (Received& one : received) {
    attempt([&] { send(one, answers); });
    attempt([&] {
      checked(TRITONBACKEND_ModelInstanceReportStatistics(handle, one.request, one.error == nullptr, started, computing,
                                                          computed, now_ns()));
    });
    if (one.error) TRITONSERVER_ErrorDelete(one.error);
    attempt([&] { checked(TRITONBACKEND_RequestRelease(one.request, TRITONSERVER_REQUEST_RELEASE_ALL)); });
  }
  if (rows == 0) return;
  attempt([&] { log_impressions(model, *asked, answered); });
  attempt([&] {
    model.metrics.count_batch(rows);
    account.turn(Stage::other);
    model.stages.observe(account);
  });
  attempt([&] {
    checked(TRITONBACKEND_ModelInstanceReportBatchStatistics(handle, rows, started, computing, computed, now_ns()));
  });
}

/// An exception must not reach the server.
template <class Call>
TRITONSERVER_Error* guarded(Call call) {
  try {
    call();
    return nullptr;
  } catch (const std::exception& error) {
    return error_of(error);
  }
}

}  // namespace
}  // namespace trireme

using namespace trireme;

TRIREME_EXPORTED TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model) {
  return guarded([&] {
    checked(TRITONBACKEND_ModelSetState(model, new Held(std::make_shared<const Model>(settings_of(model)))));
  });
}

TRIREME_EXPORTED TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model) {
  return guarded([&] { delete state<Held>(TRITONBACKEND_ModelState, model); });
}

TRIREME_EXPORTED TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([&] {
    TRITONBACKEND_Model* model = nullptr;
    checked(TRITONBACKEND_ModelInstanceModel(instance, &model));
    auto made = new Instance(*state<Held>(TRITONBACKEND_ModelState, model));
    checked(TRITONBACKEND_ModelInstanceSetState(instance, made));
  });
}

TRIREME_EXPORTED TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([&] { delete state<Instance>(TRITONBACKEND_ModelInstanceState, instance); });
}

TRIREME_EXPORTED TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance,
                                                    TRITONBACKEND_Request** requests, const std::uint32_t count) {
  return guarded([&] { execute(instance, requests, count); });
}
