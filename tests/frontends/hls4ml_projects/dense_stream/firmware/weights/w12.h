//Numpy array shape [6, 3]
//Min -1.897899746895
//Max 1.414051413536
//Number of zeros 0

#ifndef W12_H_
#define W12_H_

#ifndef __SYNTHESIS__
d9_weight_t w12[18];
#else
d9_weight_t w12[18] = {0.1180, 0.6735, -1.1322, 0.3839, 1.4141, -0.4713, -0.3214, -1.8979, 0.7767, -0.7456, -0.7453, -0.0165, 0.8584, 0.0292, 0.1177, 1.2799, 0.2610, -0.8859};

#endif

#endif
