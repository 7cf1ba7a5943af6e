#include "onnx.h"

#include <dlfcn.h>

#include <stdexcept>

#include "error.h"

namespace trireme {
namespace {

/// Places in OrtApi (onnxruntime_c_api.h), a table that is only ever appended to.
enum Slot : std::size_t {
  get_error_message = 2,
  create_environment = 3,
  create_session_from_array = 8,
  run_session = 9,
  create_session_options = 10,
  set_intra_op_threads = 24,
  set_inter_op_threads = 25,
  create_tensor_with_data = 49,
  get_tensor_data = 51,
  get_element_count = 64,
  get_type_and_shape = 65,
  create_cpu_memory_info = 69,
  release_environment = 92,
  release_status = 93,
  release_memory_info = 94,
  release_session = 95,
  release_value = 96,
  release_type_and_shape = 99,
  release_session_options = 100,
  add_session_config_entry = 130,
};

/// The first version whose table holds all of these.
constexpr std::uint32_t api_version = 17;
constexpr int log_warnings = 2, arena_allocator = 1, default_memory = 0, element_float = 1, element_int64 = 7;

struct ApiBase {
  const void* const* (*get_api)(std::uint32_t version);
  const char* (*get_version)();
};

template <class... Arguments>
void* call(const void* const* table, Slot slot, Arguments... arguments) {
  return reinterpret_cast<void* (*)(Arguments...)>(const_cast<void*>(table[slot]))(arguments...);
}

void release(const void* const* table, Slot slot, void* held) {
  if (held) reinterpret_cast<void (*)(void*)>(const_cast<void*>(table[slot]))(held);
}

/// Whatever the API made, released by the function that belongs to it.
std::shared_ptr<void> owned(const void* const* table, Slot slot, void* held) {
  return {held, [table, slot](void* made) { release(table, slot, made); }};
}

/// A call that answers null or a status that says what went wrong.
template <class... Arguments>
void checked(const void* const* table, Slot slot, Arguments... arguments) {
  if (void* status = call(table, slot, arguments...)) {
    std::string message = static_cast<const char*>(call(table, get_error_message, status));
    release(table, release_status, status);
    throw std::runtime_error("onnxruntime: " + message);
  }
}

/// A tensor over the caller's numbers, which it does not copy.
template <class Number>
std::shared_ptr<void> tensor(const void* const* table, void* memory, const OnnxInput& input,
                             const std::vector<Number>& numbers, int type) {
  void* made = nullptr;
  auto data = const_cast<void*>(static_cast<const void*>(numbers.data()));
  checked(table, create_tensor_with_data, memory, data, numbers.size() * sizeof(Number), input.shape.data(),
          input.shape.size(), type, &made);
  return owned(table, release_value, made);
}

}  // namespace

OnnxLibrary::OnnxLibrary(const std::string& path) {
  // Never closed: its threads and tables outlive any model.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw ArtifactError(std::string("onnxruntime cannot be loaded: ") + dlerror());
  auto get_base = reinterpret_cast<const ApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
  table_ = get_base ? get_base()->get_api(api_version) : nullptr;
  if (!table_)
    throw ArtifactError(path + " is no onnxruntime of version 1." + std::to_string(api_version) + " or newer");
  void *environment = nullptr, *memory = nullptr;
  checked(table_, create_environment, log_warnings, "trireme", &environment);
  environment_ = owned(table_, release_environment, environment);
  checked(table_, create_cpu_memory_info, arena_allocator, default_memory, &memory);
  memory_ = owned(table_, release_memory_info, memory);
}

OnnxGraph::OnnxGraph(std::shared_ptr<const OnnxLibrary> library, std::string_view model) : library_(library) {
  auto table = library_->table_;
  void *made = nullptr, *session = nullptr;
  checked(table, create_session_options, &made);
  auto options = owned(table, release_session_options, made);
  checked(table, set_intra_op_threads, options.get(), 1);
  checked(table, set_inter_op_threads, options.get(), 1);
  checked(table, add_session_config_entry, options.get(), "session.intra_op.allow_spinning", "0");
  checked(table, add_session_config_entry, options.get(), "session.inter_op.allow_spinning", "0");
  checked(table, create_session_from_array, library_->environment_.get(), model.data(), model.size(), options.get(),
          &session);
  session_ = owned(table, release_session, session);
}

std::vector<float> OnnxGraph::run(const std::vector<OnnxInput>& inputs, const char* output, std::size_t size) const {
  auto table = library_->table_;
  std::vector<std::shared_ptr<void>> tensors;
  std::vector<const char*> names;
  std::vector<void*> values;
  for (const OnnxInput& input : inputs) {
    void* memory = library_->memory_.get();
    tensors.push_back(input.integers ? tensor(table, memory, input, *input.integers, element_int64)
                                     : tensor(table, memory, input, *input.floats, element_float));
    names.push_back(input.name);
    values.push_back(tensors.back().get());
  }
  void *made = nullptr, *shape = nullptr, *no_options = nullptr;
  checked(table, run_session, session_.get(), no_options, names.data(), values.data(), values.size(), &output,
          std::size_t{1}, &made);
  auto result = owned(table, release_value, made);
  checked(table, get_type_and_shape, made, &shape);
  auto shape_held = owned(table, release_type_and_shape, shape);
  std::size_t elements = 0;
  checked(table, get_element_count, shape, &elements);
  if (elements != size) {
    throw std::runtime_error("a graph made " + std::to_string(elements) + " numbers instead of " +
                             std::to_string(size));
  }
  float* data = nullptr;
  checked(table, get_tensor_data, made, &data);
  return std::vector<float>(data, data + elements);
}

}  // namespace trireme
