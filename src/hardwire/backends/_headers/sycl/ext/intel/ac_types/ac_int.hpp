// ac_int<W, S> under the name by which HLS for oneAPI brings it.
//
// Part of hardwire, Apache-2.0. In the vendor's compiler its own header takes the place of this one.

#ifndef HARDWIRE_SYCL_AC_INT_HPP
#define HARDWIRE_SYCL_AC_INT_HPP

#include "../../../../ac_int.h"

#endif
