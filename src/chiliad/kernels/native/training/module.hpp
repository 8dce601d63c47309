#pragma once

#include <nanobind/nanobind.h>

namespace chiliad::training {

void offer(nanobind::module_ &m);

}  // namespace chiliad::training
