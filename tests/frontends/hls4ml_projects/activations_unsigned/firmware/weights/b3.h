//Numpy array shape [4]
//Min -0.202516660094
//Max 0.038193210959
//Number of zeros 0

#ifndef B3_H_
#define B3_H_

#ifndef __SYNTHESIS__
fc1_bias_t b3[4];
#else
fc1_bias_t b3[4] = {-0.0393079855, 0.0381932110, 0.0142344944, -0.2025166601};

#endif

#endif
