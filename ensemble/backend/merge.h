// One person's row out of two: of a user, and of the anonymous id under which he was seen (contracts/merging.py).
#pragma once

#include "release.h"
#include "row.h"

namespace trireme {

/// The row of both; a std::runtime_error when the lists of a row do not fit each other.
Row merge(const Row& user, const Row& anonymous, const Layout& layout, const FeatureSettings& settings);

}  // namespace trireme
