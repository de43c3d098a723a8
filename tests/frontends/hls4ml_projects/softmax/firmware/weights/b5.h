//Numpy array shape [4]
//Min -0.202516660094
//Max 0.038193210959
//Number of zeros 0

#ifndef B5_H_
#define B5_H_

#ifndef __SYNTHESIS__
d2_bias_t b5[4];
#else
d2_bias_t b5[4] = {-0.0393079855, 0.0381932110, 0.0142344944, -0.2025166601};

#endif

#endif
