//Numpy array shape [4]
//Min -0.444808304310
//Max 0.847135484219
//Number of zeros 0

#ifndef B4_H_
#define B4_H_

#ifndef __SYNTHESIS__
d1_bias_t b4[4];
#else
d1_bias_t b4[4] = {0.0854571983, 0.0869287699, 0.8471354842, -0.4448083043};

#endif

#endif
